"""Flow: chambers, valves and vessels of the circulation, one equation set a file."""

from twinjax.flow._chamber import AbstractChamber, ElastanceChamber
from twinjax.flow._valve import AbstractValve, SmoothValve
from twinjax.flow._vessel import AbstractVessel, CompliantVessel

__all__ = [
    "AbstractChamber",
    "AbstractValve",
    "AbstractVessel",
    "CompliantVessel",
    "ElastanceChamber",
    "SmoothValve",
]
