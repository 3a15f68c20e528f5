"""A person's ventricles from files: mesh, surfaces, fibres, electrodes."""

import csv
import dataclasses
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field, FiniteFloat

from training._toml import Strict, read_text
from twinjax import geometry
from twinjax._names import unknown_name
from twinjax.electro import ELECTRODES
from twinjax.geometry import Mesh, Surface
from twinjax.io import read_mesh

_ALIASES = {"R": "RA", "L": "LA", "F": "LL", "LF": "LL"}
_SURFACES = {surface.name.lower(): surface for surface in Surface}


class AnatomyTable(Strict):
    """The table `[anatomy]` of a case.

    `mesh` is a file of volumes in `unit`; `regions` keeps cells with these tags only. `surfaces`
    gives the facet tag (or tags) of base, epi, lv_endo and rv_endo, which are otherwise found. A
    mesh with shorter edges is coarsened to edges of about `spacing` [mm].
    Fibres are those of the file where it has any, else by rule with the angles `helix` [deg] of
    endocardium and epicardium. `electrodes` is a file (JSON or CSV, in mm) of nine positions.
    """

    mesh: str
    unit: Literal["µm", "um", "mm", "cm", "m"] | None = None
    regions: list[int] | None = None
    surfaces: dict[str, int | list[int]] | None = None
    spacing: Annotated[FiniteFloat, Field(gt=0)] | None = None
    fibres: Literal["file", "rule"] | None = None
    helix: tuple[float, float] = Field(default=(40.0, -50.0))
    electrodes: str | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Anatomy:
    """Tetrahedra [mm] with tagged surfaces and frames.

    `electrodes` (9, 3) [mm] are in the order of `twinjax.electro.ELECTRODES`, or nothing; `notes`
    say what was found, made or doubtful.
    """

    mesh: Mesh
    coordinates: geometry.Coordinates
    electrodes: Float[np.ndarray, "9 3"] | None
    notes: tuple[str, ...]


def load_anatomy(table: AnatomyTable, folder: Path) -> Anatomy:
    """Reads the files that a table names, relative to `folder`.

    Inverted cells are turned, repeated cells, lone nodes and small parts dropped, and told in
    the notes. Raises `ValueError` for files that are absent or damaged, meshes beyond repair, and
    surfaces that are neither tagged nor to be found.
    """
    name, notes = table.mesh, list[str]()
    mesh = read_mesh(folder / table.mesh, table.unit).mesh
    if table.regions is not None:
        mesh, _ = geometry.extract(mesh, *table.regions)
    if mesh.kind != "tetrahedra":
        mesh = geometry.as_tetrahedra(mesh)
    notes.extend(f"{name}, mended: {problem}" for problem in geometry.inspect(mesh).problems)
    mesh, _, _ = geometry.repaired(mesh)
    report = geometry.inspect(mesh)
    if report.problems:
        raise ValueError(f"{name}: {report.problems[0]}")
    notes.extend(f"{name}: {doubt}" for doubt in report.doubts)
    mesh = _with_surfaces(mesh, table.surfaces, name, notes)
    if table.spacing is not None:
        mesh = geometry.coarsened(mesh, table.spacing)
        notes.append(f"{name}, coarsened: {len(mesh.points):,} nodes")
    if mesh.frames is None and table.fibres == "file":
        raise ValueError(f"{name} has no fibres: leave out fibres = 'file', to have them by rule")
    if mesh.frames is None or table.fibres == "rule":
        rule = geometry.FibreRule(helix_endo=table.helix[0], helix_epi=table.helix[1])
        mesh = geometry.with_fibres(mesh, rule)
        notes.append(f"fibres by rule: {table.helix[0]:g}° to {table.helix[1]:g}°")
    electrodes = None if table.electrodes is None else read_electrodes(folder / table.electrodes)
    return Anatomy(mesh, geometry.coordinates(mesh), electrodes, tuple(notes))


def read_electrodes(path: Path) -> Float[np.ndarray, "9 3"]:
    """Nine positions [mm] from JSON ({"V1": [x, y, z], …}) or CSV (name,x,y,z).

    RA, LA and LL may be called R, L and F. Raises `ValueError` for a position that is missing,
    twice there, no three numbers, or of an unknown name.
    """
    text = read_text(path)
    entries = _from_json(path, text) if path.suffix.lower() == ".json" else _from_csv(path, text)
    found: dict[str, list[float]] = {}
    for given, values in entries:
        name = _ALIASES.get(given.strip().upper(), given.strip().upper())
        if name not in ELECTRODES:
            raise ValueError(f"{path}: {unknown_name('electrode', given, ELECTRODES)}")
        if name in found:
            raise ValueError(f"{path}: electrode '{name}' is there twice")
        try:
            found[name] = [float(x) for x in values]
        except (TypeError, ValueError):
            raise ValueError(f"{path}: electrode '{name}' has no three coordinates") from None
        if len(found[name]) != 3 or not np.all(np.isfinite(found[name])):
            raise ValueError(f"{path}: electrode '{name}' has no three coordinates")
    missing = [name for name in ELECTRODES if name not in found]
    if missing:
        raise ValueError(f"{path}: no position for {', '.join(missing)}")
    return np.array([found[name] for name in ELECTRODES])


def _from_json(path: Path, text: str) -> list[tuple[str, Any]]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f'{path} is not of the form {{"V1": [x, y, z], …}}')
    return list(content.items())


def _from_csv(path: Path, text: str) -> list[tuple[str, Any]]:
    rows = list(csv.DictReader(io.StringIO(text)))
    wanted = {"name", "x", "y", "z"}
    if not rows or not wanted <= set(rows[0]):
        raise ValueError(f"{path} has no rows of the columns name,x,y,z")
    return [(row["name"] or "", [row[axis] for axis in "xyz"]) for row in rows]


def _with_surfaces(mesh: Mesh, tags: Mapping[str, int] | None, name: str, notes: list[str]) -> Mesh:
    if tags is not None:
        for surface in tags:
            if surface not in _SURFACES:
                raise ValueError(f"{name}: {unknown_name('surface', surface, _SURFACES)}")
        names = {
            tag: _SURFACES[surface]
            for surface, given in tags.items()
            for tag in (given if isinstance(given, list) else [given])
        }
        return geometry.with_surfaces(mesh, names)
    found = geometry.find_surfaces(mesh)
    counts = {s: int(np.sum(found.facet_tags == s)) for s in Surface}
    notes.append(
        "surfaces found: " + ", ".join(f"{s.name.lower()} {n} facets" for s, n in counts.items())
    )
    return found
