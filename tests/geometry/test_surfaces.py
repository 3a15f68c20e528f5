"""Surfaces by tags and by geometry: on ideal shapes, and on hearts whose tags are known."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from twinjax.geometry import (
    Mesh,
    Surface,
    find_surfaces,
    flip_inverted,
    left_ventricle,
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


def test_what_is_no_ventricle_is_refused():
    block = slab((20.0, 20.0, 20.0), 5.0)
    with pytest.raises(ValueError, match="falls into 1 surfaces"):
        find_surfaces(block)
    ball = left_ventricle(8.0, base=59.9, layers=1)
    round_ = replace(ball, points=ball.points * np.array([1.0, 1.0, 0.5]))
    with pytest.raises(ValueError, match="no flat base"):
        find_surfaces(round_)


def test_unknown_tags_are_refused():
    with pytest.raises(ValueError, match="no facet has the tag 9; valid choices: 1, 2, 3, 4, 5, 6"):
        with_surfaces(slab((2.0, 2.0, 2.0), 1.0), {9: Surface.BASE})
