"""Intervals from cross-validated residuals, for the ensemble that all members make together."""

import numpy as np
from jaxtyping import Float

LEVEL = 0.9


def quantile(residuals: Float[np.ndarray, "runs ..."], level: float = LEVEL) -> np.ndarray:
    """The conformal quantile of absolute residuals: the ceil(level (n + 1))-th smallest."""
    n = len(residuals)
    rank = min(int(np.ceil(level * (n + 1))), n) - 1
    return np.partition(np.abs(residuals), rank, axis=0)[rank]


def shrinkage(
    single: Float[np.ndarray, "runs outputs"], spread: Float[np.ndarray, "points outputs"]
) -> float:
    """How much smaller the ensemble's error is than one member's.

    Residuals are those of the one member that has not seen a run, and would give intervals that
    are too wide for the mean of all members. At points that no member has seen, the members'
    mean squared error is that of their mean plus their mean squared spread about it, exactly
    (Krogh and Vedelsby 1995, NIPS 7:231). The spread needs no simulation, so

        (ensemble's error / a member's error)² = 1 - mean spread² / mean residual².

    One number for all outputs, the median: that of a single output hangs on its few worst runs.

    **Arguments:** `single`: root mean square residuals; `spread`: root mean square spreads, at
    points of the box.
    """
    share = np.median(np.mean(spread**2, axis=0) / np.mean(single**2, axis=0))
    # Near 1 the difference is all noise: a band is never shrunk below a third.
    return float(np.sqrt(np.clip(1 - share, 1 / 9, 1.0)))
