"""Reference data of cell models: names and derivative checkpoints."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["checkpoints", "names_with_reference", "reference_names", "worst"]

# Our fields beside the reference's names; a test walks the same files.
NAMES = Path(__file__).resolve().parents[1] / "tests" / "reference_names"


def names_with_reference() -> list[str]:
    """Models that have a folder of reference data."""
    return sorted(path.stem for path in NAMES.glob("*.toml"))


def reference_names(name: str) -> dict[str, Any]:
    """The table of a model.

    `[state]` maps fields to names; optional `[scale]` multiplies the reference's value of a field
    into ours; optional `time_ms` is the reference's unit of time [ms].
    """
    return tomllib.loads((NAMES / f"{name}.toml").read_text())


def checkpoints(facts: Path, name: str, cell: Any) -> list[tuple[Any, Any]]:
    """(state, derivatives) pairs of a folder's `facts.json`, in our fields and units."""
    table = reference_names(name)
    scale, time = table.get("scale", {}), table.get("time_ms", 1.0)
    state_type = type(cell.initial_state())
    pairs = []
    for point in json.loads(facts.read_text())["derivative_checkpoints"]:
        state, slopes = (
            {old: point[what][new] * scale.get(old, 1.0) for old, new in table["state"].items()}
            for what in ("state", "derivatives")
        )
        slopes = {field: slope / time for field, slope in slopes.items()}
        pairs.append((state_type(**state), state_type(**slopes)))
    return pairs


def worst(ours: Any, theirs: Any) -> tuple[str, float]:
    """The field that differs most, and by how much, relative to the reference."""
    errors = {
        field: 0.0
        if float(a) == b
        else abs(float(a) - b) / max(abs(b), float(np.finfo(float).tiny))
        for field, a, b in zip(ours._fields, ours, theirs, strict=True)
    }
    field = max(errors, key=errors.__getitem__)
    return field, errors[field]
