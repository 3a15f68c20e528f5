"""Heart valves: flow from the pressure drop."""

import abc

import equinox as eqx
import jax
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
        closed = 0.5 - _arctan(self.sharpness * jnp.pi * drop) / jnp.pi
        ratio = jnp.log(self.closed_resistance / self.open_resistance)
        return drop / self.open_resistance * jnp.exp(-ratio * closed)

    def conductance(self) -> Float[Array, ""]:
        return 1 / self.open_resistance


# Cephes' atan.c (Moshier 1989): atan y = y + y³ P(y²) / Q(y²) for |y| <= 0.66.
_P = (
    -0.8750608600031904,
    -16.15753718733365,
    -75.00855792314705,
    -122.88666844901361,
    -64.85021904942025,
)
_Q = (
    24.858464901423062,
    165.02700983169885,
    432.88106049129027,
    485.3903996359137,
    194.5506571482614,
)


@jax.custom_jvp
def _arctan(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The arctangent, to the last digit of float64.

    `jnp.arctan` takes several times as long on a CPU (XLA expands it to atan2), and valves are
    most of the arithmetic of a beat.
    """
    a = jnp.abs(x)
    large, medium = a > 2.414213562373095, a > 0.66
    above = jnp.where(large, -1.0, jnp.where(medium, a - 1, a))
    below = jnp.where(large, a, jnp.where(medium, a + 1, 1.0))
    offset = jnp.where(large, jnp.pi / 2, jnp.where(medium, jnp.pi / 4, 0.0))
    y = above / below
    square = y * y
    p, q = jnp.full_like(y, _P[0]), square + _Q[0]
    for coefficient in _P[1:]:
        p = p * square + coefficient
    for coefficient in _Q[1:]:
        q = q * square + coefficient
    return jnp.copysign(offset + y + y * square * p / q, x)


@_arctan.defjvp
def _arctan_jvp(primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    return _arctan(x), dx / (1 + x * x)
