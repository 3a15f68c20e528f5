"""Virtual drug trials: every drug, dose and virtual patient through a simulator, resumably."""

import dataclasses
import json
import operator
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from training._files import opened
from training._parts import Parts
from training._workers import worker_processes
from training.datasets import USE, versions
from training.study import Study
from twinjax import RESULTS
from twinjax._simulator import in_chunks
from twinjax.cells import CellSimulator, Near

FORMAT = 1
KIND = "trial"
# Members that are simulated side by side, and those whose results are committed together.
_LANES, _PART = 64, 500
# Beats of one search, and searches in turn: those that are found early wait for the slowest.
_BEATS, _PASSES = 8, 3
_NO_ORBIT = (int(RESULTS.not_periodic), int(RESULTS.nonfinite))
# Beats of plain pacing for those without an orbit: repolarisation fails, or beats alternate.
_PACED = 100


@dataclasses.dataclass(frozen=True)
class Trial:
    """Results: `values` by drug, dose, member and end point, `control` by cell and end point.

    Member m is in cell m modulo their number; `women` says which cells are a woman's. `result`
    holds `RESULTS` codes; members without an orbit have the values of the last of a hundred beats.
    `provenance` tells the study's text, notes and the versions.
    """

    path: Path
    drugs: tuple[str, ...]
    categories: Int[np.ndarray, " drugs"]
    doses: Float[np.ndarray, " doses"]
    end_points: tuple[str, ...]
    values: Float[np.ndarray, "drugs doses members points"]
    result: Int[np.ndarray, "drugs doses members"]
    control: Float[np.ndarray, "cells points"]
    women: Bool[np.ndarray, " cells"]
    provenance: dict[str, Any]

    def of(self, end_point: str) -> Float[np.ndarray, "drugs doses members"]:
        return self.values[..., self.end_points.index(end_point)]

    def score(self) -> Float[np.ndarray, "drugs members"]:
        """The torsade metric score: qNet, averaged over the doses.

        Li et al. 2019, Clin Pharmacol Ther 105:466.
        """
        return self.of("qnet").mean(axis=1)

    def change(self, end_point: str) -> Float[np.ndarray, "drugs doses members"]:
        """From what each member's cell has without a drug."""
        control = self.control[:, self.end_points.index(end_point)]
        return self.of(end_point) - control[np.arange(self.result.shape[2]) % len(control)]


