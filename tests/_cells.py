"""Reference data of cell models: names, checkpoints, traces."""

import json
import tomllib
from pathlib import Path

import numpy as np

NAMES = Path(__file__).parent / "reference_names"
FOLDER = "references/cells"


def reference_names(name: str) -> dict:
    """The table of `tests/reference_names/<name>.toml`.

    `[state]` maps fields to names; optional `[scale]` multiplies the reference's value of a field
    into ours; optional `time_ms` is the reference's unit of time [ms].
    """
    return tomllib.loads((NAMES / f"{name}.toml").read_text())


def checkpoints(shared, name: str, state_type: type) -> list[tuple[tuple, tuple]]:
    """(state, derivatives) pairs of a model's folder, in our fields and units."""
    facts = json.loads(shared(f"{FOLDER}/{name}/facts.json").read_text())
    table = reference_names(name)
    scale, time = table.get("scale", {}), table.get("time_ms", 1.0)
    pairs = []
    for point in facts["derivative_checkpoints"]:
        state, slopes = (
            {field: point[what][old] * scale.get(field, 1.0) for field, old in names.items()}
            for what, names in (("state", table["state"]), ("derivatives", table["state"]))
        )
        slopes = {field: slope / time for field, slope in slopes.items()}
        pairs.append((state_type(**state), state_type(**slopes)))
    return pairs


def worst(ours: tuple, theirs: tuple) -> tuple[str, float]:
    """The field that differs most, and by how much, relative to the reference."""
    errors = {
        field: abs(float(a) - b) / max(abs(b), np.finfo(float).tiny) if float(a) != b else 0.0
        for field, a, b in zip(ours._fields, ours, theirs, strict=True)
    }
    field = max(errors, key=errors.__getitem__)
    return field, errors[field]
