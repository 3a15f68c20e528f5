"""Action potential durations from the T wave, for an activation that is known."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from training.activation.model import APD, VentricularEcg

# Standard deviations of what `APD` names [ms]: the mean is found by the QT interval; gradients
# from endocardium to epicardium, from apex to base, from left to right and from front to back are
# small and of unsure sign (Opthof et al. 2017, Europace 19:ii3; Boukens et al. 2015, J Physiol
# 593:1937).
PRIOR_APD = (60.0, 25.0, 40.0, 40.0, 40.0)
_ITERATIONS = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Durations:
    """`coefficients` (5) [ms] of `APD`, repolarisation times (node) [ms] and the leads [mV]."""

    coefficients: Float[np.ndarray, "5"]
    repolarisation: Float[np.ndarray, " node"]
    leads: Float[np.ndarray, "lead time"]
    cost: float


class Repolariser:
    """Fits durations to `values` (lead, time) [mV] at `times` [ms] after QRS."""

    def __init__(self, model: VentricularEcg, times: Float[np.ndarray, " time"]):
        self.model = model

        def leads(
            model: VentricularEcg, activation: Array, gain: Array, coefficients: Array
        ) -> Array:
            late = activation + model.basis @ coefficients
            found = model.depolarisation(times, activation)
            return gain * (found + model.repolarisation(times, late))

        def slopes(
            model: VentricularEcg, activation: Array, gain: Array, coefficients: Array
        ) -> tuple[Array, Array]:
            def of(x: Array) -> tuple[Array, Array]:
                found = leads(model, activation, gain, x)
                return found, found

            jacobian, found = jax.jacfwd(of, has_aux=True)(coefficients)
            return found, jacobian

        self._leads: Callable[..., Array] = eqx.filter_jit(leads)
        self._slopes: Callable[..., tuple[Array, Array]] = eqx.filter_jit(slopes)

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
        """
        spread, x, damping = np.array(PRIOR_APD), np.array(centre, float), 1e-2
        known = (self.model, jnp.asarray(activation), jnp.asarray(gain))

        def residual(leads: np.ndarray, x: np.ndarray) -> np.ndarray:
            return np.concatenate([weight * (leads - values).ravel(), (x - centre) / spread])

        leads = np.asarray(self._leads(*known, jnp.asarray(x)))
        cost = float(np.sum(residual(leads, x) ** 2))
        for _ in range(_ITERATIONS):
            leads, slopes = map(np.asarray, self._slopes(*known, jnp.asarray(x)))
            a = np.concatenate([weight * slopes.reshape(-1, len(x)), np.diag(1 / spread)])
            hessian, slope = a.T @ a, a.T @ residual(leads, x)
            lower = np.inf
            for _ in range(8):
                step = -np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), slope)
                trial = x + np.clip(step, -40.0, 40.0)
                found = np.asarray(self._leads(*known, jnp.asarray(trial)))
                lower = float(np.sum(residual(found, trial) ** 2))
                if lower < cost:
                    break
                damping *= 5
            if not lower < cost:
                break
            gained, x, leads, cost = cost - lower, trial, found, lower
            damping = max(damping / 5, 1e-6)
            if gained < 1e-5 * cost:
                break
        late = activation + np.asarray(self.model.basis) @ x
        return Durations(x, late, leads, cost)


def usual_durations(t_peak: float, activation: Float[np.ndarray, " node"]) -> np.ndarray:
    """The centre of the prior: repolarisation is at the peak of the T wave, the same everywhere."""
    centre = np.zeros(len(APD))
    centre[0] = t_peak - float(np.mean(activation))
    return centre
