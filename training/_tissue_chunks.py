"""The monodomain equation in chunks, of which each is kept: a run that is killed goes on."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from training._parts import Parts
from training.datasets import versions
from training.tissue_case import TissueCase, whole
from twinjax import RESULTS, Solution
from twinjax.electro import LEADS, Propagation, Stimulus, Tissue, propagate

Progress = Callable[[str, int, int], None]
_CHUNK = 10.0  # of a run between two looks at it [ms]
STATE = 900_000  # two parts from this number on are the state, in turn


class Chunks:
    """A run in chunks of about 10 ms; each leaves what is wanted, and the state at its end."""

    def __init__(
        self, case: TissueCase, tissue: Tissue, matrix: np.ndarray | None, output: Path | None
    ):
        table, wanted = case.table.tissue, case.table.output
        assert table.duration is not None
        self.case, self.tissue = case, tissue
        self.to_leads = None if matrix is None else matrix.T
        self.step = table.step
        total = whole(table.duration, table.step)
        assert total is not None
        self.of_ecg = whole(wanted.ecg_step, table.step) if matrix is not None else None
        self.of_shot = None if wanted.snapshots is None else whole(wanted.snapshots, table.step)
        every = [n for n in (self.of_ecg, self.of_shot) if n is not None]
        self.unit = math.gcd(*every) if every else None
        size = self.unit or 1
        if total % size:
            length = f"{size * table.step:g} ms"
            raise ValueError(
                f"{case.name}: tissue.duration = {table.duration:g} ms is no whole number of "
                f"{length}, in which output.ecg_step and snapshots are counted"
            )
        self.sizes = [n * size for n in _divided(total // size, _CHUNK / (size * table.step))]
        self.parts = None
        if output is not None:
            plan = {"case": case.sha256, "versions": versions(), "nodes": int(sum(tissue.counts))}
            self.parts = Parts(output, plan, resume=True)
        self.kept: list[dict[str, np.ndarray]] = []

    def run(self, stimuli: list[Stimulus], told: Progress) -> Solution:
        """The end of the run, from where it stands; `ValueError` if it fails."""
        wanted = self.case.table.output
        solution, done = self._resumed()
        first = sum(self.sizes[:done])
        for number in range(done, len(self.sizes)):
            told("monodomain equation [ms]", round(first * self.step), self._end)
            steps = self.sizes[number]
            solution = propagate(
                self.tissue,
                stimuli,
                duration=steps * self.step,
                step=self.step,
                after=solution,
                threshold=wanted.threshold,
                recovered=wanted.recovered,
                since=wanted.since,
                save_every=None if self.unit is None else self.unit * self.step,
                throw=False,
            )
            if int(solution.result) != RESULTS.successful:
                raise ValueError(
                    f"{self.case.name}: between {first * self.step:g} and "
                    f"{(first + steps) * self.step:g} ms: {RESULTS(int(solution.result)).message}"
                )
            self._keep(number, first, solution)
            first += steps
        told("monodomain equation [ms]", self._end, self._end)
        return solution

    @property
    def _end(self) -> int:
        return round(sum(self.sizes) * self.step)

    def _keep(self, number: int, first: int, solution: Solution) -> None:
        arrays: dict[str, np.ndarray] = {}
        if self.unit is not None:
            ends = first + self.unit * np.arange(1, len(solution.times) + 1)
            for name, every in (("ecg", self.of_ecg), ("shot", self.of_shot)):
                if every is None:
                    continue
                chosen = ends % every == 0
                v = np.asarray(solution.observations.potentials)[chosen]
                arrays[f"{name}_times"] = ends[chosen] * self.step
                arrays[name] = v if name == "shot" else np.asarray(v, float) @ self.to_leads
        self.kept.append(arrays)
        if self.parts is None:
            return
        leaves = jax.tree.leaves(solution.state)
        state = {f"state_{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        state |= {
            "number": np.array(number),
            "steps": np.asarray(solution.stats["steps"]),
            "activation": np.asarray(solution.observations.activation),
            "repolarisation": np.asarray(solution.observations.repolarisation),
        }
        # The state comes last: with it the chunk counts as done.
        self.parts.save(number, arrays)
        self.parts.save(STATE + number % 2, state)

    def _resumed(self) -> tuple[Solution, int]:
        """Where the chunks that were kept have ended, and how many there are."""
        states = []
        if self.parts is not None:
            states = [self.parts.load(STATE + i) for i in (0, 1) if self.parts.has(STATE + i)]
        if self.parts is None or not states:
            return self._beginning(), 0
        last = max(states, key=lambda state: int(state["number"]))
        number = int(last["number"])
        self.kept = [self.parts.load(i) for i in range(number + 1)]
        structure: Any = jax.tree.structure(self.tissue.initial_state())
        leaves = [jnp.asarray(last[f"state_{i}"]) for i in range(structure.num_leaves)]
        crossed = (jnp.asarray(last[name]) for name in ("activation", "repolarisation"))
        state = jax.tree.unflatten(structure, leaves)
        return self._at(int(last["steps"]), state, *crossed), number + 1

    def _beginning(self) -> Solution:
        """Before the first step, in the form of a solution: so that one program runs all chunks."""
        dtype = self._dtype
        states = tuple(
            jax.tree.map(lambda x, n=n: jnp.full(n, x, dtype), state)
            for state, n in zip(self.tissue.initial_state(), self.tissue.counts, strict=True)
        )
        never = jnp.full(sum(self.tissue.counts), jnp.inf, dtype)
        return self._at(0, states, never, never)

    def _at(self, steps: int, state: Any, activation: jax.Array, repolarisation: Any) -> Solution:
        none, nothing = (jnp.zeros(n, self._dtype) for n in ((0, len(activation)), (0, 0)))
        return Solution(
            jnp.array([steps * self.step]),
            Propagation(activation, repolarisation, none, nothing),
            state,
            {"steps": jnp.asarray(steps)},
            jnp.asarray(int(RESULTS.successful)),
        )

    @property
    def _dtype(self) -> str:
        return "float32" if self.case.table.tissue.precision == "single" else "float64"

    def collected(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Times and potentials of snapshots, times and leads of the ECG."""
        nodes = sum(self.tissue.counts)

        def joined(name: str, empty: np.ndarray) -> np.ndarray:
            return np.concatenate([empty, *(part[name] for part in self.kept if name in part)])

        ecg = None
        if self.to_leads is not None:
            ecg = joined("ecg", np.empty((0, len(LEADS)))).T
        return (
            joined("shot_times", np.empty(0)),
            joined("shot", np.empty((0, nodes))),
            joined("ecg_times", np.empty(0)),
            ecg,
        )


def _divided(total: int, wanted: float) -> list[int]:
    """Equal chunks of about the wanted size, so that one is compiled; the last may be shorter."""
    most = max(1, min(total, round(wanted)))
    best = max(n for n in range(1, most + 1) if total % n == 0)
    size = best if 3 * best >= most else most
    sizes = [size] * (total // size)
    return sizes + ([total % size] if total % size else [])


def discard_parts(output: Path) -> None:
    """Removes what a run has kept beside its output."""
    Parts(output, {}, resume=False).remove()
