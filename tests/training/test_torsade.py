"""Ordinal regression against autodiff and known truths; verdicts and measures against counting."""

import csv
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from training._ordinal import log_likelihood
from training.torsade import (
    OrdinalLogistic,
    Verdicts,
    class_changes,
    classify,
    herg_margin,
    leave_one_drug_out,
    margins,
    net_block,
    performance,
    variance_shares,
)

FDA = OrdinalLogistic((20.01199509307, 15.665426847338), -292.539547635619)
DRUGS = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])


def drawn(rows, model=FDA, seed=0):
    """Scores in the range of qNet, and categories drawn from the model."""
    random = np.random.default_rng(seed)
    scores = random.uniform(0.03, 0.09, rows)
    return scores, np.sum(random.random((rows, 1)) < model.exceedance(scores), axis=1)


def few(spread=0.008, samples=40, seed=1):
    """Nine drugs, whose scores fall with the category and overlap."""
    noise = np.random.default_rng(seed).normal(size=(2, len(DRUGS), samples))
    centre = 0.075 - 0.012 * DRUGS[:, None] + 0.5 * spread * noise[0, :, :1]
    return centre + spread * noise[1], DRUGS


def parameters(model):
    return np.array([*model.intercepts, model.slope])


# The regression


def test_likelihood_and_derivatives_are_those_of_autodiff():
    scores, categories = drawn(50)
    x, y = jnp.asarray(scores), jnp.asarray(categories)

    def plain(w):
        above, most = jax.nn.sigmoid(w[0] + w[2] * x), jax.nn.sigmoid(w[1] + w[2] * x)
        chosen = jnp.stack([1 - above, above - most, most])[y, jnp.arange(len(y))]
        return jnp.sum(jnp.log(chosen))

    @jax.jit
    def autodiff(w):
        return plain(w), jax.jacfwd(plain)(w), jax.grad(plain)(w), jax.hessian(plain)(w)

    w = np.array([4.0, 3.0, -50.0])
    value, gradient, hessian = log_likelihood(w, scores, categories)
    expected, forward, reverse, curvature = autodiff(w)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, forward, rtol=1e-10)
    np.testing.assert_allclose(gradient, reverse, rtol=1e-10)
    np.testing.assert_allclose(hessian, curvature, rtol=1e-9)
    for step, slope in zip(np.diag([1e-5, 1e-5, 1e-4]), gradient, strict=True):
        up, down = (log_likelihood(w + move, scores, categories)[0] for move in (step, -step))
        assert (up - down) / (2 * step.sum()) == pytest.approx(slope, rel=1e-6)


def test_likelihood_stays_finite_far_from_the_data_and_ends_at_crossed_intercepts():
    scores, categories = drawn(50)
    value, gradient, hessian = log_likelihood(np.array([9e4, -9e4, 1e5]), scores, categories)
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))
    assert np.all(np.isfinite(hessian))
    assert log_likelihood(np.array([1.0, 1.0, 1.0]), scores, categories)[0] == -np.inf


def test_the_optimum_has_no_gradient():
    scores, categories = drawn(3000)
    model = OrdinalLogistic.fit(scores, categories)
    _, gradient, hessian = log_likelihood(parameters(model), scores, categories)
    # The step still to go, in standard errors.
    step = np.linalg.solve(hessian, gradient)
    assert np.max(np.abs(step) * np.sqrt(np.diag(-hessian))) < 1e-8
    assert np.all(np.linalg.eigvalsh(hessian) < 0)


@pytest.mark.parametrize("truth", [FDA, OrdinalLogistic((-3.0, -3.5), 70.0)])
def test_independent_rows_give_the_truth_back_within_standard_errors(truth):
    distances = []
    for seed in range(40):
        scores, categories = drawn(2000, truth, seed)
        model = OrdinalLogistic.fit(scores, categories)
        _, _, hessian = log_likelihood(parameters(model), scores, categories)
        error = parameters(model) - parameters(truth)
        distances.append(-error @ hessian @ error)
    # Chi-squared of 3 degrees: mean 3, standard error of 40 of them sqrt(6 / 40); 4 of these.
    assert np.mean(distances) == pytest.approx(3.0, abs=4 * np.sqrt(6 / 40))


def test_units_and_sign_of_the_score_do_not_matter():
    scores, categories = drawn(500)
    model = OrdinalLogistic.fit(scores, categories)
    other = OrdinalLogistic.fit(5.0 - 1e6 * scores, categories)
    np.testing.assert_allclose(
        other.probabilities(5.0 - 1e6 * scores), model.probabilities(scores), rtol=1e-9
    )
    assert other.slope == pytest.approx(-model.slope / 1e6, rel=1e-9)


