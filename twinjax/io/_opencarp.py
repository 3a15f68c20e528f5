"""Meshes of openCARP: .pts, .elem, .lon, .surf and .vtx, in text, and data in .igb.

    .pts    count, then x y z [µm] a line
    .elem   count, then `Tt a b c d tag` a line (`Hx` with eight nodes)
    .lon    1 or 2, then the fibre, and the sheet if 2, of each element
    .surf   count, then `Tr a b c` a line (`Qd` with four nodes), and a tag that is our addition
    .vtx    count, `intra` or `extra`, then a node a line

Format: openCARP user's manual, chapter on file formats, opencarp.org.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num

_CORNERS = {"Tt": 4, "Hx": 8, "Tr": 3, "Qd": 4}
# openCARP goes around the upper face of a hexahedron the other way than VTK.
_HEX = [0, 1, 2, 3, 4, 7, 6, 5]
_IGB_TYPES = {
    "byte": "u1",
    "char": "i1",
    "short": "i2",
    "int": "i4",
    "long": "i8",
    "float": "f4",
    "double": "f8",
    "vec3f": "f4",
    "vec9f": "f4",
}
_IGB_COMPONENTS = {"vec3f": 3, "vec9f": 9}
_IGB_HEADER = 1024


def read_carp(path: Path) -> dict[str, Any]:
    """Points, cells, regions, facets, tags and fibre axes of the files of one stem."""
    stem = path.with_suffix("")
    points = _table(stem.with_suffix(".pts"), 3)
    volumes: dict[str, list[list[int]]] = {}
    regions: list[int] = []
    surface = _Facets()
    for line, kind, numbers in _elements(stem.with_suffix(".elem")):
        corners = _CORNERS[kind]
        tag = numbers[corners] if len(numbers) > corners else 0
        if len(numbers) < corners:
            raise ValueError(f"line {line} of {stem.name}.elem has too few nodes for '{kind}'")
        if kind in ("Tr", "Qd"):
            surface.add(numbers[:corners], tag)
        else:
            volumes.setdefault(kind, []).append(numbers[:corners])
            regions.append(tag)
    if len(volumes) != 1:
        found = " and ".join(sorted(volumes)) or "no volume elements"
        raise ValueError(f"{stem.name}.elem has {found}; valid: Tt alone, or Hx alone")
    ((kind, rows),) = volumes.items()
    cells = np.array(rows, np.int32)
    if kind == "Hx":
        cells = _vtk_order(points, cells)
    if stem.with_suffix(".surf").is_file():
        for _, kind, numbers in _elements(stem.with_suffix(".surf")):
            corners = _CORNERS[kind]
            surface.add(numbers[:corners], numbers[corners] if len(numbers) > corners else 1)
    axes = None
    if stem.with_suffix(".lon").is_file():
        axes = _fibres(stem.with_suffix(".lon"), len(cells))
    return {
        "points": points,
        "cells": cells,
        "regions": np.array(regions, np.int32),
        "facets": surface.facets,
        "tags": surface.tags,
        "axes": axes,
    }


def write_carp(
    path: Path,
    points: np.ndarray,
    cells: np.ndarray,
    regions: np.ndarray,
    facets: np.ndarray,
    tags: np.ndarray,
    frames: np.ndarray | None,
) -> None:
    """Writes .pts, .elem and, where there is something to write, .surf and .lon."""
    stem = path.with_suffix("")
    np.savetxt(stem.with_suffix(".pts"), points, "%.12g", header=str(len(points)), comments="")
    kind = "Tt" if cells.shape[1] == 4 else "Hx"
    rows = cells if kind == "Tt" else cells[:, _HEX]
    _write_elements(stem.with_suffix(".elem"), kind, rows, regions)
    if len(facets):
        kind = "Tr" if facets.shape[1] == 3 else "Qd"
        _write_elements(stem.with_suffix(".surf"), kind, facets, tags)
    if frames is not None:
        axes = np.concatenate([frames[:, :, 0], frames[:, :, 1]], axis=1)
        np.savetxt(stem.with_suffix(".lon"), axes, "%.12g", header="2", comments="")


def read_vtx(path: str | Path) -> Int[np.ndarray, " node"]:
    """The node numbers of a .vtx file. Raises `ValueError` if it is none."""
    words = Path(path).read_text("utf-8").split()
    try:
        count = int(words[0])
        first = 1 if words[1].lstrip("-").isdigit() else 2
        nodes = np.array([int(word) for word in words[first:]], np.int32)
    except (IndexError, ValueError):
        raise ValueError(f"{path} is no list of nodes (.vtx)") from None
    if len(nodes) != count:
        raise ValueError(f"{path} announces {count} nodes and has {len(nodes)}")
    return nodes


def vtx_text(nodes: Int[np.ndarray, " node"]) -> str:
    """What a .vtx file of these nodes says."""
    return "\n".join([str(len(nodes)), "extra", *(str(int(node)) for node in nodes)]) + "\n"


def read_igb(path: str | Path) -> tuple[Num[np.ndarray, "..."], dict[str, str]]:
    """The values (time, node) or (time, node, component) of an .igb file, and its header.

    The header's `fac_t` and `dim_t` give the step and the length of time, `unites` the unit;
    `facteur` and `zero` are applied to the values. Raises `ValueError` for other files.
    """
    raw = Path(path).read_bytes()
    text = raw[:_IGB_HEADER].decode("latin-1")
    header = dict(re.findall(r"(\w+):(\S+)", text))
    kind = header.get("type", "")
    if len(raw) < _IGB_HEADER or "x" not in header or kind not in _IGB_TYPES:
        choices = ", ".join(_IGB_TYPES)
        raise ValueError(f"{path} has no header of an .igb file with a type among {choices}")
    order = ">" if header.get("systeme", "little_endian") == "big_endian" else "<"
    shape = [int(header.get(axis, "1")) for axis in ("t", "z", "y", "x")]
    components = _IGB_COMPONENTS.get(kind, 1)
    values = np.frombuffer(raw, order + _IGB_TYPES[kind], offset=_IGB_HEADER)
    nodes = shape[1] * shape[2] * shape[3]
    if values.size != shape[0] * nodes * components:
        raise ValueError(
            f"{path} has {values.size} values, but its header announces "
            f"{shape[0]} times of {nodes * components}"
        )
    values = values.astype(_IGB_TYPES[kind])
    factor, zero = float(header.get("facteur", 1)), float(header.get("zero", 0))
    if factor != 1 or zero != 0:
        values = factor * values + zero
    times = (shape[0], nodes) if components == 1 else (shape[0], nodes, components)
    return values.reshape(times), header


def igb_bytes(values: Float[np.ndarray, "time node *component"], step: float, unit: str) -> bytes:
    """An .igb file of single precision; `step` [ms] is the time between rows."""
    count, nodes = values.shape[:2]
    kind = {(): "float", (3,): "vec3f", (9,): "vec9f"}.get(values.shape[2:])
    if kind is None:
        raise ValueError(f"an .igb file holds 1, 3 or 9 components, not {values.shape[2:]}")
    lines: Sequence[str] = (
        f"x:{nodes} y:1 z:1 t:{count} type:{kind} systeme:little_endian",
        f"org_t:0 dim_t:{step * max(count - 1, 0):g} fac_t:{step:g}",
        f"unites_x:um unites_y:um unites_z:um unites_t:ms unites:{unit or '1'}",
        "facteur:1 zero:0",
    )
    text = " \r\n".join(lines) + " \r\n"
    header = text.encode("latin-1").ljust(_IGB_HEADER - 1) + b"\f"
    return header + values.astype("<f4").tobytes()


class _Facets:
    """Facets in the order of their lines; all of one kind."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []
        self.labels: list[int] = []

    def add(self, nodes: list[int], tag: int) -> None:
        if self.rows and len(nodes) != len(self.rows[0]):
            raise ValueError("triangles and quadrilaterals are mixed, which a mesh cannot have")
        self.rows.append(nodes)
        self.labels.append(tag)

    @property
    def facets(self) -> np.ndarray | None:
        return np.array(self.rows, np.int32) if self.rows else None

    @property
    def tags(self) -> np.ndarray | None:
        return np.array(self.labels, np.int32) if self.rows else None


