"""Active tension against an independent solution, and what length and velocity do to it."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from tests._cells import FOLDER
from twinjax.cells import Courtemanche1998, Land2017, contract, pace

FIELDS = {
    "troponin": "CaTrpn",
    "blocked": "TmB",
    "strong": "XS",
    "weak": "XW",
    "zeta_s": "Zetas",
    "zeta_w": "Zetaw",
}


@pytest.fixture
def facts(shared):
    return json.loads(shared(f"{FOLDER}/land-2017-isometric/facts.json").read_text())


@pytest.fixture
def trace(shared):
    text = shared(f"{FOLDER}/land-2017-isometric/trace_1ms.csv").read_text()
    # Some numbers of that file stand in the form np.float64(…).
    lines = text.replace("np.float64(", "").replace(")", "").splitlines()
    return np.genfromtxt(lines, delimiter=",", names=True)


def transient(t):
    """Calcium [mM] of Rice et al. 2008 with the parameters of the reference."""
    ratio = 20 / 110
    beta = ratio ** (-1 / (ratio - 1)) - ratio ** (-1 / (1 - 1 / ratio))
    late = np.maximum(np.asarray(t) - 5.0, 0.0)
    return 1e-3 * (0.09 + 1.36 / beta * (np.exp(-late / 20) - np.exp(-late / 110)))


def test_derivatives_and_tension_at_the_checkpoint(facts):
    point, model = facts["derivative_checkpoint"], Land2017()
    kind = type(model.initial_state())
    state = kind(**{ours: jnp.asarray(point["state"][name]) for ours, name in FIELDS.items()})
    slopes = model.derivatives(state, point["cai_uM"] * 1e-3, 1.0, 0.0)
    for ours, name in FIELDS.items():
        assert float(getattr(slopes, ours)) == pytest.approx(point["derivatives"][name], rel=1e-9)
    assert float(model.tension(state, 1.0)) == pytest.approx(point["Ta_kPa"], rel=1e-12)


def test_initial_state_is_the_references(facts):
    rest = Land2017().initial_state()
    assert {FIELDS[k]: v for k, v in rest._asdict().items()} == facts["initial_state"]


@pytest.mark.parametrize(
    ("stretch", "column"),
    [(1.0, "Ta_kPa_lambda1"), (1.1, "Ta_kPa_lambda11"), (0.95, "Ta_kPa_lambda095")],
)
def test_isometric_twitch(trace, stretch, column):
    times = np.linspace(0.0, 1000.0, 2001)
    tension, _ = contract(Land2017(), jnp.asarray(times), jnp.asarray(transient(times)), stretch)
    ours, theirs = np.asarray(tension)[::2], trace[column]
    np.testing.assert_allclose(transient(trace["t_ms"]) * 1e3, trace["cai_uM"], rtol=1e-8)
    assert ours.max() == pytest.approx(theirs.max(), rel=1e-4)
    # The whole twitch, relaxation included, within a thousandth of its peak.
    assert np.abs(ours - theirs).max() < 1e-3 * theirs.max()
    # Time to 50 and to 95 % relaxation after the peak.
    for left in (0.5, 0.05):
        durations = []
        for curve in (ours, theirs):
            after = curve[curve.argmax() :]
            i = np.flatnonzero(after < left * curve.max())[0]
            durations.append(i - (left * curve.max() - after[i]) / (after[i - 1] - after[i]))
        assert durations[0] == pytest.approx(durations[1], rel=5e-3)


def test_changing_stretch_as_an_adaptive_solver_has_it():
    model = Land2017()
    kind, times = type(model.initial_state()), np.linspace(0.0, 500.0, 5001)

    def stretch(t):
        return 1.0 - 0.05 * np.sin(np.pi * np.clip((t - 50) / 300, 0, 1)) ** 2

    rates = jax.jit(lambda y, *inputs: jnp.stack(model.derivatives(kind(*y), *inputs)))

    def slope(t, y):
        rate = (stretch(t + 1e-4) - stretch(t - 1e-4)) / 2e-4
        return np.asarray(rates(y, transient(t), stretch(t), rate))

    exact = solve_ivp(
        slope, (0, 500), list(model.initial_state()), "LSODA", rtol=1e-7, atol=1e-9, max_step=10
    )
    tension, final = contract(
        model, jnp.asarray(times), jnp.asarray(transient(times)), jnp.asarray(stretch(times))
    )
    np.testing.assert_allclose(np.array(final), exact.y[:, -1], rtol=2e-4, atol=1e-6)
    # A fibre that shortens bears less.
    fixed, _ = contract(model, jnp.asarray(times), jnp.asarray(transient(times)))
    assert float(tension[1200]) < 0.9 * float(fixed[1200])


def test_a_quick_release_takes_tension_that_comes_back():
    model, n = Land2017(), 4001
    times, calcium = jnp.linspace(0.0, 2000.0, n), jnp.full(n, 1e-3)
    stretch = jnp.where(times < 1000.0, 1.0, 0.99)
    tension, _ = contract(model, times, calcium, stretch)
    before, lowest, later = tension[1999], tension[2000:2040].min(), tension[-1]
    assert lowest < 0.9 * before
    # At last only the length counts: 1 + 2.3 (0.99 + 0.87 - 1.87) and a higher c50.
    assert lowest < later < before


def test_gradient_of_the_peak_three_ways():
    times = jnp.linspace(0.0, 400.0, 401)
    calcium = jnp.asarray(transient(times))

    def peak(ca50):
        return jnp.max(contract(Land2017(ca50=ca50), times, calcium)[0])

    at = jnp.asarray(0.805)
    forward, reverse = jax.jacfwd(peak)(at), jax.grad(peak)(at)
    numeric = (peak(at + 1e-4) - peak(at - 1e-4)) / 2e-4
    assert float(forward) == pytest.approx(float(reverse), rel=1e-10)
    assert float(forward) == pytest.approx(float(numeric), rel=1e-4)


def test_the_calcium_of_a_cell_drives_it():
    beat = pace(Courtemanche1998())
    tension, _ = contract(Land2017(), beat.times, beat.observations["cai"])
    # Peak calcium of 0.8 µM is about half of full activation.
    assert 5 < float(tension.max()) < 120
