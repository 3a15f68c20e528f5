"""A surrogate of the lumped heart from 400 runs: accuracy, calibration and speed.

Model: `twinjax.heart.ClosedLoop`. Box: the central 90 % of the prior of each of the 18 parameters
that have one, heart rate included; runs and unseen sets are distributed as the prior inside it.
Spec:

- 400 training runs, and 100 further parameter sets that neither training nor calibration has seen;
- every one of the 20 waveforms (100 samples a beat) to a mean relative L2 error over the beat of
  1 %; the 95th percentile over the sets is told;
- 90 % intervals cover 90 ± 3 % of the samples of unseen waveforms, and of unseen scalars;
- one beat with its intervals in 80 µs on one core by the NumPy runtime (10,000 times real time;
  published: 300 and 5,000), which agrees with JAX to 1e-5 and is imported in 0.5 s.

Baselines, without sensitivities and registration, are told. With --quick the surrogate is small,
and only what does not hang on its size or the machine's load is judged.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from surrogates.emulator import Surrogate
from surrogates.registration import ORDER
from surrogates.runtime import load
from training.case import Case, whole_prior
from training.datasets import at_levels, make_dataset
from training.train import train_surrogate
from twinjax import BeatSimulator, population
from twinjax.observables import OBSERVABLES

from ._report import Report, main

BOX = 0.9
SETTINGS = {"runs": 400, "members": 3, "width": 256, "steps": 4000}
QUICK = {"runs": 100, "members": 2, "width": 64, "steps": 800}
UNSEEN = 100
SAMPLES = 100
REAL_TIME = "one beat at 75 bpm is 0.8 s; 10,000 times real time is 80 µs"

# Run in a fresh process, with one thread, so that nothing of JAX is there.
_TIMING = """
import json, sys, time
start = time.perf_counter()
import surrogates.runtime
imported = time.perf_counter() - start
import numpy as np
runtime = surrogates.runtime.load(sys.argv[1])
thetas = np.load(sys.argv[2])
times = []
for theta in np.concatenate([thetas] * 20):
    start = time.perf_counter()
    runtime(theta)
    times.append(time.perf_counter() - start)
