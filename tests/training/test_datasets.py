"""Datasets: the design, exact sensitivities, failures recorded, kills survived, files refused."""

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
from scipy.special import ndtr

from tests._small_surrogate import CASE, dataset_path
from training.case import parse_case
from training.datasets import design, make_dataset, open_dataset
from twinjax import RESULTS, BeatSimulator, population

PROJECT = Path(__file__).resolve().parents[2]


def test_the_design_fills_the_box_as_the_prior_does():
    case = parse_case(CASE)
    theta = design(case, 256, seed=1)
    low, high = case.box.T
    assert np.all((theta >= low) & (theta <= high))
    # Along each parameter a Sobol sequence puts one of 256 runs in each 256th of the prior.
    to_z = jax.vmap(case.space.to_unconstrained)
    z, ends = (np.asarray(to_z(jnp.asarray(t))) for t in (theta, case.box.T))
    level = (ndtr(z) - ndtr(ends[0])) / (ndtr(ends[1]) - ndtr(ends[0]))
    counts = [np.bincount(np.floor(256 * column).astype(int), minlength=256) for column in level.T]
    assert np.all(np.array(counts) == 1)
    assert np.array_equal(theta, design(case, 256, seed=1))
    assert not np.array_equal(theta, design(case, 256, seed=2))
    # More runs are the same runs and further ones.
    assert np.array_equal(design(case, 200, seed=1), theta[:200])


def test_runs_are_the_solver_s():
    data = open_dataset(dataset_path())
    assert data.theta.shape == (50, 3)
    assert len(data.usable) == 50
    case = data.case
    simulator = BeatSimulator(case.model, case.space, 200, 200)
    seen = population(simulator, data.theta, chunk=50)
    for i, name in enumerate(data.waveform_names):
        assert data.waveforms[:, i] == pytest.approx(seen.waveforms[name], rel=1e-7, abs=1e-5)
    for i, name in enumerate(data.scalar_names):
        assert data.scalars[:, i] == pytest.approx(seen.scalars[name], rel=1e-7)


def test_sensitivities_are_those_of_finite_differences():
    data = open_dataset(dataset_path())
    rows = np.array([0, 7])
    waves, scalars = data.sensitivities(rows)
    assert waves.shape == (2, 20, 200, 3)
    case = data.case
    simulator = BeatSimulator(case.model, case.space, 200, 200)
    for j in range(3):
        step = 1e-4 * (case.box[j, 1] - case.box[j, 0])
        shifted = [data.theta[rows] + sign * step * np.eye(3)[j] for sign in (-1, 1)]
        both = population(simulator, np.tile(np.concatenate(shifted), (13, 1))[:50], chunk=50)
        low, high = (jax.tree.map(lambda a, s=s: a[s], both) for s in (slice(2), slice(2, 4)))
        for i, name in enumerate(data.scalar_names):
            slope = (high.scalars[name] - low.scalars[name]) / (2 * step)
            size = np.abs(data.scalars[rows, i]) / (case.box[j, 1] - case.box[j, 0])
            assert np.all(np.abs(scalars[:, i, j] - slope) < 1e-3 * size), name
        for i, name in enumerate(data.waveform_names):
            slope = (high.waveforms[name] - low.waveforms[name]) / (2 * step)
            miss = np.linalg.norm(waves[:, i, :, j] - slope)
            size = np.linalg.norm(data.waveforms[rows, i]) / (case.box[j, 1] - case.box[j, 0])
            assert miss < 1e-2 * size, name


# A box so wide that the time step is too long for its stiffest ventricles.
STIFF = """
[model]
steps_per_beat = 100
samples = 100
[box]
heart_rate = {low = 40, high = 180, unit = "bpm"}
"left_ventricle.active_elastance" = {low = 1.0, high = 14.0, unit = "mmHg/mL"}
[dataset]
runs = 32
sensitivities = false
"""


def test_failed_runs_are_recorded_and_skipped(tmp_path):
    data = make_dataset(parse_case(STIFF), tmp_path / "data.h5")
    failed = np.flatnonzero(data.result != 0)
    assert 0 < len(failed) < 32
    assert len(data.usable) == 32 - len(failed)
    assert set(data.failures) == {RESULTS.step_too_long.message}
    assert sum(data.failures.values()) == len(failed)
    # It is the stiff ones that failed, and their parameters are there.
    assert data.theta[failed, 1].min() > data.theta[data.usable, 1].min()


