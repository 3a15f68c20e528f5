"""The seam between physics and everything that learns: `theta -> Observations`."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twinjax._evolution import AbstractPeriodicModel
from twinjax._parameters import ParameterSpace
from twinjax._results import RESULTS
from twinjax._solve import STEPS_PER_BEAT, equilibrate
from twinjax.observe import Beat


class Observations(eqx.Module):
    """What a simulator says of one parameter set; with leading axes, of many.

    `scalars` and `waveforms` are named as in `twinjax.observables`, in its units; waveforms are
    sampled at equal phases from 0 up to, not including, 1. `result` is a `RESULTS` code; where
    it is not successful the values are not to be used.
    """

    scalars: dict[str, Float[Array, "..."]]
    waveforms: dict[str, Float[Array, "... samples"]]
    result: Int[Array, "..."]


class AbstractSimulator(eqx.Module):
    """The solver and every surrogate: calibration, trials and the command line see only this."""

    space: eqx.AbstractVar[ParameterSpace]

    @abc.abstractmethod
    def __call__(self, theta: Float[Array, " n"]) -> Observations:
        """Observations of the parameters `theta`, in the order and units of `space`.

        Never raises for bad values of `theta`: the failure is in `Observations.result`.
        """


class BeatSimulator(AbstractSimulator):
    """The solver: the periodic beat of a model.

    **Arguments:** `model` gives every parameter that is not in `space`; `samples` of each
    waveform; `guess`, a state near the periodic one, shortens the search.
    """

    model: AbstractPeriodicModel
    space: ParameterSpace
    samples: int = eqx.field(static=True, default=100)
    steps_per_beat: int = eqx.field(static=True, default=STEPS_PER_BEAT)
    rtol: float = eqx.field(static=True, default=1e-9)
    guess: Any = None

    def __call__(self, theta: Float[Array, " n"]) -> Observations:
        solution = equilibrate(
            self.space.write(self.model, theta),
            guess=self.guess,
            steps_per_beat=self.steps_per_beat,
            rtol=self.rtol,
            observer=Beat(self.samples),
            throw=False,
        )
        waveforms, scalars = solution.observations
        inside = self.space.contains(theta)
        result = jnp.where(inside, solution.result, RESULTS.outside_bounds)
        finite = jnp.all(jnp.isfinite(jnp.stack(list(scalars.values()))))
        result = jnp.where(finite | (result != RESULTS.successful), result, int(RESULTS.nonfinite))
        return Observations(scalars, waveforms, result)


def population(
    simulator: Callable[[Array], Any],
    thetas: Float[np.ndarray | Array, "runs n"],
    *,
    chunk: int = 256,
    on_chunk: Callable[[slice, Any], None] | None = None,
) -> Any:
    """Many parameter sets, vectorised in chunks.

    Chunks run one after the other: XLA runs a program's tasks on one pool of as many threads as
    there are cores, and two programs in flight were seen to wait for each other forever. Use
    processes to employ more cores.

    **Arguments:** `simulator` may be any function of one parameter vector that can be traced;
    `on_chunk(rows, observations)` is called as each chunk ends, in order (to report progress, or
    to save).

    **Returns:** the simulator's result with a leading axis over runs, in NumPy arrays.
    """
    thetas = np.asarray(thetas, dtype=float)
    if thetas.ndim != 2 or len(thetas) == 0:
        raise ValueError(f"a population needs parameters of shape (runs, n), not {thetas.shape}")
    # Powers of two, so that populations of many sizes share few compiled programs.
    chunk = min(chunk, 1 << (len(thetas) - 1).bit_length())
    return in_chunks(lambda rows: _vectorised(simulator, rows), thetas, chunk, on_chunk)


def in_chunks(
    run: Callable[[Any], Any],
    rows: Any,
    size: int,
    on_chunk: Callable[[slice, Any], None] | None = None,
) -> Any:
    """`run` on `size` rows at a time, its results in NumPy arrays, one after the other.

    `rows` is an array, or a tree of arrays, with a leading axis. The last chunk is padded by its
    last row: a new shape would be compiled anew. Raises `ValueError` for a size below 1.
    """
    if size < 1:
        raise ValueError(f"a chunk needs at least one row, not {size}")
    count = len(jax.tree.leaves(rows)[0])
    parts = []
    for start in range(0, count, size):
        end = min(start + size, count)
        at = np.minimum(np.arange(start, start + size), count - 1)
        kept = slice(0, end - start)
        result = run(jax.tree.map(lambda leaf, at=at: jnp.asarray(leaf[at]), rows))
        parts.append(jax.tree.map(lambda leaf, kept=kept: np.asarray(leaf)[kept], result))
        if on_chunk is not None:
            on_chunk(slice(start, end), parts[-1])
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@eqx.filter_jit
def _vectorised(simulator: Callable[[Array], Any], thetas: Array) -> Any:
    return jax.vmap(simulator)(thetas)
