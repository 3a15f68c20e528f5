"""Pacing protocols: steady pacing and spontaneous beating, and what protocols check."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax._solve import Solution
from twinjax.cells._biomarkers import _peak, biomarkers, cycle_length
from twinjax.cells._cell import AbstractCell
from twinjax.cells._pace import (
    DEFAULT,
    Grid,
    Setting,
    beat_grid,
    even_grid,
    pace,
)
from twinjax.cells._schemes import AbstractScheme


class SteadyPacing(eqx.Module):
    """The last two of many beats at one cycle length.

    `solution` is the last beat; `biomarkers` are its, `before` those of the beat before; `drift`
    is the largest change of a state variable over the last beat, relative to the variable.
    """

    cycle_length: float
    solution: Solution
    biomarkers: dict[str, Array]
    before: dict[str, Array]
    drift: Float[Array, ""]


class Spontaneous(eqx.Module):
    """What a cell does without a stimulus.

    `cycle_length` [ms] is between the last two upstrokes, NaN if there are not two;
    `peak_potential` and `diastolic_potential` [mV] are the extremes, `upstroke_velocity` [mV/ms]
    the maximum dV/dt of the recorded window, which `solution` holds.
    """

    cycle_length: Float[Array, ""]
    peak_potential: Float[Array, ""]
    diastolic_potential: Float[Array, ""]
    upstroke_velocity: Float[Array, ""]
    solution: Solution


def padded(grid: Grid, count: int) -> Grid:
    """The grid with steps of no length behind it, `count` steps in all.

    Such a step changes no state, so that grids of different beats run in one batch. Raises
    `ValueError` if the grid is longer.
    """
    missing = count - len(grid.lengths)
    if missing < 0:
        raise ValueError(f"a grid of {len(grid.lengths)} steps cannot be padded to {count}")
    zeros = np.zeros(missing)
    return Grid(np.concatenate([grid.lengths, zeros]), np.concatenate([grid.stimulated, zeros]))


def steady_pacing(
    cell: AbstractCell,
    cycle_length: float,
    *,
    beats: int = 100,
    state: Any = None,
    stimulus: tuple[float, float] | None = None,
    setting: Setting = DEFAULT,
    scheme: AbstractScheme | None = None,
    throw: bool = True,
) -> SteadyPacing:
    """Many beats at one cycle length [ms]; what the last two look like, and how far from steady.

    Raises `ValueError` for a cycle that the stimulus does not fit into, fewer than two beats,
    or a model that has no stimulus when none is given.
    """
    amplitude, duration = stimulus_of(cell, stimulus)
    checked_intervals("cycle lengths", [cycle_length], duration)
    check_at_least("beats", beats, 2)
    grid = beat_grid(cycle_length, duration, setting=setting.within(cell))

    def run(start: Any, count: int) -> Solution:
        return pace(
            cell,
            state=start,
            beats=count,
            grid=grid,
            amplitude=amplitude,
            scheme=scheme,
            throw=throw,
        )

    first = run(state, beats - 1)
    last = run(first.state, 1)
    change = jax.tree.map(
        lambda a, b: jnp.abs(b - a) / jnp.maximum(jnp.abs(a), 1e-12), first.state, last.state
    )
    drift = jnp.max(jnp.stack(jax.tree.leaves(change)))
    return SteadyPacing(float(cycle_length), last, biomarkers(last), biomarkers(first), drift)


def spontaneous(
    cell: AbstractCell,
    *,
    window: float = 3000.0,
    warm_up: float = 6000.0,
    step: float = 0.05,
    level: float = -40.0,
    state: Any = None,
    scheme: AbstractScheme | None = None,
    throw: bool = True,
) -> Spontaneous:
    """A cell without a stimulus: does it beat, and how fast?

    **Arguments:** `window` [ms] that is recorded, after a `warm_up` [ms], rounded up to whole
    windows; `step` [ms]; an upstroke is an upward crossing of `level` [mV].

    Raises `ValueError` for a window or a step that is not positive.
    """
    if not (0 < step < window and np.isfinite(window) and warm_up >= 0):
        raise ValueError(
            f"a window of {window} ms with steps of {step} ms after {warm_up} ms is not possible: "
            "0 < step < window and 0 <= warm_up are needed"
        )
    grid = even_grid(window, step)
    rounds = 1 + int(np.ceil(warm_up / window))
    seen = pace(
        cell, state=state, beats=rounds, grid=grid, amplitude=0.0, scheme=scheme, throw=throw
    )
    v, slope = seen.observations["v"], seen.observations["slope"]
    return Spontaneous(
        cycle_length(seen, level),
        _peak(seen.times, v, slope)[0],
        -_peak(seen.times, -v, -slope)[0],
        jnp.max(slope),
        seen,
    )


def stimulus_of(cell: AbstractCell, given: tuple[float, float] | None) -> tuple[float, float]:
    """The stimulus that is given, else the model\'s."""
    stimulus = cell.about.stimulus if given is None else given
    if stimulus is None:
        raise ValueError(
            f"{cell.about.title} beats by itself and has no stimulus: give one as "
            f"(amplitude in {cell.about.current_unit}, duration in ms)"
        )
    return stimulus


def checked_intervals(what: str, given: Any, duration: float) -> np.ndarray:
    """Times that the stimulus fits into."""
    times = np.asarray(given, dtype=float)
    if times.ndim != 1 or times.size == 0:
        raise ValueError(f"{what} must be a list of times in ms, not {given!r}")
    if not (np.isfinite(times).all() and (times > duration).all()):
        raise ValueError(
            f"{what} must be finite and longer than the stimulus of {duration:g} ms, "
            f"not {times.tolist()}"
        )
    return times


def check_at_least(what: str, given: int, least: int) -> None:
    """Refuses a count that is too small."""
    if given < least:
        raise ValueError(f"{what} must be at least {least}, not {given}")
