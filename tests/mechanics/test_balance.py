"""Residual and stiffness: of one potential, and against finite differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.mechanics._walls import bent_box, small_ventricle, some_load, somewhere
from twinjax.mechanics import (
    Deformation,
    Guccione,
    HolzapfelOgden,
    LogarithmicVolume,
    Quadratic,
    Springs,
    Strain,
    Wall,
)
from twinjax.mechanics._balance import product, residual, solve, stiffness
from twinjax.mechanics._cells import Cells, Coupling

WALLS = {
    "ventricle": lambda: small_ventricle(),
    "tetrahedra": lambda: _box("tetrahedra", "constant"),
    "pointwise": lambda: _box("tetrahedra", "pointwise"),
}


def _box(kind, pressures):
    elements = bent_box(kind)
    rng = np.random.default_rng(5)
    axes = np.linalg.qr(rng.standard_normal((len(elements.cells), 3, 3)))[0]
    axes[np.linalg.det(axes) < 0, :, 2] *= -1
    return Wall(
        elements,
        HolzapfelOgden(a_f=jnp.linspace(1.0, 2.0, len(elements.cells))),
        frames=axes,
        volume=LogarithmicVolume(bulk=100.0, local=3.0),
        fixed=elements.mask(1),
        cavities=(2, 5),
        springs=(Springs(elements, 4, stiffness=0.7, normal=True),),
        pressures=pressures,
    )


@pytest.fixture(scope="module", params=list(WALLS))
def wall(request):
    return WALLS[request.param]()


def potential(wall, load, at):
    """The energy of the wall, the springs and the dead load, written without Voigt or chunks."""
    points = wall.elements.points
    slopes, measure = wall.elements.geometry()
    cells = Cells(wall)
    f = jnp.eye(3) + jnp.einsum("cai,cqaj->cqij", at.displacement[wall.elements.cells], slopes)
    green = (jnp.einsum("cqki,cqkj->cqij", f, f) - jnp.eye(3)) / 2
    e = jnp.einsum("cqiA,cqij,cqjB->cqAB", wall.frames, green, wall.frames)
    strain = Strain(*(e[..., a, b] for a, b in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))))
    volume = jnp.linalg.det(f)
    p = jnp.einsum("cqm,cm->cq", cells.modes, at.pressure)
    bulk = wall.volume.bulk
    if isinstance(wall.volume, LogarithmicVolume):  # the integral of J*
        dual = bulk / 2 * ((p / bulk) ** 2 + (p / bulk) * jnp.sqrt(1 + (p / bulk) ** 2))
        dual = dual + bulk / 2 * jnp.arcsinh(p / bulk)
    else:
        dual = p + p**2 / (2 * bulk)
    density = wall.energy.along(1).density(strain) + load.tension * strain.ff
    density = density + wall.volume.local / 4 * (volume**2 - 2 * jnp.log(volume))
    total = jnp.sum(measure * (density + p * volume - dual))
    total = total - jnp.sum(load.force * at.displacement)
    for spring in wall.springs:
        u = at.displacement[spring.facets]
        total = total + jnp.einsum("fai,faibk,fbk->", u, spring.matrices(points), u) / 2
    return total


def slope_of_potential(wall, load, at):
    return jax.grad(lambda at: potential(wall, load, at))(at)


@eqx.filter_jit
def out_of_balance(wall, load, at):
    return residual(wall, Cells(wall), load, at)


@eqx.filter_jit
def linearised(wall, load, at):
    cells = Cells(wall)
    coupling = Coupling(wall, cells, at)
    return cells, coupling, stiffness(wall, cells, coupling, load, at)


# rank promotion is an error in tests; the potential is easier to read with it
@pytest.fixture(autouse=True)
def _promotion():
    with jax.numpy_rank_promotion("allow"):
        yield


def test_the_residual_is_the_slope_of_the_potential(wall):
    load = eqx.tree_at(lambda l: l.pressure, some_load(wall), jnp.zeros(len(wall.cavities)))
    at = somewhere(wall)
    slope = eqx.filter_jit(slope_of_potential)(wall, load, at)
    found = out_of_balance(wall, load, at)
    free = ~wall.fixed
    np.testing.assert_allclose(
        jnp.where(free, found.displacement, 0), jnp.where(free, slope.displacement, 0), atol=1e-11
    )
    np.testing.assert_allclose(found.pressure, slope.pressure, atol=1e-12)


def test_held_components_answer_with_what_is_wrong(wall):
    at, load = somewhere(wall), some_load(wall)
    found = out_of_balance(wall, load, at).displacement
    np.testing.assert_allclose(found[wall.fixed], at.displacement[wall.fixed] - 0.1)


def test_the_linear_balance_is_the_slope_of_the_residual(wall):
    """Against central differences, with pressures on cavities and springs."""
    load, at = some_load(wall), somewhere(wall)
    cells, coupling, matrix = linearised(wall, load, at)
    x = somewhere(wall, 1.0, seed=4)
    ahead = product(wall, cells, coupling, matrix, x)
    h = 1e-6

    def moved(sign):
        there = jax.tree.map(lambda a, b: a + sign * h * b, at, x)
        return out_of_balance(wall, load, there)

    difference = jax.tree.map(lambda a, b: (a - b) / (2 * h), moved(1), moved(-1))
    for found, expected in zip(jax.tree.leaves(ahead), jax.tree.leaves(difference), strict=True):
        np.testing.assert_allclose(found, expected, atol=3e-7 * float(jnp.abs(expected).max()))


def test_solves_are_inverse_to_products(wall):
    load, at = some_load(wall), somewhere(wall)
    cells, coupling, matrix = linearised(wall, load, at)
    x = somewhere(wall, 1.0, seed=4)
    x = Deformation(jnp.where(wall.fixed, 0, x.displacement), x.pressure)
    right = product(wall, cells, coupling, matrix, x)
    found = solve(wall, cells, coupling, matrix, right)
    np.testing.assert_allclose(found.displacement, x.displacement, atol=1e-7)
    np.testing.assert_allclose(found.pressure, x.pressure, atol=1e-6)


def test_a_cavity_held_at_its_rim_has_a_symmetric_stiffness():
    wall = small_ventricle(springs=False)
    loose = small_ventricle(springs=True)
    skew = []
    for each in (wall, loose):
        matrix = linearised(each, some_load(each), somewhere(each))[2]
        full = each.sparsity.matrix(np.asarray(matrix))
        skew.append(abs(full - full.T).max() / abs(full).max())
    assert skew[0] < 1e-13
    assert skew[1] > 1e-6  # the rim's free motion takes part in the work of the pressure


def test_rigid_motions_change_no_force():
    """Of the passive and the active wall, but that forces turn with it."""
    wall = small_ventricle(springs=True)
    wall = eqx.tree_at(lambda w: [s.stiffness for s in w.springs], wall, [jnp.zeros(())] * 2)
    load = eqx.tree_at(lambda l: l.force, some_load(wall), jnp.zeros_like(wall.elements.points))
    at = somewhere(wall)
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))[0]
    turn = turn * np.linalg.det(turn)
    where = wall.elements.points + at.displacement
    turned = where @ turn.T + jnp.array([3.0, -1.0, 2.0]) - wall.elements.points
    before = out_of_balance(wall, load, at)
    after = out_of_balance(wall, load, Deformation(turned, at.pressure))
    np.testing.assert_allclose(after.displacement, before.displacement @ turn.T, atol=1e-11)
    np.testing.assert_allclose(after.pressure, before.pressure, atol=1e-12)


def test_more_cells_than_a_chunk_are_each_counted_once():
    from twinjax.geometry import slab

    elements = Quadratic(slab((2.0, 1.0, 1.0), 1 / 3))  # 324 cells: chunks overlap
    wall = Wall(elements, Guccione(), pressures="constant")
    at = somewhere(wall)
    found = out_of_balance(wall, some_load(wall), at)
    slope = eqx.filter_jit(slope_of_potential)(wall, some_load(wall), at)
    np.testing.assert_allclose(found.displacement, slope.displacement, atol=1e-11)
    np.testing.assert_allclose(found.pressure, slope.pressure, atol=1e-12)
