"""Strain of the wall along directions of the heart, and its means over segments."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from twinjax.mechanics._wall import Wall, stretched

MEASURES = ("green", "engineering")


class WallStrain(eqx.Module):
    """Strain [1] along four directions of the wall at rest; positive where it grows longer."""

    circumferential: Float[Array, "*place"]
    longitudinal: Float[Array, "*place"]
    radial: Float[Array, "*place"]
    fibre: Float[Array, "*place"]


def strain(
    wall: Wall,
    displacement: Float[Array, "node 3"],
    axes: Float[Array, "cell q 3 3"],
    *,
    measure: str = "green",
) -> WallStrain:
    """At every point of quadrature (cell, q), of the wall moved by a displacement [mm].

    **Arguments:** `axes` at rest, whose columns are circumferential, longitudinal and radial:
    those of a fibre rule without angles, as `FibreRule(0, 0, 0, 0).frames(mesh, at="nodes")` by
    [`at_points`][twinjax.mechanics.at_points], or of an `Ellipsoid`, `frames(elements, 0, 0)`.
    `measure` is `green`, ½ (λ² - 1) at a stretch λ, or `engineering`, λ - 1, which images are
    usually told in. The fibre is that of the wall. Differentiable.

    Raises `ValueError` for another measure or axes of another shape.
    """
    if measure not in MEASURES:
        raise ValueError(f"unknown measure '{measure}'; valid choices: {', '.join(MEASURES)}")
    if axes.shape != wall.frames.shape:
        raise ValueError(f"axes have the shape {axes.shape}; valid: {wall.frames.shape}")
    return _strain(wall, displacement, jnp.asarray(axes), measure)


def fibre_stretch(wall: Wall, displacement: Float[Array, "node 3"]) -> Float[Array, "cell q"]:
    """The fibre's length over that at rest, |F f₀|, at every point of quadrature.

    Where a share κ of the tension acts across the fibre, the length that sarcomeres see:
    √(C : (f₀ ⊗ f₀ + κ (s₀ ⊗ s₀ + n₀ ⊗ n₀)) - 2 κ).
    """
    slopes, _ = wall.elements.geometry()
    return stretched(wall, jnp.einsum("cqai,cqiA->cqaA", slopes, wall.frames), displacement)


@eqx.filter_jit
def _strain(wall: Wall, displacement: Array, axes: Array, measure: str) -> WallStrain:
    slopes, _ = wall.elements.geometry()
    gradient = jnp.einsum("cai,cqaj->cqij", displacement[wall.elements.cells], slopes)

    def along(direction: Array) -> Array:
        """½ (|F d|² - 1), without losing digits where the wall hardly moves."""
        moved = jnp.einsum("cqij,cqj->cqi", gradient, direction)
        green = jnp.sum(moved * direction, axis=-1) + jnp.sum(moved**2, axis=-1) / 2
        return green if measure == "green" else 2 * green / (1 + jnp.sqrt(1 + 2 * green))

    around, up, out = (axes[..., i] for i in range(3))
    return WallStrain(along(around), along(up), along(out), along(wall.frames[..., 0]))


def segment_strain(
    wall: Wall,
    displacement: Float[Array, "node 3"],
    axes: Float[Array, "cell q 3 3"],
    segments: Int[Any, " number"],
    *,
    measure: str = "green",
) -> WallStrain:
    """Means over the volume at rest of the 17 segments (17), in the order of their numbers.

    **Arguments:** as for [`strain`][twinjax.mechanics.strain]; the segment of each cell is that of
    [`segments`][twinjax.geometry.segments], 0 for none. A segment without cells has NaN.

    Raises `ValueError` for segments that do not fit the cells or are not from 0 to 17.
    """
    number = jnp.asarray(segments)
    if number.shape != wall.frames.shape[:1]:
        raise ValueError(f"{len(number)} segments are given for {len(wall.frames)} cells")
    if int(number.min()) < 0 or int(number.max()) > 17:
        raise ValueError("a segment has a number from 1 to 17, or 0 where there is none")
    return _means(wall, strain(wall, displacement, axes, measure=measure), number)


@eqx.filter_jit
def _means(wall: Wall, at: WallStrain, number: Array) -> WallStrain:
    _, volume = wall.elements.geometry()
    inside = number[None] == jnp.arange(1, 18)[:, None]
    whole = jnp.sum(inside * jnp.sum(volume, axis=1)[None], axis=1)

    def mean(values: Array) -> Array:
        total = jnp.sum(inside * jnp.sum(volume * values, axis=1)[None], axis=1)
        return jnp.where(whole > 0, total / jnp.where(whole > 0, whole, 1.0), jnp.nan)

    return WallStrain(
        *(mean(v) for v in (at.circumferential, at.longitudinal, at.radial, at.fibre))
    )
