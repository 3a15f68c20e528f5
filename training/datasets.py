"""Datasets: simulations over a box of parameters, resumable, with failed runs recorded."""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import h5py
import jax
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

import twinjax
from training._files import opened
from training._parts import Parts
from training._workers import worker_processes
from training.case import Case, parse_case
from twinjax import RESULTS, population
from twinjax.observables import OBSERVABLES, WAVEFORMS

KIND = "dataset"
FORMAT = 1
USE = "research use; not for diagnosis or treatment"
# Runs in one part. With sensitivities a part is about 36 MB.
_PART = 50
_PACKAGES = ("jax", "equinox", "numpy", "scipy", "h5py")


def versions() -> dict[str, str]:
    """Of twinjax, which may run without being installed, and of what it computes with."""
    return {
        "twinjax": twinjax.__version__,
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset in memory, all but its sensitivities, which `sensitivities()` reads by rows.

    `theta` (runs, n) in `units`; `result` (runs,) `RESULTS` codes; `scalars` (runs, 29) and
    `waveforms` (runs, 20, samples) in the order of `scalar_names` and `waveform_names`.
    """

    path: Path
    case: Case
    theta: Float[np.ndarray, "runs n"]
    result: Int[np.ndarray, " runs"]
    scalar_names: tuple[str, ...]
    waveform_names: tuple[str, ...]
    scalars: Float[np.ndarray, "runs scalars"]
    waveforms: Float[np.ndarray, "runs waves samples"]
    has_sensitivities: bool
    sha256: str
    provenance: dict[str, Any]

    @property
    def usable(self) -> Int[np.ndarray, " usable"]:
        """The rows that succeeded, everywhere finite."""
        finite = np.isfinite(self.waveforms).all((1, 2)) & np.isfinite(self.scalars).all(1)
        return np.flatnonzero(finite & (self.result == int(RESULTS.successful)))

    @property
    def failures(self) -> dict[str, int]:
        """How many runs failed, by reason."""
        codes, counts = np.unique(self.result[self.result != 0], return_counts=True)
        return {RESULTS(int(code)).message: int(n) for code, n in zip(codes, counts, strict=True)}

    def sensitivities(
        self, rows: Int[np.ndarray, " m"]
    ) -> tuple[Float[np.ndarray, "m waves samples n"], Float[np.ndarray, "m scalars n"]]:
        """d waveform / d theta and d scalar / d theta of some rows, in increasing order."""
        with h5py.File(self.path, "r") as file:
            group = file["sensitivities"]
            return group["waveforms"][rows], group["scalars"][rows]


def design(case: Case, runs: int, seed: int) -> Float[np.ndarray, "runs n"]:
    """A scrambled Sobol sequence in the box, in coordinates in which the prior is uniform.

    So the runs are spread evenly over the part of the prior that the box holds; a parameter
    without a prior is spread evenly over its interval.
    """
    sequence = qmc.Sobol(len(case.space), seed=seed)
    u = sequence.random_base2(max(0, (runs - 1).bit_length()))[:runs]
    return at_levels(case, u)


def at_levels(case: Case, u: Float[np.ndarray, "runs n"]) -> Float[np.ndarray, "runs n"]:
    """Parameters at levels from 0 to 1 of the prior inside the box; uniform levels draw from it."""
    to_z = jax.vmap(case.space.to_unconstrained)
    low, high = ndtr(np.asarray(to_z(case.box.T)))
    z = ndtri(low + u * (high - low))
    return np.asarray(jax.vmap(case.space.from_unconstrained)(z))


def make_dataset(
    case: Case,
    path: str | Path,
    runs: int | None = None,
    *,
    seed: int | None = None,
    sensitivities: bool | None = None,
    resume: bool = True,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Dataset:
    """Simulates a design over the case's box and writes it to an HDF5 file.

    A part of the runs at a time is committed to disk; after a kill at any instant the same call
    simulates exactly the missing parts, and the file is the one that an uninterrupted call would
    have made. A failed run is recorded with its parameters and `RESULTS` code. With
    `sensitivities` the exact derivatives of all waveforms and scalars with respect to the box's
    parameters are stored, by forward mode through the periodic beat, at about six times the cost
    of the beat.

    **Arguments:** `runs`, `seed` and `sensitivities` default to the case's; `workers` processes,
    each of which compiles (or loads) the solver by itself; `progress(done, total)` counts runs.

    Raises `ValueError` if there is nothing to vary, or `path` holds something else.
    """
    path = Path(path)
    table = case.table.dataset
    runs = table.runs if runs is None else runs
    seed = table.seed if seed is None else seed
    sensitivities = table.sensitivities if sensitivities is None else sensitivities
    _ = case.space  # refuses a case without a box, before anything is written
    if runs < 1:
        raise ValueError(f"a dataset needs at least one run, not {runs}")
    plan = {
        "format": FORMAT,
        "case": case.text,
        "runs": runs,
        "seed": seed,
        "sensitivities": sensitivities,
        "versions": versions(),
    }
    if path.exists():
        existing = open_dataset(path)
        if {key: existing.provenance.get(key) for key in plan} != plan:
            raise ValueError(
                f"{path} exists and was made from another case, seed, number of runs or version; "
                "remove it or give another name"
            )
        return existing
    if not path.absolute().parent.is_dir():
        raise ValueError(f"there is no folder {path.absolute().parent} to write {path.name} in")
    parts = Parts(path, plan, resume=resume)
    size = min(_PART, runs)
    count = -(-runs // size)
    theta = design(case, runs, seed)
    missing = [number for number in range(count) if not parts.has(number)]
    done = runs - sum(len(_rows(number, size, runs)) for number in missing)
    progress(done, runs)
    jobs = [
        (number, case.text, theta[_rows(number, size, runs)], size, sensitivities)
        for number in missing
    ]
    for number, arrays in _results(jobs, min(workers, len(jobs))):
        parts.save(number, arrays)
        done += len(arrays["theta"])
        progress(done, runs)
    _assemble(path, parts, count, plan, case)
    parts.remove()
    return open_dataset(path)


def _rows(number: int, size: int, runs: int) -> np.ndarray:
    return np.arange(number * size, min((number + 1) * size, runs))


def _results(jobs: list[tuple], workers: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    if workers <= 1:
        for job in jobs:
            yield job[0], _run(*job[1:])
        return
    with worker_processes(workers) as pool:
        yield from zip((job[0] for job in jobs), pool.map(_run_job, jobs), strict=True)


def _run_job(job: tuple) -> dict[str, np.ndarray]:
    return _run(*job[1:])


def _run(text: str, theta: np.ndarray, size: int, sensitivities: bool) -> dict[str, np.ndarray]:
    """One part. Padded to `size`, so that all parts run one program and give the same digits."""
    case = parse_case(text)
    simulator = case.simulator
    padded = np.concatenate([theta, np.repeat(theta[-1:], size - len(theta), axis=0)])
    what = _Differentiated(simulator) if sensitivities else simulator
    result = population(what, padded, chunk=size)
    result = jax.tree.map(lambda leaf: leaf[: len(theta)], result)
    seen, tangents = result if sensitivities else (result, None)
    arrays = {
        "theta": theta,
        "result": np.asarray(seen.result, dtype=np.int64),
        "scalars": np.stack([seen.scalars[name] for name in OBSERVABLES], axis=1),
        "waveforms": np.stack([seen.waveforms[name] for name in WAVEFORMS], axis=1),
    }
    if tangents is not None:
        scalars, waves = tangents
        arrays["scalars_by_theta"] = np.stack([scalars[name] for name in OBSERVABLES], axis=1)
        arrays["waveforms_by_theta"] = np.stack([waves[name] for name in WAVEFORMS], axis=1)
        # A run without finite derivatives would poison a training as much as one without values.
        finite = np.all(np.isfinite(arrays["scalars_by_theta"]), axis=(1, 2)) & np.all(
            np.isfinite(arrays["waveforms_by_theta"]), axis=(1, 2, 3)
        )
        broken = (arrays["result"] == RESULTS.successful) & ~finite
        arrays["result"] = np.where(broken, int(RESULTS.nonfinite), arrays["result"])
    for name in ("scalars_by_theta", "waveforms_by_theta", "waveforms"):
        if name in arrays:
            arrays[name] = arrays[name].astype(np.float32 if "_by_" in name else np.float64)
    return arrays


class _Differentiated(eqx.Module):
    """Observations, and their derivatives with respect to the parameters."""

    simulator: Any

    def __call__(self, theta: Float[Array, " n"]) -> tuple[Any, Any]:
        def run(theta: Array) -> tuple[Any, Any]:
            seen = self.simulator(theta)
            return (seen.scalars, seen.waveforms), seen

        tangents, seen = jax.jacfwd(run, has_aux=True)(theta)
        return seen, tangents


def _assemble(path: Path, parts: Parts, count: int, plan: dict[str, Any], case: Case) -> None:
    # Beside the parts, so that nothing of a kill at this point outlives the next run.
    temporary = parts.folder / "assembled.tmp"
    runs = plan["runs"]
    try:
        with h5py.File(temporary, "w", libver="latest") as file:
            file.attrs["twinjax_kind"] = KIND
            file.attrs["format"] = FORMAT
            file.attrs["provenance"] = json.dumps({**plan, "context_of_use": USE})
            file.attrs["case_sha256"] = case.sha256
            file["names"] = list(case.space.names)
            file["units"] = list(case.space.units)
            file["box"] = case.box
            for group, known in (("scalar", OBSERVABLES), ("waveform", WAVEFORMS)):
                file[f"{group}_names"] = list(known)
                file[f"{group}_units"] = [row.unit for row in known.values()]
            start = 0
            for number in range(count):
                arrays = parts.load(number)
                for name, values in arrays.items():
                    place = f"sensitivities/{name.removesuffix('_by_theta')}"
                    place = place if name.endswith("_by_theta") else name
                    if number == 0:
                        file.create_dataset(place, (runs, *values.shape[1:]), values.dtype)
                    file[place][start : start + len(values)] = values
                start += len(arrays["theta"])
            file.attrs["failed"] = int(np.sum(file["result"][:] != 0))
            file.attrs["complete"] = True
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def open_dataset(path: str | Path) -> Dataset:
    """Reads a dataset. Raises `ValueError`, in one sentence, for any other or damaged file."""
    path = Path(path)
    with opened(path, KIND, FORMAT) as file:
        provenance = json.loads(file.attrs["provenance"])
        arrays = {name: file[name][:] for name in ("theta", "result", "scalars", "waveforms")}
        names = tuple(file["names"].asstr()[:])
        scalar_names = tuple(file["scalar_names"].asstr()[:])
        waveform_names = tuple(file["waveform_names"].asstr()[:])
        has = "sensitivities" in file
    case = parse_case(provenance["case"], f"the case in {path}")
    if names != case.space.names:
        raise ValueError(f"{path} is damaged: its parameters are not those of its case")
    return Dataset(
        path=path,
        case=case,
        scalar_names=scalar_names,
        waveform_names=waveform_names,
        has_sensitivities=has,
        sha256=_digest(arrays),
        provenance=provenance,
        **arrays,
    )


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
