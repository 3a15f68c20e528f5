"""A simulator whose posterior is known: two quantities, three parameters, one of them unseen."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax import RESULTS, AbstractSimulator, Observations, ParameterSpace, Prior, parameter
from twinjax.io import Measurement, Measurements

QUANTITIES = ("cardiac_output", "mean_arterial_pressure")


class Pump(eqx.Module):
    """Parameters a (flow), b (resistance) and c, which nothing depends on."""

    a: Float[Array, ""] = parameter(
        5.0, unit="L/min", bounds=(-95.0, 105.0), prior=Prior.normal(5.0, 1.0), cite="test"
    )
    b: Float[Array, ""] = parameter(
        20.0, unit="mmHg·min/L", bounds=(-480.0, 520.0), prior=Prior.normal(20.0, 5.0), cite="test"
    )
    c: Float[Array, ""] = parameter(
        1.0, unit="1", bounds=(-99.0, 101.0), prior=Prior.normal(1.0, 1.0), cite="test"
    )


class PumpSimulator(AbstractSimulator):
    """Flow a + 0.1 b; pressure 4 b + a, plus `bend` a b: linear where `bend` is 0.

    Fails where a is above `breaks_at`.
    """

    space: ParameterSpace
    bend: float = 0.0
    breaks_at: float = 1e9
    samples: int = eqx.field(static=True, default=32)

    def __call__(self, theta: Float[Array, " n"]) -> Observations:
        a, b, _ = theta
        pressure = 4 * b + a + self.bend * a * b
        phase = jnp.arange(self.samples) / self.samples
        wave = pressure + 20 * jnp.sin(2 * jnp.pi * phase) + 6 * jnp.cos(4 * jnp.pi * phase)
        return Observations(
            {"cardiac_output": a + 0.1 * b, "mean_arterial_pressure": pressure},
            {"systemic_arteries.pressure": wave},
            jnp.where(a > self.breaks_at, int(RESULTS.nonfinite), int(RESULTS.successful)),
        )


def pump(**settings: float) -> PumpSimulator:
    return PumpSimulator(ParameterSpace(Pump(), ("a", "b", "c")), **settings)


def measured(flow: float = 7.5, pressure: float = 95.0) -> Measurements:
    return Measurements(
        (
            Measurement("cardiac_output", flow, 0.5, "fick"),
            Measurement("mean_arterial_pressure", pressure, 8.0, "cuff"),
        )
    )
