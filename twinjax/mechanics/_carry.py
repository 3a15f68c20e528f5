"""Axes of the tissue that go with it: where a wall's fibres and sheets are after a deformation.

Fibres and sheets are made of the same points of the tissue in every shape of the wall. So with the
deformation's gradient F a fibre f goes to F f, the plane of the sheet to that of F f and F s, and
the axes to those that Gram and Schmidt's method makes of F f and F s. That has an exact inverse,
the same with F⁻¹, for F Q = Q' R with an upper triangle R is F⁻¹ Q' = Q R⁻¹.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax.mechanics._axes import orthonormal
from twinjax.mechanics._wall import Wall


def carried(wall: Wall, displacement: Float[Array, "node 3"]) -> Wall:
    """The wall in another place: its nodes moved [mm], and the axes of the tissue with it.

    A fibre stays on the points that it is made of, and a sheet on its own; the sheet normal is
    across both. Energy, surfaces, springs and what is fixed stay. So of an equilibrium it is the
    loaded shape, taken for one at rest: what [`unload`][twinjax.mechanics.unload] starts from.
    Differentiable. Raises `ValueError` where a cell is turned inside out.
    """
    moved = _carried(wall, displacement)
    moved.elements.check()
    return moved


@eqx.filter_jit
def _carried(wall: Wall, displacement: Array) -> Wall:
    slopes, _ = wall.elements.geometry()
    gradient = jnp.einsum("cai,cqaj->cqij", displacement[wall.elements.cells], slopes)
    axes = orthonormal(wall.frames + gradient @ wall.frames)
    points = wall.elements.points + displacement
    return eqx.tree_at(lambda w: (w.elements.points, w.frames), wall, (points, axes))
