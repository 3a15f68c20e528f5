"""Exact problems: models whose periodic beat is known in closed form."""

import jax
import jax.numpy as jnp

from twinjax import AbstractPeriodicModel, parameter, parameters_of


class TwoReservoirs(AbstractPeriodicModel):
    """Two compliances joined by a resistance, with a flow driven to and fro between them.

    dV₁/dt = -(V₁/C₁ - V₂/C₂)/R + q cos(ωt),  dV₂/dt = -dV₁/dt,  V₁ + V₂ = volume.
    With a = (1/C₁ + 1/C₂)/R the periodic solution is
    V₁ = volume/(a C₂ R) + Re[q exp(iωt) / (a + iω)].
    """

    heart_rate: jax.Array = parameter(60.0, unit="bpm", bounds=(1.0, 300.0), cite="made up")
    resistance: jax.Array = parameter(0.5, unit="mmHg·s/mL", bounds=(1e-6, 9.0), cite="made up")
    first: jax.Array = parameter(1.5, unit="mL/mmHg", bounds=(0.1, 9.0), cite="made up")
    second: jax.Array = parameter(4.0, unit="mL/mmHg", bounds=(0.1, 9.0), cite="made up")
    volume: jax.Array = parameter(100.0, unit="mL", bounds=(-1e4, 1e4), cite="made up")
    flow: jax.Array = parameter(80.0, unit="mL/s", bounds=(-1e4, 1e4), cite="made up")

    def period(self):
        return 60.0 / self.heart_rate

    def initial_state(self):
        return {"first": 0.9 * self.volume, "second": 0.1 * self.volume}

    def prepare(self):
        return ()

    def drive(self, prepared, phases):
        return self.flow * jnp.cos(2 * jnp.pi * phases)

    def rates(self, prepared, state, drive):
        gain = drive - (state["first"] / self.first - state["second"] / self.second) / (
            self.resistance
        )
        return {"first": gain, "second": -gain}

    def restore(self, state):
        return state | {"second": self.volume - state["first"]}

    def fastest_rate(self, prepared, drive):
        return (1 / self.first + 1 / self.second) / self.resistance

    def observe(self, prepared, state, drive):
        return {"first.volume": state["first"], "second.volume": state["second"]}


def exact(model: TwoReservoirs, phases):
    """V₁ of the periodic solution."""
    rate = model.fastest_rate((), None)
    swing = model.flow * jnp.exp(2j * jnp.pi * phases) / (rate + 2j * jnp.pi / model.period())
    return model.volume / (rate * model.second * model.resistance) + jnp.real(swing)


NAMES = tuple(parameters_of(TwoReservoirs()))
