"""The seam between physics and everything that learns: `theta -> Observations`."""

import abc
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
    thetas: Float[np.ndarray, "runs n"],
    *,
    chunk: int = 250,
    threads: int | None = None,
    on_chunk: Callable[[slice, Any], None] | None = None,
) -> Any:
    """Many parameter sets at once: vectorised in chunks, chunks on all cores.

    **Arguments:** `threads` defaults to the number of cores where JAX's asynchronous dispatch on
    CPU is off, and to 1 where it is on: two programs in flight on XLA's own pool of as many
    threads can wait for each other forever. `on_chunk(rows, observations)` is called as each
    chunk ends, in order (to report progress, or to save).

    **Returns:** the simulator's result with a leading axis over runs, in NumPy arrays.
    """
    thetas = np.asarray(thetas, dtype=float)
    if thetas.ndim != 2 or len(thetas) == 0:
        raise ValueError(f"a population needs parameters of shape (runs, n), not {thetas.shape}")
    if threads is None:
        threads = 1 if jax.config.read("jax_cpu_enable_async_dispatch") else os.cpu_count() or 1
    # Small populations are split too: every core has its part after the first chunk.
    chunk = max(1, min(chunk, -(-len(thetas) // (2 * threads + 1))))
    starts = range(0, len(thetas), chunk)

    def run(start: int) -> Any:
        part = thetas[start : start + chunk]
        # The last chunk is padded: a new shape would be compiled anew.
        padded = np.concatenate([part, np.repeat(part[-1:], chunk - len(part), axis=0)])
        result = jax.tree.map(np.asarray, _vectorised(simulator, jnp.asarray(padded)))
        return jax.tree.map(lambda leaf: leaf[: len(part)], result)

    parts = []

    def keep(start: int, part: Any) -> None:
        parts.append(part)
        if on_chunk is not None:
            on_chunk(slice(start, min(start + chunk, len(thetas))), part)

    # The first chunk goes alone: side by side, every thread would compile the same program.
    keep(0, run(0))
    with ThreadPoolExecutor(threads) as pool:
        for start, part in zip(starts[1:], pool.map(run, starts[1:]), strict=True):
            keep(start, part)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@eqx.filter_jit
def _vectorised(simulator: Callable[[Array], Any], thetas: Array) -> Any:
    return jax.vmap(simulator)(thetas)
