"""O'Hara-Rudy 2011 and what is built on it: balances, regions, the hERG scheme with a drug."""

import math

import jax
import jax.numpy as jnp
import pytest

from twinjax.cells import MODELS, CipaV1, OHaraRudy2011

NAMES = [name for name in MODELS if name.startswith("ohara-rudy")]


def at(cell, **changes):
    """The resting state with some fields changed."""
    state = jax.tree.map(jnp.asarray, cell.initial_state())
    return state._replace(**{name: jnp.asarray(value) for name, value in changes.items()})


@pytest.mark.parametrize("name", NAMES)
def test_charge_and_probabilities_are_conserved(name):
    cell = MODELS[name]()
    state = at(cell, v=-10.0, cass=2e-3, cai=4e-4, d=0.7, m=0.4, jrelnp=0.1, cajsr=0.9, nai=8.0)
    # The stimulus is carried by K, so that it changes nothing.
    for stimulus in (0.0, -80.0):
        slopes = cell.derivatives(state, stimulus)
        _, rates = jax.jvp(cell.conserved, (state,), (slopes,))
        charge, *probabilities = (float(rate) for rate in rates)
        assert abs(charge) < 1e-14 * abs(float(slopes.v))
        assert all(abs(rate) < 1e-16 for rate in probabilities)


def test_regions_scale_what_the_supplement_says():
    endo, epi, m = (MODELS[f"ohara-rudy-2011-{region}"]() for region in ("endo", "epi", "m"))
    state = at(endo, v=0.0, m=0.4, d=0.5, a=0.5, ap=0.5, xrs=0.4, xs1=0.5, xs2=0.5, ml=0.5, xk1=0.5)
    ours = [cell.currents(state) for cell in (endo, epi, m)]
    # O'Hara et al. 2011, supplement, section on transmural heterogeneity.
    factors = {
        "INa": (1, 1),
        "INaL": (0.6, 1),
        "Ito": (4, 4),
        "ICaL": (1.2, 2.5),
        "IKr": (1.3, 0.8),
        "IKs": (1.4, 1),
        "IK1": (1.2, 1.3),
        "INaCa": (1.1, 1.4),
        "INaK": (0.9, 0.7),
        "IKb": (0.6, 1),
        "IpCa": (1, 1),
    }
    for name, expected in factors.items():
        for region, factor in zip(ours[1:], expected, strict=True):
            assert float(region[name] / ours[0][name]) == pytest.approx(factor, rel=1e-12), name
    # Ito's inactivation: δ = 1 - 0.95 / (1 + e^{(V + 70)/5}), 0.525 at -70 mV.
    times = [cell.rates(at(endo, v=-70.0), 0.0).i_f.time_constant for cell in (endo, epi, m)]
    assert float(times[1] / times[0]) == pytest.approx(0.525, rel=1e-12)
    assert float(times[2]) == float(times[0])


def test_an_unknown_region_is_refused():
    with pytest.raises(ValueError, match="unknown region 'epicard'; did you mean 'epi'\\?"):
        OHaraRudy2011(region="epicard")


def test_the_region_alone_makes_the_whole_variant():
    # The supplement's factors on INaL and ICaL.
    assert float(OHaraRudy2011(region="epi").g_na_l) == pytest.approx(0.6 * 0.0075, rel=1e-12)
    assert float(OHaraRudy2011(region="M").p_ca) == pytest.approx(2.5e-4, rel=1e-12)
    assert float(OHaraRudy2011("epi", g_to=0.01).g_to) == 0.01


def test_a_misspelt_parameter_is_refused():
    with pytest.raises(TypeError, match="of OHaraRudy2011 'g_tp'; did you mean 'g_to'"):
        OHaraRudy2011("epi", g_tp=0.01)


def test_fractions_of_the_channel_are_conserved_with_a_drug():
    cell = CipaV1(concentration=5.0, k_max=30.0, k_u=2e-3, n=0.8, half_max=50.0, v_half=-40.0)
    bound = {"o": 0.2, "io": 0.1, "ic1": 0.3, "o_bound": 0.1, "io_bound": 0.2, "c_bound": 0.1}
    state = at(cell, v=10.0, ic2=0.0, c1=0.0, c2=0.0, **bound)
    slopes = cell.derivatives(state, 0.0)
    fractions, rate = jax.jvp(lambda s: cell.conserved(s)[1], (state,), (slopes,))
    assert float(fractions) == pytest.approx(1.0, rel=1e-15)
    assert abs(float(rate)) < 1e-16


def test_a_drug_binds_and_leaves_at_the_rates_of_li_2017():
    cell = CipaV1(concentration=5.0, k_max=30.0, k_u=2e-3, n=0.8, half_max=50.0, v_half=-40.0)
    share = 5.0**0.8 / (5.0**0.8 + 50.0) * 30.0
    transitions = cell.rates(at(cell, v=10.0), 0.0).o.transitions
    assert float(transitions["o", "o_bound"]) == pytest.approx(share * 2e-3, rel=1e-12)
    assert float(transitions["io", "io_bound"]) == pytest.approx(share * 2e-3, rel=1e-12)
    # Where no drug is trapped, O, IO and their bound states form a cycle without a net flux.
    cycle = (("o", "io"), ("io", "io_bound"), ("io_bound", "io"), ("io", "o"))
    forth, on, off, back = (float(transitions[pair]) for pair in cycle)
    assert off / on * share == pytest.approx(forth / back, rel=1e-12)
    # k_t / (1 + exp(-(V - v_half) / 6.789)), at V - v_half = 50 mV.
    reopening = 3.5e-5 / (1 + math.exp(-50 / 6.789))
    assert float(transitions["c_bound", "o_bound"]) == pytest.approx(reopening, rel=1e-12)
