"""The files of a beating heart: HDF5, and shapes for ParaView."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from training._heart_ecg import Excited
from training.activation.model import APD
from training.datasets import USE, versions
from training.heart_case import HeartCase
from training.heart_run import MEANS, UNITS, HeartRun
from training.mechanics_run import DIRECTIONS
from twinjax.electro import ELECTRODES, LEADS
from twinjax.geometry import SEGMENTS
from twinjax.observables import WAVEFORMS


def write_heart_run(run: HeartRun, case: HeartCase, path: Path) -> None:
    """Writes an HDF5 file of the kind `heart`: every dataset has its unit."""
    wall = run.made.wall
    elements = wall.elements
    provenance = {
        "case": case.text,
        "versions": versions(),
        "context_of_use": USE,
        "notes": list(run.notes),
        "wall_s": run.seconds,
        "failure": run.failure,
    }
    with h5py.File(path, "w") as file:
        file.attrs["twinjax_kind"] = "heart"
        file.attrs["format"] = 1
        file.attrs["energy"] = case.table.heart.energy
        file.attrs["cell"] = case.table.heart.cell
        file.attrs["complete"] = run.failure is None
        file.attrs["provenance"] = json.dumps(provenance)

        def put(name: str, values: Any, unit: str) -> None:
            file.create_dataset(name, data=values, compression="gzip" if np.ndim(values) else None)
            file[name].attrs["unit"] = unit

        put("time", run.times, "ms")
        for name, wave in run.waves.items():
            put(f"waveforms/{name}", wave, WAVEFORMS[name].unit)
        for name, unit in MEANS.items():
            put(f"wall/{name}", run.means[name], unit)
        file.create_group("scalars", track_order=True)
        for name, value in run.scalars.items():
            put(f"scalars/{name}", value, UNITS[name])
        put("mesh/points", np.asarray(elements.points), "mm")
        put("mesh/cells", np.asarray(elements.cells), "1")
        put("mesh/facets", elements.facets, "1")
        put("mesh/facet_tags", elements.facet_tags, "1")
        put("mesh/fibres", np.asarray(wall.frames[..., 0]), "1")
        put("shapes/time", run.moments, "ms")
        put("shapes/points", run.points, "mm")
        if run.excited is not None:
            _put_ecg(file, put, run.excited)
        if run.strain is not None:
            for number, name in enumerate(DIRECTIONS):
                put(f"strain/{name}", run.strain[:, number], "1")
            file["strain"].attrs["segments"] = json.dumps(list(SEGMENTS.values()))
            file["strain"].attrs["measure"] = "Green's, from the wall at rest, at shapes/time"


def _put_ecg(file: h5py.File, put: Callable[[str, Any, str], None], excited: Excited) -> None:
    """Of a beat, whose start times are counted from."""
    put("mesh/activation", excited.nodal, "ms")
    put("ecg/time", excited.times, "ms")
    put("ecg/values", excited.leads, "mV")
    file["ecg/values"].attrs["leads"] = json.dumps(LEADS)
    put("ecg/electrodes", excited.electrodes, "mm")
    file["ecg/electrodes"].attrs["names"] = json.dumps(ELECTRODES)
    put("ecg/apd", excited.apd, "ms")
    file["ecg/apd"].attrs["names"] = json.dumps(APD)
    put("ecg/qrs_duration", excited.qrs, "ms")


def write_heart_series(run: HeartRun, path: Path) -> None:
    """The shapes for ParaView, with displacements from rest and activation; times in ms."""
    from twinjax.io import write_series

    elements = run.made.wall.elements
    moved = run.points - np.asarray(elements.points)[None]
    cells = np.asarray(elements.cells)
    fields = {"displacement": moved}
    if run.excited is not None:
        fields["activation"] = np.tile(run.excited.nodal, (len(moved), 1))
    write_series(path, run.moments, run.points, cells, point_data=fields)