def test_nearly_separated_categories_are_fitted():
    scores = np.concatenate([np.linspace(k, k + 0.9, 5000) for k in range(3)])
    categories = np.repeat(np.arange(3), 5000)
    categories[[4999, 5000]] = [1, 0]
    model = OrdinalLogistic.fit(scores, categories)
    assert np.mean(model.classify(scores) != categories) < 0.001
    # One split is separated, the other is not: the slope is finite still.
    tied = OrdinalLogistic.fit(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([0, 0, 2, 1, 2]))
    assert 0 < tied.slope < 10


def test_what_cannot_be_fitted_is_refused():
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 1, 1, 2])
    with pytest.raises(ValueError, match="no row is of the category intermediate"):
        OrdinalLogistic.fit(x, np.array([0, 2, 0, 2]))
    with pytest.raises(ValueError, match="separates the categories completely"):
        OrdinalLogistic.fit(x, y)
    with pytest.raises(ValueError, match="separates the categories completely"):
        OrdinalLogistic.fit(-x, y)
    with pytest.raises(ValueError, match="not a finite number"):
        OrdinalLogistic.fit(np.array([1.0, np.nan, 3.0, 4.0]), y)
    with pytest.raises(ValueError, match="must be 0 "):
        OrdinalLogistic.fit(x, y + 1)
    with pytest.raises(ValueError, match="all scores are equal"):
        OrdinalLogistic.fit(np.ones(4), y)
    with pytest.raises(ValueError, match="intercepts must fall"):
        OrdinalLogistic((1.0, 2.0), 1.0)
    with pytest.raises(ValueError, match="also not zero"):
        OrdinalLogistic((2.0, 1.0), 0.0)


def test_a_fit_without_convergence_is_refused(monkeypatch):
    monkeypatch.setattr("training._ordinal._STEPS", 2)
    with pytest.raises(ValueError, match="did not converge within 2 steps"):
        OrdinalLogistic.fit(*drawn(200))


@pytest.mark.parametrize(
    "model",
    [
        FDA,
        OrdinalLogistic((1.0, -0.5), 2.0),
        OrdinalLogistic((1.0, 0.1), 2.0),
        OrdinalLogistic((1.0, 0.9), -2.0),
    ],
)
def test_the_predicted_category_changes_at_the_thresholds(model):
    first, second = model.thresholds
    p = model.probabilities(np.array([first, second]))
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)
    assert np.sort(p[0])[1:] == pytest.approx(np.max(p[0]), rel=1e-9)
    assert np.sort(p[1])[1:] == pytest.approx(np.max(p[1]), rel=1e-9)
    # On a grid of scores from safe to dangerous, which meets neither threshold.
    grid = np.linspace(min(first, second) - 0.0123, max(first, second) + 0.0123, 1000)
    safe = np.sign(model.slope) * (np.array([first, second])[:, None] - grid[None, :]) > 0
    np.testing.assert_array_equal(model.classify(grid), 2 - safe.sum(axis=0))


# Verdicts and measures


def counted(table):
    """Verdicts of the FDA's regression with given counts: one score well within each category."""
    scores = np.array([0.08, 0.06, 0.04])
    rows = [np.repeat(scores, [int(row[f"predict_{k}"]) for k in range(3)]) for row in table]
    categories = np.array([int(row["CiPA"]) for row in table])
    return Verdicts(np.stack(rows), categories, (FDA,) * len(rows))


def test_counts_majority_and_error_by_hand():
    table = [
        {"CiPA": 0, "predict_0": 3, "predict_1": 1, "predict_2": 0},
        {"CiPA": 1, "predict_0": 0, "predict_1": 2, "predict_2": 2},
        {"CiPA": 2, "predict_0": 1, "predict_1": 0, "predict_2": 3},
    ]
    verdicts = counted(table)
    np.testing.assert_array_equal(verdicts.counts, [[3, 1, 0], [0, 2, 2], [1, 0, 3]])
    np.testing.assert_array_equal(verdicts.majority, [0, 1, 2])
    np.testing.assert_allclose(verdicts.errors, [0.25, 0.5, 0.5], rtol=1e-15)
    assert verdicts.error == pytest.approx(5 / 12, rel=1e-15)


@pytest.mark.parametrize("study", ["cipa28_chantest", "cipa_nanion8"])
def test_the_counts_of_the_fda_give_its_error(shared, study):
    folder = shared("references/cipa")
    table = list(csv.DictReader((folder / f"{study}_train_class_counts.csv").open()))
    (fit,) = csv.DictReader((folder / f"{study}_train_thresholds.csv").open())
    verdicts = counted(table)
    np.testing.assert_array_equal(
        verdicts.counts, [[int(row[f"predict_{k}"]) for k in range(3)] for row in table]
    )
    assert verdicts.error == pytest.approx(float(fit["error"]), rel=1e-14)


