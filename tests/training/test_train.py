"""Training: better than the baselines, killed and resumed to the same file, mistakes told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surrogates import runtime
from surrogates.registration import ORDER
from tests._small_surrogate import dataset_path, surrogate_path
from training._network import Settings, train_network
from training._parts import Parts
from training.datasets import design, open_dataset
from training.targets import make_targets
from training.train import compare_baselines, train_surrogate
from twinjax import RESULTS, BeatSimulator, population

PROJECT = Path(__file__).resolve().parents[2]


def _unseen(count):
    case = open_dataset(dataset_path()).case
    theta = design(case, count, seed=77)
    return theta, population(BeatSimulator(case.model, case.space, 100, 200), theta)


def test_unseen_beats_are_predicted_and_covered():
    beat = runtime.load(surrogate_path())
    theta, truth = _unseen(40)
    predicted = [beat(row) for row in theta]
    covered = []
    for i, name in enumerate(ORDER):
        exact = truth.waveforms[name]
        waves = np.array([p.waves[i] for p in predicted])
        error = np.linalg.norm(waves - exact, axis=1) / np.linalg.norm(exact, axis=1)
        # 200 steps a beat leave the aortic front a staircase in three parameters.
        assert error.mean() < (0.03 if name == "aortic.flow" else 0.01), name
        lower = np.array([p.lower[i] for p in predicted])
        upper = np.array([p.upper[i] for p in predicted])
        covered.append((exact >= lower) & (exact <= upper))
    assert 0.8 < np.mean(covered) < 0.98
    for i, name in enumerate(beat.scalar_names):
        scalars = np.array([p.scalars[i] for p in predicted])
        assert np.mean(np.abs(scalars / truth.scalars[name] - 1)) < 0.02, name


def test_the_baselines_are_beaten_and_told():
    data = open_dataset(dataset_path())
    targets = make_targets(data)
    folds = np.arange(len(targets.rows)) % 3
    baselines = compare_baselines(data, targets, folds, 100)
    assert set(baselines) == {"POD and ridge", "POD and Gaussian process"}
    own = runtime.load(surrogate_path()).card["errors"]["waveforms"]
    for name, errors in baselines.items():
        assert set(errors) == set(ORDER)
        better = [own[wave]["mean"] < errors[wave] for wave in ORDER]
        assert sum(better) >= 16, name


@pytest.mark.slow  # trains twice
def test_slopes_help(tmp_path):
    """A function of four variables from few points: with its slopes the error is far smaller."""
    rng = np.random.default_rng(0)
    x, check = rng.uniform(-1, 1, (60, 4)), rng.uniform(-1, 1, (200, 4))

    def truth(x):
        return np.stack([np.sin(x @ [1.0, 2, -1, 0.5]), np.exp(x @ [0.5, -0.5, 0.3, 1])], axis=1)

    def slopes(x):
        one = np.cos(x @ [1.0, 2, -1, 0.5])[:, None] * np.array([1.0, 2, -1, 0.5])
        two = np.exp(x @ [0.5, -0.5, 0.3, 1])[:, None] * np.array([0.5, -0.5, 0.3, 1])
        return np.stack([one, two], axis=2)

    errors = {}
    for name, known in (("without", None), ("with", slopes(x))):
        net = train_network(
            x,
            truth(x),
            known,
            (check, truth(check)),
            Settings(width=32, steps=1000),
            seed=0,
            parts=Parts(tmp_path / name, {}, resume=False),
            number=0,
            on_block=lambda step, error: None,
        )
        predicted = np.asarray(jax.vmap(net)(jnp.asarray(check, jnp.float32)))
        errors[name] = np.sqrt(np.mean((predicted - truth(check)) ** 2))
    assert errors["with"] < 0.05
    assert errors["with"] < 0.5 * errors["without"]


SMALL = {"members": 2, "width": 16, "steps": 1600, "baselines": False}


@pytest.mark.slow  # a minute; a kill is tested through the command line too
def test_a_killed_training_goes_on_and_ends_the_same(tmp_path):
    killed, whole = tmp_path / "killed.surrogate", tmp_path / "whole.surrogate"
    command = [sys.executable, "-m", "training.cli", "train", str(dataset_path()), "-o"]
    command += [str(killed), "--members", "2", "--width", "16", "--steps", "1600"]
    process = subprocess.Popen([*command, "--no-baselines"], cwd=PROJECT, stderr=subprocess.DEVNULL)
    parts = tmp_path / ".killed.surrogate.parts"
    deadline = time.monotonic() + 180
    while not (parts / "000000.npz").exists():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    stages = []
    train_surrogate(dataset_path(), killed, progress=lambda p: stages.append(p), **SMALL)
    first = next(p for p in stages if p.stage.startswith("member 1"))
    assert first.done > 200, "it began from the beginning"
    train_surrogate(dataset_path(), whole, **SMALL)
    assert killed.read_bytes() == whole.read_bytes()
    assert not parts.exists()


def test_parts_of_another_training_are_refused(tmp_path):
    path = tmp_path / "heart.surrogate"
    Parts(path, {"seed": 1}, resume=True)
    with pytest.raises(ValueError, match="parts of another run"):
        train_surrogate(dataset_path(), path, **SMALL)


def test_mistakes_are_told(tmp_path):
    path = tmp_path / "heart.surrogate"
    with pytest.raises(ValueError, match="do not divide"):
        train_surrogate(dataset_path(), path, samples=33)
    with pytest.raises(ValueError, match="at least two members"):
        train_surrogate(dataset_path(), path, members=1)
    with pytest.raises(ValueError, match="there is no folder"):
        train_surrogate(dataset_path(), tmp_path / "absent" / "x")


def test_too_few_usable_runs_are_told(tmp_path):
    from tests._small_surrogate import CASE
    from training.case import parse_case
    from training.datasets import make_dataset

    case = parse_case(CASE.replace("runs = 50", "runs = 50\nsensitivities = false"))
    make_dataset(case, tmp_path / "data.h5")
    with h5py.File(tmp_path / "data.h5", "a") as file:
        file["result"][10:] = int(RESULTS.not_periodic)
    with pytest.raises(ValueError, match="10 usable runs of 50; an emulator needs at least 20"):
        train_surrogate(tmp_path / "data.h5", tmp_path / "heart.surrogate", **SMALL)
