"""A heart whose wall beats: sarcomeres, wall and circulation, step by step."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax._results import RESULTS
from twinjax._solve import Solution, _finish, equilibrate
from twinjax.cells import AbstractActiveTension
from twinjax.cells._tension import contract_step
from twinjax.heart._closed_loop import CirculationState, ClosedLoop
from twinjax.heart._exchange import Exchange, walled
from twinjax.heart._sarcomeres import Pull
from twinjax.mechanics import (
    Contraction,
    Deformation,
    Load,
    Motion,
    Wall,
    deform,
    fibre_stretch,
    inflate,
)
from twinjax.observables import CHAMBERS
from twinjax.units import factor

_ML, _MMHG, _S = factor("mm3", "mL"), factor("kPa", "mmHg"), factor("ms", "s")
_SUBSTEP = 0.5  # [ms] of the circulation
_ROUNDS = 2  # in which the wall and the tension at its stretch are balanced
_BEATS, _STEPS = 2, 500  # that sarcomeres take before the first beat, and of each


class CalciumTransient(eqx.Module):
    """Calcium of the cytosol [mM] after activation, from beat to beat, linear between the times.

    **Arguments:** `times` (n) [ms] since activation, increasing and within the `period` [ms], and
    `values` (n), such as `pace` returns. Raises `ValueError` for times that do not increase.
    """

    times: Float[Array, " n"]
    values: Float[Array, " n"]
    period: Float[Array, ""]

    def __init__(self, times: Any, values: Any, period: Any):
        self.times, self.values = jnp.asarray(times, float), jnp.asarray(values, float)
        self.period = jnp.asarray(period, float)
        if self.times.ndim != 1 or self.times.shape != self.values.shape:
            raise ValueError(
                f"times and values of calcium have shapes {self.times.shape} and "
                f"{self.values.shape}; valid: one list each, of one length"
            )
        if not isinstance(self.times, jax.core.Tracer) and np.any(np.diff(self.times) <= 0):
            raise ValueError("times of calcium must increase")

    def __call__(self, since: Float[Array, "*place"]) -> Float[Array, "*place"]:
        """At times [ms] since activation."""
        return jnp.interp(jnp.mod(since, self.period), self.times, self.values, period=self.period)


class HeartState(eqx.Module):
    """What a beat goes on from: `time` [ms], `pressure` (cavity) [kPa], and its parts' states."""

    time: Float[Array, ""]
    deformation: Deformation
    pressure: Float[Array, " cavity"]
    circulation: CirculationState
    sarcomeres: Any
    velocity: Float[Array, "node 3"]  # [mm/ms]
    pressure_rate: Float[Array, " cavity"]  # [kPa/ms]


