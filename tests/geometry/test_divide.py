"""A mesh divided: the same body, finer, with its tags and frames."""

import numpy as np
import pytest

from twinjax.geometry import (
    Mesh,
    boundary,
    divided,
    inspect,
    slab,
    tags_of,
    volumes,
    with_fibres,
)
from twinjax.geometry import left_ventricle as ellipsoid


def test_the_body_stays_and_nothing_is_inverted():
    mesh = with_fibres(ellipsoid(spacing=8.0))
    fine, ends = divided(mesh)
    assert len(fine.cells) == 8 * len(mesh.cells)
    assert len(fine.points) == len(mesh.points) + len(ends)
    assert volumes(fine).min() > 0
    assert np.sum(volumes(fine)) == pytest.approx(np.sum(volumes(mesh)), rel=1e-12)
    assert not inspect(fine).problems
    np.testing.assert_allclose(fine.frames[::8], mesh.frames)
    # A linear field is the same field.
    field = np.asarray(mesh.points) @ [1.0, -2.0, 0.5]
    carried = np.concatenate([field, field[ends].mean(1)])
    np.testing.assert_allclose(carried, np.asarray(fine.points) @ [1.0, -2.0, 0.5], atol=1e-9)


def test_facets_cover_the_same_boundary():
    mesh = ellipsoid(spacing=8.0)
    fine, _ = divided(mesh)
    outside, _ = boundary(fine)
    assert np.all(tags_of(fine, outside) > 0)
    for tag in np.unique(mesh.facet_tags):
        assert np.sum(fine.facet_tags == tag) == 4 * np.sum(mesh.facet_tags == tag)


def test_shapes_do_not_degenerate():
    mesh = slab((4.0, 4.0, 4.0), 2.0)
    twice = divided(divided(mesh)[0])[0]

    def worst(mesh: Mesh) -> float:
        corners = np.asarray(mesh.points)[mesh.cells]
        edges = corners[:, [0, 0, 0, 1, 1, 2]] - corners[:, [1, 2, 3, 2, 3, 3]]
        return float(np.min(volumes(mesh) / np.linalg.norm(edges, axis=2).max(axis=1) ** 3))

    assert worst(twice) > 0.5 * worst(mesh)


def test_hexahedra_are_refused():
    with pytest.raises(ValueError, match="as_tetrahedra"):
        divided(slab((1.0, 1.0, 1.0), 1.0, cells="hexahedra"))
