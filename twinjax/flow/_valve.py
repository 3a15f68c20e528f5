"""Heart valves: flow from the pressure drop."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.flow._chamber import REGAZZONI


class AbstractValve(eqx.Module):
    """What the circulation needs of a valve."""

    @abc.abstractmethod
    def flow(self, drop: Float[Array, ""]) -> Float[Array, ""]:
        """Flow [mL/s] at a pressure drop [mmHg], upstream minus downstream."""

    @abc.abstractmethod
    def conductance(self) -> Float[Array, ""]:
        """The largest dQ/dp [mL/s/mmHg], which bounds the time step."""


class SmoothValve(AbstractValve):
    """A resistance that changes smoothly between open and closed.

    Q = Δp / R, log R = log R_min + (log R_max - log R_min) H(-Δp), H(x) = ½ + atan(k π x) / π.

    With the sharpness k = 100 mmHg⁻¹ the switch is a few thousandths of a mmHg wide; dQ/dΔp stays
    below 1/R_min on both sides of it, so that the switch is never stiffer than the open valve.
    Source: Regazzoni et al. 2022.
    """

    open_resistance: Float[Array, ""] = parameter(
        0.0075, unit="mmHg·s/mL", bounds=(1e-4, 1.0), cite=REGAZZONI
    )
    closed_resistance: Float[Array, ""] = parameter(
        75006.2, unit="mmHg·s/mL", bounds=(1.0, 1e7), cite=REGAZZONI
    )
    sharpness: Float[Array, ""] = parameter(100.0, unit="1/mmHg", bounds=(0.1, 1e4), cite=REGAZZONI)

    def flow(self, drop: Float[Array, ""]) -> Float[Array, ""]:
        closed = 0.5 - jnp.arctan(self.sharpness * jnp.pi * drop) / jnp.pi
        ratio = jnp.log(self.closed_resistance / self.open_resistance)
        return drop / self.open_resistance * jnp.exp(-ratio * closed)

    def conductance(self) -> Float[Array, ""]:
        return 1 / self.open_resistance
