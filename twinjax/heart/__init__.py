"""Whole hearts: the components of a beat, coupled."""

from twinjax.heart._closed_loop import CirculationState, ClosedLoop, regazzoni2022
from twinjax.heart._periodic import settle
from twinjax.heart._sensitivity import adjoint, sensitivities
from twinjax.heart._wall_motion import WallMotion
from twinjax.heart._whole_heart import CalciumTransient, HeartState, WholeHeart, beat

__all__ = [
    "CalciumTransient",
    "CirculationState",
    "ClosedLoop",
    "HeartState",
    "WallMotion",
    "WholeHeart",
    "adjoint",
    "beat",
    "regazzoni2022",
    "sensitivities",
    "settle",
]
