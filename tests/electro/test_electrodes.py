"""Electrodes about a heart and on a torso: frames that turn with the mesh, and known places."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from experiments.ecgsim_forward import surface
from twinjax.electro import (
    ELECTRODES,
    LPS,
    electrodes_of_heart,
    electrodes_on_torso,
    heart_frame,
)
from twinjax.geometry import Surface, boundary, left_ventricle, long_axis, replace, slab
from twinjax.io import read_mesh

TURN = Rotation.from_euler("xyz", [30.0, -50.0, 70.0], degrees=True).as_matrix()


def _degrees(one, two):
    return np.rad2deg(np.arccos(np.sum(one * two) / np.linalg.norm(one) / np.linalg.norm(two)))


@pytest.fixture(scope="module")
def ventricle():
    return left_ventricle(8.0)


def test_the_frame_is_that_of_the_published_axis(ventricle):
    """In the frame the axis is 38° below the left in front and 46° before it from above."""
    centre, directions = heart_frame(ventricle)
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(directions) == pytest.approx(1)
    left, posterior, superior = directions @ -long_axis(ventricle)[1]
    assert np.rad2deg(np.arctan2(-superior, left)) == pytest.approx(38)
    assert np.rad2deg(np.arctan2(-posterior, left)) == pytest.approx(46)
    assert np.all(np.abs(centre) < 60)


def test_electrodes_turn_with_the_heart(ventricle):
    """One ventricle takes its roll from x: so it is given a right one, as a tag."""
    endo = ventricle.facet_tags == Surface.EPI
    tags = ventricle.facet_tags.copy()
    side = np.asarray(ventricle.points)[ventricle.facets].mean(axis=1)[:, 1] > 5
    tags[endo & side] = int(Surface.RV_ENDO)
    heart = replace(ventricle, facet_tags=tags)
    shift = np.array([10.0, 20.0, -5.0])
    turned = replace(heart, points=np.asarray(heart.points) @ TURN.T + shift)
    one, two = (electrodes_of_heart(*heart_frame(mesh)) for mesh in (heart, turned))
    np.testing.assert_allclose(two, one @ TURN.T + shift, atol=1e-8)


def test_electrodes_stand_where_they_belong():
    """V1 in front on the right, V6 at the left; arms above, leg below."""
    place = dict(zip(ELECTRODES, electrodes_of_heart(np.zeros(3)), strict=True))
    assert place["V1"][0] < place["V2"][0] < place["V3"][0] < place["V4"][0] < place["V6"][0]
    assert place["V2"][1] < -50
    assert place["V6"][1] > 0
    assert place["RA"][0] < -100 < 100 < place["LA"][0]
    assert place["RA"][2] > 100
    assert place["LL"][2] < -150


def test_electrodes_on_a_box_are_on_it():
    """A torso of 360 x 220 x 460 mm, turned; the heart is in front of its middle."""
    box = slab((360.0, 220.0, 460.0), 20.0)
    points = np.asarray(box.points) - np.array([180.0, 110.0, 230.0])
    facets, _ = boundary(box)
    heart = np.array([30.0, -40.0, 20.0])
    place = dict(zip(ELECTRODES, electrodes_on_torso(points, facets, heart), strict=True))
    for name in ("V1", "V2"):
        assert place[name][1] == pytest.approx(-110)
        assert place[name][2] == pytest.approx(30)
    assert place["V1"][0] == pytest.approx(-28)
    assert place["V2"][0] == pytest.approx(28)
    np.testing.assert_allclose(place["V6"], [180, 0, -20], atol=1e-9)
    np.testing.assert_allclose(place["RA"], [-180, 0, 155], atol=1e-9)
    assert place["LL"][2] == pytest.approx(-209)
    turned = electrodes_on_torso(points @ TURN.T, facets, TURN @ heart, LPS @ TURN.T)
    np.testing.assert_allclose(turned, np.stack(list(place.values())) @ TURN.T, atol=1e-8)
    with pytest.raises(ValueError, match="above or below"):
        electrodes_on_torso(points, facets, np.array([0.0, 0.0, 300.0]))
    with pytest.raises(ValueError, match="not closed about"):
        electrodes_on_torso(points, facets, np.array([300.0, 0.0, 0.0]))


def test_the_precordial_electrodes_of_ecgsim(shared):
    """On its thorax, whose nodes 19, 26, 65, 41, 48 and 54 are V1 to V6."""
    folder = shared("data/torso/ecgsim")
    skin, triangles = surface(folder / "thorax.tri")
    wall, _ = surface(folder / "heart.tri")
    directions = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    places = electrodes_on_torso(skin, triangles, wall.mean(axis=0), directions)
    known = skin[np.array([19, 26, 65, 41, 48, 54]) - 1]
    assert np.all(np.linalg.norm(places[3:] - known, axis=1) < 8)


def test_a_patient_s_electrodes(shared):
    """The body's directions are found to 10°; electrodes of the patient are 50 to 150 mm away.

    They are 40 to 60 mm higher and to the right of the heart than usual, and the limbs' are on a
    larger body: places about a heart without its torso are a guess.
    """
    folder = shared("data/meshes/crtdemo_biv")
    heart = read_mesh(folder / "crtdemo_biv_fibres.vtu").mesh
    centre, directions = heart_frame(heart)
    turn = np.rad2deg(np.arccos((np.trace(directions) - 1) / 2))
    assert turn < 10
    known = json.loads((folder / "electrodes_mm.json").read_text("utf-8"))
    there = np.array([known[name] for name in ELECTRODES])
    off = np.linalg.norm(electrodes_of_heart(centre, directions) - there, axis=1)
    assert np.all(off < 150)
    angles = [
        _degrees(a - centre, b - centre)
        for a, b in zip(electrodes_of_heart(centre), there, strict=True)
    ]
    assert np.median(angles) < 35
