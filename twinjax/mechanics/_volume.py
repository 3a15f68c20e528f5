"""Laws of volume: how much a wall of large bulk modulus gives way to its hydrostatic pressure.

The energy of a wall is W(E) + U(J). Written with the pressure p = dU/dJ as an unknown of its own
it is W + p J - U*(p), of which dU*/dp = J*(p) is all that is needed: the volume at a pressure. So
equations stay well posed however large the bulk modulus κ is.
"""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter

AROSTICA = "Aróstica et al. 2025, Comput Methods Appl Mech Eng 435:117485: 1 MPa"

LOCAL = "a means of the discretisation: its energy is 0 where the volume is constant"


class AbstractVolumeLaw(eqx.Module):
    """What volume a part of the wall has at a pressure."""

    local: eqx.AbstractVar[Array]

    @abc.abstractmethod
    def volume(self, pressure: Any) -> Any:
        """J*(p), 1 at rest; positive p stretches [kPa]. Any shape."""


class QuadraticVolume(AbstractVolumeLaw):
    """U = κ/2 (J - 1)², so J* = 1 + p/κ."""

    bulk: Float[Array, ""] = parameter(1e3, unit="kPa", bounds=(1.0, 1e9), cite=AROSTICA)

    local: Float[Array, ""] = parameter(0.0, unit="kPa", bounds=(0.0, 1e9), cite=LOCAL)

    def volume(self, pressure: Any) -> Any:
        return 1 + pressure / self.bulk


class LogarithmicVolume(AbstractVolumeLaw):
    """U = κ/4 (J² - 1 - 2 ln J) of Aróstica et al. 2025, so J* = p/κ + √(1 + (p/κ)²)."""

    bulk: Float[Array, ""] = parameter(1e3, unit="kPa", bounds=(1.0, 1e9), cite=AROSTICA)

    local: Float[Array, ""] = parameter(0.0, unit="kPa", bounds=(0.0, 1e9), cite=LOCAL)

    def volume(self, pressure: Any) -> Any:
        share = pressure / self.bulk
        return share + jnp.sqrt(1 + share**2)
