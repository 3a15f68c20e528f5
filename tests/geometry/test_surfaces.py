"""Surfaces by tags and by geometry: on ideal shapes, and on hearts whose tags are known."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from twinjax.geometry import (
    Mesh,
    Surface,
    areas,
    extract,
    find_surfaces,
    flip_inverted,
    left_ventricle,
    parts,
    replace,
    slab,
    surfaces_from_points,
    tags_of,
    with_surfaces,
)
from twinjax.io import read_mesh, read_surface


def test_surfaces_of_the_ellipsoid_are_found():
    mesh = left_ventricle(6.0)
    found = find_surfaces(Mesh(mesh.points, mesh.cells))
    np.testing.assert_array_equal(found.facet_tags, tags_of(mesh, found.facets))


@pytest.mark.parametrize(
    ("file", "names"),
    [
        # By their places the tags 20 and 30 are the right and the left endocardium.
        (
            "biv_coarse.h5",
            {10: Surface.BASE, 20: Surface.RV_ENDO, 30: Surface.LV_ENDO, 40: Surface.EPI},
        ),
        ("ellipsoid_0.005.h5", {3: Surface.BASE, 2: Surface.EPI, 1: Surface.LV_ENDO}),
    ],
)
def test_surfaces_of_tagged_hearts_are_found(shared, file, names):
    mesh = flip_inverted(read_mesh(shared(f"references/arostica2025/{file}"), "m").mesh)
    tagged = with_surfaces(mesh, names)
    found = find_surfaces(Mesh(mesh.points, mesh.cells))
    np.testing.assert_array_equal(found.facet_tags, tags_of(tagged, found.facets))


def test_surfaces_of_a_patient_are_found(shared):
    """The endocardia of this mesh are also there as surfaces of their own."""
    folder = shared("data/meshes/crtdemo_biv")
    mesh = find_surfaces(read_mesh(folder / "crtdemo_mesh_oriented.vtk").mesh)
    for name, surface in (("LV", Surface.LV_ENDO), ("RV", Surface.RV_ENDO)):
        alone = read_surface(folder / f"crtdemo_{name}endo_heart_cut.obj")
        assert np.sum(mesh.facet_tags == surface) == pytest.approx(len(alone.triangles), abs=4)
        apart, _ = cKDTree(alone.points).query(mesh.points[mesh.nodes(surface)])
        assert np.max(apart) < 0.01


def test_labels_of_points_become_tags():
    mesh = left_ventricle(8.0)
    labels = np.full(len(mesh.points), int(Surface.BASE))
    for surface in (Surface.BASE, Surface.EPI, Surface.LV_ENDO):
        labels[mesh.nodes(surface)] = int(surface)
    found = surfaces_from_points(Mesh(mesh.points, mesh.cells), mesh.points, labels)
    right = found.facet_tags == tags_of(mesh, found.facets)
    rim = np.isin(found.facets, mesh.nodes(Surface.BASE)).any(axis=1)
    assert right[~rim].all()


def share_that_differs(mesh, expected):
    """The share of the boundary's area whose tag is not the expected one (0: not known)."""
    size = np.linalg.norm(areas(mesh.points, mesh.facets), axis=1)
    known = expected > 0
    return size[known & (mesh.facet_tags != expected)].sum() / size[known].sum()


def test_surfaces_of_a_ventricle_without_a_flat_base():
    mesh = left_ventricle(6.0)
    x, y, z = mesh.points.T
    wavy = np.stack([x, y, z + 5 * np.clip(z / 20 + 0.5, 0, 1) * np.sin(2 * np.arctan2(y, x))], 1)
    bent = replace(mesh, points=wavy)
    found = find_surfaces(Mesh(bent.points, bent.cells))
    expected = tags_of(mesh, found.facets)
    assert share_that_differs(found, expected) < 0.01
    walls = expected != Surface.BASE
    np.testing.assert_array_equal(found.facet_tags[walls], expected[walls])


def test_surfaces_of_ventricles_with_outflow_tracts(shared):
    """Cut out of a whole heart, whose endocardia and outside are tagged; so are what they touch."""
    pytest.importorskip("meshio")
    whole = read_mesh(shared("data/meshes/kit_four_chamber/heartT4.ele")).mesh
    mesh, _ = extract(whole, 30, 31)
    found = find_surfaces(mesh)
    tags = tags_of(mesh, found.facets)
    names = {131: Surface.LV_ENDO, 130: Surface.RV_ENDO, 160: Surface.EPI}
    expected = np.array([int(names.get(int(tag), 0)) for tag in tags])
    assert np.mean(expected > 0) > 0.85
    assert share_that_differs(found, expected) < 0.01
    rims = parts(found.facets[found.facet_tags == Surface.BASE], len(mesh.points))
    assert 1 <= rims.max() + 1 <= 6


def test_what_is_no_ventricle_is_refused():
    with pytest.raises(ValueError, match="0 cavities were found, not 1 or 2: tag the facets"):
        find_surfaces(slab((20.0, 5.0, 5.0), 5.0, cells="hexahedra"))


def test_unknown_tags_are_refused():
    with pytest.raises(ValueError, match="no facet has the tag 9; valid choices: 1, 2, 3, 4, 5, 6"):
        with_surfaces(slab((2.0, 2.0, 2.0), 1.0), {9: Surface.BASE})
