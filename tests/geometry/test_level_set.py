"""Tetrahedra within level sets: volume, closed boundary, sharp edges, and what is refused."""

import numpy as np
import pytest

from twinjax.geometry import areas, boundary, volumes, within

LOW, HIGH = np.full(3, -12.0), np.full(3, 12.0)


def ball(points):
    return np.linalg.norm(points, axis=1) - 10.0


def below(points):
    return points[:, 2] - 0.3


def test_a_ball():
    mesh = within([ball], LOW, HIGH, 2.0)
    assert volumes(mesh).min() > 0
    assert volumes(mesh).sum() == pytest.approx(4 / 3 * np.pi * 1000, rel=0.02)
    facets, _ = boundary(mesh)
    area = areas(mesh.points, facets)
    np.testing.assert_allclose(area.sum(axis=0), 0.0, atol=1e-9)
    assert np.linalg.norm(area, axis=1).sum() == pytest.approx(400 * np.pi, rel=0.02)


def test_a_second_level_cuts_with_a_sharp_edge():
    mesh = within([ball, below], LOW, HIGH, 2.0)
    facets, _ = boundary(mesh)
    flat = np.abs(mesh.points[facets][:, :, 2] - 0.3).max(axis=1) < 1e-9
    disc = np.linalg.norm(areas(mesh.points, facets)[flat], axis=1).sum()
    assert disc == pytest.approx(np.pi * (100 - 0.09), rel=0.03)
    assert mesh.points[:, 2].max() == pytest.approx(0.3)


def test_nothing_inside_is_refused():
    with pytest.raises(ValueError, match="nowhere all below zero"):
        within([lambda points: np.ones(len(points))], LOW, HIGH, 4.0)
    with pytest.raises(ValueError, match="spacing above 0"):
        within([ball], LOW, HIGH, 0.0)
