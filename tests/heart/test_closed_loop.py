import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests._shared import shared
from twinjax import (
    RESULTS,
    BeatSimulator,
    ParameterSpace,
    equilibrate,
    parameter,
    population,
    simulate,
)
from twinjax.flow import AbstractChamber
from twinjax.heart import CirculationState, ClosedLoop, regazzoni2022
from twinjax.observables import CHAMBERS, VALVES, VESSELS, WAVEFORMS
from twinjax.observe import Beat

SHORT = {
    **dict(zip(CHAMBERS, ("LA", "LV", "RA", "RV"), strict=True)),
    **dict(zip(VALVES, ("MV", "AV", "TV", "PV"), strict=True)),
    **dict(zip(VESSELS, ("AR_SYS", "VEN_SYS", "AR_PUL", "VEN_PUL"), strict=True)),
}
LETTER = {"volume": "V", "pressure": "p", "flow": "Q"}


def column(name):
    place, quantity = name.split(".")
    return f"{LETTER[quantity]}_{SHORT[place]}"


@pytest.fixture(scope="module")
def reference():
    path = shared("references/circulation") / "regazzoni_reference_beat100.csv"
    return np.genfromtxt(path, delimiter=",", names=True)


def states_of(reference):
    def columns(names, letter):
        return jnp.stack([reference[f"{letter}_{SHORT[name]}"] for name in names], axis=1)

    return CirculationState(columns(CHAMBERS, "V"), columns(VESSELS, "p"), columns(VESSELS, "Q"))


def drive_of(model, prepared, reference):
    return model.drive(prepared, jnp.asarray(reference["t_s"]) / model.period())


def test_pressures_and_flows_of_the_reference_states(reference):
    """What another program derives from its states, we derive from them too."""
    model = regazzoni2022()
    prepared = model.prepare()
    states, drive = states_of(reference), drive_of(model, prepared, reference)
    waves = jax.vmap(lambda s, d: model.observe(prepared, s, d))(states, drive)
    assert set(waves) == set(WAVEFORMS)
    for name, wave in waves.items():
        theirs = reference[column(name)]
        # Eight digits of volume and pressure are 1e-4 mL/s of flow through an open valve.
        error = np.max(np.abs(wave - theirs)) / np.max(np.abs(theirs))
        assert error < (3e-6 if name.split(".")[0] in VALVES else 1e-7), name


def test_rates_at_the_reference_states_are_its_derivatives(reference):
    """Central differences of the reference over 1 and 2 ms say how far they are to be trusted."""
    model = regazzoni2022()
    prepared = model.prepare()
    states, drive = states_of(reference), drive_of(model, prepared, reference)
    rates = jax.vmap(lambda s, d: model.rates(prepared, s, d))(states, drive)
    for values, slopes in zip(states, rates, strict=True):
        y, r = np.asarray(values), np.asarray(slopes)[2:-2]
        near = (y[3:-1] - y[1:-3]) / 2e-3
        far = (y[4:] - y[:-4]) / 4e-3
        digits = 1e-7 * np.max(np.abs(y), axis=0) / 1e-3
        allowed = np.abs(far - near) + digits
        trusted = allowed < 0.02 * np.max(np.abs(r), axis=0)
        assert np.all(trusted.mean(axis=0) > 0.8)
        assert np.mean((np.abs(r - near) <= allowed)[trusted]) > 0.97
        assert np.all(np.abs(r - near)[trusted] <= 0.02 * np.max(np.abs(r)))


def test_volume_is_conserved_and_restored():
    model = regazzoni2022()
    start = model.initial_state()
    assert float(model.total_volume(start)) == pytest.approx(1617.876074, rel=1e-14)
    final = simulate(model, beats=20).state
    assert float(model.total_volume(final)) == pytest.approx(1617.876074, rel=1e-11)
    emptied = start._replace(volume=start.volume - 10.0)
    restored = model.restore(emptied)
    assert float(model.total_volume(restored)) == pytest.approx(1617.876074, rel=1e-14)
    np.testing.assert_array_equal(restored.volume, emptied.volume)


