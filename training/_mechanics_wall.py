"""What a case of mechanics is made of: elements, axes of the tissue, what holds them."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from training.anatomy import load_anatomy
from training.mechanics_case import CAVITIES, ENERGIES, SURFACES, MechanicsCase, WallPlan
from twinjax.geometry import FibreRule, Mesh, Surface, divided, inspect, segments
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


@dataclasses.dataclass(frozen=True, eq=False)
class Made:
    """A wall with its cavities by their endocardium, and what is told along: see `Built`."""

    wall: Wall
    cavities: tuple[str, ...]
    axes: Any
    segments: np.ndarray | None
    notes: tuple[str, ...]


def build(case: MechanicsCase) -> Built:
    """The wall of a case. Raises `ValueError` for files and surfaces that do not fit."""
    made = make_wall(case.wall)
    for name in case.pressure:
        if name not in made.cavities:
            valid = ", ".join(made.cavities) or "none"
            raise ValueError(f"the mesh has no surface '{name}'; valid choices: {valid}")
    load = Load(np.array([case.pressure.get(name, 0.0) for name in made.cavities]), case.tension)
    return Built(made.wall, load.on(made.wall), made.cavities, made.axes, made.segments, made.notes)


def make_wall(plan: WallPlan, viscosity: float = 0.0, *, degree: int = 5) -> Made:
    """A wall as planned, with a `viscosity` [kPa·ms].

    `degree` is that of the quadrature in the cells of a mesh from a file. Raises `ValueError` for
    files and surfaces that do not fit, and for a wall that is not held.
    """
    elements, frames, axes, number, notes = (
        _from_file(plan, degree) if plan.anatomy else _made(plan)
    )
    own = {k: v for k, v in plan.parameters.items() if k not in ("bulk", "local")}
    law = {"local": LOCAL} | {k: v for k, v in plan.parameters.items() if k not in own}
    there = {SURFACES[name]: name for name in CAVITIES if SURFACES[name] in elements.facet_tags}
    wall = Wall(
        elements,
        ENERGIES[plan.energy](**own),
        frames=frames,
        volume=QuadraticVolume(**law),
        fixed=elements.mask(*(SURFACES[name] for name in plan.fixed)),
        cavities=tuple(there),
        springs=[
            Springs(
                elements,
                SURFACES[spring.surface],
                stiffness=spring.stiffness,
                normal=spring.direction == "normal",
            )
            for spring in plan.springs
        ],
        viscosity=viscosity,
    )
    wall.check_held()
    return Made(wall, tuple(there.values()), axes, number, tuple(notes))


def _made(plan: WallPlan) -> tuple[Any, ...]:
    table = plan.geometry
    assert table is not None
    shape = Ellipsoid(table.endo, table.epi, table.base)
    if table.spacing is not None:
        elements = shape.tetrahedra(table.spacing, layers=table.layers)
    else:
        elements = shape.hexahedra(table.square, table.rings, table.layers, apex=table.apex)
    number = None if plan.septum is None else segments(corners_of(elements), plan.septum)
    frames = shape.frames(elements, *table.helix)
    return elements, frames, shape.frames(elements, 0.0, 0.0), number, []


def _from_file(plan: WallPlan, degree: int) -> tuple[Any, ...]:
    table = plan.anatomy
    assert table is not None
    read = read_mesh(plan.folder / table.mesh, table.unit).mesh
    report = inspect(read)
    # A mesh all of whose cells are mirrored is turned round; some among others are damage.
    if 0 < report.inverted < report.cells:
        raise ValueError(
            f"{table.mesh}: {report.inverted} of {report.cells} cells are inverted: mend the mesh, "
            "on an inverted cell no stress can be computed"
        )
    anatomy = load_anatomy(table, plan.folder)
    mesh, elements = anatomy.mesh, Quadratic(anatomy.mesh, degree=degree)
    notes = list(anatomy.notes)
    frames: Any
    if table.fibres == "rule" or read.frames is None:
        rule = FibreRule(helix_endo=table.helix[0], helix_epi=table.helix[1])
        # A right ventricle's wall may be one cell thick.
        thin = len(mesh.nodes(Surface.RV_ENDO)) > 0
        frames = (
            rule_axes(rule, mesh, elements)
            if thin
            else at_points(elements, rule.frames(mesh, at="nodes"))
        )
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
    if plan.septum is not None or len(mesh.nodes(Surface.RV_ENDO)):
        number = segments(mesh, plan.septum)
    return elements, frames, axes, number, notes


def rule_axes(rule: FibreRule, mesh: Mesh, elements: Quadratic) -> Float[np.ndarray, "cell q 3 3"]:
    """By rule, in the part of each cell, of eight, that is nearest to a point of quadrature.

    Where a wall is one cell thick, fibres at its nodes are 120° apart, and the shorter way between
    them, which interpolation would take, is not the rule's.
    """
    parts, _ = divided(mesh)
    centres = parts.centres().reshape(-1, 1, 8, 3)
    places = np.asarray(elements.at_quadrature(elements.points))[:, :, None]
    nearest = np.linalg.norm(places - centres, axis=3).argmin(axis=2)
    frames = np.asarray(rule.frames(parts)).reshape(-1, 8, 3, 3)
    return frames[np.arange(len(nearest))[:, None], nearest]


def corners_of(elements: Quadratic) -> Mesh:
    """The mesh of the corners of elements, with their tagged facets."""
    cells = np.asarray(elements.cells)
    corners, sides = (4, 3) if cells.shape[1] == 10 else (8, 4)
    facets = elements.facets[:, :sides]
    count = int(max(cells[:, :corners].max(), facets.max(initial=0))) + 1
    points = np.asarray(elements.points)[:count]
    return Mesh(points, cells[:, :corners], facets=facets, facet_tags=elements.facet_tags)
