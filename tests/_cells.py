"""Reference data of cell models, for tests."""

from experiments._reference_cells import NAMES, reference_names, worst
from experiments._reference_cells import checkpoints as _checkpoints
from twinjax.cells import MODELS

__all__ = ["NAMES", "checkpoints", "reference_names", "worst"]

FOLDER = "references/cells"


def checkpoints(shared, name, state_type=None):
    """(state, derivatives) pairs of a model's folder, in our fields and units."""
    return _checkpoints(shared(f"{FOLDER}/{name}/facts.json"), name, MODELS[name]())
