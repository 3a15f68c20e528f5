"""ToR-ORd: balances, cell types, the state that its authors published as steady."""

import jax
import jax.numpy as jnp
import pytest

from twinjax.cells import MODELS, ToRORd, beat_grid, pace, torord

NAMES = [name for name in MODELS if name.startswith("tomek-torord")]
CLOSED = {"v": -10.0, "cass": 2e-3, "cai": 4e-4, "d": 0.7, "m": 0.4, "jrelnp": 0.1, "cajsr": 0.9}


def at(cell, **changes):
    """The published state with some fields changed."""
    state = jax.tree.map(jnp.asarray, cell.initial_state())
    return state._replace(**{name: jnp.asarray(value) for name, value in changes.items()})


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_and_with_dynamic_chloride_charge_are_conserved(name):
    cell = MODELS[name](f_katp=0.1)
    state = at(cell, **CLOSED, kr_o=0.2, kr_c2=0.1, kr_i=0.3)
    # The stimulus is carried by K, so that it changes nothing.
    for stimulus in (0.0, -53.0):
        slopes = cell.derivatives(state, stimulus)
        _, rates = jax.jvp(cell.conserved, (state,), (slopes,))
        probability, *charge = (float(rate) for rate in rates)
        assert abs(probability) < 1e-16
        assert len(charge) == cell.dynamic_chloride
        assert all(abs(rate) < 1e-14 * abs(float(slopes.v)) for rate in charge)


@pytest.mark.parametrize("dynamic", [False, True])
def test_cell_types_scale_what_the_paper_says(dynamic):
    endo, epi, mid = (torord(kind, dynamic_chloride=dynamic) for kind in ("endo", "epi", "mid"))
    state = at(endo, **CLOSED, a=0.5, ap=0.5, kr_o=0.2, xs1=0.5, xs2=0.5, ml=0.5)
    ours = [cell.currents(state) for cell in (endo, epi, mid)]
    # Tomek et al. 2019, appendix: what tells epicardial and mid-wall cells from endocardial ones.
    factors = {
        "INa": (1, 1),
        "INaL": (0.6, 1),
        "Ito": (2, 2),
        "ICaL": (1.2, 2),
        "ICaNa": (1.2, 2),
        "IKr": (1.3, 0.8),
        "IKs": (1.4, 1),
        "IK1": (1.2, 1.3),
        "INaCa": (1.1, 1.4),
        "INaK": (0.9, 0.7),
        "IKb": (0.6, 1),
        "INab": (1, 1),
        "ICab": (1, 1),
        "IpCa": (1, 1),
        "IClCa": (1, 1),
        "IClb": (1, 1),
    }
    for name, expected in factors.items():
        for kind, factor in zip(ours[1:], expected, strict=True):
            assert float(kind[name] / ours[0][name]) == pytest.approx(factor, rel=1e-12), name
    # Ito's inactivation: δ = 1 - 0.95 / (1 + e^{(V + 70)/5}), 0.525 at -70 mV.
    low = at(endo, v=-70.0)
    times = [cell.rates(low, 0.0).i_f.time_constant for cell in (endo, epi, mid)]
    assert float(times[1] / times[0]) == pytest.approx(0.525, rel=1e-12)
    assert float(times[2]) == float(times[0])
    # Release, which goes with ICaL, is 1.7 times as great in the mid-wall.
    release = [float(cell.rates(state, 0.0).jrelnp.steady) for cell in (endo, epi, mid)]
    assert release[1] / release[0] == pytest.approx(1.2, rel=1e-12)
    assert release[2] / release[0] == pytest.approx(2 * 1.7, rel=1e-12)


def test_the_state_that_the_authors_call_steady_returns_after_a_beat():
    # Tomek et al. 2020: the mid-wall cell paced to its steady state at 1 Hz with -53 A/F for 1 ms.
    cell = torord("mid", dynamic_chloride=True)
    before, after = cell.initial_state(), pace(cell, grid=beat_grid(1000.0, 1.0)).state
    for field in ("v", "nai", "nass", "ki", "cai", "cass", "cansr", "cajsr", "cli", "clss"):
        assert float(getattr(after, field)) == pytest.approx(getattr(before, field), rel=5e-4), (
            field
        )


def test_the_cell_type_and_the_form_alone_make_the_whole_variant():
    # Tomek et al. 2019, appendix: 2 times Ito; Tomek et al. 2020: the time constant of j_Ca.
    assert float(ToRORd(cell_type="epi").g_to) == pytest.approx(0.32, rel=1e-12)
    assert float(ToRORd(dynamic_chloride=True).tau_jca) == 72.5
    assert float(ToRORd("mid", g_to=0.1).g_to) == 0.1


def test_an_unknown_cell_type_is_refused():
    with pytest.raises(ValueError, match="unknown cell type 'endoo'; did you mean 'endo'\\?"):
        torord("endoo")
