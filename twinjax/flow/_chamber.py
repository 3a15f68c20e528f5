"""Heart chambers: pressure from volume and phase of the beat."""

import abc
import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter

REGAZZONI = "Regazzoni et al. 2022, J Comput Phys 457:111083"


class AbstractChamber(eqx.Module):
    """What the circulation needs of a chamber, lumped or three-dimensional."""

    @abc.abstractmethod
    def stiffness(self, phase: Float[Array, ""]) -> Float[Array, ""]:
        """dp/dV [mmHg/mL] at a phase of the beat (0 to 1)."""

    @abc.abstractmethod
    def pressure(self, volume: Float[Array, ""], stiffness: Float[Array, ""]) -> Float[Array, ""]:
        """Cavity pressure [mmHg] from the volume [mL] and the stiffness at this phase."""


class ElastanceChamber(AbstractChamber):
    """Time-varying elastance.

    p = (E_A e(φ) + E_B) (V - V0), with φ the phase of the beat since onset, in periods, and

        e = ½ (1 - cos(π φ / T_C))            while φ < T_C,
            ½ (1 + cos(π (φ - T_C) / T_R))    while φ < T_C + T_R,
            0                                 afterwards.

    E_A is the amplitude added to the passive elastance E_B. Onset and durations are fractions of
    the beat, so that systole shortens as the heart rate rises. Source: Regazzoni et al. 2022.
    """

    active_elastance: Float[Array, ""] = parameter(
        1.0, unit="mmHg/mL", bounds=(0.001, 30.0), cite=REGAZZONI
    )
    passive_elastance: Float[Array, ""] = parameter(
        0.1, unit="mmHg/mL", bounds=(0.005, 2.0), cite=REGAZZONI
    )
    unstressed_volume: Float[Array, ""] = parameter(
        10.0, unit="mL", bounds=(-60.0, 300.0), cite=REGAZZONI
    )
    onset: Float[Array, ""] = parameter(0.0, unit="1", bounds=(-1.0, 1.0), cite=REGAZZONI)
    contraction: Float[Array, ""] = parameter(0.31, unit="1", bounds=(0.05, 0.5), cite=REGAZZONI)
    relaxation: Float[Array, ""] = parameter(0.31, unit="1", bounds=(0.05, 0.5), cite=REGAZZONI)

    def stiffness(self, phase: Float[Array, ""]) -> Float[Array, ""]:
        since = jnp.mod(phase - self.onset, 1.0)
        falling = 1 + (since - self.contraction) / self.relaxation
        course = jnp.where(since < self.contraction, since / self.contraction, falling)
        return self.active_elastance * _bell(jnp.minimum(course, 2.0)) + self.passive_elastance

    def pressure(self, volume: Float[Array, ""], stiffness: Float[Array, ""]) -> Float[Array, ""]:
        return stiffness * (volume - self.unstressed_volume)


# sin(π t / 2) = t (c₀ + c₁ t² + ...), the Taylor series, to the last digit of float64 on [-1, 1].
_SINE = tuple(
    (-1) ** k * (math.pi / 2) ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(11)
)


def _bell(course: Float[Array, "..."]) -> Float[Array, "..."]:
    """½ (1 - cos π u) for u from 0 to 2, as sin²(π (1 - |1 - u|) / 2).

    A polynomial, since on a CPU XLA computes the cosine of float64 number by number, at ten
    times the cost; elastances were a third of the work of a beat.
    """
    t = 1 - jnp.abs(1 - course)
    square = t * t
    series = jnp.full_like(t, _SINE[-1])
    for coefficient in _SINE[-2::-1]:
        series = series * square + coefficient
    return (t * series) ** 2