def test_the_default_adult_is_healthy():
    _, scalars = equilibrate(ClosedLoop(), observer=Beat(50)).observations
    normal = {
        "systolic_blood_pressure": (100, 135),
        "diastolic_blood_pressure": (60, 90),
        "cardiac_output": (4, 7),
        "lv_ejection_fraction": (52, 75),
        "pulmonary_mean_pressure": (8, 20),
        "pulmonary_wedge_pressure": (4, 13),
        "right_atrial_pressure": (1, 8),
        "mitral_e_to_a_ratio": (0.8, 2.2),
    }
    for name, (low, high) in normal.items():
        assert low < float(scalars[name]) < high, name


class OtherChamber(AbstractChamber):
    """The same equations in a class of its own, as a richer chamber would be."""

    peak: jax.Array = parameter(1.0, unit="mmHg/mL", bounds=(0.001, 30.0), cite="made up")
    base: jax.Array = parameter(0.1, unit="mmHg/mL", bounds=(0.001, 30.0), cite="made up")
    offset: jax.Array = parameter(9.0, unit="mL", bounds=(-60.0, 300.0), cite="made up")
    times: tuple[float, float, float] = eqx.field(static=True, default=(0.0, 0.3, 0.3))

    def stiffness(self, phase):
        onset, rise, fall = self.times
        since = jnp.mod(phase - onset, 1.0)
        up = jnp.sin(0.5 * jnp.pi * since / rise) ** 2
        down = jnp.cos(0.5 * jnp.pi * (since - rise) / fall) ** 2
        active = jnp.where(since < rise, up, jnp.where(since < rise + fall, down, 0.0))
        return self.base + self.peak * active

    def pressure(self, volume, stiffness):
        return stiffness * (volume - self.offset)


def test_a_chamber_of_another_class_may_take_a_place():
    plain = ClosedLoop()
    left = plain.left_ventricle
    other = OtherChamber(
        left.active_elastance,
        left.passive_elastance,
        left.unstressed_volume,
        tuple(float(t) for t in (left.onset, left.contraction, left.relaxation)),
    )
    mixed = ClosedLoop(left_ventricle=other)
    ours = simulate(plain, steps_per_beat=400)
    theirs = simulate(mixed, steps_per_beat=400)
    for name, wave in ours.observations.items():
        np.testing.assert_allclose(theirs.observations[name], wave, rtol=1e-8, atol=1e-8)
    space = ParameterSpace(mixed, ["left_ventricle.peak", "left_atrium.active_elastance"])
    np.testing.assert_allclose(space.read(mixed), [2.4, 0.24])


NAMES = ["heart_rate", "systemic_arteries.resistance", "aortic.open_resistance"]


@pytest.fixture(scope="module")
def simulator():
    model = ClosedLoop()
    return BeatSimulator(model, ParameterSpace(model, NAMES), samples=20, steps_per_beat=250)


def test_a_population_is_a_loop_of_single_runs_and_survives_failures(simulator):
    good = np.asarray(simulator.space.read(simulator.model))
    thetas = np.stack([good] * 5)
    thetas[0] *= [1.1, 1.2, 1.1]
    thetas[1, 0] = 500.0  # beats a minute: outside the bounds
    thetas[2, 2] = 2e-4  # an open valve far too fast for the step
    thetas[3, 1] = np.nan
    rows = []
    many = population(simulator, thetas, chunk=2, on_chunk=lambda r, _: rows.append(r))
    assert [RESULTS(int(code)) for code in many.result[[0, 1, 2, 4]]] == [
        RESULTS.successful,
        RESULTS.outside_bounds,
        RESULTS.step_too_long,
        RESULTS.successful,
    ]
    assert many.result[3] != RESULTS.successful
    covered = [i for r in rows for i in range(*r.indices(len(thetas)))]
    assert covered == list(range(5))
    for i in (0, 4):
        single = eqx.filter_jit(simulator)(jnp.asarray(thetas[i]))
        assert int(single.result) == RESULTS.successful
        for name, value in single.scalars.items():
            np.testing.assert_allclose(many.scalars[name][i], value, rtol=1e-6, err_msg=name)
        for name, wave in single.waveforms.items():
            assert wave.shape == (20,)
            np.testing.assert_allclose(
                many.waveforms[name][i], wave, rtol=1e-5, atol=1e-4, err_msg=name
            )


def test_a_population_needs_rows(simulator):
    with pytest.raises(ValueError, match=r"shape \(runs, n\)"):
        population(simulator, np.zeros((0, 3)))
