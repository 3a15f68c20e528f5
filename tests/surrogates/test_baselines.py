"""The baselines: exact where they should be, and honest opponents elsewhere."""

import numpy as np
import pytest

from surrogates import GaussianProcess, PodRidge
from surrogates._pod import Pod


def _waves(x):
    phase = np.linspace(0, 1, 50, endpoint=False)
    shape = np.stack([np.sin(2 * np.pi * phase), np.cos(4 * np.pi * phase)])
    size = np.stack([2 + x[:, 0] * x[:, 1], 1 + 0.5 * x[:, 2] ** 2], axis=1)
    return size[:, :, None] * shape + 3


def test_pod_with_all_modes_is_exact():
    waves = np.random.default_rng(0).standard_normal((12, 3, 20))
    pod = Pod.fit(waves, 12)
    assert pod.decode(pod.encode(waves)) == pytest.approx(waves)


def test_a_quadratic_is_learnt_by_ridge():
    rng = np.random.default_rng(1)
    x, new = rng.uniform(-1, 1, (60, 3)), rng.uniform(-1, 1, (20, 3))
    assert PodRidge.fit(x, _waves(x))(new) == pytest.approx(_waves(new), abs=1e-3)


def test_a_smooth_function_is_learnt_by_the_gaussian_process():
    rng = np.random.default_rng(2)
    x, new = rng.uniform(-1, 1, (80, 3)), rng.uniform(-1, 1, (30, 3))
    waves, truth = np.sin(_waves(x)), np.sin(_waves(new))
    ridge, process = (kind.fit(x, waves)(new) - truth for kind in (PodRidge, GaussianProcess))
    assert np.sqrt(np.mean(process**2)) < 0.05
    assert np.linalg.norm(process) < np.linalg.norm(ridge)


def test_the_process_finds_which_inputs_matter():
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (80, 3))
    waves = np.sin(4 * x[:, :1, None]) * np.ones((80, 2, 10))
    lengths = GaussianProcess.fit(x, waves).lengths
    assert lengths[0] < 0.3 * min(lengths[1:])
