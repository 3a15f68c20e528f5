import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.flow import CompliantVessel, ElastanceChamber, SmoothValve
from twinjax.flow._valve import _arctan


def test_vessel_rates_by_hand():
    vessel = CompliantVessel(0.733, 1.372, 0.005)
    pressure, flow = vessel.rates(*map(jnp.asarray, (80.0, 70.0, 100.0, 36.0)))
    assert float(pressure) == pytest.approx(30.0 / 1.372)  # mL/s over mL/mmHg
    assert float(flow) == pytest.approx((44.0 - 51.31) / 0.005)  # mmHg over mmHg·s²/mL


def test_vessel_volume_and_pressure_are_inverse():
    vessel = CompliantVessel(0.733, 1.372, 0.005)
    volume = vessel.volume(jnp.asarray(80.0))
    assert float(volume) == pytest.approx(109.76)
    assert float(vessel.pressure(volume)) == pytest.approx(80.0)
    assert float(vessel.inlet_stiffness()) == pytest.approx(1 / 1.372)
    assert float(vessel.relaxation_rate()) == pytest.approx(146.6)


@pytest.mark.parametrize(
    ("since", "activation"),
    [(0.0, 0.0), (0.15, 0.5), (0.3, 1.0), (0.4, 0.5), (0.5, 0.0), (0.7, 0.0)],
)
@pytest.mark.parametrize("onset", [0.0, 0.125, 0.9, -0.1])
def test_elastance_by_hand(since, activation, onset):
    chamber = ElastanceChamber(2.0, 0.1, 10.0, onset, 0.3, 0.2)
    stiffness = chamber.stiffness(jnp.asarray(onset + since))
    assert float(stiffness) == pytest.approx(0.1 + 2.0 * activation, abs=1e-9)
    assert float(chamber.pressure(jnp.asarray(60.0), stiffness)) == pytest.approx(
        50.0 * (0.1 + 2.0 * activation), abs=1e-7
    )


def test_stiffness_is_the_derivative_of_pressure():
    chamber = ElastanceChamber(2.0, 0.1, 10.0, 0.0, 0.3, 0.2)
    stiffness = chamber.stiffness(jnp.asarray(0.17))
    slope = jax.grad(chamber.pressure)(jnp.asarray(60.0), stiffness)
    assert float(slope) == pytest.approx(float(stiffness))


@pytest.mark.parametrize("drop", [-30.0, -0.2, -0.003, 0.0, 1e-3, 0.004, 0.5, 8.0])
def test_valve_flow_is_that_of_the_published_formula(drop):
    """R = 10^(log R_min + (log R_max - log R_min) H(-drop)), in decimal logarithms."""
    low, high = math.log10(0.0075), math.log10(75006.2)
    step = math.atan(100 * math.pi * -drop) / math.pi + 0.5
    expected = drop / 10 ** (low + (high - low) * step)
    assert float(SmoothValve().flow(jnp.asarray(drop))) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("sharpness", [1.0, 100.0, 3000.0])
def test_no_valve_is_stiffer_than_when_open(sharpness):
    valve = SmoothValve(0.0075, 75006.2, sharpness)
    drops = jnp.concatenate([-jnp.logspace(2, -7, 2000), jnp.logspace(-7, 2, 2000)])
    slopes = jax.vmap(jax.grad(valve.flow))(drops)
    # A nearly closed valve leaks a little less as the drop grows: flow is not quite monotone.
    assert float(jnp.min(slopes)) > -1e-4 * float(valve.conductance())
    assert float(jnp.max(slopes)) <= float(valve.conductance()) * (1 + 1e-9)


def test_the_arctangent_of_valves_is_exact_and_so_is_its_derivative():
    x = np.concatenate([np.linspace(-5, 5, 4001), np.logspace(-300, 300, 601), [np.inf, -np.inf]])
    np.testing.assert_allclose(_arctan(jnp.asarray(x)), np.arctan(x), rtol=4e-16)
    finite = jnp.asarray(x[np.abs(x) < 1e100])
    np.testing.assert_allclose(
        jax.vmap(jax.grad(_arctan))(finite), 1 / (1 + np.asarray(finite) ** 2), rtol=1e-14
    )