class WholeHeart(eqx.Module):
    """A wall that sarcomeres contract, and whose cavities are chambers of a closed loop.

    **Arguments:**

    - `wall`: a [`Wall`][twinjax.mechanics.Wall], whose cavities are, in this order, `chambers`;
      its `viscosity` acts, its density does not: inertia is left out.
    - `tension`: a [model of the sarcomere](twinjax.cells.AbstractActiveTension) such as `Land2017`.
    - `calcium`: a function of the time since activation [ms] that gives calcium [mM].
    - `activation` (cell, q) [ms]: when points of the wall are activated, after the beat's start.
    - `circulation`: a [`ClosedLoop`][twinjax.heart.ClosedLoop], whose other chambers are
      elastances. Those with walls stand for them where a beat starts, and in `settle`.

    Raises `ValueError` for chambers that are no chambers or not as many as cavities, for another
    shape of activation, and for calcium of another period than the circulation's.
    """

    wall: Wall
    tension: AbstractActiveTension
    calcium: Callable
    activation: Float[Array, "cell q"]
    circulation: ClosedLoop
    chambers: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        *,
        wall: Wall,
        tension: AbstractActiveTension,
        calcium: Callable,
        circulation: ClosedLoop,
        activation: Any = 0.0,
        chambers: tuple[str, ...] = ("left_ventricle",),
    ):
        if len(chambers) != len(wall.cavities):
            raise ValueError(
                f"the wall has {len(wall.cavities)} cavities, and chambers names {len(chambers)}"
            )
        times = jnp.asarray(activation, float)
        places = wall.frames.shape[:2]
        if times.shape not in ((), places):
            raise ValueError(f"activation has shape {times.shape}; valid: {places}")
        _check_period(calcium, circulation)
        self.wall, self.tension, self.calcium = wall, tension, calcium
        self.activation = jnp.broadcast_to(times, places)
        walled(circulation, chambers)  # refuses chambers that are none
        self.circulation = circulation
        self.chambers = tuple(chambers)

    def numbers(self) -> tuple[int, ...]:
        """Of the chambers with walls."""
        return tuple(CHAMBERS.index(name) for name in self.chambers)

    def loop(self) -> ClosedLoop:
        """The circulation in which walls say the pressures of their chambers."""
        return walled(self.circulation, self.chambers)

    def filled(self, pressure: Any = None) -> HeartState:
        """In balance with pressures in the cavities [mmHg], at the beginning of a beat.

        The circulation, and the pressures by default, are those of the lumped heart's periodic
        beat; the veins take up what the wall holds less than the lumped chamber. Sarcomeres are as
        after beats at the stretch that they have, with the tension that is left then. Raises
        `RuntimeError` where the wall does not bear the pressures.
        """
        whole = equilibrate(self.circulation)
        numbers, start = jnp.array(self.numbers()), whole.state
        if pressure is None:
            names = [f"{name}.pressure" for name in self.chambers]
            pressure = jnp.stack([whole.observations[name][0] for name in names])
        inside = jnp.broadcast_to(jnp.asarray(pressure, float) / _MMHG, (len(self.chambers),))
        load = Load(inside, contraction=Contraction(0.0))
        found = deform(self.wall, load)
        for _ in range(_ROUNDS):
            ahead = Load(inside, contraction=_left_over(self, found.state)[0])
            found = deform(self.wall, ahead, start=(found.state, load), first_step=1.0)
            load = ahead
        volumes = found.observations["volumes"] * _ML
        start = start._replace(volume=start.volume.at[numbers].set(volumes))
        return HeartState(
            jnp.zeros(()),
            found.state,
            inside,
            self.circulation.restore(start),
            _left_over(self, found.state)[1],
            jnp.zeros_like(found.state.displacement),
            jnp.zeros_like(inside),
        )


def beat(
    heart: WholeHeart,
    *,
    start: HeartState,
    step: Any = 2.0,
    steps: int | None = None,
    observe: Callable[[HeartState], Any] | None = None,
    progress: Callable[[float], Any] | None = None,
    keep: Callable[[HeartState], Any] | None = None,
    rtol: float = 1e-6,
    throw: bool = True,
) -> Solution:
    """Steps a heart through time.

    In every step the balance of the wall, the tension that its stretch makes and the blood that the
    circulation gives are solved at once: the deformation and the pressures at the end of the step,

        residual(u, p, T(λ, (λ - λ₀)/h), (u - u₀)/h) = 0,   V(u) = V of the circulation under p,

    λ₀ being the stretch at its beginning. Sarcomeres and circulation are of second order and more
    in time; viscosity is of first.

    **Arguments:** `step` [ms] and how many, or a list of them; `observe(state)` is kept of every
    step besides the circulation's waveforms, under `seen`; `progress` is told the time [ms], and
    `keep` is given the state after each step.

    **Returns:** `Solution` with times (steps + 1) [ms], observations along them (pressures in
    mmHg, volumes in mL, flows in mL/s), and the last `HeartState`. A run that fails ends there.
    """
    lengths = np.asarray(step, float) if steps is None else np.full(steps, step, float)
    if lengths.ndim != 1 or not len(lengths) or not np.all(lengths > 0):
        raise ValueError(f"a beat needs a step and steps above 0, not {step} and {steps}")
    state, code = start, jnp.array(int(RESULTS.successful))
    substeps = substeps_of(lengths)
    seen = [_observed(heart, state, observe)]
    counts = {"corrections": jnp.array(0), "factorisations": jnp.array(0)}
    for length in jnp.asarray(lengths):
        load, exchange, guess = _asked(heart, state, length, substeps)
        found = inflate(
            heart.wall, exchange, load, start=guess, first_step=1.0, rtol=rtol, throw=False
        )
        counts = {name: count + found.stats[name] for name, count in counts.items()}
        code = found.result
        if not isinstance(code, jax.core.Tracer) and code != RESULTS.successful:
            break
        state = _after(heart, state, exchange, found.state, length)
        seen.append(_observed(heart, state, observe))
        if keep is not None:
            keep(state)
        if progress is not None:
            progress(float(state.time))
    observations = jax.tree.map(lambda *each: jnp.stack(each), *seen)
    times = start.time + jnp.asarray(np.concatenate([[0.0], np.cumsum(lengths)])[: len(seen)])
    return _finish(Solution(times, observations, state, counts, code), throw)


