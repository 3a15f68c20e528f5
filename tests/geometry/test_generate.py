"""Generated meshes: their volumes against formulas, their surfaces, and what is refused."""

import numpy as np
import pytest

from tests.geometry._ellipsoid import ENDO, EPI
from twinjax.geometry import (
    Surface,
    areas,
    biventricle,
    inspect,
    left_ventricle,
    slab,
    tetrahedralise,
)


def below(axes, base):
    """The volume of an ellipsoid of revolution below z = base [mm³]."""
    r, l = axes
    return np.pi * r**2 * (base + l - (base**3 + l**3) / (3 * l**2))


def cavity(mesh, surface, base):
    """The volume [mL] between an endocardium and the plane of the base."""
    facets = mesh.facets[mesh.facet_tags == surface]
    middle = mesh.points[facets].mean(axis=1) - [0, 0, base]
    return -np.einsum("ij,ij->", areas(mesh.points, facets), middle) / 3000


@pytest.fixture(scope="module")
def gmsh():
    try:
        import gmsh
    except (ImportError, OSError) as absent:
        pytest.skip(f"Gmsh is not there: {absent}")
    return gmsh


@pytest.mark.parametrize("kind", ["tetrahedra", "hexahedra"])
def test_slab(kind):
    mesh = slab((20.0, 7.0, 3.0), 1.0, cells=kind)
    assert len(mesh.points) == 21 * 8 * 4
    assert len(mesh.cells) == 420 * (6 if kind == "tetrahedra" else 1)
    assert inspect(mesh).problems == ()
    assert inspect(mesh).volume == pytest.approx(0.42)
    vectors = areas(mesh.points, mesh.facets)
    for tag, (axis, sign) in enumerate([(a, s) for a in range(3) for s in (-1, 1)], 1):
        total = vectors[mesh.facet_tags == tag].sum(axis=0)
        side = 420 / (20, 7, 3)[axis]
        np.testing.assert_allclose(total, sign * side * np.eye(3)[axis], atol=1e-9)


def test_left_ventricle_has_the_volumes_of_the_ellipsoid():
    errors = []
    for spacing in (6.0, 3.0):
        mesh = left_ventricle(spacing)
        report = inspect(mesh)
        assert report.problems == ()
        assert report.quality > 0.5
        wall = (below(EPI, 20.0) - below(ENDO, 20.0)) / 1000
        hole = below(ENDO, 20.0) / 1000
        errors.append((report.volume / wall - 1, cavity(mesh, Surface.LV_ENDO, 20.0) / hole - 1))
    coarse, fine = np.abs(errors)
    assert hole == pytest.approx(125.8, abs=0.1)
    assert (coarse < 0.03).all(), errors
    # Facets on a curved surface: the volume converges with the square of their size.
    assert (fine < 0.35 * coarse).all(), errors


def test_biventricle(gmsh):
    mesh = biventricle(5.0)
    assert inspect(mesh).problems == ()
    assert set(inspect(mesh).regions) == {1, 2}
    assert cavity(mesh, Surface.LV_ENDO, 20.0) == pytest.approx(125.8, rel=0.02)
    # By counting points on a fine grid: 123.4 mL.
    assert cavity(mesh, Surface.RV_ENDO, 20.0) == pytest.approx(_right_cavity(), rel=0.03)


def _right_cavity():
    x, y, z = np.meshgrid(*(np.arange(-70, 70, 0.5),) * 3, indexing="ij", sparse=True)
    right = ((x - 28) / 32) ** 2 + (y / 38) ** 2 + (z / 56) ** 2 < 1
    left = (x**2 + y**2) / 34**2 + z**2 / 68**2 < 1
    return np.sum(right & ~left & (z < 20)) * 0.5**3 / 1000


def test_tetrahedra_in_a_closed_surface(gmsh):
    shell = slab((20.0, 16.0, 12.0), 4.0)
    mesh = tetrahedralise(shell.points, shell.facets, shell.facet_tags, spacing=3.0)
    assert inspect(mesh).problems == ()
    assert inspect(mesh).volume == pytest.approx(20 * 16 * 12 / 1000)
    assert inspect(mesh).surfaces == inspect(shell).surfaces
    with pytest.raises(ValueError, match="not closed"):
        tetrahedralise(shell.points, shell.facets[1:])


def test_a_real_surface_is_filled(gmsh, shared):
    pytest.importorskip("pyvista")
    from twinjax.geometry import surfaces_from_points
    from twinjax.io import read_surface

    read = read_surface(shared("data/meshes/cobiveco/geo1/heart.vtp"))
    mesh = tetrahedralise(read.points, read.triangles)
    mesh = surfaces_from_points(mesh, read.points, read.point_data["class"].astype(int))
    report = inspect(mesh)
    assert report.problems == ()
    assert report.volume == pytest.approx(144.8, abs=0.1)
    assert set(report.surfaces) == {int(s) for s in Surface}
    assert sum(report.surfaces.values()) == len(read.triangles)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: slab((1.0, 0.0, 1.0), 1.0), "above 0 mm"),
        (lambda: slab((1.0, 1.0, 1.0), 1.0, cells="bricks"), "valid choices: hexahedra"),
        (lambda: left_ventricle(-1.0), "spacing above 0"),
        (lambda: left_ventricle(endo=(30.0, 60.0), epi=(26.0, 68.0)), "endo below epi"),
        (lambda: left_ventricle(base=70.0), "outside the cavity"),
        (lambda: left_ventricle(layers=0), "at least 1 layer"),
        (lambda: biventricle(0.0), "above 0 mm"),
    ],
)
def test_impossible_shapes_are_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
