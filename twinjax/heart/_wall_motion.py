"""How a ventricle moves, as an echo or an MRI scan sees it."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twinjax.geometry import Surface
from twinjax.mechanics import Quadratic, Wall

_MIDDLE = (0.35, 0.65)  # of the way from the apex to the mouth
_ENOUGH = 200  # places at which the thickness is taken
_APICAL, _BASAL = (0.1, 0.3), (0.75, 0.9)


class WallMotion(eqx.Module):
    """Long axis, thickness and twist of a ventricle with one cavity at its centre.

    Called with displacements (node, 3) [mm] it gives

    - `long_axis` [mm], from the endocardium's apex to the middle of the mouth;
    - `thickness` [mm], the mean distance of the endocardium's middle third from the epicardium;
    - `twist` [deg], by which the endocardium near the apex is turned against that near the base
      about the long axis at rest, counter-clockwise as seen from the apex.

    **Arguments:** a `wall`, and which of its cavities. Raises `ValueError` where the cavity has no
    mouth or the wall no epicardium.
    """

    points: Float[Array, "node 3"]
    apex: Int[Array, ""]
    mouth: Int[Array, " mouth"]
    inner: Int[Array, " inner"]
    outer: Int[Array, " outer"]
    axis: Float[Array, "3"]
    apical: Int[Array, " apical"]
    basal: Int[Array, " basal"]

    def __init__(self, wall: Wall, cavity: int = 0):
        elements: Quadratic = wall.elements
        x = np.asarray(elements.points)
        mouth = np.asarray(wall.mouths[cavity])
        if not len(mouth):
            raise ValueError("the cavity has no mouth, from which its long axis could start")
        inside = np.unique(np.asarray(wall.cavities[cavity]))
        outside = np.unique(np.asarray(elements.surface(Surface.EPI)))
        centre = x[mouth].mean(axis=0)
        apex = inside[np.argmax(np.linalg.norm(x[inside] - centre, axis=1))]
        axis = centre - x[apex]
        height = (x[inside] - x[apex]) @ axis / (axis @ axis)

        def between(share: tuple[float, float]) -> Any:
            return jnp.asarray(inside[(height >= share[0]) & (height <= share[1])])

        self.points = elements.points
        self.apex, self.mouth = jnp.asarray(apex), jnp.asarray(mouth)
        middle = between(_MIDDLE)
        self.inner = middle[:: -(-len(middle) // _ENOUGH)]
        self.outer = jnp.asarray(outside)
        self.axis = jnp.asarray(axis / np.linalg.norm(axis))
        self.apical, self.basal = between(_APICAL), between(_BASAL)

    def __call__(self, displacement: Float[Array, "node 3"]) -> dict[str, Float[Array, ""]]:
        x = self.points + displacement
        centre = jnp.mean(x[self.mouth], axis=0)
        apart = jnp.linalg.norm(x[self.inner][:, None] - x[self.outer][None], axis=2)
        turn = self._turned(x, self.apical) - self._turned(x, self.basal)
        return {
            "long_axis": jnp.linalg.norm(centre - x[self.apex]),
            "thickness": jnp.mean(jnp.min(apart, axis=1)),
            "twist": jnp.rad2deg(turn),
        }

    def _turned(self, x: Array, nodes: Array) -> Array:
        """By which angle nodes have turned about the axis through their mean [rad]."""

        def across(at: Array) -> Array:
            off = at - jnp.mean(at, axis=0, keepdims=True)
            return off - (off @ self.axis)[:, None] * self.axis[None]

        before, after = across(self.points[nodes]), across(x[nodes])
        # The axis goes from the apex to the base: seen from there, against the clock is negative.
        sine = -jnp.sum(jnp.cross(before, after) @ self.axis)
        return jnp.arctan2(sine, jnp.sum(before * after))