def test_the_counts_of_the_fda_with_drugs_left_out_give_their_errors(shared):
    folder = shared("references/cipa")
    table = list(csv.DictReader((folder / "cipa28_chantest_LOOCV_class_counts.csv").open()))
    fits = csv.DictReader((folder / "cipa28_chantest_LOOCV_thresholds_errors.csv").open())
    published = {row["drug"]: float(row["error"]) for row in fits}
    expected = [published[row["drug"]] for row in table]
    np.testing.assert_allclose(counted(table).errors, expected, rtol=1e-14, atol=1e-16)


def test_one_regression_judges_all():
    scores, categories = few()
    verdicts = classify(scores, categories)
    assert verdicts.models == (OrdinalLogistic.fit(scores.ravel(), np.repeat(categories, 40)),) * 9
    np.testing.assert_array_equal(verdicts.counts.sum(axis=1), 40)
    intervals = verdicts.intervals(0.5)
    np.testing.assert_allclose(
        intervals[..., 1], np.quantile(verdicts.probabilities, 0.75, axis=1), rtol=1e-14
    )
    inside = (verdicts.probabilities >= intervals[:, None, :, 0]) & (
        verdicts.probabilities <= intervals[:, None, :, 1]
    )
    np.testing.assert_allclose(inside.mean(axis=1), 0.5, atol=1e-12)


def test_a_drug_that_is_left_out_is_left_out():
    scores, categories = few()
    verdicts = leave_one_drug_out(scores, categories)
    moved = scores.copy()
    moved[4] += 0.02
    other = leave_one_drug_out(moved, categories)
    same = [a == b for a, b in zip(verdicts.models, other.models, strict=True)]
    assert same == [drug == 4 for drug in range(9)]
    rest = OrdinalLogistic.fit(np.delete(scores, 4, 0).ravel(), np.repeat(np.delete(DRUGS, 4), 40))
    assert verdicts.models[4] == rest
    np.testing.assert_array_equal(verdicts.probabilities[4], rest.probabilities(scores[4]))
    with pytest.raises(ValueError, match="no row is of the category high"):
        leave_one_drug_out(scores[:7], categories[:7])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_measures_are_those_of_counting(sign):
    scores, categories = few(samples=1, seed=3)
    scores[3] = scores[0]  # a tie
    verdicts = classify(sign * scores, categories)
    measures = performance(verdicts)
    risk, predicted = -scores[:, 0], verdicts.predicted[:, 0]

    def share(right):
        pairs = [(i, j) for i, j in itertools.product(range(9), repeat=2) if right(i, j)]
        return np.mean([(risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]) for i, j in pairs])

    expected = {
        "auc_1": share(lambda i, j: categories[i] >= 1 > categories[j]),
        "auc_2": share(lambda i, j: categories[i] >= 2 > categories[j]),
        "pairwise_correct_rate": share(lambda i, j: categories[i] > categories[j]),
        "mean_error": np.mean(np.abs(predicted - categories)),
    }
    for k in (1, 2):
        sensitivity = np.mean(predicted[categories >= k] >= k)
        specificity = np.mean(predicted[categories < k] < k)
        expected[f"lr_plus_{k}"] = sensitivity / (1 - specificity)
        expected[f"lr_minus_{k}"] = (1 - sensitivity) / specificity
    assert measures.keys() == expected.keys()
    for name, value in expected.items():
        assert measures[name] == pytest.approx((value, value, value), rel=1e-12)
    assert 0.5 < measures["auc_1"].value < 1


def test_intervals_hold_the_trials_and_ratios_may_be_infinite():
    table = [
        {"CiPA": category, **{f"predict_{k}": 100 * (k == category) for k in range(3)}}
        for category in (0, 0, 1, 2)
    ]
    table[0] |= {"predict_0": 60, "predict_1": 40}
    measures = performance(counted(table), share=0.5)
    assert measures["mean_error"] == pytest.approx((0.1, 0.0, 0.25), rel=1e-14)
    assert measures["lr_plus_1"] == (np.inf, 2.0, np.inf)
    assert measures["lr_minus_1"] == (0.0, 0.0, 0.0)
    # A tie of a safe drug with the intermediate one.
    assert measures["auc_1"] == pytest.approx((1.0, 0.875, 1.0), rel=1e-14)
    # Every drug is called dangerous: that tells nothing.
    all_bad = [{"CiPA": k, "predict_0": 0, "predict_1": 0, "predict_2": 4} for k in range(3)]
    ratios = performance(counted(all_bad))
    assert ratios["lr_plus_1"].value == ratios["lr_minus_1"].value == 1


# Baselines


