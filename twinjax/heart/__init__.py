"""Whole hearts: the components of a beat, coupled."""

from twinjax.heart._closed_loop import CirculationState, ClosedLoop, regazzoni2022
from twinjax.heart._whole_heart import CalciumTransient, HeartState, WholeHeart, beat

__all__ = [
    "CalciumTransient",
    "CirculationState",
    "ClosedLoop",
    "HeartState",
    "WholeHeart",
    "beat",
    "regazzoni2022",
]
