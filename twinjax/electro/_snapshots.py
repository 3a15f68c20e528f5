"""Potentials in files while tissue runs: one file a time, each whole or absent."""

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from twinjax._solve import Solution
from twinjax.io._quiet import quietly
from twinjax.io._staged import staged

KINDS = (".h5", ".vtu")


def check_kind(path: Path) -> None:
    """Raises `ValueError` if snapshots cannot be written under this name."""
    if path.suffix.lower() not in KINDS:
        raise ValueError(
            f"snapshots cannot be written as '{path.name}'; valid endings: {', '.join(KINDS)}"
        )
    if path.suffix.lower() == ".vtu":
        quietly(path, lambda meshio: None)


def write_snapshot(path: Path, points: Any, step: float, solution: Solution) -> None:
    """Writes `NAME-00000400.vtu` (or `.h5`) for the end of a solution, after 400 steps.

    VTU has nodes as points in three dimensions, and is listed with its time in `NAME.pvd`.
    """
    points = np.asarray(points, float)
    steps = int(solution.stats["steps"])
    time, v = steps * step, np.asarray(solution.observations.potentials[-1])
    one = path.with_name(f"{path.stem}-{steps:08d}{path.suffix}")
    with staged(one) as temporary:
        if path.suffix.lower() == ".h5":
            with h5py.File(temporary, "w") as file:
                file.attrs["time"], file.attrs["unit of time"] = time, "ms"
                for name, values, unit in (("points", points, "mm"), ("potential", v, "mV")):
                    file.create_dataset(name, data=values).attrs["unit"] = unit
        else:
            quietly(one, lambda meshio: _vtu(meshio, temporary, points, v))
    if path.suffix.lower() == ".vtu":
        _list(path, step)


def _vtu(meshio: Any, path: Path, points: np.ndarray, v: np.ndarray) -> None:
    across = np.zeros((len(points), 3))
    across[:, : points.shape[1]] = points
    nodes = [("vertex", np.arange(len(points))[:, None])]
    meshio.Mesh(across, nodes, point_data={"potential": v}).write(path)


def _list(path: Path, step: float) -> None:
    """The collection that ParaView opens."""
    pattern = re.compile(re.escape(path.stem) + r"-(\d{8})" + re.escape(path.suffix))
    files = sorted(f.name for f in path.absolute().parent.iterdir() if pattern.fullmatch(f.name))
    rows = "".join(
        f'<DataSet timestep="{int(name[-12:-4]) * step:.10g}" file="{name}"/>\n' for name in files
    )
    with staged(path.with_suffix(".pvd")) as temporary:
        head, tail = (
            '<VTKFile type="Collection" version="0.1"><Collection>',
            "</Collection></VTKFile>",
        )
        temporary.write_text(f"{head}\n{rows}{tail}\n")
