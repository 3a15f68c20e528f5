"""The wall of a beating heart: its ventricles, its shape at rest, its sarcomeres."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from training._mechanics_wall import Made, corners_of, make_wall
from training.heart_case import LEFT, RIGHT, HeartCase
from twinjax.cells import Land2017
from twinjax.geometry import Mesh, fields
from twinjax.mechanics import Load, Wall, carried, unload
from twinjax.units import factor

_DEGREE = 2  # of the quadrature in tetrahedra, 4 points, as in the experiments' hearts
CHAMBERS = {"lv_endo": LEFT, "rv_endo": RIGHT}
_FREE_WALL = 0.9  # share of the right cavity's field from which a cell is in it; a septum has less


def make_heart(case: HeartCase) -> Made:
    """The wall as the case has it.

    Raises `ValueError` where it does not fit, and for words on a right ventricle of a wall that has
    none, or on a lumped one of a wall that is it.
    """
    made, table = make_wall(case.wall, case.viscosity, degree=_DEGREE), case.table
    if RIGHT in chambers_of(made):
        for parameter in table.circulation:
            if parameter.startswith(f"{RIGHT}."):
                raise ValueError(
                    f"[circulation]: {parameter} is not asked for: the wall is the right "
                    "ventricle too"
                )
        return made
    given = {"heart.start_right": table.heart.start_right, "tension.right": case.right}
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"{name} is not asked for: the wall has no right ventricle (no surface rv_endo)"
            )
    return made


def chambers_of(made: Made) -> tuple[str, ...]:
    """The chambers that have walls, in the order of the wall's cavities."""
    return tuple(CHAMBERS[name] for name in made.cavities)


def pressures_of(case: HeartCase, chambers: tuple[str, ...]) -> Float[np.ndarray, " cavity"]:
    """In chambers with walls as the beats begin [mmHg]."""
    begun = {LEFT: case.start, RIGHT: case.start_right}
    return np.array([begun[name] for name in chambers])


def told_pressures(case: HeartCase, chambers: tuple[str, ...]) -> str:
    """The same in words."""
    words = f"the {case.start:g} mmHg of heart.start"
    if RIGHT in chambers:
        words += f" and {case.start_right:g} mmHg of heart.start_right"
    return words


def unloaded(
    case: HeartCase, made: Made, progress: Callable[[float], Any]
) -> dict[str, np.ndarray]:
    """The shape at rest of a wall that was imaged under the pressures with which beats begin.

    `progress` is told the share that is done. **Returns:** the `points` [mm] at rest, and there the
    `frames` of the tissue and the `axes` around, along and across. Raises `ValueError` where no
    such shape is found.
    """
    chambers = chambers_of(made)
    load = Load(factor("mmHg", "kPa") * pressures_of(case, chambers))
    done = unload(made.wall, load, progress=progress, throw=False)
    if not done.ok:
        share = 100 * float(done.stats["load"])
        raise ValueError(
            f"{case.name}: the mesh has no shape at rest under {told_pressures(case, chambers)}, "
            f"of which {share:.3g} % could be taken off: lower them, take a stiffer energy, or say "
            "imaged = false if it is at rest"
        )
    rest = done.state.wall
    image = eqx.tree_at(lambda wall: wall.frames, made.wall, jnp.asarray(made.axes))
    axes = carried(image, rest.elements.points - image.elements.points).frames
    found = {"points": rest.elements.points, "frames": rest.frames, "axes": axes}
    return {name: np.asarray(value) for name, value in found.items()}


def at_rest(made: Made, found: dict[str, np.ndarray]) -> Made:
    """A wall that was imaged, in the shape that `unloaded` found."""
    wall = eqx.tree_at(
        lambda wall: (wall.elements.points, wall.frames),
        made.wall,
        (jnp.asarray(found["points"]), jnp.asarray(found["frames"])),
    )
    volumes = zip(made.cavities, _volumes(made.wall), _volumes(wall), strict=True)
    told = ", ".join(f"{name} {image:.3g} and {rest:.3g} mL" for name, image, rest in volumes)
    notes = (*made.notes, f"cavities as imaged and at rest: {told}")
    return dataclasses.replace(made, wall=wall, axes=jnp.asarray(found["axes"]), notes=notes)


def _volumes(wall: Wall) -> Float[np.ndarray, " cavity"]:
    """Of the cavities [mL]."""
    return factor("mm3", "mL") * np.asarray(wall.volumes(jnp.zeros_like(wall.elements.points)))


def sarcomeres(case: HeartCase, made: Made) -> Land2017:
    """Those of the case, in the right ventricle's free wall with its share of the tension."""
    if case.right is None:
        return case.tension
    share = np.where(right_free_wall(corners_of(made.wall.elements)), case.right, 1.0)[:, None]
    return eqx.tree_at(lambda model: model.t_ref, case.tension, case.tension.t_ref * share)


def right_free_wall(mesh: Mesh) -> Bool[np.ndarray, " cell"]:
    """Cells that lie between the right endocardium and the epicardium."""
    solved = fields(mesh)
    left, right = (np.asarray(f)[mesh.cells].mean(axis=1) for f in (solved.left, solved.right))
    return right > _FREE_WALL * (left + right)
