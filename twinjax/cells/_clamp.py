"""Voltage clamp: the potential is imposed, everything else evolves."""

from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax._names import unknown_name
from twinjax.cells._cell import About, AbstractCell, as_arrays
from twinjax.cells._pace import DEFAULT, Setting, beat_grid, dtype_of, scheme_of, start_of
from twinjax.cells._schemes import AbstractScheme


class ClampRecord(eqx.Module):
    """What a voltage clamp shows; `*batch` is that of the potentials.

    - `times` [ms]: every boundary between segments occurs twice, just before and after the step.
    - `potentials` [mV]; `currents` by name, in the model's unit; `states`: a state of arrays.
    - `starts`: the node at which each segment starts, then the number of nodes.
    """

    times: Float[Array, " n"]
    potentials: Float[Array, "*batch n"]
    currents: dict[str, Float[Array, "*batch n"]]
    states: Any
    starts: tuple[int, ...] = eqx.field(static=True)

    def segment(self, number: int) -> slice:
        """The nodes of a segment; negative numbers count from the last.

        Raises `ValueError` for a number that there is not.
        """
        count = len(self.starts) - 1
        if not -count <= number < count:
            raise ValueError(f"the clamp has {count} segments, so {number} is not one of them")
        number %= count
        return slice(self.starts[number], self.starts[number + 1])

    def peak(self, name: str, number: int) -> Float[Array, "*batch"]:
        """The current of greatest magnitude within a segment, with its sign.

        Raises `ValueError` for a current that the model does not have.
        """
        within = self._current(name)[..., self.segment(number)]
        place = jnp.argmax(jnp.abs(within), axis=-1)
        return jnp.take_along_axis(within, place[..., None], axis=-1)[..., 0]

    def last(self, name: str, number: int) -> Float[Array, "*batch"]:
        """The current at the end of a segment, before the potential steps on.

        Raises `ValueError` for a current that the model does not have.
        """
        return self._current(name)[..., self.segment(number)][..., -1]

    def _current(self, name: str) -> Array:
        if name not in self.currents:
            raise ValueError(unknown_name("current", name, self.currents))
        return self.currents[name]


class _Clamped(AbstractCell):
    """A cell whose potential stands still, whatever flows.

    Schemes that evaluate rates between the ends of a step see the imposed potential there too.
    """

    about: ClassVar[About] = About("voltage clamp", "", "", "", "")

    cell: AbstractCell

    def initial_state(self) -> Any:
        return self.cell.initial_state()

    def rates(self, state: Any, stimulus: Any) -> Any:
        return self.cell.rates(state, stimulus)._replace(v=jnp.zeros_like(state.v))

    def currents(self, state: Any) -> dict[str, Any]:
        return self.cell.currents(state)

    def conserved(self, state: Any) -> tuple[Any, ...]:
        return ()


def voltage_clamp(
    cell: AbstractCell,
    potentials: Any,
    durations: Sequence[float] | np.ndarray,
    *,
    state: Any = None,
    setting: Setting = DEFAULT,
    scheme: AbstractScheme | None = None,
) -> ClampRecord:
    """Imposes a sequence of potentials, such as holding, test and tail, and records currents.

    Several test potentials run at once: `potentials` of shape (m, 3), from
    `[[-80, v, -40] for v in tests]`, give currents (m, n). Steps are fine at the start of a
    segment and grow. The current of the clamp itself charges no ion.

    **Arguments:** `potentials` [mV], (..., segment); `durations` [ms], (segment,); `state` before,
    whose potential is replaced (default: the published one).

    Raises `ValueError` for potentials that do not fit the durations, or are not finite, and for a
    duration that is not positive.
    """
    times = np.asarray(durations, dtype=float)
    if times.ndim != 1 or times.size == 0 or not (np.isfinite(times).all() and (times > 0).all()):
        raise ValueError(f"the durations of a clamp must be positive times in ms, not {durations}")
    levels = jnp.asarray(potentials, dtype_of(cell))
    if levels.ndim == 0 or levels.shape[-1] != times.size:
        raise ValueError(
            f"a clamp of {times.size} durations needs as many potentials, "
            f"but their shape is {levels.shape}"
        )
    if not isinstance(levels, jax.core.Tracer) and not np.isfinite(np.asarray(levels)).all():
        raise ValueError("the potentials of a clamp must be finite")
    # A step of no length ends each segment, so that its last node stands before the next jump.
    pieces = [
        np.append(beat_grid(float(time), 0.0, setting=setting.within(cell)).lengths, 0.0)
        for time in times
    ]
    scheme = scheme_of(scheme)
    state = start_of(cell, state)
    which = np.repeat(np.arange(times.size), [len(piece) for piece in pieces])
    lengths = np.concatenate(pieces)
    steps = jnp.asarray(lengths, levels.dtype)
    states, currents = _clamp(cell, state, levels[..., which], steps, scheme)
    # The last node of the last segment is that of its step of no length.
    starts = tuple(int(n) for n in np.cumsum([0, *(len(piece) for piece in pieces)]))
    nodes = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    return ClampRecord(jnp.asarray(nodes, levels.dtype), states.v, currents, states, starts)


@eqx.filter_jit
def _clamp(
    cell: AbstractCell, state: Any, path: Array, lengths: Array, scheme: AbstractScheme
) -> tuple[Any, dict[str, Array]]:
    clamped = _Clamped(cell)

    def step(s: Any, inputs: Any) -> Any:
        v, length = inputs
        s = s._replace(v=v)
        after, _ = scheme.step(clamped, s, jnp.zeros_like(v), length)
        return after, (s, cell.currents(s))

    first = as_arrays(state, path[..., 0])
    along = jnp.moveaxis(path, -1, 0)
    _, (states, currents) = jax.lax.scan(step, first, (along, lengths))

    def last_axis(x: Array) -> Array:
        return jnp.moveaxis(jnp.broadcast_to(x, along.shape), 0, -1)

    return jax.tree.map(last_axis, states), jax.tree.map(last_axis, currents)
