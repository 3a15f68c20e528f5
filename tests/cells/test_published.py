"""Models without reference data: what their papers print, and rates worked out by hand."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.cells import (
    AlievPanfilov1996,
    MitchellSchaeffer2003,
    Setting,
    beat_grid,
    biomarkers,
    bueno_orovio_2008_endo,
    bueno_orovio_2008_epi,
    bueno_orovio_2008_m,
    fenton_karma_1998,
    pace,
)


def slopes(cell, u, *others):
    """Derivatives at a scaled potential; that of the potential is scaled, too."""
    state = type(cell.initial_state())(cell.v_rest + cell.v_span * u, *map(jnp.asarray, others))
    first, *rest = cell.derivatives(state, 0.0)
    return [float(first / cell.v_span), *map(float, rest)]


def time_above(solution, level):
    """From the first upward to the last downward crossing of a potential [ms]."""
    t, v = np.asarray(solution.times), np.asarray(solution.observations["v"])
    i = np.flatnonzero((v[:-1] < level) != (v[1:] < level))
    times = t[i] + (level - v[i]) / (v[i + 1] - v[i]) * (t[i + 1] - t[i])
    return times[-1] - times[0]


@pytest.mark.parametrize("cycle", [400.0, 700.0])
def test_mitchell_schaeffer_restitution_is_the_papers_formula(cycle):
    # Mitchell and Schaeffer 2003, Bull Math Biol 65:767: to leading order in tau_out / tau_close,
    # APD = tau_close log(h / h_min), h_min = 4 tau_in / tau_out and, after a diastolic interval DI,
    # h = 1 - (1 - h_min) e^{-DI / tau_open}. The next order is the delay at the fold where the
    # plateau ends, a power of 2/3.
    def error(slow):
        cell = eqx.tree_at(
            lambda c: (c.tau_open, c.tau_close),
            MitchellSchaeffer2003(),
            (jnp.asarray(120.0 * slow), jnp.asarray(150.0 * slow)),
        )
        grid = beat_grid(cycle * slow, 1.0, setting=Setting(0.01, 50.0, 0.2))
        last = pace(cell, beats=8, amplitude=-60.0, grid=grid)
        duration = time_above(last, -80.0 + 100.0 * 0.13) / slow
        h_min = 4 * 0.3 / 6.0
        h = 1 - (1 - h_min) * np.exp(-(cycle - duration) / 120.0)
        return duration / (150.0 * np.log(h / h_min)) - 1

    coarse, fine = error(10.0), error(40.0)
    assert abs(fine) < 0.02
    assert coarse / fine == pytest.approx(4 ** (2 / 3), rel=0.03)


def test_aliev_panfilov_rates_by_hand():
    # u = 1/2, r = 1: du/dt = -8/2 (0.35) (-1/2) - 1/2, dr/dt = (0.002 + 0.2/0.8) (-1 + 4 · 0.65).
    expected = [0.2 / 12.9, 0.252 * 1.6 / 12.9]
    np.testing.assert_allclose(slopes(AlievPanfilov1996(), 0.5, 1.0), expected, rtol=1e-12)


def test_aliev_panfilov_plateau_is_the_upper_branch_of_its_nullcline():
    # 0 = k (u - a) (u - 1) + r has its larger root at (1 + a)/2 + √((1 - a)²/4 - r/k).
    cell, recovery = AlievPanfilov1996(), 0.9
    u = (1 + 0.15) / 2 + np.sqrt(0.85**2 / 4 - recovery / 8)
    rate = slopes(cell, u, recovery)
    assert abs(rate[0]) < 1e-15
    # There -r - k u (u - a - 1) = k a.
    assert rate[1] == pytest.approx((0.002 + 0.2 * 0.9 / (u + 0.3)) * 8 * 0.15 / 12.9)


@pytest.mark.parametrize(
    ("u", "expected"),
    [
        (
            0.5,
            [
                0.4 * 0.5 * 0.37 * 4 - 1 / 50 + 0.6 * (1 + np.tanh(-3.5)) / 90,
                -0.4 / 3.33,
                -0.6 / 667,
            ],
        ),
        (0.1, [-0.1 / 8.3 + 0.6 * (1 + np.tanh(-7.5)) / 90, 0.6 / 1000, 0.4 / 11]),
        (0.05, [-0.05 / 8.3 + 0.6 * (1 + np.tanh(-8.0)) / 90, 0.6 / 19.2, 0.4 / 11]),
    ],
)
def test_fenton_karma_rates_by_hand(u, expected):
    np.testing.assert_allclose(slopes(fenton_karma_1998(), u, 0.4, 0.6), expected, rtol=1e-11)


def test_fenton_karma_fits_differ_and_an_unknown_one_is_refused():
    durations = {
        fit: float(biomarkers(pace(fenton_karma_1998(fit), beats=3))["apd90"])
        for fit in ("modified-beeler-reuter", "beeler-reuter", "modified-luo-rudy", "guinea-pig")
    }
    assert len({round(x) for x in durations.values()}) == 4
    assert durations["modified-beeler-reuter"] < durations["beeler-reuter"]
    with pytest.raises(ValueError, match="unknown fit of Fenton and Karma 'beeler'"):
        fenton_karma_1998("beeler")


@pytest.mark.parametrize(
    ("cell", "u", "expected"),
    [
        (  # plateau of the epicardium
            bueno_orovio_2008_epi(),
            1.0,
            [
                0.5 * 0.7 * 0.55 / 0.11
                - 1 / (30.0181 - 29.0224 * (1 + np.tanh(2.0458 * 0.35)) / 2)
                + 0.6 * 0.2 / 1.8875,
                -0.5 / 1.4506,
                -0.6 / 200,
                ((1 + np.tanh(2.0994 * 0.0913)) / 2 - 0.2) / 16,
            ],
        ),
        (  # foot of the endocardium, between θ_o and θ_v⁻
            bueno_orovio_2008_endo(),
            0.1,
            [
                -0.1 / 6,
                (1 - 0.5) / 75,
                (0.78 - 0.6) / (6 + 134 * (1 + np.tanh(200 * 0.084)) / 2),
                ((1 + np.tanh(2.0994 * (0.1 - 0.9087))) / 2 - 0.2) / 2.7342,
            ],
        ),
        (  # rest of the midmyocardium
            bueno_orovio_2008_m(),
            0.002,
            [
                -0.002 / 410,
                (1 - 0.5) / 80,
                (1 - 0.002 / 0.01 - 0.6) / (70 - 62 * (1 + np.tanh(200 * (0.002 - 0.016))) / 2),
                ((1 + np.tanh(2.0994 * (0.002 - 0.9087))) / 2 - 0.2) / 2.7342,
            ],
        ),
    ],
)
def test_bueno_orovio_rates_by_hand(cell, u, expected):
    np.testing.assert_allclose(slopes(cell, u, 0.5, 0.6, 0.2), expected, rtol=1e-11)


def test_bueno_orovio_midmyocardium_repolarises_last():
    cells = (bueno_orovio_2008_endo(), bueno_orovio_2008_epi(), bueno_orovio_2008_m())
    endo, epi, m = (float(biomarkers(pace(cell, beats=5))["apd90"]) for cell in cells)
    assert endo < epi < 300 < 400 < m < 425