def test_nan_is_recorded_and_skipped(tmp_path, monkeypatch):
    import training.datasets as datasets

    def broken(*arguments, **keywords):
        seen = population(*arguments, **keywords)
        seen.waveforms["aortic.flow"][3, 5] = np.nan
        seen.result[7] = int(RESULTS.nonfinite)
        return seen

    monkeypatch.setattr(datasets, "population", broken)
    case = parse_case(CASE.replace("runs = 50", "runs = 50\nsensitivities = false"))
    data = make_dataset(case, tmp_path / "data.h5")
    assert set(range(50)) - set(data.usable) == {3, 7}


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path):
    case = tmp_path / "case.toml"
    text = CASE.replace("runs = 50", "runs = 900\nsensitivities = false")
    case.write_text(text)
    killed, whole = tmp_path / "killed.h5", tmp_path / "whole.h5"
    command = [sys.executable, "-m", "training.cli", "dataset", str(case), "-o", str(killed)]
    process = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.DEVNULL)
    parts = tmp_path / ".killed.h5.parts"
    deadline = time.monotonic() + 120
    while not list(parts.glob("0*.npz")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    before = sorted(parts.glob("0*.npz"))
    stamps = [part.stat().st_mtime_ns for part in before]
    assert 0 < len(before) < 18
    told = []

    def note(done, total):
        told.append((done, total))
        assert [part.stat().st_mtime_ns for part in before] == stamps  # none is made again

    make_dataset(parse_case(text), killed, progress=note)
    assert told[0] == (50 * len(before), 900)
    assert told[-1] == (900, 900)
    make_dataset(parse_case(text), whole)
    assert killed.read_bytes() == whole.read_bytes()
    assert not parts.exists()


@pytest.mark.slow
def test_the_number_of_processes_does_not_change_the_file(tmp_path):
    text = CASE.replace("runs = 50", "runs = 110\nsensitivities = false")
    files = []
    for workers in (1, 2):
        files.append(tmp_path / f"{workers}.h5")
        make_dataset(parse_case(text), files[-1], workers=workers)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_parts_and_files_of_other_runs_are_refused(tmp_path):
    case = parse_case(CASE.replace("runs = 50", "runs = 50\nsensitivities = false"))
    path = tmp_path / "data.h5"
    first = make_dataset(case, path)
    again = make_dataset(case, path)
    assert again.sha256 == first.sha256
    with pytest.raises(ValueError, match="made from another case, seed"):
        make_dataset(case, path, seed=9)
    folder = tmp_path / ".other.h5.parts"
    folder.mkdir()
    (folder / "plan.json").write_text('{"seed": 1}')
    with pytest.raises(ValueError, match="parts of another run"):
        make_dataset(case, tmp_path / "other.h5")
    make_dataset(case, tmp_path / "other.h5", resume=False)
    with pytest.raises(ValueError, match="there is no folder"):
        make_dataset(case, tmp_path / "absent" / "data.h5")
    with pytest.raises(ValueError, match="nothing to vary"):
        make_dataset(parse_case("[model]\nname = 'closed-loop'"), tmp_path / "x.h5")


def _truncated(path):
    path.write_bytes(dataset_path().read_bytes()[:5000])


def _foreign(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1


def _twin(path):
    with h5py.File(path, "w") as file:
        file.attrs["twinjax_kind"] = "twin"


def _newer(path):
    path.write_bytes(dataset_path().read_bytes())
    with h5py.File(path, "a") as file:
        file.attrs["format"] = 99


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (_truncated, "truncated or not a dataset"),
        (_foreign, "an HDF5 file of another program"),
        (_twin, "a file of kind 'twin', not a dataset"),
        (_newer, "newer version"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("no HDF5"), "truncated or not a dataset"),
        (lambda path: None, "there is no file"),
    ],
)
def test_files_that_are_no_datasets(tmp_path, make, part):
    path = tmp_path / "data.h5"
    make(path)
    with pytest.raises(ValueError, match=part) as caught:
        open_dataset(path)
    assert "\n" not in str(caught.value)
