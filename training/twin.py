"""A twin: the model, the posterior of a person's parameters, and where all of it came from."""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import os
import uuid
from pathlib import Path
from typing import Any

import h5py
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from training._files import opened
from twinjax import ParameterSpace, parameters_of
from twinjax.heart import ClosedLoop
from twinjax.io import Measurements, from_hdf5, to_hdf5
from twinjax.observables import OBSERVABLES, WAVEFORMS

KIND = "twin"
FORMAT = 1
USE = "research use; not for diagnosis or treatment"


@dataclasses.dataclass(frozen=True)
class Twin:
    """A person's heart as a distribution over parameters; what `twin.h5` holds.

    `draws` (m, n) and `mode` (n,) are in the units of `names`; `fixed` are all other parameters
    of the model. `scalars` (m,) and `waveforms` (m, samples) are predictions at the draws, by
    name as in `twinjax.observables`. `shrinkage` (n,) is each parameter's posterior over prior
    SD; `directions` the identifiability report. No name and no date of birth, ever.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    draws: Float[np.ndarray, "m n"]
    mode: Float[np.ndarray, " n"]
    shrinkage: Float[np.ndarray, " n"]
    fixed: dict[str, float]
    scalars: dict[str, np.ndarray]
    waveforms: dict[str, np.ndarray]
    measurements: Measurements
    directions: list[dict[str, Any]]
    diagnostics: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def model(self) -> ClosedLoop:
        """The model with its fixed parameters; `space.write(model, draw)` completes it."""
        values = {**self.fixed, **dict(zip(self.names, self.mode, strict=True))}
        space = ParameterSpace(ClosedLoop(), tuple(values))
        return space.write(ClosedLoop(), jnp.array(list(values.values())))

    @property
    def space(self) -> ParameterSpace:
        return ParameterSpace(ClosedLoop(), self.names)


def fixed_parameters(model: ClosedLoop, space: ParameterSpace) -> dict[str, float]:
    """The parameters of a model that a fit leaves as they are, by path."""
    others = [name for name in parameters_of(model) if name not in space.names]
    values = ParameterSpace(model, others).read(model)
    return {name: float(value) for name, value in zip(others, values, strict=True)}


def provenance(seed: int, **settings: Any) -> dict[str, Any]:
    """Versions, time, settings and context of use, for `Twin.provenance`."""
    packages = ("twinjax", "jax", "equinox", "optimistix", "blackjax", "numpy")
    return {
        "versions": {name: _version(name) for name in packages},
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "settings": settings,
        "context_of_use": USE,
        "consent_reference": "",
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
        return "not installed"


def save_twin(twin: Twin, path: str | Path) -> None:
    """Writes `twin.h5`, whole or not at all."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with h5py.File(temporary, "w") as file:
            file.attrs["twinjax_kind"] = KIND
            file.attrs["format"] = FORMAT
            for field in ("directions", "diagnostics", "provenance", "fixed"):
                file.attrs[field] = json.dumps(getattr(twin, field), allow_nan=False)
            file["names"] = list(twin.names)
            file["units"] = list(twin.units)
            for field in ("draws", "mode", "shrinkage"):
                file[field] = getattr(twin, field)
            for group in ("scalars", "waveforms"):
                known = OBSERVABLES if group == "scalars" else WAVEFORMS
                for name, values in getattr(twin, group).items():
                    file[f"{group}/{name}"] = values
                    file[f"{group}/{name}"].attrs["unit"] = known[name].unit
            to_hdf5(twin.measurements, file.create_group("measurements"))
            file.attrs["sha256"] = _content_hash(twin)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_twin(path: str | Path) -> Twin:
    """Reads `twin.h5`. Raises `ValueError`, in one sentence, for any other or damaged file."""
    path = Path(path)
    with opened(path, KIND, FORMAT) as file:
        data = {
            field: json.loads(file.attrs[field])
            for field in ("directions", "diagnostics", "provenance", "fixed")
        }
        twin = Twin(
            names=tuple(file["names"].asstr()[:]),
            units=tuple(file["units"].asstr()[:]),
            draws=file["draws"][:],
            mode=file["mode"][:],
            shrinkage=file["shrinkage"][:],
            scalars={name: d[:] for name, d in file["scalars"].items()},
            waveforms={name: d[:] for name, d in file["waveforms"].items()},
            measurements=from_hdf5(file["measurements"]),
            **data,
        )
        stored = file.attrs["sha256"]
    if stored != _content_hash(twin):
        raise ValueError(f"{path} is damaged: its draws do not match their checksum")
    return twin


def _content_hash(twin: Twin) -> str:
    digest = hashlib.sha256(json.dumps([twin.names, twin.fixed], sort_keys=True).encode())
    for array in (twin.draws, twin.mode):
        digest.update(np.ascontiguousarray(array, dtype=float).tobytes())
    return digest.hexdigest()
