"""Drugs: block by Hill's equation, binding to hERG, gradients, and what is refused."""

import jax
import jax.numpy as jnp
import pytest

from twinjax.cells import (
    MODELS,
    Binding,
    Block,
    CipaV1,
    Drug,
    LuoRudy1991,
    OHaraRudy2011,
    with_drug,
)

SOTALOL = Drug(
    "sotalol",
    Block({"ICaL": 1.429e7, "INa": 4.918e7, "IKr": 279400.0}, {"ICaL": 0.9927, "IKr": 1.154}),
    Binding(k_max=96190.0, k_u=0.02225, n=0.7513, half_max=3.856e8, v_half=-51.5),
    peak=14690.0,
)


def test_half_is_left_at_the_ic50_and_a_ninth_at_eight_times_of_it():
    block = Block({"IKr": 100.0, "INa": 100.0, "IKs": 100.0}, {"INa": 3.0, "IKs": 0.5})
    left = block.left(jnp.asarray(100.0))
    assert [float(x) for x in left.values()] == pytest.approx([0.5, 0.5, 0.5], rel=1e-14)
    left = {name: float(x) for name, x in block.left(jnp.asarray(800.0)).items()}
    assert left["IKr"] == pytest.approx(1 / 9, rel=1e-14)
    assert left["INa"] == pytest.approx(1 / 513, rel=1e-13)
    assert left["IKs"] == pytest.approx(1 / (1 + 8**0.5), rel=1e-14)


@pytest.mark.parametrize("name", [n for n in MODELS if n.startswith(("ohara", "luo"))])
def test_every_current_with_a_conductance_can_be_blocked(name):
    cell = MODELS[name]()
    state = jax.tree.map(jnp.asarray, cell.initial_state())
    before = cell.currents(state)
    for current in cell.about.conductances:
        after = with_drug(cell, Drug("x", Block({current: 10.0})), 30.0).currents(state)
        for other, value in before.items():
            # The ions that pass the calcium channel are blocked with calcium.
            same = current == "ICaL" and other in ("ICaNa", "ICaK")
            expected = 0.25 if other == current or same else 1.0
            assert float(after[other]) == pytest.approx(expected * float(value), rel=1e-12)


def test_the_cell_is_unchanged_and_no_drug_is_no_change():
    cell = CipaV1()
    blocked = with_drug(cell, SOTALOL, 14690.0)
    assert float(cell.p_ca) == pytest.approx(1.007e-4, rel=1e-14)
    assert float(blocked.p_ca) < float(cell.p_ca)
    free = with_drug(cell, SOTALOL, 0.0)
    state = jax.tree.map(jnp.asarray, cell.initial_state())
    for ours, theirs in zip(free.derivatives(state), cell.derivatives(state), strict=True):
        assert float(ours) == float(theirs)


def test_binding_takes_the_place_of_block_where_the_model_knows_it():
    dynamic = with_drug(CipaV1(), SOTALOL, 14690.0)
    assert float(dynamic.g_kr) == float(CipaV1().g_kr)
    assert float(dynamic.concentration) == 14690.0
    assert float(dynamic.half_max) == 3.856e8
    assert float(dynamic.k_t) == 3.5e-5
    static = with_drug(OHaraRudy2011(), SOTALOL, 14690.0)
    left = 1 / (1 + (14690.0 / 279400.0) ** 1.154)
    assert float(static.g_kr) == pytest.approx(0.046 * left, rel=1e-13)


def test_two_drugs_block_independently():
    first, second = Drug("a", Block({"INa": 5.0})), Drug("b", Block({"INa": 20.0, "IKs": 1.0}))
    cell = with_drug(with_drug(OHaraRudy2011(), first, 5.0), second, 20.0)
    assert float(cell.g_na) == pytest.approx(75.0 / 4, rel=1e-14)
    assert float(cell.g_ks) == pytest.approx(0.0034 / 21, rel=1e-14)


def test_gradients_three_ways():
    cell = CipaV1()
    state = jax.tree.map(jnp.asarray, cell.initial_state())._replace(
        v=jnp.asarray(-20.0), d=jnp.asarray(0.5), m=jnp.asarray(0.3), o=jnp.asarray(0.2)
    )

    def slopes(drug, concentration):
        after = with_drug(cell, drug, concentration).derivatives(state)
        return after.v + 1e3 * after.o_bound

    point = (SOTALOL, jnp.asarray(2e4))
    reverse = jax.tree.leaves(jax.grad(slopes, argnums=(0, 1))(*point))
    forward = jax.tree.leaves(jax.jacfwd(slopes, argnums=(0, 1))(*point))
    leaves, shape = jax.tree.flatten(point)
    assert len(leaves) == 13
    for i, leaf in enumerate(leaves):
        step = 1e-4 * abs(float(leaf))
        ends = [
            float(slopes(*jax.tree.unflatten(shape, [*leaves[:i], leaf + d, *leaves[i + 1 :]])))
            for d in (-step, step)
        ]
        difference = (ends[1] - ends[0]) / (2 * step)
        scale = abs(difference) + 1e-9 * abs(ends[0]) / abs(float(leaf))
        assert float(reverse[i]) == pytest.approx(float(forward[i]), rel=1e-10, abs=1e-9 * scale)
        assert abs(float(reverse[i]) - difference) < 1e-5 * scale, i


@pytest.mark.parametrize("hill", [0.5, 1.0, 2.0])
def test_gradients_without_drug_are_finite(hill):
    def left(concentration, ic50, hill):
        return Block({"IKr": ic50}, {"IKr": hill}).left(concentration)["IKr"]

    slopes = jax.grad(left, argnums=(0, 1, 2))(0.0, 40.0, hill)
    assert all(jnp.isfinite(jnp.stack(slopes)))
    assert float(slopes[1]) == float(slopes[2]) == 0.0
    if hill == 1:
        assert float(slopes[0]) == pytest.approx(-1 / 40, rel=1e-14)
    if hill == 2:
        assert abs(float(slopes[0])) < 1e-25


def test_a_missing_current_is_refused_or_passed_over():
    drug = Drug("x", Block({"IKrr": 1.0, "INa": 1.0}))
    sentence = "unknown current of Luo-Rudy 1991 'IKrr'; did you mean 'IK1?'\\?"
    with pytest.raises(ValueError, match=sentence):
        with_drug(LuoRudy1991(), drug, 1.0)
    cell = with_drug(LuoRudy1991(), drug, 1.0, ignore_missing=True)
    assert float(cell.g_na) == pytest.approx(11.5)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: Block({"IKr": 1.0}, {"IKs": 1.0}),
            "unknown current with a Hill coefficient 'IKs'; did you mean 'IKr'\\?",
        ),
        (
            lambda: with_drug(CipaV1(), SOTALOL, -1.0),
            r"the concentration of sotalol must be at least 0 nM, not -1\.0",
        ),
        (
            lambda: with_drug(OHaraRudy2011(), Drug("x", binding=SOTALOL.binding), 1.0),
            "O'Hara-Rudy 2011 has no binding to hERG: give x an IC50 of IKr",
        ),
        (
            lambda: with_drug(with_drug(CipaV1(), SOTALOL, 1.0), SOTALOL, 1.0),
            "a drug is bound to hERG already, and sotalol would take its place",
        ),
    ],
)
def test_refusals(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
