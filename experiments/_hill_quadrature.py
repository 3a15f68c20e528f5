"""The posterior of a Hill curve on a grid: no chain, no derivative, nothing of `training.hill`.

With the block bᵢ at the concentrations cᵢ, S the sum of (bᵢ - 100 / (1 + (IC50 / cᵢ)ʰ))² and k =
(n - 1) / 2 for n recordings, a uniform prior of the residual SD between σ₁ and σ₂ leaves

    ∫ σ⁻ⁿ exp(-S / 2σ²) dσ ∝ S⁻ᵏ (P(k, S / 2σ₁²) - P(k, S / 2σ₂²))

with the regularised incomplete gamma function P. ln IC50 and h are uniform.
"""

import numpy as np
from scipy.special import gammainc

__all__ = ["Marginals", "marginals"]

_LOG_IC50 = (np.log(1e-10), np.log(1e10))
_HILL = (0.5, 2.0)
_SD = (0.03, 50.0)


class Marginals:
    """Distribution functions of the IC50 [nM] and of h, and their inverses."""

    def __init__(self, log_ic50: np.ndarray, h: np.ndarray, density: np.ndarray):
        self._log_ic50, self._below_ic50 = log_ic50, _cumulated(log_ic50, density @ _widths(h))
        self._h, self._below_h = h, _cumulated(h, _widths(log_ic50) @ density)

    def below_ic50(self, ic50: float) -> float:
        return float(np.interp(np.log(ic50), self._log_ic50, self._below_ic50))

    def below_h(self, h: float) -> float:
        return float(np.interp(h, self._h, self._below_h))

    def ic50_at(self, level: float) -> float:
        return float(np.exp(np.interp(level, self._below_ic50, self._log_ic50)))

    def h_at(self, level: float) -> float:
        return float(np.interp(level, self._below_h, self._h))


def marginals(concentrations: np.ndarray, block: np.ndarray, steps: int = 80) -> Marginals:
    """Of at least three recordings; `steps` of h, and a step of 0.5 / `steps` of ln IC50.

    So fine a step between the concentrations and a thousand times beyond; farther away, where the
    curve hardly bends, 0.05.
    """
    log_c = np.log(concentrations)
    fine = np.arange(log_c.min() - 7, log_c.max() + 7, 0.5 / steps)
    log_ic50 = np.unique(np.concatenate([np.arange(*_LOG_IC50, 0.05), fine, _LOG_IC50]))
    log_ic50 = log_ic50[(log_ic50 >= _LOG_IC50[0]) & (log_ic50 <= _LOG_IC50[1])]
    h = np.linspace(*_HILL, steps + 1)
    squares = np.zeros((len(log_ic50), len(h)))
    for c, b in zip(log_c, block, strict=True):
        odds = np.exp(np.clip(h[None, :] * (log_ic50[:, None] - c), -300, 300))
        squares += (b - 100 / (1 + odds)) ** 2
    squares = np.maximum(squares, 1e-12)
    k = (len(block) - 1) / 2
    share = gammainc(k, squares / (2 * _SD[0] ** 2)) - gammainc(k, squares / (2 * _SD[1] ** 2))
    log_density = -k * np.log(squares) + np.log(np.maximum(share, 1e-300))
    return Marginals(log_ic50, h, np.exp(log_density - np.max(log_density)))


def _widths(x: np.ndarray) -> np.ndarray:
    """Weights of the trapezoidal rule."""
    steps = np.diff(x)
    return 0.5 * (np.append(steps, 0.0) + np.append(0.0, steps))


def _cumulated(x: np.ndarray, density: np.ndarray) -> np.ndarray:
    below = np.append(0.0, np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(x)))
    return below / below[-1]
