"""Whole hearts: the components of a beat, coupled."""

from twinjax.heart._closed_loop import CirculationState, ClosedLoop, regazzoni2022

__all__ = ["CirculationState", "ClosedLoop", "regazzoni2022"]