def run_trial(
    study: Study,
    path: str | Path,
    *,
    resume: bool = True,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Trial:
    """Simulates all arms of a study and writes an HDF5 file.

    The members of an arm go from dose to dose, each dose starting from the orbit of the one before;
    no orbit needs a thousand beats. Parts are committed to disk; after a kill the same call
    simulates what is missing, and the file is the one that an uninterrupted call would have made.

    **Arguments:** `workers` processes; `progress(done, total)` counts orbits.

    Raises `ValueError` if `path` holds something else.
    """
    path = Path(path)
    plan = {
        "format": FORMAT,
        "study": study.text,
        "digest": study.digest,
        "notes": list(study.notes),
        "versions": versions(),
    }
    if path.exists():
        existing = open_trial(path)
        if {key: existing.provenance.get(key) for key in plan} != plan:
            raise ValueError(
                f"{path} exists and is of another study or version; remove it or give another name"
            )
        return existing
    if not path.absolute().parent.is_dir():
        raise ValueError(f"there is no folder {path.absolute().parent} to write {path.name} in")
    parts = Parts(path, plan, resume=resume)
    jobs = _jobs(study)
    doses = len(study.table.arms.doses)
    sizes = [len(rows) * (1 if drug is None else doses) for drug, rows in jobs]
    missing = [number for number in range(len(jobs)) if not parts.has(number)]
    done = sum(sizes) - sum(sizes[number] for number in missing)
    progress(done, sum(sizes))
    simulator = study.simulator
    starts = {
        drug: _start(simulator, study, drug) for drug in {jobs[number][0] for number in missing}
    }
    work = [
        (number, simulator, _thetas(study, *jobs[number]), starts[jobs[number][0]])
        for number in missing
    ]
    for number, arrays in _results(work, min(workers, len(work))):
        parts.save(number, arrays)
        done += sizes[number]
        progress(done, sum(sizes))
    _assemble(path, parts, jobs, plan, study)
    parts.remove()
    return open_trial(path)


def _jobs(study: Study) -> list[tuple[int | None, np.ndarray]]:
    """A drug's number, or None for control, and rows of members."""
    blocks = np.split(np.arange(study.members), range(_PART, study.members, _PART))
    cells = len(study.scales)
    control = np.split(np.arange(cells), range(_PART, cells, _PART))
    return [(None, rows) for rows in control] + [
        (number, rows) for number in range(len(study.drugs)) for rows in blocks
    ]


def _thetas(study: Study, number: int | None, rows: np.ndarray) -> np.ndarray:
    return study.parameters(None if number is None else study.drugs[number], rows)


def _results(work: list[tuple], workers: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    if workers <= 1:
        yield from map(_run_job, work)
        return
    with worker_processes(workers) as pool:
        yield from pool.map(_run_job, work)


def _run_job(job: tuple) -> tuple[int, dict[str, np.ndarray]]:
    number, *arguments = job
    return number, simulate_arms(*arguments)


def simulate_arms(
    simulator: CellSimulator, thetas: Float[np.ndarray, "doses members n"], start: Near
) -> dict[str, np.ndarray]:
    """End points of members at each dose: `values` (doses, members, points), `result`, `beats`.

    The first dose's searches begin at `start`, each other one at the dose before.
    """
    members = thetas.shape[1]
    near = jax.tree.map(lambda x: np.repeat(np.asarray(x)[None], members, axis=0), start)
    found = []
    for theta in thetas:
        values, result, beats, near = _settle(simulator, theta, near, start)
        # A member without an orbit tells nothing about the next dose.
        lost = result != RESULTS.successful
        for leaf, usual in zip(jax.tree.leaves(near), jax.tree.leaves(start), strict=True):
            leaf[lost] = usual
        found.append({"values": values, "result": result, "beats": beats})
    return {name: np.stack([row[name] for row in found]) for name in found[0]}


def end_points(simulator: CellSimulator) -> tuple[str, ...]:
    """Names of what the simulator tells, in the order of `values`."""
    theta = simulator.space.read(simulator.cell)
    scalars = jax.eval_shape(simulator, theta).scalars
    return tuple(sorted(name for name in scalars if name != "beats"))


def _start(simulator: CellSimulator, study: Study, number: int | None) -> Near:
    """The orbit at a drug's median parameters and first dose.

    Not that of the cell without a drug: where nothing leaves hERG the Jacobian is singular.
    """
    rows = np.arange(len(study.scales) if number is None else study.members)
    theta = np.median(_thetas(study, number, rows)[0], axis=0)
    return jax.tree.map(np.asarray, _first(simulator, jnp.asarray(theta))[1])


@eqx.filter_jit
def _first(simulator: CellSimulator, theta: Array) -> Any:
    seen, after = simulator.beside(theta, None)
    return seen, simulator.near(theta, after.state)


@eqx.filter_jit
def _beside(simulator: CellSimulator, theta: Array, near: Near) -> Any:
    return jax.vmap(lambda x, y: simulator.beside(x, y, _BEATS))(theta, near)


@eqx.filter_jit
def _paced(simulator: CellSimulator, theta: Array, state: Any) -> Any:
    return jax.vmap(lambda x, y: simulator.paced(x, _PACED, y))(theta, state)


def _settle(simulator: CellSimulator, theta: np.ndarray, near: Near, start: Near) -> Any:
    """Orbits of all members, each from its own `near`: search after search for those left.

    What is left then is paced from `start`, which is drawn to a stable orbit from farther away
    than a search is, and searched for once more from there.
    """
    names = end_points(simulator)
    values = np.full((len(theta), len(names)), np.nan)
    result = np.full(len(theta), int(RESULTS.not_periodic))
    beats = np.zeros(len(theta))
    near = jax.tree.map(np.array, near)

    def put(rows: np.ndarray, new: Any) -> None:
        for leaf, part in zip(jax.tree.leaves(near), jax.tree.leaves(new), strict=True):
            leaf[rows] = part

    def search(rows: np.ndarray) -> np.ndarray:
        begin = jax.tree.map(operator.itemgetter(rows), near)
        seen, after = in_chunks(lambda x: _beside(simulator, *x), (theta[rows], begin), _LANES)
        beats[rows] += seen.scalars["beats"]
        result[rows] = seen.result
        done = ~np.isin(seen.result, _NO_ORBIT)
        values[rows[done]] = np.stack([seen.scalars[name][done] for name in names], axis=1)
        finite = np.isfinite(after.inverse).all((1, 2)) & np.isfinite(after.state).all(0)
        put(rows[finite], jax.tree.map(operator.itemgetter(finite), after))
        return rows[~done]

    left = np.arange(len(theta))
    for _ in range(_PASSES):
        left = search(left) if left.size else left
    if left.size:
        put(left, start)
        begin = jax.tree.map(operator.itemgetter(left), near.state)
        seen, state = in_chunks(lambda x: _paced(simulator, *x), (theta[left], begin), _LANES)
        values[left] = np.stack([seen.scalars[name] for name in names], axis=1)
        beats[left] += _PACED
        finite = np.isfinite(state).all(0)
        put(left[finite], Near(jax.tree.map(operator.itemgetter(finite), state), start.inverse))
        search(left)
    return values, result, beats, near


def _assemble(
    path: Path, parts: Parts, jobs: list[tuple], plan: dict[str, Any], study: Study
) -> None:
    temporary = parts.folder / "assembled.tmp"
    simulator = study.simulator
    names = end_points(simulator)
    shape = (len(study.drugs), len(study.table.arms.doses), study.members)
    try:
        with h5py.File(temporary, "w", libver="latest") as file:
            file.attrs["twinjax_kind"] = KIND
            file.attrs["format"] = FORMAT
            file.attrs["provenance"] = json.dumps({**plan, "context_of_use": USE})
            file["drugs"] = [drug.name for drug in study.drugs]
            file["categories"] = [drug.category for drug in study.drugs]
            file["doses"] = study.table.arms.doses
            file["end_points"] = list(names)
            file["control"] = np.zeros((len(study.scales), len(names)))
            file["women"] = study.women
            file.create_dataset("values", (*shape, len(names)), float)
            file.create_dataset("result", shape, int)
            file.create_dataset("beats", shape, float)
            for number, (drug, rows) in enumerate(jobs):
                arrays = parts.load(number)
                part = slice(rows[0], rows[-1] + 1)
                if drug is None:
                    file["control"][part] = arrays["values"][0]
                    continue
                for name, value in arrays.items():
                    file[name][drug, :, part] = value
            file.attrs["complete"] = True
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def open_trial(path: str | Path) -> Trial:
    """Reads a trial. Raises `ValueError`, in one sentence, for any other or damaged file."""
    path = Path(path)
    with opened(path, KIND, FORMAT) as file:
        names = ("categories", "doses", "values", "result", "control", "women")
        return Trial(
            path=path,
            drugs=tuple(file["drugs"].asstr()[:]),
            end_points=tuple(file["end_points"].asstr()[:]),
            provenance=json.loads(file.attrs["provenance"]),
            **{name: file[name][:] for name in names},
        )
