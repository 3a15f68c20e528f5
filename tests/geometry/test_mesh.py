"""The mesh: what it refuses, what is found wrong with it, and how that is put right."""

import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.geometry import (
    Mesh,
    as_tetrahedra,
    bandwidth,
    boundary,
    check,
    drop_orphans,
    drop_repeated,
    extract,
    flip_inverted,
    inspect,
    largest_part,
    left_ventricle,
    reorder,
    replace,
    scaled,
    slab,
    tags_of,
    volumes,
)


@pytest.fixture(scope="module")
def block():
    return slab((3.0, 2.0, 2.0), 1.0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"points": np.zeros((4, 2)), "cells": [[0, 1, 2, 3]]}, "not \\(node, 3\\)"),
        ({"points": np.zeros((4, 3)), "cells": [[0, 1, 2]]}, "valid: \\(cell, 4\\)"),
        ({"points": np.zeros((4, 3)), "cells": [[0.0, 1, 2, 3]]}, "not integers"),
        ({"points": np.zeros((4, 3)), "cells": [[0, 1, 2, 4]]}, "there are 4 points"),
        ({"points": np.zeros((4, 3)), "cells": [[0, 1, 2, 3]], "regions": [1, 2]}, "regions have"),
        (
            {"points": np.zeros((4, 3)), "cells": [[0, 1, 2, 3]], "facets": [[0, 1, 2, 3]]},
            "tetrahedra have 3 nodes",
        ),
        (
            {
                "points": np.zeros((4, 3)),
                "cells": [[0, 1, 2, 3]],
                "facets": [[0, 1, 2]],
                "facet_tags": [],
            },
            "facet_tags",
        ),
        ({"points": np.zeros((4, 3)), "cells": [[0, 1, 2, 3]], "frames": np.eye(3)}, "frames have"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Mesh(**arguments)


def test_a_sound_mesh_has_no_problems(block):
    report = inspect(block)
    assert report.problems == ()
    assert report.volume == pytest.approx(0.012)
    assert report.edge == pytest.approx((1.0, report.edge[1], np.sqrt(3)))
    assert report.surfaces == {1: 8, 2: 8, 3: 12, 4: 12, 5: 12, 6: 12}
    assert check(block) is block


def test_quality_of_the_regular_tetrahedron_is_one():
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float)
    assert inspect(flip_inverted(Mesh(corners, [[0, 1, 2, 3]]))).quality == pytest.approx(1)


@pytest.mark.parametrize("kind", ["tetrahedra", "hexahedra"])
def test_inverted_cells_are_found_and_turned(kind):
    mesh = slab((3.0, 2.0, 2.0), 1.0, cells=kind)
    cells = mesh.cells.copy()
    mirrored = [1, 0, 2, 3] if kind == "tetrahedra" else [4, 5, 6, 7, 0, 1, 2, 3]
    cells[:5] = cells[:5][:, mirrored]
    bad = replace(mesh, cells=cells)
    assert "5 of" in inspect(bad).problems[0]
    assert "flip_inverted" in inspect(bad).problems[0]
    with pytest.raises(ValueError, match="the mesh cannot be used: 5 of"):
        check(bad)
    np.testing.assert_allclose(volumes(flip_inverted(bad)), volumes(mesh))


def test_orphans_repeated_cells_and_parts(block):
    count = len(block.points)
    points = np.concatenate([block.points, [[9.0, 9, 9]], block.points[:4] + 50])
    far = [[count + 1, count + 2, count + 3, count + 4]]
    cells = np.concatenate([block.cells, block.cells[:2, [1, 2, 0, 3]], far])
    bad = Mesh(points, cells, facets=block.facets, facet_tags=block.facet_tags)
    told = " ".join(inspect(bad).problems)
    assert "1 nodes belong to no cell" in told
    assert "2 cells are there twice" in told
    assert "falls into 2 parts" in told
    good = largest_part(drop_repeated(drop_orphans(bad)))
    assert inspect(good).problems == ()
    np.testing.assert_array_equal(good.points, block.points)
    np.testing.assert_array_equal(good.facets, block.facets)


def test_a_coordinate_that_is_no_number_is_told(block):
    points = block.points.copy()
    points[3, 1] = np.nan
    assert "1 nodes have a coordinate" in inspect(replace(block, points=points)).problems[0]


@pytest.mark.parametrize(("factor", "unit"), [(1000.0, "µm"), (0.1, "cm"), (0.001, "m")])
def test_units_are_guessed_from_the_size(factor, unit):
    heart = left_ventricle(12.0)
    assert inspect(heart).doubts == ()
    assert f"in {unit}" in inspect(scaled(heart, factor)).doubts[0]


def test_scaling_refuses_nonsense(block):
    with pytest.raises(ValueError, match="above 0"):
        scaled(block, -1.0)


def test_regions_are_cut_out(block):
    mesh = replace(block, regions=(block.centres()[:, 0] > 1).astype(int))
    cut, nodes = extract(mesh, 1)
    np.testing.assert_array_equal(cut.points, mesh.points[nodes])
    assert inspect(cut).volume == pytest.approx(0.008)
    assert set(np.unique(cut.facet_tags)) == {2, 3, 4, 5, 6}
    with pytest.raises(ValueError, match="region tag 7; valid choices: 0, 1"):
        extract(mesh, 7)


def test_reordering_brings_neighbours_together_and_changes_nothing_else():
    mesh = left_ventricle(8.0)
    mesh = replace(mesh, regions=np.arange(len(mesh.cells)))
    made, nodes, cells = reorder(mesh)
    assert bandwidth(made) < bandwidth(mesh) / 2
    np.testing.assert_array_equal(made.points, mesh.points[nodes])
    np.testing.assert_array_equal(nodes[made.cells], mesh.cells[cells])
    np.testing.assert_array_equal(nodes[made.facets], mesh.facets)
    np.testing.assert_array_equal(made.regions, cells)


def test_the_boundary_is_closed_and_looks_outwards(block):
    for mesh in (block, slab((3.0, 2.0, 2.0), 1.0, cells="hexahedra")):
        facets, owner = boundary(mesh)
        middle = mesh.points[facets].mean(axis=1)
        inner = mesh.centres()[owner]
        a, b, c = (mesh.points[facets[:, i]] for i in range(3))
        outward = np.einsum("ij,ij->i", np.cross(b - a, c - a), middle - inner)
        assert (outward > 0).all()
        assert set(tags_of(mesh, facets)) == {1, 2, 3, 4, 5, 6}


def test_hexahedra_become_tetrahedra_with_the_same_sides():
    hexes = slab((3.0, 2.0, 2.0), 1.0, cells="hexahedra")
    tets = as_tetrahedra(hexes)
    assert inspect(tets).problems == ()
    assert inspect(tets).volume == pytest.approx(inspect(hexes).volume)
    facets, _ = boundary(tets)
    assert (tags_of(tets, facets) > 0).all()
    cells = hexes.cells.copy()
    cells[0] = cells[0][[1, 2, 3, 0, 5, 6, 7, 4]]  # the same box, numbered from another corner
    with pytest.raises(ValueError, match="diagonals cross"):
        as_tetrahedra(replace(hexes, cells=cells))


def test_points_may_be_a_jax_array(block):
    mesh = replace(block, points=jnp.asarray(block.points))
    assert inspect(mesh).volume == pytest.approx(0.012)
