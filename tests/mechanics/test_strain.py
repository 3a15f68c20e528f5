"""Strain along directions of the heart, its means over segments, and where segments are."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.geometry import SEGMENTS, Surface, left_ventricle, segments, slab, volumes
from twinjax.mechanics import (
    Ellipsoid,
    Guccione,
    MooneyRivlin,
    Quadratic,
    Wall,
    segment_strain,
    strain,
)

NAMES = ("circumferential", "longitudinal", "radial", "fibre")


@pytest.fixture(scope="module")
def ventricle():
    """A coarse wall, its axes, and the segments of its cells."""
    shape = Ellipsoid()
    elements = shape.hexahedra(2, 4, 1, apex=0.4)
    frames = shape.frames(elements, 60.0, -60.0)
    wall = Wall(elements, Guccione(), frames=frames, cavities=(Surface.LV_ENDO,))
    centre = np.asarray(elements.points)[np.asarray(elements.cells)[:, :8]].mean(axis=1)
    number = np.where(centre[:, 2] > -5, np.where(centre[:, 0] > 0, 1, 4), 17)
    return wall, shape.frames(elements, 0.0, 0.0), number


def test_a_homogeneous_stretch_has_the_strain_of_each_direction(ventricle):
    wall, axes, _ = ventricle
    gradient = np.array([[1.1, 0.2, 0.0], [0.0, 0.9, 0.1], [0.0, -0.3, 1.2]])
    u = wall.elements.points @ jnp.asarray((gradient - np.eye(3)).T)
    directions = [*np.moveaxis(np.asarray(axes), -1, 0), np.asarray(wall.frames)[..., 0]]
    for measure in ("green", "engineering"):
        found = strain(wall, u, axes, measure=measure)
        for name, direction in zip(NAMES, directions, strict=True):
            stretch = np.linalg.norm(direction @ gradient.T, axis=-1)
            wanted = (stretch**2 - 1) / 2 if measure == "green" else stretch - 1
            np.testing.assert_allclose(getattr(found, name), wanted, atol=1e-12)


def test_axes_of_the_ellipsoid_are_around_along_and_out(ventricle):
    """The ventricle that is stretched along its axis, or widened, or turned."""
    wall, axes, _ = ventricle
    points = wall.elements.points
    longer = strain(wall, points * jnp.array([[0.0, 0.0, 0.1]]), axes)
    np.testing.assert_allclose(longer.circumferential, 0.0, atol=1e-12)
    assert float(longer.longitudinal.max()) > 0.9 * 0.105
    wider = strain(wall, points * jnp.array([[0.1, 0.1, 0.0]]), axes)
    np.testing.assert_allclose(wider.circumferential, 0.105, atol=1e-12)
    c, s = np.cos(0.7), np.sin(0.7)
    turned = jnp.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    still = strain(wall, points @ turned.T - points, axes)
    for name in NAMES:
        np.testing.assert_allclose(getattr(still, name), 0.0, atol=1e-12)


def test_segments_have_means_by_volume(ventricle):
    wall, axes, number = ventricle
    u = 0.05 * jax.random.normal(jax.random.key(0), wall.elements.points.shape)
    at = strain(wall, u, axes)
    found = segment_strain(wall, u, axes, number)
    _, volume = wall.elements.geometry()
    for name in NAMES:
        for segment in range(1, 18):
            inside = number == segment
            value = getattr(found, name)[segment - 1]
            if not inside.any():
                assert np.isnan(value)
                continue
            wanted = np.average(getattr(at, name)[inside], weights=volume[inside])
            np.testing.assert_allclose(value, wanted, rtol=1e-12)


def test_three_ways_to_the_derivatives_agree(ventricle):
    wall, axes, number = ventricle
    here, way = (
        0.05 * jax.random.normal(jax.random.key(k), wall.elements.points.shape) for k in (0, 1)
    )

    def along(t):
        longer = eqx.tree_at(lambda w: w.elements.points, wall, wall.elements.points * (1 + t))
        found = segment_strain(longer, here + t * way, axes, number, measure="engineering")
        return jnp.stack([getattr(found, name) for name in NAMES])[:, jnp.array([0, 3, 16])]

    _, forward = jax.jvp(along, (0.0,), (1.0,))
    weights = jax.random.normal(jax.random.key(2), forward.shape)
    _, pull = jax.vjp(along, 0.0)
    np.testing.assert_allclose(pull(weights)[0], jnp.sum(weights * forward), rtol=1e-11)
    difference = (along(1e-5) - along(-1e-5)) / 2e-5
    np.testing.assert_allclose(difference, forward, rtol=1e-7, atol=1e-9)


def test_segments_lie_where_the_heart_association_has_them():
    """The septum is at -x: seen from the base its anterior half is on the side of -y."""
    mesh = left_ventricle(4.0)
    number = segments(mesh, septum=(-1.0, 0.0, 0.3))
    assert set(np.unique(number)) == set(SEGMENTS)
    x, y, z = mesh.centres().T
    base, apex = 20.0, -60.0
    third = (base - apex) / 3
    names = np.array(["", *SEGMENTS.values()])[number]
    level = np.array([name.split()[0] for name in names])
    assert (z[level == "basal"] > base - third).all()
    assert (np.abs(z[level == "mid"] - (base + apex) / 2) < third / 2 + 1).all()
    assert (z[level == "apex"] < apex + 3).all()
    angle = np.rad2deg(np.arctan2(-y, -x))  # 0 towards the septum, positive towards -y
    for name, middle, half in (
        ("basal anteroseptal", 30, 30),
        ("basal anterior", 90, 30),
        ("mid anterolateral", 150, 30),
        ("mid inferolateral", -150, 30),
        ("basal inferior", -90, 30),
        ("basal inferoseptal", -30, 30),
        ("apical septal", 0, 45),
        ("apical anterior", 90, 45),
        ("apical inferior", -90, 45),
        ("apical lateral", 180, 45),
    ):
        away = (angle[names == name] - middle + 180) % 360 - 180
        assert np.abs(away).max() <= half + 1e-6, name
        assert np.abs(away).max() > half - 10, name
    volume = volumes(mesh)
    share = [volume[number == n].sum() for n in range(1, 7)]
    np.testing.assert_allclose(share, np.mean(share), rtol=0.15)


def test_segments_leave_the_right_ventricle_out(shared):
    from twinjax.geometry import find_surfaces
    from twinjax.io import read_mesh

    mesh = find_surfaces(read_mesh(shared("data/meshes/crtdemo_biv/crtdemo_biv_fibres.vtu")).mesh)
    number = segments(mesh)
    assert set(np.unique(number)) == {0, *SEGMENTS}
    right = np.asarray(mesh.points)[mesh.nodes(Surface.RV_ENDO)].mean(axis=0)
    away = {n: np.linalg.norm(mesh.centres()[number == n].mean(axis=0) - right) for n in SEGMENTS}
    # What faces the right ventricle is the septum.
    assert sorted(away, key=away.get)[0] in (8, 9, 14)
    assert min(away[2], away[3]) < min(away[5], away[6])
    assert min(away[8], away[9]) < min(away[11], away[12])


def test_what_is_no_strain_or_segment_is_refused(ventricle):
    wall, axes, number = ventricle
    u = jnp.zeros_like(wall.elements.points)
    with pytest.raises(ValueError, match="unknown measure 'log'; valid choices: green, engineer"):
        strain(wall, u, axes, measure="log")
    with pytest.raises(ValueError, match=r"axes have the shape \(1, 1, 3, 3\); valid: \(36, 27"):
        strain(wall, u, jnp.eye(3)[None, None])
    with pytest.raises(ValueError, match="3 segments are given for 36 cells"):
        segment_strain(wall, u, axes, number[:3])
    with pytest.raises(ValueError, match="a segment has a number from 1 to 17, or 0"):
        segment_strain(wall, u, axes, number + 5)
    with pytest.raises(ValueError, match="without a right ventricle needs the direction of the"):
        segments(left_ventricle(12.0))
    with pytest.raises(ValueError, match="direction of the septum must lead away from the long"):
        segments(left_ventricle(12.0), septum=(0.0, 0.0, 1.0))
    elements = Quadratic(slab((1.0, 1.0, 1.0), 1.0, cells="hexahedra"))
    assert strain(Wall(elements, MooneyRivlin()), jnp.zeros_like(elements.points), jnp.broadcast_to(
        jnp.eye(3), (1, 27, 3, 3))).fibre.shape == (1, 27)  # fmt: skip
