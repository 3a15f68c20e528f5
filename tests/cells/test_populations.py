"""Virtual populations: against single runs, and calibration against what optimality demands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from twinjax._results import RESULTS
from twinjax.cells import (
    HUMAN_VENTRICLE,
    MODELS,
    AlievPanfilov1996,
    LuoRudy1991,
    Pacing,
    Range,
    Setting,
    beat_grid,
    biomarkers,
    calibrate_population,
    pace,
    sample_scales,
    scaled,
    simulate_population,
)

RANGES = {
    "apd90": Range(320.0, 350.0, "ms", "made up"),
    "peak_potential": Range(44.0, 48.0, "mV", "made up"),
}


@pytest.fixture(scope="module")
def cell():
    return LuoRudy1991()


@pytest.fixture(scope="module")
def pacing():
    # 600 ms: long enough for every action potential of these cells.
    return Pacing(beats=2, grid=beat_grid(600.0, 2.0, setting=Setting(0.02, 5.0, 1.0)))


@pytest.fixture(scope="module")
def population(cell, pacing):
    names, scales = sample_scales(cell, 15, spread=0.15, seed=1)
    # The last is the model as published, which is inside; the one before cannot be simulated.
    scales = np.concatenate([scales, np.ones((1, len(names)))])
    scales[-2] = 1e300
    return simulate_population(cell, names, scales, pacing=pacing)


@pytest.fixture(scope="module")
def calibration(cell, population, pacing):
    return calibrate_population(cell, population, RANGES, pacing=pacing)


@pytest.mark.parametrize("method", ["sobol", "latin hypercube"])
def test_samples_fill_their_distribution_evenly(cell, method):
    count = 64
    names, factors = sample_scales(cell, count, spread=0.3, method=method)
    assert names == tuple(cell.about.conductances)
    # One in each of 64 equal slices of probability, for every current.

    slices = np.floor(norm.cdf(np.log(factors) / 0.3) * count).astype(int)
    np.testing.assert_array_equal(np.sort(slices, axis=0), np.arange(count)[:, None] + 0 * slices)
    _, even = sample_scales(
        cell, count, currents=["IK"], distribution="uniform", spread=0.5, method=method
    )
    assert even.shape == (count, 1)
    np.testing.assert_array_equal(np.sort(np.floor((even[:, 0] - 0.5) * count)), np.arange(count))


def test_the_seed_decides(cell):
    first, same, other = (sample_scales(cell, 5, seed=s)[1] for s in (3, 3, 4))
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


def test_factors_keep_conductances_within_bounds(cell):
    _, factors = sample_scales(cell, 256, currents=["INa"], spread=2.0)
    values = factors[:, 0] * float(cell.g_na)
    assert np.isclose(values.max(), 100.0)  # the parameter's upper bound
    assert values.min() > 0


def test_scaling_changes_that_conductance_alone(cell):
    less = scaled(cell, {"IK": 0.5})
    assert float(less.g_k) == 0.5 * float(cell.g_k)
    assert float(less.g_k1) == float(cell.g_k1)
    assert scaled(cell, {}) is cell


def test_a_cell_of_the_population_is_that_cell_alone(cell, population, pacing):
    row = 3
    alone = scaled(cell, dict(zip(population.currents, population.scales[row], strict=True)))
    expected = biomarkers(pace(alone, beats=pacing.beats, grid=pacing.grid))
    for name, value in expected.items():
        np.testing.assert_allclose(population.biomarkers[name][row], value, rtol=1e-8, err_msg=name)


def test_chunks_change_nothing(cell, population, pacing):
    few = population.scales[:5]
    again = simulate_population(cell, population.currents, few, pacing=pacing, chunk=2)
    np.testing.assert_allclose(
        again.biomarkers["apd90"], population.biomarkers["apd90"][:5], rtol=1e-9
    )


def test_a_lone_name_and_lists_are_taken(cell, population, pacing):
    names, factors = sample_scales(cell, 2, currents="IK")
    assert (names, factors.shape) == (("IK",), (2, 1))
    ones = simulate_population(cell, "IK", [[1.0]], pacing=pacing)
    assert ones.currents == ("IK",)
    np.testing.assert_allclose(
        ones.biomarkers["apd90"][0], population.biomarkers["apd90"][-1], rtol=1e-9
    )


def test_a_failure_is_recorded_and_skipped(population, calibration):
    assert population.failed.tolist() == [False] * 14 + [True, False]
    assert population.results[-2] == RESULTS.nonfinite
    assert all(np.isnan(value[-2]) for value in population.biomarkers.values())
    assert not population.within(RANGES)[-2]
    assert not population.within({})[-2]
    assert not calibration.inside[-2]
    assert calibration.moved[-2] == 0


def test_acceptance_is_every_range_at_once(population):
    accepted = population.within(RANGES)
    for row, ok in enumerate(accepted):
        values = {name: population.biomarkers[name][row] for name in RANGES}
        assert ok == all(RANGES[n].low <= v <= RANGES[n].high for n, v in values.items())
    assert population.select(accepted).within(RANGES).all()


def test_calibration_moves_the_cells_in(population, calibration):
    others = ~population.failed
    assert calibration.inside[others].mean() >= 0.9 > population.within(RANGES)[others].mean()
    was_inside = population.within(RANGES)
    np.testing.assert_array_equal(calibration.moved[was_inside], 0)
    np.testing.assert_array_equal(
        calibration.after.scales[was_inside], population.scales[was_inside]
    )
    assert np.all(calibration.moved[calibration.inside & ~was_inside] > 0)


def test_calibrated_cells_went_the_shortest_way(cell, population, calibration, pacing):
    """The way is a combination of the gradients of the biomarkers that stand at their bound."""

    @jax.jit
    @jax.jacfwd
    def gradients(z):
        found, _ = pacing(scaled(cell, dict(zip(population.currents, jnp.exp(z), strict=True))))
        return jnp.stack([found[name] for name in RANGES])

    checked = 0
    for row in np.flatnonzero(calibration.inside & (calibration.moved > 0.05))[:6]:
        z = np.log(calibration.after.scales[row])
        way = z - np.log(population.scales[row])
        slopes = np.asarray(gradients(jnp.asarray(z)))
        # Gradients of a biomarker that is well inside do not count.
        y = np.array([calibration.after.biomarkers[name][row] for name in RANGES])
        low, high = (np.array([getattr(r, e) for r in RANGES.values()]) for e in ("low", "high"))
        edge = np.minimum(y - low, high - y) < 0.035 * (high - low)
        assert edge.any()
        basis = slopes[edge].T
        left = way - basis @ np.linalg.lstsq(basis, way, rcond=None)[0]
        assert np.linalg.norm(left) < 0.02 * np.linalg.norm(way)
        checked += 1
    assert checked >= 3


def test_derivatives_of_biomarkers_match_finite_differences(cell, population, pacing):
    names = population.currents
    z = np.log(population.scales[0])

    @jax.jit
    def duration(z):
        return pacing(scaled(cell, dict(zip(names, jnp.exp(z), strict=True))))[0]["apd90"]

    forward = jax.jit(jax.jacfwd(duration))(jnp.asarray(z))
    step = 1e-5
    for i in range(len(names)):
        shift = step * np.eye(len(names))[i]
        slope = (duration(z + shift) - duration(z - shift)) / (2 * step)
        np.testing.assert_allclose(forward[i], slope, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda c, p: scaled(c, {"INaa": 1.0}), "did you mean 'INa'"),
        (
            lambda c, p: scaled(AlievPanfilov1996(), {"IK": 1.0}),
            "Aliev-Panfilov 1996 has no conductance to scale, IK or other",
        ),
        (lambda c, p: sample_scales(AlievPanfilov1996(), 4), "Aliev-Panfilov 1996 scales: none"),
        (lambda c, p: sample_scales(c, 0), "at least one cell, not 0"),
        (lambda c, p: sample_scales(c, 4, currents=[]), "at least one current"),
        (lambda c, p: sample_scales(c, 4, currents=["IX"]), "unknown current of Luo-Rudy 1991"),
        (lambda c, p: sample_scales(c, 4, spread=0.0), r"must lie in \(0, inf\], not 0.0"),
        (
            lambda c, p: sample_scales(c, 4, distribution="uniform", spread=1.5),
            r"must lie in \(0, 1\], not 1.5",
        ),
        (
            lambda c, p: sample_scales(LuoRudy1991(g_k=0.0), 4, currents=["IK"]),
            "of IK is 0, so that it cannot",
        ),
        (lambda c, p: sample_scales(c, 4, currents=["IK", "IK"]), "named twice: IK, IK"),
        (lambda c, p: simulate_population(c, ["IK"], np.ones((2, 2))), r"shape \(n, 1\)"),
        (lambda c, p: simulate_population(c, ["IK"], -np.ones((1, 1))), "not negative"),
        (lambda c, p: simulate_population(c, "IK", [[1.0]], chunk=0), "at least one row, not 0"),
        (lambda c, p: simulate_population(c, ["IK"], [[1.0, 1.0]]), r"shape \(n, 1\)"),
        (lambda c, p: p.within({"apd91": Range(1.0, 2.0, "ms", "")}), "did you mean 'apd90'"),
        (lambda c, p: calibrate_population(c, p, RANGES, margin=0.5), r"margin must lie in \[0"),
        (lambda c, p: Range(2.0, 1.0, "ms", ""), "a range needs low < high, not 2.0 and 1.0"),
    ],
)
def test_bad_input_gets_one_sentence(cell, population, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(cell, population)


def test_experimental_ranges_are_of_biomarkers_and_have_a_source(population):
    assert set(HUMAN_VENTRICLE) <= set(population.biomarkers)
    for found in HUMAN_VENTRICLE.values():
        assert "Passini et al. 2017" in found.cite


@pytest.mark.slow
def test_human_cells_are_calibrated_to_experimental_ranges():
    cell = MODELS["ohara-rudy-2011-endo"]()
    pacing = Pacing(beats=10)
    names = ("INaL", "Ito", "ICaL", "IKr", "IKs", "IK1", "INaCa", "INaK")
    published = simulate_population(cell, names, np.ones((1, len(names))), pacing=pacing)
    assert published.within(HUMAN_VENTRICLE).all()
    _, scales = sample_scales(cell, 32, currents=names, distribution="uniform", spread=1.0)
    wide = simulate_population(cell, names, np.maximum(scales, 0.02), pacing=pacing, chunk=16)
    accepted = wide.within(HUMAN_VENTRICLE)
    assert 0 < accepted.sum() < 32
    found = calibrate_population(cell, wide, HUMAN_VENTRICLE, pacing=pacing, chunk=16)
    assert found.inside.sum() > accepted.sum()
    assert np.all(found.inside[accepted])


def test_a_current_that_is_absent_is_passed_over_unless_named():
    names, scales = sample_scales(LuoRudy1991(g_k=0.0), 4)
    assert "IK" not in names
    assert scales.shape == (4, len(LuoRudy1991.about.conductances) - 1)
