"""Where the reference data lie: beside the project, and never inside it."""

import os
from pathlib import Path

__all__ = ["ReferenceAbsent", "shared_path"]

_VARIABLE = "TWINJAX_SHARED"


class ReferenceAbsent(FileNotFoundError):
    """Reference data that this machine does not have."""


def shared_path(relative: str) -> Path:
    """The path of a reference file or folder.

    Looked for under the folder that the environment variable `TWINJAX_SHARED` names, or else under
    `../shared` from the project's root.

    Args:
        relative: the path inside that folder, for example `references/circulation`.

    Raises:
        ReferenceAbsent: if it is not there; the sentence says where it was looked for.
    """
    project = Path(__file__).resolve().parents[1]
    root = Path(os.environ.get(_VARIABLE) or project.parent / "shared")
    path = root / relative
    if not path.exists():
        raise ReferenceAbsent(
            f"no reference data at {path}: put the shared folder beside the project, "
            f"or name it in {_VARIABLE}."
        )
    return path
