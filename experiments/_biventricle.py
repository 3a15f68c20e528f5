"""Both ventricles of a person that beat in a closed loop: the heart of an experiment.

The shape is that of crtdemo (Sahli Costabal's purkinje-learning), whose ventricles are cut well
below their valves: the left cavity holds 41 mL as imaged. It is taken for the shape at
end-diastole, and the circulation for one that moves so little blood at an adult's pressures.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from training._heart_wall import right_free_wall
from training._mechanics_wall import rule_axes
from training.heart_case import sized
from twinjax import equilibrate
from twinjax.geometry import (
    FibreRule,
    Mesh,
    Surface,
    coarsened,
    find_surfaces,
    repaired,
)
from twinjax.heart import CalciumTransient, ClosedLoop, WholeHeart
from twinjax.io import read_mesh
from twinjax.mechanics import Guccione, Load, Quadratic, QuadraticVolume, Wall, unload
from twinjax.units import factor

from ._shared import shared_path
from ._ventricle import ACTIVATED, EXPONENTS, HELIX, STIFFNESS, circulation, held, sarcomeres

FILE = "data/meshes/crtdemo_biv/crtdemo_mesh_oriented.vtk"
CHAMBERS = ("left_ventricle", "right_ventricle")
# Tension, of the experiments' left ventricle, and of the right one's free wall, of that: chosen.
# With all of it first beats reach 112 to 125 and 38 mmHg; with these values none was run.
TENSION, RIGHT = 0.8, 0.55


def biventricle(spacing: float, *, calcium: CalciumTransient) -> WholeHeart:
    """Of tetrahedra with edges of about `spacing` [mm], unloaded from end-diastole."""
    mesh = imaged(spacing)
    image = wall_of(mesh, STIFFNESS)
    held = image.volumes(jnp.zeros_like(image.elements.points))[0]
    loop, pressures = circulation_of(factor("mm3", "mL") * float(held))
    tension = sarcomeres()
    share = TENSION * jnp.where(right_free_wall(mesh), RIGHT, 1.0)[:, None]
    return WholeHeart(
        wall=unload(image, Load(factor("mmHg", "kPa") * pressures)).state.wall,
        tension=eqx.tree_at(lambda model: model.t_ref, tension, tension.t_ref * share),
        calcium=calcium,
        activation=sum(ACTIVATED) / 2,
        circulation=loop,
        chambers=CHAMBERS,
    )


def imaged(spacing: float) -> Mesh:
    """Both ventricles of a person, coarsened."""
    read = read_mesh(shared_path(FILE)).mesh
    return coarsened(find_surfaces(repaired(read)[0]), spacing)


def wall_of(mesh: Mesh, stiffness: float, local: float = 50.0) -> Wall:
    """Ventricles with both endocardia, epicardium and base.

    Guccione's `stiffness` and the modulus `local` against folds within cells are in kPa.
    """
    elements = Quadratic(mesh, degree=2)
    return Wall(
        elements,
        Guccione(stiffness, *EXPONENTS),
        frames=axes(mesh, elements),
        volume=QuadraticVolume(bulk=1e3, local=local),
        cavities=(Surface.LV_ENDO, Surface.RV_ENDO),
        springs=held(elements),
        viscosity=10.0,
    )


def axes(mesh: Mesh, elements: Quadratic) -> Float[np.ndarray, "cell q 3 3"]:
    """By rule, with the angles of the experiments' hearts."""
    return rule_axes(FibreRule(helix_endo=HELIX[0], helix_epi=HELIX[1]), mesh, elements)


def circulation_of(left: float) -> tuple[ClosedLoop, Float[np.ndarray, "2"]]:
    """A circulation whose left ventricle holds so much [mL] as it begins to contract.

    Chosen, not fitted: the healthy adult's, with volumes and flows that are smaller by one factor
    at the same pressures. The right ventricle is imaged wider than that: what it holds more at its
    pressure, the veins hold less.

    **Returns:** it, and the pressures [mmHg] in both ventricles at that time.
    """
    adult = circulation(60.0)
    begun = equilibrate(adult).observations
    size = left / float(begun["left_ventricle.volume"][0])
    pressures = np.array([float(begun[f"{name}.pressure"][0]) for name in CHAMBERS])
    return sized(adult, size), pressures
