"""The Grandi model against an independent program, and what its spaces hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.cells import Grandi2010, Setting, beat_grid, biomarkers, grandi_2010_endo, pace

# d/dt at the initial state with V = 10 mV, of the curated CellML file as cbcbeat 2023.2 (Rognes et
# al. 2017, J Open Source Softw 2:224) translates it; it counts magnesium as calcium. Its diffusion
# coefficients have 5 digits, which is what limits the agreement.
REFERENCE = {
    "v": -0.950178895035918,
    "m": 15.496263203149125,
    "h": -3.2100705328404224,
    "j": -0.6528368371994748,
    "d": 0.5719465724641722,
    "f": -0.02747409778798053,
    "fca_j": -2.023517902716187e-06,
    "xtof": 0.109757805516545,
    "ytos": -0.025460897423514112,
    "xkr": 0.0031920437899892874,
    "xks": 0.0010293563366322448,
    "ryr_r": 5.953131720602738e-05,
    "cai": 4.018495447336536e-07,
    "ca_j": 0.0022537084454377866,
    "ca_sl": 0.0001949169608299892,
    "na_j": -0.01135729923660215,
    "na_sl": -0.0016343738952127212,
    "ca_sr": 1.1018362286568904e-05,
    "tnc_hm": 5.645366723310564e-07,
}


def at_10_mv(cell):
    state = jax.tree.map(jnp.asarray, cell.initial_state())._replace(v=jnp.asarray(10.0))
    slopes = cell.derivatives(state, 0.0)
    # The free calcium changes as the total does, less what the buffers take.
    return state, slopes, {name: float(getattr(slopes, name)) for name in REFERENCE}


@pytest.mark.parametrize("name", REFERENCE)
def test_rates_are_those_of_an_independent_program(name):
    _, _, ours = at_10_mv(Grandi2010(magnesium_as_calcium=True))
    rel = 1e-3 if name == "cai" else 2e-5  # a difference of terms 100 times as large
    assert ours[name] == pytest.approx(REFERENCE[name], rel=rel)


def test_endocardium_differs_in_its_transient_outward_current():
    _, _, ours = at_10_mv(grandi_2010_endo())
    assert ours["v"] == pytest.approx(-0.9462647480650463, rel=1e-9)


def test_calcium_leaves_a_closed_cell_nowhere():
    # Without membrane currents of calcium the total of all spaces is constant.
    closed = Grandi2010(p_ca=0.0, i_naca_max=0.0, i_pca_max=0.0, g_cab=0.0)
    state, slopes, _ = at_10_mv(closed)
    # By share of the cell's volume.
    rates = np.array(
        [
            0.65 * slopes.i_total,
            0.035 * slopes.sr_total,
            0.02 * (slopes.ca_sl + slopes.sll_sl + slopes.slh_sl),
            5.39e-4 * (slopes.ca_j + slopes.sll_j + slopes.slh_j),
        ]
    )
    assert abs(rates.sum()) < 1e-12 * abs(rates).sum()
    assert abs(rates).sum() > 1e-6
    assert float(state.cai) == pytest.approx(8.72509677797e-5)


def test_an_action_potential_is_that_of_an_implicit_solver():
    # scipy's BDF at rtol 1e-7, atol 1e-10 on the same equations: 13.484 mV at 100 ms, apd90
    # 269.19 ms, peak calcium 3.4011e-4 mM, 8.8569e-5 mM after 1 s.
    grid = beat_grid(1000.0, 5.0, setting=Setting(0.01, 5.0, 0.02))
    beat = pace(Grandi2010(), grid=grid)
    v, found = beat.observations["v"], biomarkers(beat)
    assert float(np.interp(100.0, beat.times, v)) == pytest.approx(13.484, abs=0.03)
    assert float(found["apd90"]) == pytest.approx(269.19, abs=0.2)
    peak = found["calcium_amplitude"] + found["calcium_diastolic"]
    assert float(peak) == pytest.approx(3.4011e-4, rel=0.006)
    assert float(beat.observations["cai"][-1]) == pytest.approx(8.8569e-5, rel=2e-4)
