"""meshio without its messages: it prints errors and ends the process; here they are raised."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any


def quietly(path: Path, act: Callable[[Any], Any]) -> Any:
    """What `act(meshio)` returns; raises `ValueError`, in one sentence, if it fails."""
    try:
        import meshio
    except ImportError:
        raise ValueError(
            f"'{path.name}' needs meshio: install twinjax[meshes], or use openCARP's .pts"
        ) from None
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return act(meshio)
    except (
        SystemExit,
        AssertionError,
        SyntaxError,  # damaged XML
        ValueError,
        meshio.ReadError,
        meshio.WriteError,
    ) as error:
        lines = [line for line in (said.getvalue() or str(error)).splitlines() if line.strip()]
        why = f": {lines[0].strip()}" if lines else ""
        raise ValueError(f"{path.name} is truncated or of an unknown form{why}") from None
