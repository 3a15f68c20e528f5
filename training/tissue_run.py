"""A tissue case from file to file: activation, repolarisation, potentials and the 12-lead ECG."""

import dataclasses
import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import numpy as np

from training._files import opened
from training._tissue_chunks import Chunks, Progress
from training._tissue_heart import (
    Heart,
    amplitudes,
    build_eikonal,
    build_heart,
    build_roots,
    build_stimuli,
    build_tissue,
    coarse,
    electrodes_for,
    place_regions,
)
from training.datasets import USE, versions
from training.tissue_case import TissueCase
from twinjax.electro import (
    LEADS,
    Conductivities,
    LeadField,
    Stimulus,
    activation_times,
    unbounded_lead_field,
)
from twinjax.geometry import Mesh, divided

_FINE = 3.0  # mean edge up to which an ECG of times is of the mesh itself [mm]
_WAVE = 60.0  # how long an upstroke of the eikonal model shows in the ECG [ms]


@dataclasses.dataclass(frozen=True, eq=False)
class TissueRun:
    """What a case gives, at the nodes of `heart.mesh`.

    Times [ms] are infinite where they did not come. `eikonal` are the times that started the
    reaction-eikonal model; `potentials` (time, node) [mV] and `ecg` (lead, time) [mV] belong to
    the times before them.
    """

    heart: Heart
    activation: np.ndarray
    repolarisation: np.ndarray | None
    eikonal: np.ndarray | None
    snapshots: np.ndarray
    potentials: np.ndarray
    ecg_times: np.ndarray
    ecg: np.ndarray | None
    notes: tuple[str, ...]
    seconds: float

    @property
    def reached(self) -> float:
        """The share of nodes that were activated."""
        return float(np.mean(np.isfinite(self.activation)))


def run_tissue_case(
    case: TissueCase, output: Path | None = None, progress: Progress | None = None
) -> TissueRun:
    """Runs a case; with an `output` what is done is kept beside it, and a killed run goes on.

    Raises `ValueError` for a case that does not fit its geometry, and for a run that fails.
    """
    began = time.perf_counter()
    told = progress or (lambda stage, done, total: None)
    told("geometry", 0, 1)
    with _named(case):
        heart = build_heart(case)
    notes = [*heart.notes, *filter(None, [coarse(case, heart)])]
    regions = place_regions(case, heart)
    wanted = case.table.output
    leads = None
    if wanted.ecg or (wanted.ecg is None and heart.tetrahedral):
        if not heart.tetrahedral:
            raise ValueError(f"{case.name}: output.ecg: an ECG needs a heart of tetrahedra")
        places, note = electrodes_for(heart)
        notes.append(note)
        leads = places
    times = None
    if case.table.tissue.activation is not None:
        times = _read_times(case, heart)
    elif case.equation != "monodomain":
        told("eikonal equation", 0, 1)
        with _named(case):
            tissue = build_eikonal(case, heart, regions)
        roots = build_roots(case, heart)
        times = np.asarray(activation_times(tissue, roots, throw=False))
        if not np.isfinite(times).all():
            lost = int(np.sum(~np.isfinite(times)))
            raise ValueError(f"{case.name}: the front does not reach {lost} of {len(times)} nodes")
    if case.equation == "eikonal":
        assert times is not None
        found = _of_times(case, heart, times, leads)
    else:
        found = _of_cells(case, heart, regions, times, leads, output, told)
    run = TissueRun(heart, **found, notes=tuple(notes), seconds=time.perf_counter() - began)
    if run.reached < 1:
        share = 100 * (1 - run.reached)
        note = f"{share:.1f} % of the nodes were not activated"
        run = dataclasses.replace(run, notes=(*run.notes, note))
    return run


@contextmanager
def _named(case: TissueCase) -> Iterator[None]:
    """What the library refuses is told with the name of the case."""
    try:
        yield
    except ValueError as error:
        if str(error).startswith(case.name):
            raise
        raise ValueError(f"{case.name}: {error}") from None


def _read_times(case: TissueCase, heart: Heart) -> np.ndarray:
    """The activation of another run on the same mesh."""
    path = case.folder / str(case.table.tissue.activation)
    with opened(path, "tissue", 1) as file:
        times, points = file["activation"][:], file["mesh/points"][:]
    own = np.asarray(heart.mesh.points)
    if points.shape != own.shape or not np.allclose(points, own, atol=1e-6):
        raise ValueError(f"{path} is of another mesh: {len(points)} nodes, not these {len(own)}")
    return times


def _field(mesh: Mesh, electrodes: np.ndarray) -> LeadField:
    conductivities = Conductivities()
    inside = conductivities.intracellular(jnp.asarray(mesh.frames))
    medium = conductivities.torso
    return unbounded_lead_field(
        mesh.points, mesh.cells, inside, electrodes, medium=medium
    ).twelve_leads()


