"""The posterior density of Hill curves, in coordinates in which chains of NUTS move freely."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Bounds of the uniform priors of ln IC50 [ln nM], h and the SD of the residuals [%].
LOG_IC50 = (math.log(1e-10), math.log(1e10))
HILL = (0.5, 2.0)
SD = (0.03, 50.0)
# The coordinate of ln IC50 is made of a rough posterior with this share of the uniform prior. Small
# as it is, it lets T reach the bounds; more would put them where trajectories of chains go, which
# diverge at the wall of the density there.
_PRIOR_SHARE = 1e-7


class HillDensity(eqx.Module):
    """Log posterior density of one drug on one current at w (3,), of which no value is excluded.

    Of several pairs side by side the fields have one more axis, to be mapped over.

    With u = 1 / (1 + exp(-w)): ln IC50 = T(u₀), a monotone spline; h and SD are linear in u₁, u₂.
    Without block the posterior of ln IC50 is flat over decades and ends in a wall, where it is
    well measured it is 0.1 wide: T makes a logistic distribution of either. T is roughly right
    at best and need not be better, as the density at w accounts for its slope.
    """

    log_concentrations: Float[Array, "*pairs cells"]
    block: Float[Array, "*pairs cells"]
    recorded: Float[Array, "*pairs cells"]  # 1 for a recording, 0 for padding
    levels: Float[Array, "*pairs knots"]
    log_ic50: Float[Array, "*pairs knots"]
    slopes: Float[Array, "*pairs knots"]
    centre: Float[Array, "*pairs"]  # where the third coordinate starts: the SD of a rough fit

    def parameters(self, w: Float[Array, "3"]) -> tuple[Array, Array, Array]:
        """ln IC50, h and SD."""
        u = jax.nn.sigmoid(self._shifted(w))
        return self._spline(u[0])[0], _between(u[1], HILL), _between(u[2], SD)

    def __call__(self, w: Float[Array, "3"]) -> Array:
        z = self._shifted(w)
        u = jax.nn.sigmoid(z)
        log_ic50, slope = self._spline(u[0])
        h, sd = _between(u[1], HILL), _between(u[2], SD)
        curve = 100 * jax.nn.sigmoid(h * (self.log_concentrations - log_ic50))
        misfit = self.recorded * (self.block - curve) / sd
        change = jnp.log(slope) + jnp.sum(jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z))
        return change - jnp.sum(self.recorded) * jnp.log(sd) - 0.5 * jnp.sum(misfit**2)

    def _shifted(self, w: Array) -> Array:
        return w.at[2].add(self.centre)

    def _spline(self, u: Array) -> tuple[Array, Array]:
        """Value and slope: a rational quadratic between knots (Gregory and Delbourgo 1982)."""
        k = jnp.clip(jnp.searchsorted(self.levels, u, side="right") - 1, 0, len(self.levels) - 2)
        width = self.levels[k + 1] - self.levels[k]
        rise = self.log_ic50[k + 1] - self.log_ic50[k]
        left, right, mean = self.slopes[k], self.slopes[k + 1], rise / width
        x = (u - self.levels[k]) / width
        y = 1 - x
        below = mean + (left + right - 2 * mean) * x * y
        value = self.log_ic50[k] + rise * (mean * x**2 + left * x * y) / below
        slope = (mean / below) ** 2 * (right * x**2 + 2 * mean * x * y + left * y**2)
        return value, slope


def _between(u: Array, bounds: tuple[float, float]) -> Array:
    return bounds[0] + (bounds[1] - bounds[0]) * u


def densities(recordings: Sequence[tuple[np.ndarray, np.ndarray]]) -> HillDensity:
    """Of pairs of concentrations [nM] and blocks [%], stacked, padded to the most cells."""
    most = max(len(block) for _, block in recordings)
    rows = []
    for concentrations, block in recordings:
        log_c = np.log(concentrations)
        padding = (0, most - len(block))
        levels, log_ic50, slopes, sd = _knots(log_c, block)
        share = (sd - SD[0]) / (SD[1] - SD[0])
        rows.append(
            (
                np.pad(log_c, padding),
                np.pad(block, padding),
                np.pad(np.ones(len(block)), padding),
                levels,
                log_ic50,
                slopes,
                np.log(share / (1 - share)),
            )
        )
    return HillDensity(*(jnp.asarray(np.stack(column)) for column in zip(*rows, strict=True)))


def _knots(
    log_c: np.ndarray, block: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Levels, ln IC50 and slopes at the knots of T, and the residual SD of the best curve.

    From the posterior on a coarse grid of ln IC50 and h, from which a prior 1 / SD would leave
    the sum of squares to the power -n / 2 when the SD is integrated out.
    """
    low, high = LOG_IC50
    fine = np.arange(max(low, log_c.min() - 4), min(high, log_c.max() + 4), 0.03)
    grid = np.unique(np.concatenate([np.linspace(low, high, 200), fine]))
    h = np.linspace(*HILL, 17)[1::2]
    log_odds = h[None, :, None] * (log_c[None, None, :] - grid[:, None, None])
    curves = 100 / (1 + np.exp(-np.clip(log_odds, -300, 300)))
    squares = np.sum((block[None, None, :] - curves) ** 2, axis=2) + len(block) * SD[0] ** 2
    log_density = -0.5 * len(block) * np.log(squares)
    density = np.sum(np.exp(log_density - np.max(log_density)), axis=1)
    mass = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(grid))])
    uniform = (grid - low) / (high - low)
    level_at = (1 - _PRIOR_SHARE) * mass / mass[-1] + _PRIOR_SHARE * uniform
    # Out to where the prior's share sets in, every half a unit of w.
    levels = np.concatenate([[0.0], 1 / (1 + np.exp(-np.linspace(-14, 14, 57))), [1.0]])
    log_ic50 = np.interp(levels, level_at, grid)
    mean = np.diff(log_ic50) / np.diff(levels)
    slopes = np.concatenate([mean[:1], np.sqrt(mean[1:] * mean[:-1]), mean[-1:]])
    sd = float(np.sqrt(np.min(squares) / len(block)))
    return levels, log_ic50, slopes, float(np.clip(sd, 2 * SD[0], 0.8 * SD[1]))
