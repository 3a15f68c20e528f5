"""Where a run of tissue has come to, in one HDF5 file that is whole or absent."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import numpy as np

from twinjax._results import RESULTS
from twinjax._solve import Solution
from twinjax.electro._propagate import Propagation
from twinjax.electro._tissue import Tissue
from twinjax.io._staged import staged

_FORMAT, _VERSION = "twinjax-tissue-run", 1


def marks(tissue: Tissue, **others: Any) -> dict[str, str]:
    """Digests of all that a run's numbers depend on, by what each is of."""
    fields = dict(_contents(tissue))
    mesh, cells = fields.pop("grid"), fields.pop("cells")
    whole = {"mesh": mesh, "cell models": cells, "conduction": fields, **others}
    return {name: _digest(part) for name, part in whole.items()}


def save(path: Path, solution: Solution, found: dict[str, str]) -> None:
    """Writes the end of a run beside `path`, then moves it there."""
    with staged(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"], file.attrs["version"] = _FORMAT, _VERSION
        file.attrs["steps"] = int(solution.stats["steps"])
        file.attrs["substeps"] = int(solution.stats["substeps"])
        file.attrs["time"], file.attrs["unit of time"] = float(solution.times[-1]), "ms"
        for name, digest in found.items():
            file.attrs[f"digest of {name}"] = digest
        file["activation"] = np.asarray(solution.observations.activation)
        file["repolarisation"] = np.asarray(solution.observations.repolarisation)
        for number, part in enumerate(solution.state):
            for field, values in part._asdict().items():
                file[f"state/{number}/{field}"] = np.asarray(values)


def load(path: Path, tissue: Tissue, wanted: dict[str, str]) -> Solution:
    """The end of the run in a file, to go on after.

    Raises `ValueError` for a file that is no checkpoint or is damaged, and for one of another run.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != _FORMAT:
                raise ValueError(
                    f"{path} is no checkpoint of tissue; give another name, or move it"
                )
            if int(file.attrs["version"]) > _VERSION:
                raise ValueError(
                    f"{path} is of version {file.attrs['version']}, but this twinjax reads "
                    f"version {_VERSION}: update twinjax"
                )
            found = {name: str(file.attrs[f"digest of {name}"]) for name in wanted}
            other = [name for name in wanted if found[name] != wanted[name]]
            if other:
                raise ValueError(
                    f"{path} is of a run with other {' and '.join(other)}: give what that run "
                    "had, or remove the file to begin anew"
                )
            return _read(file, tissue)
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged or no checkpoint of tissue; remove it to begin anew"
        ) from error


def _read(file: h5py.File, tissue: Tissue) -> Solution:
    def array(name: str) -> Any:
        dataset: Any = file[name]
        return jnp.asarray(dataset[:])

    kinds = [type(part) for part in tissue.initial_state()]
    state = tuple(
        kind(*(array(f"state/{number}/{field}") for field in kind._fields))
        for number, kind in enumerate(kinds)
    )
    v = state[0].v if len(state) == 1 else jnp.concatenate([part.v for part in state])
    times = jnp.asarray(file.attrs["time"], v.dtype)[None]
    seen = Propagation(
        array("activation"), array("repolarisation"), v[None], jnp.zeros((0, 0), v.dtype)
    )
    stats = {name: jnp.asarray(int(file.attrs[name]), int) for name in ("steps", "substeps")}
    return Solution(times, seen, state, stats, jnp.asarray(int(RESULTS.successful)))


def _contents(value: Any) -> list[tuple[str, Any]]:
    return [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]


def _digest(value: Any) -> str:
    found = hashlib.sha256()
    _feed(found, value)
    return found.hexdigest()


def _feed(found: Any, value: Any) -> None:
    """Names and numbers, all the way down; a cached property is no field."""
    if dataclasses.is_dataclass(value):
        found.update(type(value).__name__.encode())
        value = dict(_contents(value))
    if isinstance(value, dict):
        for name, part in value.items():
            found.update(str(name).encode())
            _feed(found, part)
    elif isinstance(value, list | tuple):
        found.update(f"{len(value)}".encode())
        for part in value:
            _feed(found, part)
    elif isinstance(value, jax.Array | np.ndarray | np.generic):
        array = np.asarray(value)
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    else:
        found.update(repr(value).encode())
