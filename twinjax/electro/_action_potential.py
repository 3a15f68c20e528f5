"""Transmembrane potentials by a formula, from times of activation and repolarisation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter

_CITE = "van Oosterom and Jacquemet 2005, Europace 7 Suppl 2:S21; ECGSIM's normal male"


class ActionPotential(eqx.Module):
    """V(t; τ_a, τ_r) = rest + amplitude · s(β (t - τ_a)) · s(-p (t - τ_r)) · s(-r (t - τ_r)),

    with the logistic function s(x) = 1 / (1 + e⁻ˣ): an upstroke at τ_a of steepness β
    (`upstroke`), a plateau that sinks with p (`plateau_slope`), and a repolarisation with r
    (`repolarisation_slope`). At τ_r a quarter of the amplitude is left; with the defaults that is
    17.6 ms after the steepest descent. Without repolarisation, for a QRS complex alone, the last
    two factors are 1. Differentiable in times and parameters.

    The default upstroke is as fast as that of a cell. Where nodes are far apart, the fronts between
    them are made of steps: on a mesh of 4.8 mm the QRS complex is then 6 % off that of a mesh four
    times as fine, and 3 % with an upstroke of 0.5 /ms.
    """

    rest: Float[Array, ""] = parameter(-85.0, unit="mV", bounds=(-100.0, -40.0), cite=_CITE)
    amplitude: Float[Array, ""] = parameter(100.0, unit="mV", bounds=(10.0, 150.0), cite=_CITE)
    upstroke: Float[Array, ""] = parameter(2.0, unit="1/ms", bounds=(0.05, 20.0), cite=_CITE)
    plateau_slope: Float[Array, ""] = parameter(0.0207, unit="1/ms", bounds=(0.0, 0.2), cite=_CITE)
    repolarisation_slope: Float[Array, ""] = parameter(
        0.0416, unit="1/ms", bounds=(0.001, 0.5), cite=_CITE
    )

    def __call__(
        self,
        times: Float[Array, " time"],
        activation: Float[Array, " node"],
        repolarisation: Float[Array, " node"] | None = None,
    ) -> Float[Array, "time node"]:
        """V [mV] at the times [ms] in nodes that are activated and repolarise at theirs [ms].

        A node that is never activated (an infinite time) stays at rest, one that never repolarises
        stays depolarised.
        """
        # Infinite times would have derivatives that are not numbers.
        started = jnp.isfinite(activation)
        since = times[:, None] - jnp.where(started, activation, 0.0)[None, :]
        shape = jnp.where(started[None, :], jax.nn.sigmoid(self.upstroke * since), 0.0)
        if repolarisation is not None:
            ends = jnp.isfinite(repolarisation)
            after = times[:, None] - jnp.where(ends, repolarisation, 0.0)[None, :]
            end = jax.nn.sigmoid(-self.plateau_slope * after)
            end = end * jax.nn.sigmoid(-self.repolarisation_slope * after)
            shape = shape * jnp.where(ends[None, :], end, 1.0)
        return self.rest + self.amplitude * shape