def _of_times(
    case: TissueCase, heart: Heart, times: np.ndarray, electrodes: np.ndarray | None
) -> dict[str, Any]:
    """Everything from activation times and action potential durations."""
    wanted, repolarisation = case.table.output, None
    if wanted.apd is not None:
        assert heart.nodal_depth is not None
        endo, epi = wanted.apd
        repolarisation = times + endo + (epi - endo) * heart.nodal_depth
    last = times if repolarisation is None else repolarisation
    end = case.table.tissue.duration or math.ceil(last.max()) + _WAVE
    moments = np.arange(0.0, end + 1e-9, wanted.ecg_step)
    ecg = None
    if electrodes is not None:
        mesh, ends = heart.mesh, None
        if heart.spacing > _FINE:
            mesh, ends = divided(mesh)

        def finer(field: np.ndarray) -> jax.Array:
            return jnp.asarray(
                field if ends is None else np.concatenate([field, field[ends].mean(axis=1)])
            )

        recovered = None if repolarisation is None else finer(repolarisation)
        field = _field(mesh, electrodes)
        ecg = np.asarray(field.of_times(jnp.asarray(moments), finer(times), recovered))
    return {
        "activation": times,
        "repolarisation": repolarisation,
        "eikonal": None,
        "snapshots": np.empty(0),
        "potentials": np.empty((0, len(times))),
        "ecg_times": moments if ecg is not None else np.empty(0),
        "ecg": ecg,
    }


def _of_cells(
    case: TissueCase,
    heart: Heart,
    regions: Any,
    times: np.ndarray | None,
    electrodes: np.ndarray | None,
    output: Path | None,
    told: Progress,
) -> dict[str, Any]:
    """Everything from the monodomain equation, in chunks that are kept."""
    with _named(case):
        tissue, order = build_tissue(case, heart, regions)
    if times is None:
        stimuli = build_stimuli(case, heart, tissue, order, regions)
    else:
        cells = [case.cell(name) for name in regions.names]
        current = amplitudes(case, cells, tissue)
        stimuli = [Stimulus(np.ones(len(order), bool), current, start=times[order])]
    matrix = None
    if electrodes is not None:
        matrix = np.asarray(_field(heart.mesh, electrodes).matrix)[:, order]
    chunks = Chunks(case, tissue, matrix, output)
    solution = chunks.run(stimuli, told)
    count = len(heart.mesh.points)

    def on_mesh(values: Any) -> np.ndarray:
        whole_mesh = np.full((*np.shape(values)[:-1], count), np.inf)
        whole_mesh[..., order] = np.asarray(values, float)
        return whole_mesh

    seen = solution.observations
    snapshots, potentials, ecg_times, ecg = chunks.collected()
    return {
        "activation": on_mesh(seen.activation),
        "repolarisation": on_mesh(seen.repolarisation),
        "eikonal": times,
        "snapshots": snapshots,
        "potentials": on_mesh(potentials),
        "ecg_times": ecg_times,
        "ecg": ecg,
    }


def write_tissue_run(run: TissueRun, case: TissueCase, path: Path) -> None:
    """Writes an HDF5 file of the kind `tissue`: every dataset has its unit."""
    mesh = run.heart.mesh
    provenance = {
        "case": case.text,
        "versions": versions(),
        "context_of_use": USE,
        "notes": list(run.notes),
        "wall_s": run.seconds,
    }
    with h5py.File(path, "w") as file:
        file.attrs["twinjax_kind"] = "tissue"
        file.attrs["format"] = 1
        file.attrs["model"] = case.equation
        file.attrs["provenance"] = json.dumps(provenance)

        def put(name: str, values: Any, unit: str) -> None:
            file.create_dataset(name, data=values, compression="gzip" if np.size(values) else None)
            file[name].attrs["unit"] = unit

        put("mesh/points", np.asarray(mesh.points), "mm")
        put("mesh/cells", mesh.cells, "1")
        put("mesh/regions", mesh.regions, "1")
        put("mesh/facets", mesh.facets, "1")
        put("mesh/facet_tags", mesh.facet_tags, "1")
        for name in ("activation", "repolarisation", "eikonal"):
            if getattr(run, name) is not None:
                put(name, getattr(run, name), "ms")
        if len(run.snapshots):
            put("snapshots/time", run.snapshots, "ms")
            put("snapshots/potential", run.potentials.astype(np.float32), "mV")
        if run.ecg is not None:
            put("ecg/time", run.ecg_times, "ms")
            put("ecg/values", run.ecg, "mV")
            file["ecg/values"].attrs["leads"] = json.dumps(LEADS)


def write_vtu(run: TissueRun, path: Path) -> None:
    """Times and potentials at the nodes, for ParaView; NaN where a time did not come."""
    from twinjax.io import write_mesh

    data: dict[str, np.ndarray] = {}
    for name in ("activation", "repolarisation", "eikonal"):
        values = getattr(run, name)
        if values is not None:
            data[name] = np.where(np.isfinite(values), values, np.nan)
    digits = len(f"{run.snapshots[-1]:.0f}") if len(run.snapshots) else 1
    for moment, v in zip(run.snapshots, run.potentials, strict=True):
        data[f"V_{moment:0{digits}g}_ms"] = v
    write_mesh(run.heart.mesh, path, point_data=data)
