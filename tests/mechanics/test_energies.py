"""Energies: rest, closed forms, tension-only fibres, parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax._parameters import ParameterSpace
from twinjax.mechanics import (
    Guccione,
    HolzapfelOgden,
    LogarithmicVolume,
    MooneyRivlin,
    QuadraticVolume,
    Strain,
    Usyk,
)

ENERGIES = [Guccione(), Usyk(), MooneyRivlin(), MooneyRivlin(0.3, 0.2), HolzapfelOgden()]
ENERGIES.append(HolzapfelOgden(kappa_f=0.1, kappa_s=0.2))


def stress(energy, strain):
    """S = ∂W/∂E as a matrix."""
    matrix = jax.grad(lambda e: energy.density(_components(e)))(jnp.asarray(strain))
    return np.asarray((matrix + matrix.T) / 2)


def _components(e):
    e = (e + e.T) / 2
    return Strain(e[0, 0], e[1, 1], e[2, 2], e[0, 1], e[0, 2], e[1, 2])


@pytest.mark.parametrize("energy", ENERGIES, ids=lambda e: type(e).__name__)
def test_rest_has_neither_energy_nor_stress(energy):
    zero = jnp.zeros((3, 3))
    assert float(energy.density(_components(zero))) == pytest.approx(0.0, abs=1e-15)
    assert np.abs(stress(energy, zero)).max() < 1e-14


@pytest.mark.parametrize("energy", ENERGIES, ids=lambda e: type(e).__name__)
def test_small_strains_cost_energy(energy):
    rng = np.random.default_rng(1)
    for _ in range(20):
        e = rng.standard_normal((3, 3))
        e = 1e-3 * ((e + e.T) / 2 - np.trace(e) / 3 * np.eye(3))
        assert float(energy.density(_components(jnp.asarray(e)))) > 0


def test_guccione_in_closed_form():
    e = np.array([[0.1, 0.02, -0.03], [0.02, -0.05, 0.04], [-0.03, 0.04, 0.07]])
    q = 8 * e[0, 0] ** 2 + 2 * (e[1, 1] ** 2 + e[2, 2] ** 2 + 2 * e[1, 2] ** 2)
    q += 8 * (e[0, 1] ** 2 + e[0, 2] ** 2)
    b = np.array([[8, 4, 4], [4, 2, 2], [4, 2, 2]])
    np.testing.assert_allclose(stress(Guccione(), e), 2.0 * np.exp(q) * b * e, rtol=1e-13)


def test_usyk_in_closed_form():
    e = np.array([[0.1, 0.02, -0.03], [0.02, -0.05, 0.04], [-0.03, 0.04, 0.07]])
    b = np.array([[5, 10, 2], [10, 6, 2], [2, 2, 3]])
    expected = 0.88 * np.exp(np.sum(b * e * e)) * b * e
    np.testing.assert_allclose(stress(Usyk(), e), expected, rtol=1e-13)


@pytest.mark.parametrize(("c_1", "c_2"), [(0.5, 0.0), (0.3, 0.2)])
def test_mooney_rivlin_pulled_along_one_axis(c_1, c_2):
    """Cauchy's stress of an incompressible bar: 2 (λ² - 1/λ) (c_1 + c_2/λ)."""
    stretch = 1.3
    f = np.diag([stretch, stretch**-0.5, stretch**-0.5])
    s = stress(MooneyRivlin(c_1, c_2), (f.T @ f - np.eye(3)) / 2)
    cauchy = f @ s @ f.T
    expected = 2 * (stretch**2 - 1 / stretch) * (c_1 + c_2 / stretch)
    assert cauchy[0, 0] - cauchy[1, 1] == pytest.approx(expected, rel=1e-12)


def test_mooney_rivlin_does_not_see_volume():
    f = np.array([[1.1, 0.2, 0.0], [0.0, 0.9, 0.1], [0.0, 0.0, 1.05]])
    energy = MooneyRivlin(0.3, 0.2)
    densities = [
        float(energy.density(_components(jnp.asarray((s**2 * f.T @ f - np.eye(3)) / 2))))
        for s in (1.0, 1.4)
    ]
    assert densities[0] == pytest.approx(densities[1], rel=1e-13)


