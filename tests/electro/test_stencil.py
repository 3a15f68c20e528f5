"""The operator: order, symmetry, conservation, energy, edges of the tissue, its largest rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.cells import MitchellSchaeffer2003
from twinjax.electro import MASSES, Tissue, VoxelGrid, slab


def _odd_grid():
    """A block with a notch, a hole, and a part that hangs on by one edge of voxels."""
    tags = np.ones((5, 4, 4), bool)
    tags[:2, 2:] = False
    tags[3, 1, 1] = False
    return VoxelGrid(tags, 0.4)


def _odd_tissue(mass, fibres=None):
    grid = _odd_grid()
    if fibres is None:
        fibres = np.random.default_rng(1).normal(size=(*grid.tags.shape, 3))
    scale = np.random.default_rng(2).uniform(0.2, 1.0, grid.tags.shape)
    return Tissue(grid, MitchellSchaeffer2003(), fibres=fibres, scale=scale, mass=mass)


def _matrix(tissue):
    operator = tissue.conduction()
    return np.array(jax.vmap(operator, out_axes=1)(jnp.eye(len(tissue.grid.nodes))))


@pytest.mark.parametrize("mass", MASSES)
@pytest.mark.parametrize("fibres", [None, 1], ids=["turning", "aligned"])
def test_it_is_symmetric_and_conserves_and_raises_no_energy(mass, fibres):
    tissue = _odd_tissue(mass, fibres)
    weighted = tissue.grid.volumes[:, None] * _matrix(tissue)
    size = np.abs(weighted).max()
    assert np.abs(weighted - weighted.T).max() < 1e-13 * size
    assert np.abs(weighted.sum(axis=0)).max() < 1e-13 * size
    rates = np.linalg.eigvalsh(weighted)
    assert rates.max() < 1e-13 * size
    # The tissue hangs together: only a constant potential does not change.
    assert np.sum(rates > -1e-10 * size) == 1


@pytest.mark.parametrize("mass", MASSES)
@pytest.mark.parametrize("fibres", [None, 0], ids=["turning", "aligned"])
def test_the_longest_step_is_stable_and_not_needlessly_short(mass, fibres):
    tissue = _odd_tissue(mass, fibres)
    fastest = np.max(-np.linalg.eigvals(_matrix(tissue)).real)
    limit = float(tissue.conduction().longest_step())
    assert limit <= 2 / fastest * (1 + 1e-12)
    # Gershgorin's bound is loose where fibres are inclined.
    assert limit > (0.25 if fibres is None else 0.5) * 2 / fastest


def test_the_longest_step_of_a_cube_is_the_textbook_one():
    grid = slab((2.0, 2.0, 2.0), 0.5)
    tissue = Tissue(
        grid, MitchellSchaeffer2003(), conductivity_along=0.14, conductivity_across=0.14
    )
    assert float(tissue.conduction().longest_step()) == pytest.approx(0.25 / (6 * 0.1), rel=1e-12)


@pytest.mark.parametrize("mass", MASSES)
def test_an_inclined_fibre_in_a_plane_is_second_order(mass):
    """Inside, on a plane wave, for which ∇·(D∇V) is -(k·Dk) V.

    Of the blended mass the errors of second and third order have opposite signs, so that only
    the order over all three spacings says anything.
    """
    errors = []
    fibre = np.array([np.cos(0.4), np.sin(0.4)])
    for count in (10, 20, 40):
        grid = slab((4.0, 4.0), 4.0 / count)
        tissue = Tissue(grid, MitchellSchaeffer2003(), fibres=fibre, mass=mass)
        x, y = grid.points.T
        k, m = 0.9, 1.3
        v = np.sin(k * x + m * y)
        along, across = 0.1334177 / 1.4, 0.0176062 / 1.4
        direction = np.array([k, m])
        rate = across * direction @ direction + (along - across) * (direction @ fibre) ** 2
        found = np.array(tissue.conduction()(jnp.asarray(v)))
        inside = np.all((grid.points > 0.9) & (grid.points < 3.1), axis=1)
        errors.append(np.abs(found + rate * v)[inside].max())
    assert np.log2(errors[0] / errors[-1]) / 2 > 1.8, errors


def test_a_natural_edge_is_second_order_in_the_mean():
    """cos(πx/4) cos(πy/2) meets the edges of a rectangle without flux."""
    errors = []
    for count in (8, 16, 32):
        grid = slab((4.0, 2.0), 4.0 / count)
        tissue = Tissue(grid, MitchellSchaeffer2003())
        x, y = grid.points.T
        v = np.cos(np.pi * x / 4) * np.cos(np.pi * y / 2)
        rate = (0.1334177 / 16 + 0.0176062 / 4) * np.pi**2 / 1.4
        found = np.array(tissue.conduction()(jnp.asarray(v)))
        errors.append(np.abs(found + rate * v).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(orders > 1.9), (errors, orders)


def test_tissue_that_does_not_touch_is_not_coupled():
    tags = np.array([1, 1, 0, 0, 1, 1], bool)
    tissue = Tissue(VoxelGrid(tags, 0.5), MitchellSchaeffer2003(), mass="blended")
    assert np.all(tissue.grid.points[:, 0] == [0, 0.5, 1.0, 2.0, 2.5, 3.0])
    coupling = _matrix(tissue)
    assert not coupling[:3, 3:].any()
    assert not coupling[3:, :3].any()


def test_a_scar_does_not_conduct():
    grid = slab((3.0,), 0.5)
    tissue = Tissue(grid, MitchellSchaeffer2003(), scale=np.array([1, 1, 0, 0, 1, 1.0]))
    coupling = _matrix(tissue)
    assert not coupling[:3, 3:].any()
    assert np.isfinite(_matrix(Tissue(grid, MitchellSchaeffer2003(), scale=np.zeros(6)))).all()


def test_nodes_of_regions_follow_each_other():
    grid = VoxelGrid(np.array([[1, 1, 2, 2]] * 2), 1.0)
    assert grid.counts == (6, 9)
    assert np.all(grid.points[:6, 1] < 1.5)
    assert np.all(grid.points[6:, 1] > 1.5)
    assert np.sum(grid.volumes) == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: VoxelGrid(np.zeros((2, 2), bool), 0.5), "one at least is more than 0"),
        (lambda: VoxelGrid(np.ones((2, 2), bool), 0.0), "must be positive, not 0.0 mm"),
        (lambda: VoxelGrid(np.ones((1,) * 4, bool), 1.0), "1, 2 or 3 dimensions, not 4"),
        (lambda: slab((1.0,), 0.3), "no whole number of voxels of 0.3 mm"),
        (lambda: slab((1.0,), 0.5).within((2.0,), (3.0,)), "no node of the grid lies between"),
        (lambda: Tissue(slab((1.0,), 0.5)), "1 regions needs as many cell models, not 0"),
        (
            lambda: Tissue(slab((1.0,), 0.5), MitchellSchaeffer2003(), mass="blend"),
            "unknown mass 'blend'; did you mean 'blended'?",
        ),
        (
            lambda: Tissue(slab((1.0,), 0.5), MitchellSchaeffer2003(), fibres=1),
            "an axis from 0 to 0, not 1",
        ),
        (
            lambda: Tissue(slab((1.0,), 0.5), MitchellSchaeffer2003(), fibres=np.ones((2, 2))),
            "fibres have the shape",
        ),
    ],
)
def test_mistakes_are_refused_in_one_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
        build()
