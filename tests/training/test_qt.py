"""The map from features of a drug to its clinical ΔQTc, and its predictive intervals."""

import numpy as np
import pytest
from scipy import stats

from training.qt import fit_qt, leave_one_out

SLOPE, INTERCEPT, SD = 0.35, 1.5, 4.0


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def drugs(rng, n=12, k=1):
    x = rng.gamma(1.0, 12.0, (n, k))  # most drugs do little
    return x, INTERCEPT + SLOPE * x.sum(axis=1) + SD * rng.standard_normal(n)


def test_recovers_an_exact_line():
    x = np.array([0.0, 3.0, 7.0, 40.0])
    found = fit_qt(x, INTERCEPT + SLOPE * x)
    assert found.intercept == pytest.approx(INTERCEPT, abs=1e-12)
    assert found.slopes == pytest.approx([SLOPE], abs=1e-12)
    assert found.sd == pytest.approx(0, abs=1e-7)


def test_recovers_slopes_within_their_error(rng):
    x, y = drugs(rng, n=20_000, k=3)
    for shrinkage in ("none", "evidence"):
        found = fit_qt(x, y, shrinkage)
        error = SD / (12 * np.sqrt(len(y)))  # the SD of a gamma variable of shape 1 is its scale
        assert np.all(np.abs(found.slopes - SLOPE) < 4 * error)
        assert found.sd == pytest.approx(SD, rel=4 / np.sqrt(2 * len(y)))


def test_agrees_with_scipys_least_squares_and_students_interval(rng):
    x, y = drugs(rng)
    x = x[:, 0]
    found, known = fit_qt(x, y), stats.linregress(x, y)
    assert found.slopes[0] == pytest.approx(known.slope, rel=1e-10)
    assert found.intercept == pytest.approx(known.intercept, rel=1e-10)
    new = np.array([0.0, 30.0, 90.0])
    # The textbook's interval, from the standard errors of slope and intercept alone.
    residual = y - known.intercept - known.slope * x
    variance = np.sum(residual**2) / (len(x) - 2)
    scale = np.sqrt(
        variance + known.intercept_stderr**2 + known.stderr**2 * new * (new - 2 * x.mean())
    )
    interval = found.predict(new, level=0.8)
    assert interval.high - interval.mean == pytest.approx(scale * stats.t.ppf(0.9, 10), rel=1e-10)
    assert interval.mean - interval.low == pytest.approx(interval.high - interval.mean)


def test_without_features_it_is_the_mean(rng):
    y = drugs(rng)[1]
    interval = fit_qt(np.zeros((12, 0)), y).predict(np.zeros((1, 0)))
    half = stats.t.ppf(0.95, 11) * y.std(ddof=1) * np.sqrt(1 + 1 / 12)
    assert interval.mean == pytest.approx(y.mean())
    assert interval.high == pytest.approx(y.mean() + half)


def test_shrinkage_is_the_marginal_likelihood_of_a_gaussian_process(rng):
    """Of the contrasts of y, whose covariance is σ² (1 + ZZᵀ/λ), by SciPy's t density."""
    x, y = drugs(rng, n=9, k=3)
    found = fit_qt(x, y, "evidence")
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    contrasts = np.linalg.svd(np.eye(9) - 1 / 9)[0][:, :8].T

    def evidence(precision):
        shape = contrasts @ (np.eye(9) + z @ z.T / precision) @ contrasts.T
        data = contrasts @ y
        _, size = np.linalg.slogdet(shape)
        return -(size + 8 * np.log(data @ np.linalg.solve(shape, data))) / 2

    grid = np.logspace(-3, 4, 71)
    assert found.precision == pytest.approx(grid[np.argmax([evidence(p) for p in grid])])
    # Predictions by conditioning, the intercept being of a variance that is as good as infinite.
    new = rng.gamma(1.0, 12.0, (4, 3))
    z_new = (new - x.mean(axis=0)) / x.std(axis=0)
    cov = np.eye(9) + z @ z.T / found.precision + 1e7
    cross = z_new @ z.T / found.precision + 1e7
    mean = cross @ np.linalg.solve(cov, y)
    own = 1 + np.sum(z_new**2, axis=1) / found.precision + 1e7
    variance = own - np.sum(cross * np.linalg.solve(cov, cross.T).T, axis=1)
    scale = np.sqrt(variance * (y @ np.linalg.solve(cov, y)) / 8)
    interval = found.predict(new)
    assert interval.mean == pytest.approx(mean, rel=1e-5)
    assert interval.high - interval.mean == pytest.approx(scale * stats.t.ppf(0.95, 8), rel=1e-5)


