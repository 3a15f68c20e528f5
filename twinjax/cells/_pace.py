"""The loop that steps cells, and the time grids it runs on."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax._results import RESULTS
from twinjax._solve import Solution, _finish
from twinjax.cells._cell import AbstractCell, as_arrays
from twinjax.cells._schemes import AbstractScheme, RushLarsen2, step_to_switches


class Setting(NamedTuple):
    """How fine a grid is: the first step [ms], the time of e-fold growth after, the last step."""

    finest: float
    growth: float
    coarsest: float

    def within(self, cell: AbstractCell) -> "Setting":
        """With no step longer than the model asks for."""
        longest = cell.about.longest_step
        return self if longest is None else self._replace(coarsest=min(self.coarsest, longest))


DEFAULT = Setting(0.01, 5.0, 0.75)
ACCURATE = Setting(0.0025, 10.0, 0.25)


class Grid(eqx.Module):
    """Steps of one beat, the same for every cell of a batch: fine in the upstroke, then coarse."""

    lengths: Float[np.ndarray | Array, " n"]  # [ms]
    stimulated: Float[np.ndarray | Array, " n"]  # 1 where the stimulus is on, else 0

    @property
    def period(self) -> Float[Array, ""]:
        return jnp.sum(self.lengths)


def beat_grid(
    cycle_length: float = 1000.0,
    duration: float = 1.0,
    *,
    setting: Setting = DEFAULT,
    upstroke: float = 4.0,
) -> Grid:
    """A grid of one beat that starts with the stimulus.

    Steps are the finest through the stimulus, and through `upstroke` [ms] from the start if that
    is longer; then they grow exponentially. One ends where the stimulus does.

    Raises `ValueError` if the stimulus outlasts the beat.
    """
    if not min(setting) > 0:
        raise ValueError(f"the steps of a grid and their growth must be positive, not {setting}")
    if not 0 <= duration < cycle_length < np.inf:
        raise ValueError(
            f"a stimulus of {duration} ms does not fit into a cycle of {cycle_length} ms"
        )
    finest, growth, coarsest = setting
    fine_end = min(max(upstroke, duration), cycle_length)
    stimulus = _equal(duration, finest)
    fine = _equal(fine_end - duration, finest)
    later, time, end = [], 0.0, cycle_length - fine_end
    while time < end:
        later.append(min(finest * np.exp(time / growth), coarsest))
        time += later[-1]
    # The rest of the last step is spread, so that no step is tiny.
    rest = np.array(later) * (end / time) if later else np.empty(0)
    lengths = np.concatenate([stimulus, fine, rest])
    return Grid(lengths, (np.arange(len(lengths)) < len(stimulus)).astype(float))


def even_grid(duration: float, step: float) -> Grid:
    """Equal steps without a stimulus, for cells that beat by themselves.

    Raises `ValueError` for a duration or a step that is not positive and finite.
    """
    if not (0 < step < np.inf and 0 < duration < np.inf):
        raise ValueError(
            f"a grid needs finite lengths above 0, not {duration} ms in steps of {step} ms"
        )
    lengths = _equal(duration, step)
    return Grid(lengths, np.zeros(len(lengths)))


def _equal(duration: float, step: float) -> np.ndarray:
    count = int(np.ceil(duration / step - 1e-9))
    return np.full(count, duration / max(count, 1))


def calcium(cell: AbstractCell, state: Any) -> dict[str, Array]:
    """Records the calcium of the cytosol [mM], where the model knows it."""
    return {"cai": state.cai} if hasattr(state, "cai") else {}


# The currents of the CiPA metric: Dutta et al. 2017, Front Physiol 8:616.
NET = ("INaL", "ICaL", "IKr", "IKs", "IK1", "Ito")


def net_current(cell: AbstractCell, state: Any) -> dict[str, Array]:
    """Records calcium, and the sum of the six currents whose integral over a beat is qNet."""
    currents = cell.currents(state)
    missing = [name for name in NET if name not in currents]
    if missing:
        raise ValueError(
            f"the net current of six is not that of {cell.about.title}: it has no "
            f"{' and no '.join(missing)}"
        )
    return {**calcium(cell, state), "net": sum((currents[name] for name in NET), jnp.zeros(()))}


def pace(
    cell: AbstractCell,
    *,
    state: Any = None,
    beats: int = 1,
    grid: Grid | None = None,
    amplitude: Any = None,
    scheme: AbstractScheme | None = None,
    record: Callable[[AbstractCell, Any], dict[str, Any]] = calcium,
    throw: bool = True,
) -> Solution:
    """Runs a cell through beats, and records the last one.

    **Arguments:** `state` at the start (default: the published one); `grid` of one beat (default:
    1 Hz with the model's stimulus, or one second of a cell that beats by itself); `amplitude` of
    the stimulus (default: the model's, in its unit); `record(cell, state)` gives what is kept
    beside the potential. With `throw=False` a failure is only in the solution's result.

    **Returns:** `Solution` with times [ms] (n + 1,) and observations `v` [mV], its `slope` [mV/ms]
    and what `record` gives, at the nodes of the grid; state at the end. Reverse mode recomputes
    every step from its start, and stores one state a step.

    Raises `ValueError` for a number of beats that is not possible, `TypeError` for a state of
    another model or a scheme that is none.
    """
    if not isinstance(beats, int) or beats < 1:
        raise ValueError(f"the number of beats must be a whole number of at least 1, not {beats}")
    grid, amplitude, scheme = usual_protocol(cell, grid, amplitude, scheme)
    return _paced(cell, start_of(cell, state), beats, grid, amplitude, scheme, record, throw)


def start_of(cell: AbstractCell, state: Any) -> Any:
    """The state that is given, else the published one."""
    usual = cell.initial_state()
    if state is None:
        return usual
    if type(state) is not type(usual):
        given, wanted = (f"{k.__module__}.{k.__qualname__}" for k in (type(state), type(usual)))
        raise TypeError(
            f"a state of {cell.about.title} is a {wanted}, as initial_state() gives, not a {given}"
        )
    return state


def scheme_of(scheme: AbstractScheme | None) -> AbstractScheme:
    """The scheme that is given, else `RushLarsen2`."""
    if not isinstance(scheme, AbstractScheme | None):
        known = ", ".join(f"{kind.__name__}()" for kind in AbstractScheme.__subclasses__())
        raise TypeError(f"a scheme is one of {known}, not {scheme!r}")
    return RushLarsen2() if scheme is None else scheme


def usual_protocol(
    cell: AbstractCell, grid: Grid | None, amplitude: Any, scheme: AbstractScheme | None
) -> tuple[Grid, Any, AbstractScheme]:
    """What is not given, as `pace` says."""
    usual = cell.about.stimulus
    if grid is None:
        setting = DEFAULT.within(cell)
        grid = (
            even_grid(1000.0, 0.05)
            if usual is None
            else beat_grid(1000.0, usual[1], setting=setting)
        )
    if amplitude is None:
        amplitude = 0.0 if usual is None else usual[0]
    return grid, amplitude, scheme_of(scheme)


@eqx.filter_jit
def _paced(
    cell: AbstractCell,
    state: Any,
    beats: int,
    grid: Grid,
    amplitude: Any,
    scheme: AbstractScheme,
    record: Callable,
    throw: bool,
) -> Solution:
    dtype = dtype_of(cell)
    state = as_arrays(state, jnp.zeros(np.shape(state[0]), dtype))
    before = jax.lax.fori_loop(
        0, beats - 1, lambda _, s: final_state(cell, s, grid, amplitude, scheme), state
    )
    lengths, stimuli = _inputs(grid, amplitude, dtype)

    def step(s: Any, inputs: Any) -> Any:
        length, stimulus = inputs
        after, slope = step_to_switches(scheme, cell, s, stimulus, length)
        return after, {"v": s.v, "slope": slope, **record(cell, s)}

    final, seen = jax.lax.scan(jax.checkpoint(step), before, (lengths, stimuli))
    last = {"v": final.v, "slope": cell.rates(final, 0.0 * amplitude).v, **record(cell, final)}
    seen = jax.tree.map(lambda path, end: jnp.concatenate([path, end[None]]), seen, last)
    times = jnp.concatenate([jnp.zeros(1, lengths.dtype), jnp.cumsum(lengths)])
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in final]))
    result = jnp.where(finite, int(RESULTS.successful), int(RESULTS.nonfinite))
    return _finish(Solution(times, seen, final, {}, result), throw)


def final_state(
    cell: AbstractCell, state: Any, grid: Grid, amplitude: Any, scheme: AbstractScheme
) -> Any:
    """The state one beat later."""

    def step(s: Any, inputs: Any) -> Any:
        length, stimulus = inputs
        return step_to_switches(scheme, cell, s, stimulus, length)[0], None

    inputs = _inputs(grid, amplitude, state[0].dtype)
    return jax.lax.scan(jax.checkpoint(step), state, inputs)[0]


def _inputs(grid: Grid, amplitude: Any, dtype: Any) -> tuple[Array, Array]:
    stimuli = jnp.asarray(grid.stimulated, dtype) * jnp.asarray(amplitude, dtype)
    return jnp.asarray(grid.lengths, dtype), stimuli


def dtype_of(cell: AbstractCell) -> Any:
    """Of the cell's parameters; the state takes it over."""
    return jnp.result_type(*jax.tree.leaves(eqx.filter(cell, eqx.is_inexact_array)), float)


def join(grids: Sequence[Grid]) -> Grid:
    """One grid after the other, as for an S1-S2 protocol."""
    return Grid(
        np.concatenate([g.lengths for g in grids]), np.concatenate([g.stimulated for g in grids])
    )