def test_holzapfel_ogden_in_simple_shear():
    """f and s in the plane of shear: the terms of I_1, I_f (or I_s) and I_fs, from the paper."""
    γ = 0.4
    law = HolzapfelOgden(sharpness=1e4)
    f = np.eye(3) + γ * np.outer([0, 1, 0], [1, 0, 0])  # fibres turn into s: (fs) shear
    s = stress(law, (f.T @ f - np.eye(3)) / 2)
    cauchy = f @ s @ f.T
    matrix = 0.059 * np.exp(8.023 * γ**2) * γ
    fibre = 2 * 18.472 * γ**2 * np.exp(16.026 * γ**4) * γ
    both = 0.216 * γ * np.exp(11.436 * γ**2)
    assert cauchy[0, 1] == pytest.approx(matrix + fibre + both, rel=1e-6)


def test_fibres_bear_no_compression():
    law = HolzapfelOgden(a=1e-3, a_fs=0.0, a_s=0.0)
    pressed = stress(law, np.diag([-0.1, 0.0, 0.0]))
    pulled = stress(law, np.diag([0.1, 0.0, 0.0]))
    assert abs(pressed[0, 0]) < 1e-3 * pulled[0, 0]


def test_dispersed_fibres_are_stretched_as_their_mean():
    """E_f is the mean of m·C m - 1 over directions of a density exp(b cos² θ) about the fibre."""
    nodes, weights = np.polynomial.legendre.leggauss(60)  # of cos θ
    density = weights * np.exp(2.0 * nodes**2)
    density /= density.sum()
    kappa = np.sum(density * (1 - nodes**2)) / 2
    turn = 2 * np.pi * np.arange(24) / 24
    across = np.sqrt(1 - nodes**2)
    m = np.stack(
        [
            np.broadcast_to(nodes[:, None], (60, 24)),
            across[:, None] * np.cos(turn),
            across[:, None] * np.sin(turn),
        ],
        axis=-1,
    )
    e = np.array([[0.08, 0.03, 0.01], [0.03, 0.04, -0.02], [0.01, -0.02, -0.03]])
    mean = np.einsum("t,tri,ik,trk->", density / 24, m, 2 * e, m)
    b = 16.026
    others = {"a": 0.0, "a_s": 0.0, "a_fs": 0.0, "sharpness": 1e4}
    found = HolzapfelOgden(kappa_f=kappa, **others).density(_components(jnp.asarray(e)))
    assert mean > 0.05
    assert float(found) == pytest.approx(18.472 / (2 * b) * np.expm1(b * mean**2), rel=1e-10)


def test_dispersed_in_every_direction_the_law_has_no_axes():
    law = HolzapfelOgden(kappa_f=1 / 3, kappa_s=1 / 3, a_fs=0.0)
    e = np.array([[0.08, 0.03, 0.01], [0.03, 0.04, -0.02], [0.01, -0.02, -0.03]])
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    assert np.allclose(stress(law, q.T @ e @ q), q.T @ stress(law, e) @ q, rtol=0, atol=1e-12)


@pytest.mark.parametrize("law", [QuadraticVolume(bulk=50.0), LogarithmicVolume(bulk=50.0)])
def test_laws_of_volume_are_those_of_their_energies(law):
    for volume in (0.8, 1.0, 1.3):
        if isinstance(law, QuadraticVolume):
            pressure = jax.grad(lambda j: 50.0 / 2 * (j - 1) ** 2)(volume)
        else:
            pressure = jax.grad(lambda j: 50.0 / 4 * (j**2 - 1 - 2 * jnp.log(j)))(volume)
        assert float(law.volume(pressure)) == pytest.approx(volume, rel=1e-14)


def test_parameters_are_found_and_set():
    law = Guccione()
    space = ParameterSpace(law, ["stiffness", "b_f"])
    changed = space.write(law, jnp.array([3.0, 9.0]))
    assert float(changed.b_f) == 9.0
    assert float(changed.b_t) == 2.0


def test_parameters_of_cells_meet_strains_at_points():
    law = Guccione(stiffness=jnp.array([1.0, 2.0, 4.0])).along(1)
    e = 0.1 * jnp.ones((3, 5))
    o = jnp.zeros((3, 5))
    energy = law.density(Strain(e, o, o, o, o, o))
    np.testing.assert_allclose(energy[1] / energy[0], 2.0)
    np.testing.assert_allclose(energy[2] / energy[0], 4.0)