def test_more_features_than_drugs_predict_as_a_gaussian_process(rng):
    x, y = drugs(rng, n=5, k=8)
    found = fit_qt(x, y, "evidence")
    z, new = (x - x.mean(axis=0)) / x.std(axis=0), rng.gamma(1.0, 12.0, (3, 8))
    z_new = (new - x.mean(axis=0)) / x.std(axis=0)
    cov = np.eye(5) + z @ z.T / found.precision
    cross = z_new @ z.T / found.precision
    # Centred rows: the mean of y and its error 1/n are apart from all else.
    variance = 1 + 1 / 5 + np.sum(z_new**2, axis=1) / found.precision
    variance -= np.sum(cross * np.linalg.solve(cov, cross.T).T, axis=1)
    centred = y - y.mean()
    scale = np.sqrt(variance * (centred @ np.linalg.solve(cov, centred)) / 4)
    interval = found.predict(new)
    assert interval.mean == pytest.approx(y.mean() + cross @ np.linalg.solve(cov, centred))
    assert interval.high - interval.mean == pytest.approx(scale * stats.t.ppf(0.95, 4))


@pytest.mark.parametrize(("n", "k"), [(5, 1), (12, 1), (12, 4)])
def test_flat_prior_covers_as_often_as_it_says(rng, n, k):
    """For normal errors exactly so, however few drugs."""
    trials, covered = 2000, 0
    for _ in range(trials):
        x, y = drugs(rng, n + 1, k)
        covered += fit_qt(x[1:], y[1:]).predict(x[:1]).covers(y[:1])[0]
    low, high = stats.binom.interval(0.999, trials, 0.9)
    assert low <= covered <= high


def test_leave_one_out_is_that_of_the_hat_matrix(rng):
    x, y = drugs(rng, k=2)
    design = np.column_stack([np.ones(12), x])
    hat = design @ np.linalg.pinv(design)
    held_out = leave_one_out(x, y)
    assert y - held_out.mean == pytest.approx((y - hat @ y) / (1 - np.diag(hat)))
    # Of each drug the externally studentised residual, beyond ±t of n - p - 1 degrees of freedom.
    residual = y - hat @ y
    sd = np.sqrt((residual @ residual - residual**2 / (1 - np.diag(hat))) / (12 - 3 - 1))
    studentised = residual / (sd * np.sqrt(1 - np.diag(hat)))
    expected = np.abs(studentised) <= stats.t.ppf(0.75, 8)
    assert np.array_equal(leave_one_out(x, y, level=0.5).covers(y), expected)
    assert held_out.rmse(y) == pytest.approx(np.sqrt(np.mean((residual / (1 - np.diag(hat))) ** 2)))


def test_leave_one_out_does_not_see_the_drug(rng):
    x, y = drugs(rng, k=3)
    changed = y.copy()
    changed[4] += 1000.0
    for shrinkage in ("none", "evidence"):
        before, after = leave_one_out(x, y, shrinkage), leave_one_out(x, changed, shrinkage)
        assert after.mean[4] == before.mean[4]
        assert after.high[4] == before.high[4]


@pytest.mark.parametrize("shrinkage", ["none", "evidence"])
def test_units_of_features_do_not_matter(rng, shrinkage):
    x, y = drugs(rng, k=2)
    units = np.array([1e-3, 1e3])
    one, other = leave_one_out(x, y, shrinkage), leave_one_out(x * units, y, shrinkage)
    assert other.mean == pytest.approx(one.mean)
    assert other.low == pytest.approx(one.low)


def test_shrinkage_helps_where_features_say_little(rng):
    worse = 0
    for _ in range(50):
        x, y = rng.standard_normal((14, 6)), rng.standard_normal(14)
        worse += leave_one_out(x, y, "evidence").rmse(y) > leave_one_out(x, y).rmse(y)
    assert worse <= 10


def test_a_current_that_no_drug_blocks_has_no_slope(rng):
    x, y = drugs(rng, k=2)
    x[:, 1] = 0.0
    found = fit_qt(x, y, "evidence")
    assert found.slopes[1] == 0
    assert np.isfinite(found.predict(x).high).all()


@pytest.mark.parametrize(
    ("x", "y", "shrinkage", "sentence"),
    [
        (np.ones((2, 1)), np.ones(2), "none", "a map of 1 features needs at least 3 drugs, not 2"),
        (np.ones((1, 4)), np.ones(1), "evidence", "needs at least 2 drugs, not 1"),
        (np.ones((4, 1)), np.ones(3), "none", "there are 4 drugs and 3 values"),
        (np.array([0.0, np.nan, 1.0, np.inf]), np.ones(4), "none", "not in row 1, 3"),
        (np.arange(4.0), np.array([0.0, 1.0, np.nan, 2.0]), "none", "ΔQTc must be finite.*row 2"),
        (np.ones((5, 2)), np.arange(5.0), "none", "features are collinear"),
        (np.arange(4.0), np.ones(4), "lasso", "unknown shrinkage 'lasso'"),
    ],
)
def test_errors(x, y, shrinkage, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit_qt(x, y, shrinkage)


def test_errors_of_predictions_and_of_leaving_out():
    x = np.arange(5.0)
    found = fit_qt(x, x**2)
    with pytest.raises(ValueError, match="between 0 and 1, not at 90"):
        found.predict(x, level=90)
    with pytest.raises(ValueError, match="has 1 features a drug, not 2"):
        found.predict(np.ones((1, 2)))
    with pytest.raises(ValueError, match="features must be finite"):
        found.predict(np.array([np.nan]))
    with pytest.raises(ValueError, match="at least 4 drugs, not 3"):
        leave_one_out(x[:3], x[:3])
