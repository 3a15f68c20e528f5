"""Equilibria that are known: patches, one bar, manufactured fields, and what the search reports."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.mechanics._walls import KINDS, bent_box, small_ventricle
from twinjax._results import RESULTS
from twinjax.geometry import slab
from twinjax.mechanics import (
    Guccione,
    Load,
    LogarithmicVolume,
    MooneyRivlin,
    Quadratic,
    QuadraticVolume,
    Springs,
    Usyk,
    Wall,
    deform,
)
from twinjax.mechanics._balance import residual
from twinjax.mechanics._cells import Cells


def outer(elements):
    return elements.mask(1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_patch_follows_its_boundary(kind):
    """On unequal cells a linear displacement of the boundary is one of the whole."""
    elements = bent_box(kind)
    slope = jnp.array([[0.2, 0.1, 0.0], [-0.1, -0.1, 0.2], [0.05, 0.0, 0.1]])
    wanted = elements.points @ slope.T
    volume = LogarithmicVolume(bulk=50.0)
    wall = Wall(elements, Usyk(), volume=volume, fixed=outer(elements))
    state = deform(wall, Load(displacement=wanted), rtol=1e-11).state
    np.testing.assert_allclose(state.displacement, wanted, atol=1e-11)
    j = float(jnp.linalg.det(jnp.eye(3) + slope))
    pressure = 50.0 / 2 * (j - 1 / j)
    one = state.pressure[:, 0] / jnp.sqrt(jnp.sum(elements.geometry()[1], axis=1))
    np.testing.assert_allclose(one, pressure, rtol=1e-10)
    assert float(jnp.abs(state.pressure[:, 1:]).max(initial=0.0)) < 1e-9


def test_a_bar_contracts_as_its_active_stress_says():
    """Second Piola-Kirchhoff: T λ² + 2 c (λ² - 1/λ) = 0 in an incompressible neo-Hookean bar."""
    elements = Quadratic(slab((1.0, 1.0, 1.0), 1.0, cells="hexahedra"))
    fixed = np.stack([elements.mask(1), elements.mask(3), elements.mask(5)], axis=1)
    c, tension = 2.0, 3.0
    wall = Wall(elements, MooneyRivlin(c), volume=QuadraticVolume(bulk=1e8), fixed=fixed)
    u = deform(wall, Load(tension=tension)).state.displacement
    stretch = (2 * c / (tension + 2 * c)) ** (1 / 3)
    ends = np.asarray(elements.points)
    np.testing.assert_allclose(u[:, 0], (stretch - 1) * ends[:, 0], atol=1e-7)
    np.testing.assert_allclose(u[:, 1], (stretch**-0.5 - 1) * ends[:, 1], atol=1e-7)


@pytest.mark.parametrize("normal", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_springs_and_a_pressure_hold_a_block(normal):
    """p on one side of a block that slides in a channel, springs k on the other: u = -p / k."""
    elements = Quadratic(slab((1.0, 1.0, 1.0), 1.0, cells="hexahedra"))
    sides = np.zeros((len(elements.points), 3), bool)
    sides[:, 1:] = True
    springs = (Springs(elements, 1, stiffness=4.0, normal=normal),)
    wall = Wall(elements, MooneyRivlin(1e4), fixed=sides, cavities=(2,), springs=springs)
    wall = eqx.tree_at(lambda w: w.volume.bulk, wall, jnp.array(1e8))
    u = deform(wall, Load(2.0)).state.displacement
    np.testing.assert_allclose(u[:, 0], -0.5, atol=1e-4)


def manufactured(kind, spacing, pressures=None, bulk=20.0):
    """The error in L2 of a wall that is forced to follow a given field."""
    elements = Quadratic(slab((1.0, 1.0, 1.0), spacing, cells=kind))
    energy = MooneyRivlin(1.0, 0.5)
    law = LogarithmicVolume(bulk=bulk)

    def exact(x):
        # Of constant volume: planes slide.
        return 0.2 * jnp.array([jnp.sin(2 * x[1]) * x[2], 0.0, jnp.cos(2 * x[1])])

    def stress(x):
        f = jnp.eye(3) + jax.jacfwd(exact)(x)
        c = lambda f: f.T @ f  # noqa: E731

        def density(f):
            j, i1 = jnp.linalg.det(f), jnp.trace(c(f))
            i2 = (i1**2 - jnp.trace(c(f) @ c(f))) / 2
            passive = energy.c_1 * (j ** (-2 / 3) * i1 - 3) + energy.c_2 * (j ** (-4 / 3) * i2 - 3)
            return passive + bulk / 4 * (j**2 - 1 - 2 * jnp.log(j))

        return jax.grad(density)(f)

    def force(x):
        return -jnp.trace(jax.jacfwd(stress)(x), axis1=1, axis2=2)

    at = elements.at_quadrature(elements.points)
    body = elements.load(jax.jit(jax.vmap(jax.vmap(force)))(at))
    wanted = jax.vmap(exact)(elements.points)
    wall = Wall(elements, energy, volume=law, fixed=outer(elements), pressures=pressures)
    u = deform(wall, Load(force=body, displacement=wanted)).state.displacement
    gap = elements.at_quadrature(u) - jax.vmap(jax.vmap(exact))(at)
    return float(jnp.sqrt(jnp.sum(elements.geometry()[1][..., None] * gap**2)))


@pytest.mark.parametrize(
    ("kind", "pressures", "bulk"),
    [
        ("hexahedra", "linear", 1e5),
        pytest.param("tetrahedra", "pointwise", 20.0, marks=pytest.mark.slow),
        pytest.param("hexahedra", "pointwise", 20.0, marks=pytest.mark.slow),
        pytest.param("tetrahedra", "constant", 20.0, marks=pytest.mark.slow),
    ],
)
def test_manufactured_solutions_converge(kind, pressures, bulk):
    """With order 3 in L2; constant pressures in tetrahedra have order 2 only."""
    errors = [manufactured(kind, 1 / n, pressures, bulk) for n in (2, 4)]
    order = np.log2(errors[0] / errors[1])
    assert order > (1.7 if pressures == "constant" else 2.7), (errors, order)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "pressures"), [("hexahedra", "linear"), ("tetrahedra", "constant")]
)
def test_projected_pressures_do_not_lock(kind, pressures):
    """The beam of Land et al. 2015 on cells of 1 mm: its end goes to 4.169 mm."""
    elements = Quadratic(slab((10.0, 1.0, 1.0), 1.0, cells=kind))
    end = np.argmin(np.linalg.norm(np.asarray(elements.points) - [10.0, 0.5, 1.0], axis=1))
    errors = []
    for each in (pressures, "pointwise"):
        wall = Wall(
            elements,
            Guccione(),
            volume=QuadraticVolume(bulk=1e5),
            fixed=elements.mask(1),
            cavities=(5,),
            pressures=each,
        )
        u = deform(wall, Load(0.004)).state.displacement
        errors.append(abs(1 + float(u[end, 2]) - 4.169))
    assert errors[0] < 0.1
    assert errors[1] > 5 * errors[0], errors


def test_the_load_goes_on_from_an_equilibrium():
    wall = small_ventricle()
    half = deform(wall, Load(0.5, 2.0))
    whole = deform(wall, Load(1.0, 5.0))
    gone_on = deform(wall, Load(1.0, 5.0), start=(half.state, Load(0.5, 2.0)))
    np.testing.assert_allclose(gone_on.state.displacement, whole.state.displacement, atol=1e-8)
    assert float(whole.stats["load"]) == 1.0
    assert int(whole.result) == RESULTS.successful


def test_too_great_a_load_is_told():
    wall, most = small_ventricle(), 3e4
    options = {"first_step": 1e-4, "least_step": 1e-5}
    done = deform(wall, Load(most), **options, throw=False)
    assert int(done.result) == RESULTS.no_equilibrium
    assert 0 < float(done.stats["load"]) < 1
    # What is returned is the last equilibrium on the way.
    borne = Load(most * float(done.stats["load"]), 0.0).on(wall)
    left = eqx.filter_jit(residual)(wall, Cells(wall), borne, done.state)
    push = eqx.tree_at(lambda l: l.pressure, borne, jnp.zeros(1))
    whole = eqx.filter_jit(residual)(wall, Cells(wall), push, done.state)
    greatest = float(jnp.abs(whole.displacement).max())
    assert float(jnp.abs(left.displacement).max()) < 1e-6 * greatest
    with pytest.raises(RuntimeError, match="the wall found no equilibrium under its load"):
        deform(wall, Load(most), **options)


def test_a_wall_that_nothing_holds_is_told():
    wall = small_ventricle()
    loose = eqx.tree_at(lambda w: [s.stiffness for s in w.springs], wall, [jnp.zeros(())] * 2)
    with pytest.raises(ValueError, match="nothing holds the wall in its place: fix nodes"):
        deform(loose, Load(1.0))
    elements = wall.elements
    for fixed, held in (
        (elements.points[:, 2] > 4.9, True),
        (np.arange(len(elements.points)) == 0, False),  # it can turn about one node
    ):
        other = Wall(elements, wall.energy, fixed=np.asarray(fixed))
        if held:
            other.check_held()
        else:
            with pytest.raises(ValueError, match="nothing holds the wall in its place"):
                other.check_held()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pressures": "P7"}, "unknown pressures 'P7'; valid choices: constant, linear, pointwise"),
        ({"fixed": np.zeros(5, bool)}, r"fixed has shape \(5,\); valid: \(27,\) or \(27, 3\)"),
        ({"frames": np.eye(3)[[1, 0, 2]]}, "frames must be orthonormal and right-handed"),
        ({"frames": np.zeros((4, 3, 3))}, r"frames has shape \(4, 1, 3, 3\), which does not fit"),
        ({"cavities": (9,)}, "no facet has the tag 9; valid choices: 1, 2, 3, 4, 5, 6"),
    ],
)
def test_a_wrong_wall_is_refused(change, sentence):
    elements = Quadratic(slab((1.0, 1.0, 1.0), 1.0, cells="hexahedra"))
    with pytest.raises(ValueError, match=sentence):
        Wall(elements, MooneyRivlin(), **change)


def test_a_wrong_load_is_refused():
    elements = Quadratic(slab((1.0, 1.0, 1.0), 1.0, cells="hexahedra"))
    wall = Wall(elements, MooneyRivlin(), fixed=elements.mask(3), cavities=(1, 2))
    with pytest.raises(ValueError, match=r"pressure has shape \(3,\), which does not fit \(2,\)"):
        deform(wall, Load([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match=r"tension has shape \(4, 1\), which does not fit \(1, 27"):
        deform(wall, Load(tension=np.zeros(4)))
