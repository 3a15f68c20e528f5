"""Shapes that change, for ParaView: a .vtu file of each, and the .pvd file that lists them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from jaxtyping import Float, Integer

from twinjax.io._quiet import quietly
from twinjax.io._staged import staged

_KINDS = {4: "tetra", 8: "hexahedron", 10: "tetra10", 27: "hexahedron27"}


def write_series(
    path: str | Path,
    times: Sequence[float] | np.ndarray,
    points: Float[np.ndarray, "time node 3"],
    cells: Integer[np.ndarray, "cell corner"],
    *,
    point_data: Mapping[str, np.ndarray] | None = None,
    cell_data: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes NAME.pvd and, beside it, NAME_0.vtu and so on, in the order of the times.

    Cells have 4, 8, 10 or 27 nodes in VTK's order, as those of
    [`Quadratic`][twinjax.mechanics.Quadratic]; data are (time, node, …) and (time, cell, …). All
    files are there or none. Raises `ValueError` for another ending, data that do not fit, or where
    meshio is not installed.
    """
    path = Path(path)
    if path.suffix.lower() != ".pvd":
        raise ValueError(f"cannot write '{path.name}' as a series; valid choices: .pvd")
    corners = cells.shape[1]
    if corners not in _KINDS:
        choices = ", ".join(map(str, _KINDS))
        raise ValueError(f"cells of {corners} nodes are not written; valid choices: {choices}")
    given = {"node": dict(point_data or {}), "cell": dict(cell_data or {})}
    sizes = {"node": points.shape[1], "cell": len(cells)}
    if len(points) != len(times):
        raise ValueError(f"{len(points)} shapes are given for {len(times)} times")
    for place, data in given.items():
        for name, values in data.items():
            if np.shape(values)[:2] != (len(times), sizes[place]):
                raise ValueError(
                    f"'{name}' has the shape {np.shape(values)}, not ({len(times)}, {sizes[place]})"
                )
    digits = len(str(len(times) - 1))
    names = [f"{path.stem}_{number:0{digits}d}.vtu" for number in range(len(times))]
    with staged(path) as temporary:
        for number, name in enumerate(names):
            at = temporary.with_name(name)

            def write(meshio: Any, at: Path = at, number: int = number) -> None:
                made = meshio.Mesh(
                    np.asarray(points[number], float),
                    [(_KINDS[corners], np.asarray(cells))],
                    point_data={k: np.asarray(v[number]) for k, v in given["node"].items()},
                    cell_data={k: [np.asarray(v[number])] for k, v in given["cell"].items()},
                )
                meshio.write(at, made, file_format="vtu")

            quietly(at, write)
        rows = [
            f'    <DataSet timestep="{float(time):.9g}" part="0" file={quoteattr(name)}/>'
            for time, name in zip(times, names, strict=True)
        ]
        head = '<VTKFile type="Collection" version="0.1" byte_order="LittleEndian">'
        text = ['<?xml version="1.0"?>', head, "  <Collection>", *rows, "  </Collection>"]
        temporary.write_text("\n".join([*text, "</VTKFile>", ""]), encoding="utf-8")
