"""Restitution: how long an action potential lasts that follows another."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from twinjax._results import RESULTS
from twinjax._solve import Solution
from twinjax.cells._biomarkers import THRESHOLD, _falls_below, _peak, _upstroke, biomarkers
from twinjax.cells._cell import AbstractCell, as_arrays
from twinjax.cells._pace import (
    DEFAULT,
    Grid,
    Setting,
    beat_grid,
    dtype_of,
    final_state,
    pace,
    start_of,
)
from twinjax.cells._protocols import check_at_least, checked_intervals, padded, stimulus_of
from twinjax.cells._schemes import AbstractScheme, RushLarsen2


class Restitution(eqx.Module):
    """Action potentials that follow others, one row an interval (or cycle length).

    - `intervals` [ms]: what was set, from one stimulus to the next.
    - `diastolic_intervals` [ms]: the interval less the duration of the action potential before.
    - `durations` [ms]: from the upstroke to where V falls below `level`; NaN where not `captured`.
    - `captured`: V was below `level` at the stimulus, rose above -20 mV and returned in time.
    - `level` [mV]: the potential at which an action potential counts as over.
    - `basic`: the biomarkers of the beat that `level` comes from.
    - `results`: a `RESULTS` code each.
    """

    intervals: Float[Array, " m"]
    diastolic_intervals: Float[Array, "m *beat"]
    durations: Float[Array, "m *beat"]
    captured: Bool[Array, "m *beat"]
    level: Float[Array, ""]
    basic: dict[str, Array]
    results: Any

    def slopes(self) -> Float[Array, " n"]:
        """Rise of the duration per rise of the diastolic interval, from row to row, m - 1."""
        di = self.diastolic_intervals.reshape(len(self.intervals), -1)[:, -1]
        apd = self.durations.reshape(len(self.intervals), -1)[:, -1]
        return jnp.diff(apd) / jnp.diff(di)

    def alternans(self) -> Float[Array, " m"]:
        """Difference [ms] between the last two durations of each cycle length.

        Raises `ValueError` for an S1-S2 protocol, which has one duration an interval.
        """
        if self.durations.ndim != 2:
            raise ValueError("alternans needs two beats a cycle length: use dynamic_restitution")
        return jnp.abs(self.durations[:, 1] - self.durations[:, 0])


def s1_s2_restitution(
    cell: AbstractCell,
    intervals: Sequence[float] | np.ndarray,
    *,
    cycle_length: float = 1000.0,
    beats: int = 20,
    window: float | None = None,
    percent: float = 90.0,
    state: Any = None,
    stimulus: tuple[float, float] | None = None,
    setting: Setting = DEFAULT,
    scheme: AbstractScheme | None = None,
) -> Restitution:
    """Beats S1 at a basic cycle length, then one S2 at each of several coupling intervals.

    The duration of S2 against the diastolic interval before it is the restitution curve (Franz et
    al. 1988, J Clin Invest 82:972). All intervals run at once.

    **Arguments:** coupling `intervals` [ms] from the last S1 to S2; `cycle_length` [ms] and number
    of S1 `beats`; `window` [ms] in which S2 is followed (default: the cycle length); `percent` of
    repolarisation of the last S1 that sets the level at which an action potential is over;
    `state` before the first S1; `stimulus` (amplitude in the model's unit, duration [ms]; default:
    the model's).

    Raises `ValueError` for intervals that the stimulus does not fit into, fewer than one beat, or
    a model that has no stimulus when none is given.
    """
    amplitude, duration = stimulus_of(cell, stimulus)
    times = checked_intervals("coupling intervals", intervals, duration)
    check_at_least("beats", beats, 1)
    _percentage(percent)
    basic = beat_grid(cycle_length, duration, setting=setting.within(cell))
    following = beat_grid(
        cycle_length if window is None else window, duration, setting=setting.within(cell)
    )
    grids = [beat_grid(float(time), duration, setting=setting.within(cell)) for time in times]
    scheme = RushLarsen2() if scheme is None else scheme
    s1, s2 = _s1_s2(
        cell, state, beats, basic, *_stack(grids), following, jnp.asarray(amplitude), scheme
    )
    level = _level(s1, percent)
    before, _ = _action_potential(s1, level)
    durations, captured = eqx.filter_jit(jax.vmap(_action_potential, (0, None)))(s2, level)
    spaced = jnp.asarray(times, durations.dtype)
    return Restitution(
        spaced, spaced - before, durations, captured, level, biomarkers(s1), s2.result
    )


def dynamic_restitution(
    cell: AbstractCell,
    cycle_lengths: Sequence[float] | np.ndarray,
    *,
    beats: int = 50,
    in_sequence: bool = False,
    percent: float = 90.0,
    state: Any = None,
    stimulus: tuple[float, float] | None = None,
    setting: Setting = DEFAULT,
    scheme: AbstractScheme | None = None,
) -> Restitution:
    """Many beats at each of several cycle lengths; the last two beats, so that alternans shows.

    Koller, Riccio and Gilmour 1998, Am J Physiol 275:H1635. The level at which an action potential
    is over is that of the last beat at the longest cycle length.

    **Arguments:** `cycle_lengths` [ms]; `beats` at each, at least 3; `in_sequence`: each starts
    from where the one before ended, as in an experiment that goes from slow to fast, instead of
    all from `state`, at once; the rest as in `s1_s2_restitution`.

    **Returns:** `Restitution` with durations (m, 2); a beat that the one before left refractory,
    or still in its plateau, is not captured and has the duration NaN.

    Raises `ValueError` as `s1_s2_restitution` does.
    """
    amplitude, duration = stimulus_of(cell, stimulus)
    times = checked_intervals("cycle lengths", cycle_lengths, duration)
    check_at_least("beats", beats, 3)
    _percentage(percent)
    grids = [beat_grid(float(time), duration, setting=setting.within(cell)) for time in times]
    scheme = RushLarsen2() if scheme is None else scheme
    three = _dynamic(
        cell, state, beats, *_stack(grids), jnp.asarray(amplitude), scheme, in_sequence
    )
    slowest = int(np.argmax(times))
    reference = jax.tree.map(lambda x: x[slowest, 2], three)
    level = _level(reference, percent)
    of_each = jax.vmap(jax.vmap(_action_potential, (0, None)), (0, None))
    durations, captured = eqx.filter_jit(of_each)(three, level)
    spaced = jnp.asarray(times, durations.dtype)
    return Restitution(
        spaced,
        spaced[:, None] - durations[:, :2],
        durations[:, 1:],
        captured[:, 1:],
        level,
        biomarkers(reference),
        three.result[:, -1],
    )


def _start(cell: AbstractCell, state: Any) -> Any:
    state = start_of(cell, state)
    return as_arrays(state, jnp.zeros(np.shape(state[0]), dtype_of(cell)))


@eqx.filter_jit
def _s1_s2(
    cell: AbstractCell,
    state: Any,
    beats: int,
    basic: Grid,
    lengths: Array,
    stimulated: Array,
    following: Grid,
    amplitude: Array,
    scheme: AbstractScheme,
) -> tuple[Solution, Solution]:
    """The last S1 in full, and each S2."""

    def beat(s: Any, grid: Grid) -> Solution:
        return pace(cell, state=s, grid=grid, amplitude=amplitude, scheme=scheme, throw=False)

    before = jax.lax.fori_loop(
        0,
        beats - 1,
        lambda _, s: final_state(cell, s, basic, amplitude, scheme),
        _start(cell, state),
    )

    def second(lengths: Array, stimulated: Array) -> Solution:
        cut = Grid(lengths, stimulated)
        return beat(final_state(cell, before, cut, amplitude, scheme), following)

    return beat(before, basic), jax.vmap(second)(lengths, stimulated)


@eqx.filter_jit
def _dynamic(
    cell: AbstractCell,
    state: Any,
    beats: int,
    lengths: Array,
    stimulated: Array,
    amplitude: Array,
    scheme: AbstractScheme,
    in_sequence: bool,
) -> Solution:
    """The last three beats at each cycle length, (m, 3, ...)."""

    def at(s: Any, inputs: Any) -> tuple[Any, Solution]:
        grid = Grid(*inputs)

        def beat(s: Any, _: Any) -> tuple[Any, Solution]:
            seen = pace(cell, state=s, grid=grid, amplitude=amplitude, scheme=scheme, throw=False)
            return seen.state, seen

        s = jax.lax.fori_loop(
            0, beats - 3, lambda _, s: final_state(cell, s, grid, amplitude, scheme), s
        )
        return jax.lax.scan(beat, s, None, length=3)

    start = _start(cell, state)
    if in_sequence:
        return jax.lax.scan(at, start, (lengths, stimulated))[1]
    return jax.vmap(at, (None, 0))(start, (lengths, stimulated))[1]


def _level(beat: Solution, percent: float) -> Array:
    """The potential at which the beat has repolarised by that share."""
    v = beat.observations["v"]
    height, _ = _peak(beat.times, v, beat.observations["slope"])
    return height - percent / 100 * (height - v[0])


def _action_potential(beat: Solution, level: Any) -> tuple[Array, Array]:
    """Duration [ms] down to a potential, and whether there was an action potential."""
    t, v, slope = beat.times, beat.observations["v"], beat.observations["slope"]
    height, summit = _peak(t, v, slope)
    duration = _falls_below(t, v, slope, level, summit) - _upstroke(t, slope)[1]
    captured = (v[0] < level) & (height > THRESHOLD) & jnp.isfinite(duration)
    captured &= beat.result == RESULTS.successful
    return jnp.where(captured, duration, jnp.nan), captured


def _stack(grids: Sequence[Grid]) -> tuple[Array, Array]:
    """Lengths and stimulation of grids, padded to the longest, (m, n)."""
    count = max(len(grid.lengths) for grid in grids)
    all_of = [padded(grid, count) for grid in grids]
    return (
        jnp.asarray(np.stack([grid.lengths for grid in all_of])),
        jnp.asarray(np.stack([grid.stimulated for grid in all_of])),
    )


def _percentage(given: float) -> None:
    if not 0 < given < 100:
        raise ValueError(f"percent of repolarisation must lie between 0 and 100, not {given:g}")
