"""Conformal intervals: exact ranks, coverage in a simple world, and the ensemble's share."""

import numpy as np
import pytest

from training.conformal import quantile, shrinkage


def test_the_rank_of_the_quantile():
    residuals = np.arange(1.0, 100.0)  # 99 of them: the 90th is at rank 0.9 (99 + 1)
    assert quantile(residuals[:, None])[0] == 90
    assert quantile(-residuals[::-1, None])[0] == 90
    assert quantile(np.array([[1.0], [3.0]]))[0] == 3


def test_the_ensemble_s_share_is_the_ambiguity_decomposition():
    rng = np.random.default_rng(0)
    common, own = 0.7, 1.0
    truth_error = common * rng.standard_normal((20000, 1, 1))
    members = truth_error + own * rng.standard_normal((20000, 4, 1))
    single = np.abs(members[:, 0])
    together = members.mean(1)
    spread = np.sqrt(np.mean((members - members.mean(1, keepdims=True)) ** 2, axis=1))
    expected = np.sqrt(np.mean(together**2) / np.mean(single**2))
    assert shrinkage(single, spread) == pytest.approx(expected, rel=0.02)


def test_intervals_of_an_ensemble_cover_what_they_promise():
    """Polynomials fitted to noisy curves: cross-validated residuals, shrunk, on new points."""
    rng = np.random.default_rng(1)
    n, members = 400, 4
    x, y = _curve(rng, n)
    folds = np.arange(n) % members
    fits = [np.polyfit(x[folds != m], y[folds != m], 9) for m in range(members)]
    residual = np.array([y[i] - np.polyval(fits[folds[i]], x[i]) for i in range(n)])[:, None]
    points = rng.uniform(-1, 1, 500)
    each = np.array([np.polyval(f, points) for f in fits]).T
    spread = np.sqrt(np.mean((each - each.mean(1, keepdims=True)) ** 2, axis=1))[:, None]
    band = quantile(residual) * shrinkage(np.abs(residual), spread)
    new_x, new_y = _curve(rng, 5000)
    mean = np.mean([np.polyval(f, new_x) for f in fits], axis=0)
    assert np.mean(np.abs(new_y - mean) <= band[0]) == pytest.approx(0.9, abs=0.03)


def _curve(rng, n):
    x = rng.uniform(-1, 1, n)
    return x, np.sin(3 * x) + 0.3 * rng.standard_normal(n)
