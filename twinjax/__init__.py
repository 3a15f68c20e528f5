"""A differentiable digital twin of a person's heart and circulation."""

from twinjax._evolution import AbstractPeriodicModel
from twinjax._parameters import (
    ParameterInfo,
    ParameterSpace,
    Prior,
    component,
    parameter,
    parameters_of,
)
from twinjax._results import RESULTS
from twinjax._simulator import AbstractSimulator, BeatSimulator, Observations, population
from twinjax._solve import STEPS_PER_BEAT, Solution, equilibrate, simulate

__version__ = "0.1.0"

__all__ = [
    "RESULTS",
    "STEPS_PER_BEAT",
    "AbstractPeriodicModel",
    "AbstractSimulator",
    "BeatSimulator",
    "Observations",
    "ParameterInfo",
    "ParameterSpace",
    "Prior",
    "Solution",
    "component",
    "equilibrate",
    "parameter",
    "parameters_of",
    "population",
    "simulate",
]
