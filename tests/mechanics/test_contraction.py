"""Both conventions of active tension, and how a contraction follows the stretch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.mechanics._walls import bent_box, somewhere
from twinjax.geometry import slab
from twinjax.mechanics import (
    Contraction,
    Load,
    MooneyRivlin,
    Quadratic,
    Wall,
    deform,
    fibre_stretch,
    unload,
)
from twinjax.mechanics._balance import residual, stiffness
from twinjax.mechanics._cells import Cells, Coupling
from twinjax.mechanics._wall import Deformation


def pull(wall, load, stretch):
    """The force along x [mN] through a box of 2 x 1 x 1 mm, stretched along it and nowhere else."""
    x = wall.elements.points
    u = jnp.zeros_like(x).at[:, 0].set((stretch - 1) * x[:, 0])
    at = Deformation(u, wall.at_rest().pressure)
    cells = Cells(wall)
    off = [residual(wall, cells, part.on(wall), at).displacement for part in (load, Load())]
    end = x[:, 0] > 2 - 1e-9
    return float(jnp.sum(jnp.where(end, (off[0] - off[1])[:, 0], 0.0)))


@pytest.mark.parametrize("stretch", [0.8, 1.3])
def test_forces_over_the_area_at_rest(stretch):
    """T λ of a second Piola-Kirchhoff tension T, and P of a contraction P, whatever λ is."""
    elements = Quadratic(slab((2.0, 1.0, 1.0), 1.0))
    wall = Wall(elements, MooneyRivlin(), fixed=elements.mask(1))
    np.testing.assert_allclose(pull(wall, Load(tension=7.0), stretch), 7.0 * stretch, rtol=1e-12)
    given = Load(contraction=Contraction(7.0))
    np.testing.assert_allclose(pull(wall, given, stretch), 7.0, rtol=1e-12)
    follows = Load(contraction=Contraction(7.0, 20.0, 1.1))
    expected = 7.0 + 20.0 * (stretch - 1.1)
    np.testing.assert_allclose(pull(wall, follows, stretch), expected, rtol=1e-12)


@pytest.mark.parametrize("stretch", [0.8, 1.3])
def test_a_share_of_the_tension_acts_across_the_fibre(stretch):
    """With fibres along y of a box that is stretched along x: e = κ E_xx."""
    elements, share, turned = Quadratic(slab((2.0, 1.0, 1.0), 1.0)), 0.4, np.eye(3)[[1, 2, 0]].T
    wall = Wall(elements, MooneyRivlin(), frames=turned, fixed=elements.mask(1), across=share)
    force = pull(wall, Load(tension=7.0), stretch)
    np.testing.assert_allclose(force, share * 7.0 * stretch, rtol=1e-12)
    # P over the stretch that sarcomeres see is the second Piola-Kirchhoff tension.
    seen = np.sqrt(1 + share * (stretch**2 - 1))
    force = pull(wall, Load(contraction=Contraction(7.0, 20.0, 1.1)), stretch)
    expected = share * stretch * (7.0 + 20.0 * (seen - 1.1)) / seen
    np.testing.assert_allclose(force, expected, rtol=1e-12)
    u = jnp.zeros_like(elements.points).at[:, 0].set((stretch - 1) * elements.points[:, 0])
    np.testing.assert_allclose(fibre_stretch(wall, u), seen, rtol=1e-12)


def test_its_stiffness_is_the_derivative_of_its_forces():
    elements = bent_box("tetrahedra")
    wall = Wall(elements, MooneyRivlin(), fixed=elements.mask(1), across=0.3)
    at = somewhere(wall)
    cells = Cells(wall)
    places = wall.frames.shape[:2]
    rng = np.random.default_rng(2)
    load = Load(contraction=Contraction(*rng.uniform(0.5, 2.0, (3, *places)))).on(wall)
    coupling = Coupling(wall, cells, at)
    condensed = jax.tree.map(jnp.zeros_like, coupling)  # no pressures: the forces' own slope
    matrix = stiffness(wall, cells, condensed, load, at)
    along = jnp.where(wall.fixed, 0.0, jax.random.normal(jax.random.key(1), at.displacement.shape))

    def forces(u):
        off = residual(wall, cells, load, Deformation(u, at.pressure)).displacement
        return jnp.where(wall.fixed, 0.0, off)

    ahead = jax.jvp(forces, (at.displacement,), (along,))[1]
    rows, columns = wall.pairs.T
    found = jnp.zeros_like(along).at[rows].add(jnp.einsum("bik,bk->bi", matrix, along[columns]))
    found = jnp.where(wall.fixed, 0.0, found)
    np.testing.assert_allclose(found, ahead, atol=1e-11 * float(jnp.abs(ahead).max()))


def test_walls_shorten_and_are_not_unloaded_from_it():
    elements = Quadratic(slab((2.0, 1.0, 1.0), 1.0))
    wall = Wall(elements, MooneyRivlin(), fixed=elements.mask(1))
    end = elements.points[:, 0] > 2 - 1e-9
    short = [
        float(deform(wall, load).state.displacement[end, 0].mean())
        for load in (Load(tension=1.0), Load(contraction=Contraction(1.0)))
    ]
    assert short[1] < short[0] < -0.01  # λ below 1: the tension of the same name pulls less
    with pytest.raises(ValueError, match="a wall is not unloaded from a contraction"):
        unload(wall, Load(contraction=Contraction(1.0)))
    with pytest.raises(ValueError, match=r"force of the contraction has shape \(3, 1\)"):
        deform(wall, Load(contraction=Contraction(np.ones(3))))
