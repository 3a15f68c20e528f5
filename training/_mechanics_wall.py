"""What a case of mechanics is made of: elements, axes of the tissue, what holds them."""

import dataclasses
from typing import Any

import numpy as np

from training.anatomy import load_anatomy
from training.mechanics_case import CAVITIES, ENERGIES, SURFACES, MechanicsCase
from twinjax.geometry import FibreRule, Mesh, Surface, inspect, segments
from twinjax.io import read_mesh
from twinjax.mechanics import (
    Ellipsoid,
    Load,
    Quadratic,
    QuadraticVolume,
    Springs,
    Wall,
    at_points,
)

LOCAL = 50.0  # of the law of volume unless it says [kPa]


@dataclasses.dataclass(frozen=True, eq=False)
class Built:
    """A wall, its whole load, axes around, along and across, and the segments of its cells."""

    wall: Wall
    load: Load
    cavities: tuple[str, ...]
    axes: Any
    segments: np.ndarray | None
    notes: tuple[str, ...]


def build(case: MechanicsCase) -> Built:
    """The wall of a case. Raises `ValueError` for files and surfaces that do not fit."""
    elements, frames, axes, number, notes = _from_file(case) if case.table.anatomy else _made(case)
    own = {k: v for k, v in case.parameters.items() if k not in ("bulk", "local")}
    law = {"local": LOCAL} | {k: v for k, v in case.parameters.items() if k not in own}
    there = {SURFACES[name]: name for name in CAVITIES if SURFACES[name] in elements.facet_tags}
    for name in case.pressure:
        if name not in there.values():
            valid = ", ".join(there.values()) or "none"
            raise ValueError(f"the mesh has no surface '{name}'; valid choices: {valid}")
    wall = Wall(
        elements,
        ENERGIES[case.table.mechanics.energy](**own),
        frames=frames,
        volume=QuadraticVolume(**law),
        fixed=_fixed(case, elements),
        cavities=tuple(there),
        springs=[
            Springs(
                elements,
                SURFACES[spring.surface],
                stiffness=spring.stiffness,
                normal=spring.direction == "normal",
            )
            for spring in case.table.springs
        ],
    )
    wall.check_held()
    load = Load(np.array([case.pressure.get(name, 0.0) for name in there.values()]), case.tension)
    return Built(wall, load.on(wall), tuple(there.values()), axes, number, tuple(notes))


def _fixed(case: MechanicsCase, elements: Quadratic) -> np.ndarray:
    return elements.mask(*(SURFACES[name] for name in case.table.fixed))


def _made(case: MechanicsCase) -> tuple[Any, ...]:
    table = case.table.geometry
    assert table is not None
    shape = Ellipsoid(table.endo, table.epi, table.base)
    if table.spacing is not None:
        elements = shape.tetrahedra(table.spacing, layers=table.layers)
    else:
        elements = shape.hexahedra(table.square, table.rings, table.layers, apex=table.apex)
    number = None
    if case.table.output.septum is not None:
        corners = 4 if table.spacing is not None else 8
        mesh = Mesh(
            elements.points,
            np.asarray(elements.cells)[:, :corners],
            facets=elements.facets[:, : 3 if corners == 4 else 4],
            facet_tags=elements.facet_tags,
        )
        number = segments(mesh, case.table.output.septum)
    frames = shape.frames(elements, *table.helix)
    return elements, frames, shape.frames(elements, 0.0, 0.0), number, []


def _from_file(case: MechanicsCase) -> tuple[Any, ...]:
    table = case.table.anatomy
    assert table is not None
    read = read_mesh(case.folder / table.mesh, table.unit).mesh
    report = inspect(read)
    # A mesh all of whose cells are mirrored is turned round; some among others are damage.
    if 0 < report.inverted < report.cells:
        raise ValueError(
            f"{table.mesh}: {report.inverted} of {report.cells} cells are inverted: mend the mesh, "
            "on an inverted cell no stress can be computed"
        )
    anatomy = load_anatomy(table, case.folder)
    mesh, elements = anatomy.mesh, Quadratic(anatomy.mesh)
    notes = list(anatomy.notes)
    frames: Any
    if table.fibres == "rule" or read.frames is None:
        rule = FibreRule(helix_endo=table.helix[0], helix_epi=table.helix[1])
        frames = at_points(elements, rule.frames(mesh, at="nodes"))
    else:
        assert mesh.frames is not None
        frames = np.asarray(mesh.frames)
        length = np.linalg.norm(frames[:, :, 0], axis=1)
        if not np.allclose(length, 1, atol=1e-3):
            bad = int(np.sum(np.abs(length - 1) > 1e-3))
            raise ValueError(
                f"{table.mesh}: the fibres of {bad} of {len(length)} cells are zero or no numbers: "
                "mend the file, or have fibres = 'rule'"
            )
    flat = FibreRule(helix_endo=0.0, helix_epi=0.0, sheet_endo=0.0, sheet_epi=0.0)
    axes = at_points(elements, flat.frames(mesh, at="nodes"))
    number = None
    if case.table.output.septum is not None or len(mesh.nodes(Surface.RV_ENDO)):
        number = segments(mesh, case.table.output.septum)
    return elements, frames, axes, number, notes
