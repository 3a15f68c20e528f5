"""The blood that a circulation gives to chambers with walls, and takes from them, in a step."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._solve import runge_kutta
from twinjax.flow import AbstractChamber
from twinjax.heart._closed_loop import CirculationState, ClosedLoop
from twinjax.observables import CHAMBERS
from twinjax.units import factor

_MMHG, _ML, _S = factor("kPa", "mmHg"), factor("mm3", "mL"), factor("ms", "s")


class WalledChamber(AbstractChamber):
    """A chamber whose pressure a wall says: in its place the drive carries that pressure."""

    def stiffness(self, phase: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.zeros_like(phase)

    def pressure(self, volume: Float[Array, ""], stiffness: Float[Array, ""]) -> Float[Array, ""]:
        return stiffness


def walled(loop: ClosedLoop, chambers: tuple[str, ...]) -> ClosedLoop:
    """The circulation with chambers whose pressures come from walls. Raises for unknown names."""
    unknown = [name for name in chambers if name not in CHAMBERS]
    if unknown or len(set(chambers)) < len(chambers):
        raise ValueError(
            f"chambers with walls are some of {', '.join(CHAMBERS)}, each once, "
            f"not {', '.join(chambers)}"
        )
    return eqx.tree_at(
        lambda l: [getattr(l, name) for name in chambers],
        loop,
        [WalledChamber() for _ in chambers],
    )


class Exchange(eqx.Module):
    """How much blood is in the chambers with walls after a step, as a function of pressure.

    The circulation takes explicit steps of the classical Runge-Kutta method while the pressures in
    those chambers go linearly from `pressure` to what is asked. Called with pressures [kPa] at the
    end it gives volumes [mm³] there.
    """

    loop: ClosedLoop
    state: CirculationState
    pressure: Float[Array, " cavity"]  # [kPa] at the beginning
    begin: Float[Array, ""]  # [ms]
    step: Float[Array, ""]  # [ms]
    chambers: tuple[int, ...] = eqx.field(static=True)
    substeps: int = eqx.field(static=True)

    def __call__(self, pressure: Float[Array, " cavity"]) -> Float[Array, " cavity"]:
        return self.after(pressure).volume[jnp.array(self.chambers)] / _ML

    def after(self, pressure: Float[Array, " cavity"]) -> CirculationState:
        """The circulation at the end of the step."""
        prepared = self.loop.prepare()
        share = jnp.linspace(0.0, 1.0, 2 * self.substeps + 1)
        when = (self.begin + share * self.step) * _S / self.loop.period()
        drive = self.loop.drive(prepared, jnp.mod(when, 1.0))
        course = self.pressure[None] + share[:, None] * (pressure - self.pressure)[None]
        drive = drive.at[:, jnp.array(self.chambers)].set(course * _MMHG)
        length = self.step * _S / self.substeps

        def onward(state: CirculationState, drives: Array) -> tuple[CirculationState, None]:
            return runge_kutta(self.loop, prepared, state, tuple(drives), length), None

        each = jnp.stack([drive[:-1:2], drive[1::2], drive[2::2]], axis=1)
        return jax.lax.scan(onward, self.state, each)[0]
