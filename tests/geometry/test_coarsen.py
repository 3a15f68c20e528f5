"""Coarser meshes: what stays, and what is refused."""

import numpy as np
import pytest

from twinjax.geometry import (
    Mesh,
    Surface,
    areas,
    boundary,
    coarsened,
    edges,
    extract,
    left_ventricle,
    replace,
    slab,
    volumes,
)
from twinjax.io import read_mesh


def mean_edge(mesh):
    ends = np.asarray(mesh.points)[edges(mesh)]
    return float(np.mean(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)))


def test_a_box_of_two_regions_keeps_sides_and_interface():
    """Flat sides, sharp edges and the plane between the regions are the same to the last digit."""
    fine = slab((4.0, 3.0, 2.0), 0.5, cells="tetrahedra")
    fine = replace(fine, regions=np.where(fine.centres()[:, 0] < 2.0, 1, 2))
    made = coarsened(fine, 1.5)
    assert len(made.cells) < len(fine.cells) / 3
    assert 0.9 < mean_edge(made) < 1.6
    assert (volumes(made) > 0).all()
    for region in (1, 2):
        np.testing.assert_allclose(volumes(extract(made, region)[0]).sum(), 12.0, rtol=1e-12)
    tagged = np.unique(fine.facet_tags)
    for tag in tagged:
        area = [
            np.linalg.norm(areas(np.asarray(m.points), m.facets[m.facet_tags == tag]).sum(axis=0))
            for m in (fine, made)
        ]
        np.testing.assert_allclose(area[1], area[0], rtol=1e-12)
    known = {tuple(point) for point in np.asarray(fine.points).round(9)}
    assert all(tuple(point) in known for point in np.asarray(made.points).round(9))


def test_a_ventricle_keeps_its_surfaces():
    fine = left_ventricle(4.0, layers=3)
    made = coarsened(fine, 9.0)
    assert len(made.cells) < len(fine.cells) / 3
    np.testing.assert_allclose(volumes(made).sum(), volumes(fine).sum(), rtol=0.05)
    facets, _ = boundary(made)
    assert len(facets) == len(made.facets)  # each is tagged still
    for surface in (Surface.BASE, Surface.EPI, Surface.LV_ENDO):
        area = [
            np.linalg.norm(areas(np.asarray(m.points), m.facets[m.facet_tags == surface]), axis=1)
            for m in (fine, made)
        ]
        np.testing.assert_allclose(area[1].sum(), area[0].sum(), rtol=0.06)


@pytest.mark.slow
def test_cavities_of_a_whole_heart_stay_closed(shared):
    mesh = read_mesh(shared("data/meshes/kit_four_chamber/heartT4.ele")).mesh
    heart, _ = extract(mesh, *range(30, 40))
    made = coarsened(heart, 12.0)
    assert (volumes(made) > 0).all()
    assert set(np.unique(made.regions)) == set(range(30, 40))
    for tag in (130, 131, 132, 133):
        size = []
        for m in (heart, made):
            corners = np.asarray(m.points)[m.facets[m.facet_tags == tag]]
            sides = np.sort(m.facets[m.facet_tags == tag][:, [[0, 1], [1, 2], [2, 0]]], axis=2)
            _, count = np.unique(sides.reshape(-1, 2), axis=0, return_counts=True)
            assert (count == 2).all()
            size.append(abs(np.linalg.det(corners).sum()) / 6)
        np.testing.assert_allclose(size[1], size[0], rtol=0.08)


def test_what_is_not_coarsened():
    with pytest.raises(ValueError, match="only tetrahedra are coarsened: see as_tetrahedra"):
        coarsened(slab((1.0, 1.0, 1.0), 1.0, cells="hexahedra"), 1.0)
    mesh = slab((1.0, 1.0, 1.0), 1.0, cells="tetrahedra")
    turned = Mesh(mesh.points, mesh.cells[:, [1, 0, 2, 3]])
    with pytest.raises(ValueError, match="inverted cells are not coarsened: see flip_inverted"):
        coarsened(turned, 1.0)