def _table(path: Path, columns: int) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    with path.open(encoding="utf-8") as file:
        try:
            count = int(file.readline())
            table = np.loadtxt(file, ndmin=2, max_rows=count)
        except ValueError:
            told = f"a count, then {columns} numbers a line"
            raise ValueError(f"{path} is truncated or of another format: not {told}") from None
    if table.shape != (count, columns):
        raise ValueError(f"{path} announces {count} rows of {columns} and has {table.shape}")
    return table


def _fibres(path: Path, count: int) -> np.ndarray:
    with path.open(encoding="utf-8") as file:
        axes = file.readline().split()
    first = int(axes[0]) if len(axes) == 1 and axes[0].isdigit() else 0
    table = np.loadtxt(path, skiprows=1 if first else 0, ndmin=2)
    if len(table) != count or table.shape[1] not in (3, 6):
        raise ValueError(f"{path} has fibres of shape {table.shape} for {count} cells")
    return table


def _elements(path: Path) -> list[tuple[int, str, list[int]]]:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    lines = path.read_text("utf-8").splitlines()
    found = []
    for number, line in enumerate(lines[1:], 2):
        kind, *words = line.split() or [""]
        if not kind:
            continue
        if kind not in _CORNERS:
            choices = ", ".join(_CORNERS)
            raise ValueError(f"line {number} of {path} has the element '{kind}', not {choices}")
        try:
            found.append((number, kind, [int(word) for word in words]))
        except ValueError:
            raise ValueError(f"line {number} of {path} has a node that is no number") from None
    if not lines or not lines[0].strip().isdigit() or int(lines[0]) != len(found):
        raise ValueError(f"{path} is truncated: it announces other than its {len(found)} elements")
    return found


def _write_elements(path: Path, kind: str, rows: np.ndarray, tags: np.ndarray) -> None:
    lines = [str(len(rows))]
    lines += [
        f"{kind} {' '.join(map(str, row))} {tag}"
        for row, tag in zip(rows.tolist(), tags.tolist(), strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _vtk_order(points: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """In VTK's order of nodes, whichever of the two a program has written."""
    # The edges 4-5 and 0-1 run alongside each other in VTK's order only.
    a, b, c, d = (points[cells[:, i]] for i in (0, 1, 4, 5))
    alongside = np.einsum("ij,ij->i", b - a, d - c)
    across = np.einsum("ij,ij->i", b - a, points[cells[:, 7]] - c)
    return cells if alongside.sum() >= across.sum() else cells[:, _HEX]
