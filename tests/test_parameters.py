import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from twinjax import ParameterSpace, Prior, component, parameter, parameters_of
from twinjax.flow import CompliantVessel
from twinjax.heart import ClosedLoop
from twinjax.units import UnitError

CITE = "made up"


class Toy(eqx.Module):
    normal: jax.Array = parameter(
        1.0, unit="mmHg", bounds=(-1.0, 4.0), prior=Prior.normal(1.2, 1.5), cite=CITE
    )
    log: jax.Array = parameter(
        2.0, unit="mL", bounds=(0.5, 6.0), prior=Prior.lognormal(2.0, 0.6), cite=CITE
    )
    uniform: jax.Array = parameter(0.3, unit="1", bounds=(0.1, 0.5), cite=CITE)


TOY = ParameterSpace(Toy(), ["uniform", "log", "normal"])


def test_paths_of_a_whole_model():
    found = parameters_of(ClosedLoop())
    assert len(found) == 50
    assert found["left_ventricle.active_elastance"].unit == "mmHg/mL"
    # What a place says of its component counts there, the component's own default elsewhere.
    assert found["systemic_arteries.resistance"].default == 0.9
    assert found["aortic.sharpness"].default == 100.0


def test_a_default_model_has_its_parameters_defaults():
    model = ClosedLoop()
    found = parameters_of(model)
    space = ParameterSpace(model, list(found))
    np.testing.assert_array_equal(space.read(model), [info.default for info in found.values()])


def test_read_and_write():
    model = ClosedLoop()
    space = ParameterSpace(model, ["mitral.open_resistance", "heart_rate"])
    changed = space.write(model, jnp.array([0.01, 90.0]))
    assert float(changed.mitral.open_resistance) == 0.01
    assert float(changed.aortic.open_resistance) == 0.0075
    assert float(changed.heart_rate) == 90.0
    np.testing.assert_array_equal(space.read(changed), [0.01, 90.0])
    np.testing.assert_array_equal(space.read(model), [0.0075, 72.0])
    assert space.units == ("mmHg·s/mL", "bpm")
    assert space.index("heart_rate") == 1


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["left_ventricle.activ_elastance"], r"'left_ventricle.active_elastance'\?"),
        (["heart_rate", "heart_rate"], "'heart_rate' is named twice"),
        (["zzzz"], "valid choices: "),
        ([], "at least one"),
    ],
)
def test_wrong_names_are_refused(names, sentence):
    with pytest.raises(ValueError, match=sentence):
        ParameterSpace(ClosedLoop(), names)


def test_index_refuses_a_name_that_is_not_in_the_space():
    with pytest.raises(ValueError, match=r"'normal'\?"):
        TOY.index("norml")


def test_theta_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        TOY.write(Toy(), jnp.ones(2))


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"bounds": (2.0, 0.0)}, ValueError, "are empty"),
        ({"bounds": (1.0, float("nan"))}, ValueError, "are empty"),
        ({"default": 3.0}, ValueError, "outside"),
        ({"unit": "mmHgg"}, UnitError, "mmHg"),
        ({"prior": Prior.lognormal(1.0, 0.1)}, ValueError, "above 0"),
    ],
)
def test_a_wrong_parameter_is_refused(change, error, sentence):
    good = {"default": 1.0, "unit": "mmHg", "bounds": (0.0, 2.0), "cite": CITE}
    parameter(**good)
    with pytest.raises(error, match=sentence):
        parameter(**good | change)


def test_component_refuses_an_unknown_field_and_another_unit():
    info = {"bounds": (0.1, 10.0), "cite": CITE}
    with pytest.raises(TypeError, match=r"did you mean 'compliance'\?"):
        component(CompliantVessel, complience=parameter(1.0, unit="mL/mmHg", **info))
    with pytest.raises(TypeError, match=r"unit 'mL/mmHg', not 'mmHg'"):
        component(CompliantVessel, compliance=parameter(1.0, unit="mmHg", **info))


def test_round_trip_through_the_unconstrained_vector():
    z = jax.random.normal(jax.random.key(0), (200, 3))
    theta = jax.vmap(TOY.from_unconstrained)(z)
    assert bool(jnp.all(TOY.contains(theta)))
    np.testing.assert_allclose(jax.vmap(TOY.to_unconstrained)(theta), z, atol=1e-7)


def test_the_prior_is_standard_normal_in_the_unconstrained_vector():
    # Drawn without the code under test, by inverting SciPy's distributions.
    level = np.random.default_rng(1).uniform(size=(3, 4000))
    uniform = 0.1 + 0.4 * level[0]
    low, high = (np.log([0.5, 6.0]) - np.log(2.0)) / 0.6
    log = np.exp(np.log(2.0) + 0.6 * stats.truncnorm(low, high).ppf(level[1]))
    normal = 1.2 + 1.5 * stats.truncnorm(-2.2 / 1.5, 2.8 / 1.5).ppf(level[2])
    theta = jnp.stack([jnp.asarray(x) for x in (uniform, log, normal)], axis=1)
    z = np.asarray(jax.vmap(TOY.to_unconstrained)(theta))
    for column, name in zip(z.T, TOY.names, strict=True):
        assert stats.kstest(column, "norm").pvalue > 0.01, name


def test_draws_of_the_prior_are_truncated_lognormal():
    draws = np.asarray(TOY.sample_prior(jax.random.key(2), 4000))[:, 1]
    low, high = (np.log([0.5, 6.0]) - np.log(2.0)) / 0.6
    assert (
        stats.kstest((np.log(draws) - np.log(2.0)) / 0.6, stats.truncnorm(low, high).cdf).pvalue
        > 0.01
    )


def test_extreme_values_stay_within_bounds_and_differentiable():
    for z in (-40.0, 40.0):
        theta = TOY.from_unconstrained(jnp.full(3, z))
        assert bool(TOY.contains(theta))
        assert bool(jnp.all(jnp.isfinite(jax.jacfwd(TOY.from_unconstrained)(jnp.full(3, z)))))


def test_values_outside_bounds_are_noticed():
    theta = jnp.array([[0.3, 2.0, 1.0], [0.6, 2.0, 1.0], [jnp.nan, 2.0, 1.0]])
    np.testing.assert_array_equal(TOY.contains(theta), [True, False, False])
