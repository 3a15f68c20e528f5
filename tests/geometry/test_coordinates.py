"""Coordinates of the ellipsoid against its own, and of two ventricles against their surfaces."""

import numpy as np
import pytest

from tests.geometry._ellipsoid import ENDO, EPI, directions
from twinjax.geometry import (
    FibreRule,
    Surface,
    areas,
    boundary,
    coordinates,
    extract,
    fields,
    interface,
    long_axis,
    replace,
    tags_of,
)
from twinjax.io import read_mesh


def test_coordinates_of_the_ellipsoid(ventricle):
    mesh, solved = ventricle
    found = coordinates(mesh, solved)
    depth, latitude, *_ = directions(mesh.points)
    np.testing.assert_allclose(found.transmural[mesh.nodes(Surface.LV_ENDO)], 0, atol=1e-9)
    epi = np.setdiff1d(mesh.nodes(Surface.EPI), mesh.nodes(Surface.LV_ENDO))
    np.testing.assert_allclose(found.transmural[epi], 1, atol=1e-9)
    # Harmonic, not the share of the depth: off by up to 0.14 in the thick wall of the apex.
    error = np.abs(np.asarray(found.transmural) - depth)
    assert np.mean(error) < 0.04
    assert np.max(error) < 0.15
    error = np.abs(np.asarray(found.apicobasal) - _share(depth, latitude))
    assert np.mean(error) < 0.02
    assert np.max(error) < 0.05
    ring = np.hypot(mesh.points[:, 0], mesh.points[:, 1]) > 1
    angle = np.arctan2(mesh.points[:, 1], mesh.points[:, 0])
    turn = np.angle(np.exp(1j * (np.asarray(found.rotational) - angle)))
    np.testing.assert_allclose(turn[ring], 0, atol=1e-9)
    assert not np.asarray(found.transventricular).any()


def _share(depth, latitude):
    """The share of the meridian's length from the apex, on the ellipsoid at that depth."""
    shares = np.empty(len(depth))
    for i, (t, u) in enumerate(zip(depth, latitude, strict=True)):
        r, l = ((1 - t) * a + t * b for a, b in zip(ENDO, EPI, strict=True))
        grid = np.linspace(0, np.arccos(-20 / l), 401)
        speed = np.hypot(r * np.cos(grid), l * np.sin(grid))
        length = np.concatenate([[0], np.cumsum((speed[1:] + speed[:-1]) / 2)])
        shares[i] = np.interp(u, grid, length / length[-1])
    return shares


def test_the_long_axis_of_the_ellipsoid(ventricle):
    apex, axis = long_axis(ventricle[0])
    np.testing.assert_allclose(apex, [0, 0, -60], atol=1e-9)
    np.testing.assert_allclose(axis, [0, 0, 1], atol=1e-9)


def test_coordinates_of_two_ventricles(arostica):
    mesh, solved, _ = arostica
    found = coordinates(mesh, solved)
    left, right = mesh.nodes(Surface.LV_ENDO), mesh.nodes(Surface.RV_ENDO)
    base, epi = mesh.nodes(Surface.BASE), mesh.nodes(Surface.EPI)
    np.testing.assert_allclose(found.transmural[left], 0, atol=1e-9)
    np.testing.assert_allclose(found.transmural[right], 0, atol=1e-9)
    inner = np.setdiff1d(epi, base)
    np.testing.assert_allclose(found.transmural[inner], 1, atol=1e-9)
    np.testing.assert_allclose(found.apicobasal[base], 1, atol=1e-9)
    assert not np.asarray(found.transventricular)[left].any()
    assert np.asarray(found.transventricular)[right].all()
    for values in (found.transmural, found.apicobasal):
        assert np.min(values) > -1e-9
        assert np.max(values) < 1 + 1e-9
    # Zero looks at the right ventricle, which wraps around the left to both sides alike.
    angles = np.asarray(found.rotational)[right]
    assert abs(np.mean(angles)) < 0.05
    assert np.max(np.abs(angles)) < 0.75 * np.pi
    # In the septum half way from cavity to cavity transmural is 1: there is wall on both sides.
    across = np.asarray(found.transmural)
    middle = (np.asarray(solved.epi) < 0.1) & (across > 0.9)
    assert middle.sum() > 50


def test_untagged_meshes_are_refused(ventricle):
    mesh, _ = ventricle
    keep = mesh.facet_tags != Surface.EPI
    bare = replace(mesh, facets=mesh.facets[keep], facet_tags=mesh.facet_tags[keep])
    with pytest.raises(ValueError, match=r"no facet has the tag 2 \(EPI\): tag the surfaces"):
        fields(bare)


def test_the_ventricles_of_a_patient_with_outflow_tracts(shared):
    """Cut out of a whole heart: the base is where atria, valves and vessels were."""
    pytest.importorskip("meshio")
    whole = read_mesh(shared("data/meshes/kit_four_chamber/heartT4.ele")).mesh
    mesh, nodes = extract(whole, 30, 31)
    number = np.full(len(whole.points), -1)
    number[nodes] = np.arange(len(nodes))
    rim = number[interface(whole, [30, 31], range(32, 40))]
    facets, _ = boundary(mesh)
    assert {tuple(f) for f in np.sort(rim)} <= {tuple(f) for f in np.sort(facets)}
    tags = np.full(len(facets), int(Surface.EPI))
    known = tags_of(mesh, facets)
    tags[known == 131] = int(Surface.LV_ENDO)
    tags[known == 130] = int(Surface.RV_ENDO)
    cut = replace(mesh, facets=rim, facet_tags=np.ones(len(rim), int))
    tags[tags_of(cut, facets) == 1] = int(Surface.BASE)
    mesh = replace(mesh, facets=facets, facet_tags=tags)
    solved = fields(mesh)
    found = coordinates(mesh, solved)
    # Regions of the file: 30 right, 31 left with the septum, half of which is ours to the right.
    right = np.asarray(found.transventricular)[mesh.cells].mean(axis=1)
    assert np.mean(right[mesh.regions == 30]) > 0.95
    assert np.mean(right[mesh.regions == 31]) < 0.35
    frames = np.asarray(FibreRule().frames(mesh, solved=solved))
    product = np.einsum("cki,ckj->cij", frames, frames)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-12)
    # Fibres of the epicardium lie in it.
    outside = facets
    normal = areas(mesh.points, outside)
    normal /= np.linalg.norm(normal, axis=1)[:, None]
    epi = tags == Surface.EPI
    nodal = np.asarray(FibreRule().frames(mesh, at="nodes", solved=solved))
    fibre = nodal[outside[epi], :, 0]
    tilt = np.rad2deg(np.arcsin(np.abs(np.einsum("fai,fi->fa", fibre, normal[epi])))).mean(axis=1)
    assert np.median(tilt) < 5
