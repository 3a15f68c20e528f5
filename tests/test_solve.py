import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests._problems import NAMES, TwoReservoirs, exact
from twinjax import RESULTS, ParameterSpace, equilibrate, simulate

MODEL = TwoReservoirs()
SPACE = ParameterSpace(MODEL, NAMES)
PHASES = jnp.linspace(0.0, 1.0, 101)


def start():
    first = exact(MODEL, jnp.array(0.0))
    return {"first": first, "second": MODEL.volume - first}


def test_order_of_convergence_is_four():
    steps = (5, 10, 20, 40)
    errors = []
    for n in steps:
        solution = simulate(MODEL, state=start(), steps_per_beat=n)
        errors.append(abs(float(solution.state["first"] - start()["first"])))
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(orders > 3.5), (errors, orders)
    assert 3.8 < orders[-1] < 4.3, (errors, orders)
    assert errors[-1] < 1e-5, errors


def test_beats_follow_one_another_and_only_the_last_is_seen():
    state = MODEL.initial_state()
    for _ in range(3):
        last = simulate(MODEL, state=state, steps_per_beat=40)
        state = last.state
    together = simulate(MODEL, beats=3, steps_per_beat=40)
    np.testing.assert_allclose(together.state["first"], state["first"], rtol=1e-14)
    np.testing.assert_allclose(
        together.observations["first.volume"], last.observations["first.volume"], rtol=1e-14
    )
    assert together.times.shape == (41,)
    assert float(together.times[-1]) == pytest.approx(1.0)


def test_equilibrate_finds_the_exact_beat():
    solution = equilibrate(MODEL, steps_per_beat=100)
    assert solution.ok
    np.testing.assert_allclose(
        solution.observations["first.volume"], exact(MODEL, PHASES), rtol=1e-6
    )
    # A linear beat map is solved by one Newton step after the plain beats.
    assert float(solution.stats["beats"]) <= 6
    assert float(solution.stats["residual"]) < 1e-10


def test_equilibrate_from_a_guess_gives_the_same_beat():
    guess = {"first": jnp.array(50.0), "second": jnp.array(50.0)}
    one = equilibrate(MODEL, steps_per_beat=100)
    other = equilibrate(MODEL, steps_per_beat=100, guess=guess)
    np.testing.assert_allclose(one.state["first"], other.state["first"], rtol=1e-9)


def test_volume_is_conserved():
    solution = equilibrate(MODEL, steps_per_beat=100)
    total = solution.observations["first.volume"] + solution.observations["second.volume"]
    np.testing.assert_allclose(total, MODEL.volume, rtol=1e-13)
    after = simulate(MODEL, beats=100, steps_per_beat=100).state
    np.testing.assert_allclose(after["first"] + after["second"], MODEL.volume, rtol=1e-12)


def measured(theta):
    """A point of the beat, its mean square and its length: values in time and over time."""
    solution = equilibrate(SPACE.write(MODEL, theta), steps_per_beat=100, rtol=1e-13)
    wave = solution.observations["first.volume"]
    return jnp.stack([wave[0], jnp.mean(wave[:-1] ** 2), solution.times[-1]])


def known(theta):
    model = SPACE.write(MODEL, theta)
    wave = exact(model, PHASES)
    return jnp.stack([wave[0], jnp.mean(wave[:-1] ** 2), model.period()])


def test_gradients_are_those_of_the_exact_solution():
    theta = SPACE.read(MODEL)
    forward = eqx.filter_jit(jax.jacfwd(measured))(theta)
    reverse = eqx.filter_jit(jax.jacrev(measured))(theta)
    np.testing.assert_allclose(forward, reverse, rtol=1e-9, atol=1e-9)
    truth = np.asarray(jax.jacfwd(known)(theta))
    scale = np.abs(truth).max(axis=1, keepdims=True)
    assert np.max(np.abs(forward - truth) / scale) < 1e-6
    step = 1e-4 * theta
    run = eqx.filter_jit(jax.vmap(measured))
    ahead, behind = run(theta[None] + jnp.diag(step)), run(theta[None] - jnp.diag(step))
    differences = ((ahead - behind) / (2 * step[:, None])).T
    assert np.max(np.abs(forward - differences) / scale) < 1e-6


def test_gradient_does_not_depend_on_the_guess():
    def point(shift, theta):
        guess = {"first": 50.0 + shift, "second": 50.0 - shift}
        return equilibrate(
            SPACE.write(MODEL, theta), guess=guess, steps_per_beat=100, rtol=1e-12
        ).state["first"]

    theta = SPACE.read(MODEL)
    by_guess, by_theta = jax.grad(point, argnums=(0, 1))(jnp.array(3.0), theta)
    assert float(by_guess) == 0.0
    np.testing.assert_allclose(by_theta, jax.jacfwd(measured)(theta)[0], rtol=1e-8, atol=1e-10)


STIFF = eqx.tree_at(lambda m: m.resistance, MODEL, jnp.array(1e-3))
FAULTS = {
    "step_too_long": (lambda throw: simulate(STIFF, steps_per_beat=50, throw=throw), "step is"),
    "not_periodic": (
        lambda throw: equilibrate(MODEL, steps_per_beat=50, rtol=1e-30, max_beats=3, throw=throw),
        "no periodic beat",
    ),
    "nonfinite": (
        lambda throw: simulate(
            MODEL,
            state={"first": jnp.array(jnp.nan), "second": jnp.array(0.0)},
            steps_per_beat=50,
            throw=throw,
        ),
        "infinite or NaN",
    ),
}


@pytest.mark.parametrize("code", FAULTS)
def test_a_failure_is_a_code_or_a_sentence(code):
    run, sentence = FAULTS[code]
    solution = run(False)
    assert RESULTS(int(solution.result)) is RESULTS[code]
    assert not solution.ok
    with pytest.raises(eqx.EquinoxRuntimeError, match=sentence):
        jax.block_until_ready(run(True))


def test_every_result_says_what_to_do():
    for code in RESULTS:
        assert len(code.message) > 10
        assert code is RESULTS.successful or ";" in code.message


def test_a_failure_in_equilibrate_is_not_hidden_by_a_small_residual():
    solution = equilibrate(STIFF, steps_per_beat=50, throw=False)
    assert int(solution.result) == RESULTS.step_too_long
