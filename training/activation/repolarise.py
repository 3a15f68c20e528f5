"""Action potential durations from the T wave, for an activation that is known."""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Float

from training.activation.model import APD, VentricularEcg

# Standard deviations of what `APD` names [ms], assumed: the mean is told by the QT interval; the
# gradients from endocardium to epicardium, from apex to base, from left to right and from front to
# back are of unsure sign.
PRIOR_APD = (60.0, 25.0, 40.0, 40.0, 40.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Durations:
    """`coefficients` (5) [ms] of `APD`, repolarisation times (node) [ms] and the leads [mV]."""

    coefficients: Float[np.ndarray, "5"]
    repolarisation: Float[np.ndarray, " node"]
    leads: Float[np.ndarray, "lead time"]


class Repolariser:
    """Fits durations to `values` (lead, time) [mV] at `times` [ms] after QRS."""

    def __init__(self, model: VentricularEcg, times: Float[np.ndarray, " time"]):
        self.model = model

        def drawn(args: Any, coefficients: Array) -> tuple[Array, Array]:
            model, activation, gain, *_ = args
            late = activation + model.basis @ coefficients
            found = model.depolarisation(times, activation) + model.repolarisation(times, late)
            return gain * found, late

        def residual(coefficients: Array, args: Any) -> Array:
            *_, values, weight, centre = args
            misfit = weight * (drawn(args, coefficients)[0] - values)
            prior = (coefficients - centre) / jnp.asarray(PRIOR_APD)
            return jnp.concatenate([misfit.ravel(), prior])

        def solve(args: Any) -> tuple[Array, Array, Array]:
            found: Any = optx.least_squares(
                residual,
                optx.LevenbergMarquardt(rtol=1e-5, atol=1e-5),
                args[-1],
                args,
                options={"jac": "fwd"},
                max_steps=64,
                throw=False,
            )
            leads, late = drawn(args, found.value)
            return found.value, late, leads

        self._solve = eqx.filter_jit(solve)

    def solve(
        self,
        values: Float[np.ndarray, "lead time"],
        weight: float,
        activation: Float[np.ndarray, " node"],
        gain: float,
        centre: Float[np.ndarray, "5"],
    ) -> Durations:
        """From the centre of the prior, by Levenberg and Marquardt's method.

        **Arguments:** `weight` of a residual [1/mV], `gain` of the leads as found from QRS, and
        `centre` of the prior [ms].
        Raises `ValueError` if no durations are found that are numbers.
        """
        given = (activation, gain, values, weight, centre)
        found = self._solve((self.model, *(jnp.asarray(x, float) for x in given)))
        durations = Durations(*(np.asarray(x) for x in found))
        if not np.isfinite(durations.coefficients).all():
            raise ValueError("no durations of action potentials fit the T wave: leave it out")
        return durations


def usual_durations(t_peak: float, activation: Float[np.ndarray, " node"]) -> np.ndarray:
    """The centre of the prior: repolarisation is at the peak of the T wave, the same everywhere."""
    centre = np.zeros(len(APD))
    centre[0] = t_peak - float(np.mean(activation))
    return centre