def substeps_of(lengths: Float[np.ndarray, " n"]) -> int:
    """Of the circulation in a step, the same in all of a beat."""
    return max(1, int(np.ceil(lengths.max() / _SUBSTEP)))


def _check_period(calcium: Callable, circulation: ClosedLoop) -> None:
    period = getattr(calcium, "period", None)
    known = (period, circulation.heart_rate)
    if period is None or any(isinstance(value, jax.core.Tracer) for value in known):
        return
    length = float(circulation.period()) / _S
    if abs(float(period) - length) > 1e-3 * length:
        raise ValueError(
            f"calcium has a period of {float(period):g} ms and the circulation one of {length:g} ms"
        )


@eqx.filter_jit
def _left_over(heart: WholeHeart, at: Deformation) -> tuple[Contraction, Any]:
    """The tension that earlier beats at the present stretch have left, and the sarcomeres."""
    model, length = heart.tension, heart.circulation.period() / _S / _STEPS
    rest = model.initial_state()
    begin = jax.tree.map(lambda x: jnp.full_like(heart.activation, x), rest)

    def left(stretch: Array) -> tuple[Array, Any]:
        def onward(state: Any, number: Array) -> tuple[Any, None]:
            calcium = _calcium(heart, (number - _BEATS * _STEPS) * length, length)
            return contract_step(model, state, calcium, (stretch, stretch), length), None

        state = jax.lax.scan(onward, begin, jnp.arange(_BEATS * _STEPS))[0]
        return model.tension(state, stretch), state

    stretch = fibre_stretch(heart.wall, at.displacement)
    force, stiffness, state = jax.jvp(left, (stretch,), (jnp.ones_like(stretch),), has_aux=True)
    return Contraction(force, stiffness, stretch), state


@eqx.filter_jit
def _asked(heart: WholeHeart, state: HeartState, step: Array, substeps: int) -> Any:
    """The load, the blood, and the guess of a step with the load there."""
    wall, u = heart.wall, state.deformation.displacement
    calcium = _calcium(heart, state.time, step)
    pull = Pull(heart.tension, state.sarcomeres, calcium, fibre_stretch(wall, u), step)
    motion = Motion(1 / step, -u / step, jnp.zeros(()))
    guess = state.pressure + step * state.pressure_rate
    load = Load(guess, contraction=pull, motion=motion).on(wall)
    exchange = Exchange(
        heart.loop(),
        state.circulation,
        state.pressure,
        state.time,
        step,
        heart.numbers(),
        substeps,
    )
    ahead = Deformation(u + step * state.velocity, state.deformation.pressure)
    return load, exchange, (jax.lax.stop_gradient(ahead), load)


def _calcium(heart: WholeHeart, time: Array, step: Array) -> tuple[Array, Array]:
    """At the beginning and at the end of a step."""
    since = time - heart.activation
    return heart.calcium(since), heart.calcium(since + step)


@eqx.filter_jit
def _after(
    heart: WholeHeart, before: HeartState, exchange: Exchange, found: Any, step: Array
) -> HeartState:
    old, new = before.deformation.displacement, found.deformation.displacement
    calcium = _calcium(heart, before.time, step)
    stretches = (fibre_stretch(heart.wall, old), fibre_stretch(heart.wall, new))
    return HeartState(
        before.time + step,
        found.deformation,
        found.pressure,
        exchange.after(found.pressure),
        contract_step(heart.tension, before.sarcomeres, calcium, stretches, step),
        (new - old) / step,
        (found.pressure - before.pressure) / step,
    )


@eqx.filter_jit
def _observed(heart: WholeHeart, state: HeartState, observe: Callable | None) -> dict[str, Any]:
    loop = heart.loop()
    prepared = loop.prepare()
    phase = jnp.mod(state.time * _S / loop.period(), 1.0)
    drive = loop.drive(prepared, phase[None])[0]
    drive = drive.at[jnp.array(heart.numbers())].set(state.pressure * _MMHG)
    seen = loop.observe(prepared, state.circulation, drive)
    return seen if observe is None else seen | {"seen": observe(state)}
