"""Learned models that stand in for the solver, behind the same interface.

Names are imported when they are first used: `surrogates.runtime` must not load JAX.
"""

import importlib
from typing import Any

_HOMES = {
    "Surrogate": "surrogates.emulator",
    "load_surrogate": "surrogates.emulator",
    "Prediction": "surrogates.runtime",
    "Runtime": "surrogates.runtime",
    "load": "surrogates.runtime",
    "GaussianProcess": "surrogates.gaussian_process",
    "PodRidge": "surrogates.pod_ridge",
}

__all__ = [
    "GaussianProcess",
    "PodRidge",
    "Prediction",
    "Runtime",
    "Surrogate",
    "load",
    "load_surrogate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'surrogates' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