def test_margin_and_net_block_by_hand():
    cmax = np.array([10.0, 10.0])
    np.testing.assert_allclose(herg_margin(np.array([1000.0, 1.0]), cmax), [2, -1], rtol=1e-15)
    ic50 = {"IKr": np.array([10.0, 10.0]), "ICaL": np.array([10.0, 1e12]), "INaL": cmax / 3}
    h = {name: np.full(2, 1.0) for name in ic50}
    np.testing.assert_allclose(net_block(cmax, ic50, h), [-0.75, -0.25], rtol=1e-10)
    h["INaL"] = np.full(2, 2.0)
    np.testing.assert_allclose(net_block(cmax, ic50, h), [-0.9, -0.4], rtol=1e-10)
    with pytest.raises(ValueError, match="unknown current 'ICal'; did you mean 'ICaL'"):
        net_block(cmax, {"ICal": cmax}, {"ICal": cmax})


def baselines(shared):
    """Scores (drugs, 1) of both baselines from medians, and the categories."""
    folder = shared("references/cipa")
    drugs = list(csv.DictReader((folder / "cipa28_drug_parameters.csv").open()))
    rows = csv.DictReader((folder / "cipa28_hill_posterior_summary_by_site.csv").open())
    hill = {row["drug"]: row for row in rows if row["site"] == "chantest"}

    def medians(name):
        return np.array([float(hill[row["drug"]][f"{name}_median"]) for row in drugs])[:, None]

    cmax = np.array([float(row["cmax_free_nM"]) for row in drugs])[:, None]
    currents = {"IKr": "hERG", "ICaL": "ICaL", "INaL": "INaL"}
    ic50 = {name: medians(f"{column}_IC50") for name, column in currents.items()}
    h = {name: medians(f"{column}_h") for name, column in currents.items()}
    categories = np.array([int(row["tdp_category_0low_1int_2high"]) for row in drugs])
    return herg_margin(ic50["IKr"], cmax), net_block(cmax, ic50, h), categories


def test_baselines_of_the_28_drugs_beat_one_answer_for_all(shared):
    *scores, categories = baselines(shared)
    np.testing.assert_array_equal(np.bincount(categories), [9, 11, 8])
    for score, sign in zip(scores, (-1, 1), strict=True):
        verdicts = leave_one_drug_out(score, categories)
        assert {np.sign(model.slope) for model in verdicts.models} == {sign}
        measures = performance(verdicts)
        assert np.all(np.isfinite(list(measures.values())))
        for k in (1, 2):
            risk, other = (sign * score[group, 0] for group in (categories >= k, categories < k))
            area = mannwhitneyu(risk, other).statistic / (len(risk) * len(other))
            assert measures[f"auc_{k}"].value == pytest.approx(area, rel=1e-12)
        # Calling every drug intermediate errs on 17 of 28.
        assert measures["mean_error"].value < 17 / 28


# Which measurement next


def test_variance_shares_are_what_is_left_once_an_input_is_known():
    random = np.random.default_rng(0)
    slopes = np.array([[1.0, -2.0, 0.0], [0.0, 0.0, 0.0]])
    inputs = 0.5 * random.normal(size=(3, 20000))
    contributions = slopes[:, :, None] * inputs
    shares = variance_shares(contributions)
    # Standard error of a ratio of variances: about sqrt(4 / 20000) of it; 4 of these.
    error = 4 * np.sqrt(4 / 20000)
    np.testing.assert_allclose(shares, [[0.2, 0.8, 0.0], [0.0, 0.0, 0.0]], rtol=error)
    known = contributions[0, [0, 2]].sum(axis=0)
    left = np.var(known) / np.var(contributions[0].sum(axis=0))
    assert left == pytest.approx(1 - shares[0, 1], rel=error)


def test_class_changes_are_those_of_simulated_measurements():
    random = np.random.default_rng(1)
    thresholds = np.tile(FDA.thresholds, (3, 1))
    scores = np.array([0.070, 0.055, 0.040])
    sd = np.array([[0.002, 0.0], [0.002, 0.012], [0.001, 0.0001]])
    contributions = 0.01 + sd[:, :, None] * random.normal(size=(3, 2, 20000))
    changes = class_changes(scores, contributions, thresholds)
    for drug, j in itertools.product(range(3), range(2)):
        shift = sd[drug, j] * random.normal(size=20000)
        changed = FDA.classify(scores[drug] + shift) != FDA.classify(scores)[drug]
        assert changes[drug, j] == pytest.approx(np.mean(changed), abs=6 * 0.5 / np.sqrt(20000))
    assert changes[0, 1] == 0
    assert np.unravel_index(np.argmax(changes), changes.shape) == (1, 1)


def test_margins_vanish_at_a_tie():
    p = np.array([[0.2, 0.4, 0.4], [0.1, 0.2, 0.7]])
    np.testing.assert_allclose(margins(p), [0.0, 0.5], rtol=1e-14, atol=1e-16)