assert "jax" not in sys.modules
print(json.dumps({"import": imported, "beat": float(np.median(times))}))
"""


def run(quick: bool, report: Report) -> None:
    """Makes the dataset, trains, and fills the report."""
    console = Console(stderr=True)
    settings = dict(QUICK if quick else SETTINGS)
    case = whole_prior(BOX, runs=settings.pop("runs"), seed=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        console.print("simulating")
        start = time.perf_counter()
        made = make_dataset(case, folder / "data.h5")
        simulated = time.perf_counter() - start
        console.print("training")
        start = time.perf_counter()
        path = folder / "heart.surrogate"
        surrogate = train_surrogate(folder / "data.h5", path, samples=SAMPLES, **settings)
        trained = time.perf_counter() - start
        report.information("parameters", len(case.space), unit="1", source="box")
        report.information("training runs", len(made.usable), unit="1")
        report.information("dataset", simulated, unit="s", source="compilation included")
        report.information("training", trained, unit="s", source="compilation, baselines included")
        theta, truth = unseen(case, UNSEEN)
        accuracy(surrogate, theta, truth, report, judge=not quick)
        coverage(surrogate, theta, truth, report, judge=not quick)
        agreement(surrogate, path, theta, report)
        speed(path, theta, folder, report, judge=not quick)


def unseen(case: Case, count: int) -> tuple[np.ndarray, Any]:
    """Random parameter sets of the box and what the solver says of them."""
    levels = np.random.default_rng(20240229).random((count, len(case.space)))
    theta = at_levels(case, levels)
    truth = population(BeatSimulator(case.model, case.space, samples=SAMPLES), theta)
    assert np.all(truth.result == 0), "the solver failed inside the box"
    return theta, truth


def accuracy(
    surrogate: Surrogate, theta: np.ndarray, truth: Any, report: Report, *, judge: bool
) -> None:
    """Relative L2 errors of every waveform, and of the baselines."""
    waves = population(surrogate, theta).waveforms
    baselines = surrogate.card["baselines"]
    for name in ORDER:
        exact = truth.waveforms[name]
        error = np.linalg.norm(waves[name] - exact, axis=1) / np.linalg.norm(exact, axis=1)
        row = {"unit": "%", "source": "relative L2 over a beat, mean of unseen sets"}
        if judge:
            report.at_most(name, 100 * error.mean(), 1.0, **row)
        else:
            report.information(name, 100 * error.mean(), **row)
        tail = 100 * float(np.percentile(error, 95))
        report.information(f"{name}, 95th percentile", tail, unit="%")
        for baseline, errors in baselines.items():
            report.information(f"{name}, {baseline}", 100 * errors[name], unit="%")


def coverage(
    surrogate: Surrogate, theta: np.ndarray, truth: Any, report: Report, *, judge: bool
) -> None:
    """How often 90 % intervals hold the truth."""
    mean = population(surrogate, theta)
    variance = population(surrogate.variance, theta)

    def covered(kind: str, name: str) -> np.ndarray:
        value = getattr(mean, kind)[name]
        reach = 1.6448536 * np.sqrt(getattr(variance, kind)[name])
        return np.abs(getattr(truth, kind)[name] - value) <= reach

    waves = np.stack([covered("waveforms", name) for name in ORDER])
    scalars = np.stack([covered("scalars", name) for name in OBSERVABLES])
    for what, share in (("samples of waveforms", waves.mean()), ("scalars", scalars.mean())):
        row = {"unit": "%", "source": "share of unseen truth inside 90 % intervals"}
        if judge:
            report.interval(f"coverage, {what}", 100 * share, 87, 93, **row, reference=90)
        else:
            report.information(f"coverage, {what}", 100 * share, **row, reference=90)
    for name, share in (
        ("least of a waveform", waves.mean((1, 2)).min()),
        ("greatest of a waveform", waves.mean((1, 2)).max()),
        ("least of a scalar", scalars.mean(1).min()),
        ("greatest of a scalar", scalars.mean(1).max()),
        ("whole curves", waves.all(2).mean()),
    ):
        report.information(f"coverage, {name}", 100 * share, unit="%")


def agreement(surrogate: Surrogate, path: Path, theta: np.ndarray, report: Report) -> None:
    """NumPy in single against JAX in double precision."""
    runtime = load(path)
    call = eqx.filter_jit(surrogate)
    worst = 0.0
    for row in theta:
        beat, exact = runtime(row), call(jnp.asarray(row))
        waves = np.stack([exact.waveforms[name] for name in ORDER])
        scalars = np.array([exact.scalars[name] for name in OBSERVABLES])
        miss = np.linalg.norm(beat.waves - waves, axis=1) / np.linalg.norm(waves, axis=1)
        worst = max(worst, miss.max(), np.abs(beat.scalars / scalars - 1).max())
    report.at_most(
        "NumPy runtime against JAX",
        worst,
        1e-5,
        unit="1",
        source="relative L2 of a waveform or relative error of a scalar, worst of all sets",
    )


def speed(path: Path, theta: np.ndarray, folder: Path, report: Report, *, judge: bool) -> None:
    """Of a fresh process with one thread; the best of three, since the machine may be shared."""
    np.save(folder / "theta.npy", theta)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    project = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, **dict.fromkeys(names, "1"), "PYTHONPATH": project}
    command = [sys.executable, "-c", _TIMING, str(path), str(folder / "theta.npy")]
    told = [
        json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    beat = 1e6 * min(t["beat"] for t in told)
    imported = min(t["import"] for t in told)
    size = path.stat().st_size / 1e6
    report.information("size of heart.surrogate", size, unit="MB")
    if judge:
        report.at_most("one beat with intervals", beat, 80, unit="µs", source=REAL_TIME)
        report.at_most("import of the runtime", imported, 0.5, unit="s", source="fresh process")
    else:
        report.information("one beat with intervals", beat, unit="µs", source=REAL_TIME)
        report.information("import of the runtime", imported, unit="s", source="fresh process")


if __name__ == "__main__":
    main(run, name="surrogate_lumped")
