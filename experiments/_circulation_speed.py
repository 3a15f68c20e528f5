"""How fast a beat of the circulation is, beside two other programs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from training._workers import worker_processes
from twinjax import STEPS_PER_BEAT, ParameterSpace, equilibrate, parameters_of, simulate
from twinjax.heart import ClosedLoop
from twinjax.observe import AbstractObserver, Beat

from ._peers import circulation_beat, svzerod_beat
from ._report import Report
from ._timing import least

RUNS = 1000
WORKERS = 2
CHUNK = 125  # more, and the waveforms leave the cache

_FIRST_CALL = """
import json, sys, time
started = time.perf_counter()
import jax
jax.config.update("jax_enable_x64", True)
from twinjax import equilibrate
from twinjax.heart import regazzoni2022
from twinjax.observe import AbstractObserver, Beat
imported = time.perf_counter()
solution = equilibrate(regazzoni2022(), observer=Beat())
jax.block_until_ready(solution)
called = time.perf_counter()
json.dump({"import": imported - started, "call": called - imported}, sys.stdout)
"""


def speed(report: Report, model: ClosedLoop, quick: bool) -> None:
    """Adds the rows; compilation is apart from running."""
    repeats = 30 if quick else 300

    def judge(quantity: str, seconds: float, aim: float, scale: float, unit: str, what: str):
        source = f"{what}; least of many, float64, {STEPS_PER_BEAT} steps a beat"
        if quick:
            report.information(
                quantity, seconds * scale, reference=aim * scale, unit=unit, source=source
            )
        else:
            report.at_most(quantity, seconds * scale, aim * scale, unit=unit, source=source)

    start = equilibrate(model).state
    single = least(lambda: jax.block_until_ready(simulate(model, state=start)), repeats)
    judge("one beat", single, 2e-3, 1e3, "ms", "simulate with all waveforms, one core")
    periodic = least(lambda: jax.block_until_ready(equilibrate(model)), max(5, repeats // 10))
    report.information(
        "one periodic beat, from the default start",
        periodic * 1e3,
        unit="ms",
        source="equilibrate, with the Jacobian of the beat",
    )
    batch = _batch_of_workers(model, start, 3 if quick else 40)
    what = f"{RUNS} parameter sets over {WORKERS} processes of one core each, final states"
    judge("a beat in a batch", batch, 1e-4, 1e6, "µs", what)
    report.information(
        "a beat in a batch, one process",
        _batch(model, start, _NoObserver(), RUNS, RUNS, 3 if quick else 40) / RUNS * 1e6,
        unit="µs",
        source=f"{RUNS} parameter sets in one call, on the threads that XLA makes, final states",
    )
    report.information(
        "a beat in a batch, one process, observed",
        _batch(model, start, Beat(), RUNS, CHUNK, 3 if quick else 20) / RUNS * 1e6,
        unit="µs",
        source=f"{RUNS} parameter sets in chunks of {CHUNK}, waveforms at 100 phases "
        "and all indices",
    )
    first = _first_call()
    judge("first call", first["call"], 15.0, 1.0, "s", "equilibrate compiled afresh and run once")
    report.information(
        "import before it", first["import"], unit="s", source="jax, equinox and twinjax"
    )
    peers = {
        "svzerod": (svzerod_beat(repeats), "C++, 10 cycles of 100 implicit steps"),
        "circulation": (circulation_beat(1 if quick else 3, beats=3), "forward Euler at 1 ms"),
    }
    for name, (seconds, what) in peers.items():
        report.information(f"one beat of {name}", seconds * 1e3, unit="ms", source=what)
        for ours, time in (("one beat", single), ("a beat in a batch", batch)):
            report.information(
                f"{name} over ours, {ours}", seconds / time, unit="1", source="the same run"
            )


class _NoObserver(AbstractObserver):
    """Leaves the final state alone, as most beats of a search for the periodic one do."""

    def __call__(self, model: Any, prepared: Any, states: Any, drives: Any) -> None:
        return None


def _batch_of_workers(model: ClosedLoop, start: Any, repeats: int) -> float:
    """Seconds a beat when the runs are shared by processes.

    Each worker repeats its share while the others do theirs; the slowest tells.
    """
    arguments = (model, start, _NoObserver(), RUNS // WORKERS, RUNS // WORKERS, repeats)
    with worker_processes(WORKERS) as pool:
        # Twice: in the first round a worker may still compile while another one runs.
        for _ in range(2):
            begun = [pool.submit(_batch, *arguments) for _ in range(WORKERS)]
            seconds = max(future.result() for future in begun)
    return seconds / RUNS


def _batch(
    model: ClosedLoop,
    start: Any,
    observer: AbstractObserver,
    runs: int,
    chunk: int,
    repeats: int,
) -> float:
    """Seconds for all runs, in this process."""
    names = [name for name, info in parameters_of(model).items() if info.prior is not None]
    space = ParameterSpace(model, names)
    spread = np.random.default_rng(0).normal(1.0, 0.05, (runs, len(names)))
    thetas = np.asarray(space.read(model)) * spread
    parts = [jnp.asarray(thetas[i : i + chunk]) for i in range(0, runs, chunk)]

    def all_parts() -> None:
        # Chunks follow one another: two XLA programs in flight can wait for each other forever.
        for part in parts:
            jax.block_until_ready(_vectorised(space, model, start, observer, part))

    return least(all_parts, repeats, patience=20.0)


@eqx.filter_jit
def _vectorised(space: Any, model: Any, start: Any, observer: Any, thetas: Any) -> Any:
    def one(theta: Any) -> Any:
        return simulate(space.write(model, theta), state=start, observer=observer, throw=False)

    return jax.vmap(one)(thetas)


def _first_call() -> dict[str, float]:
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_CALL],
        cwd=Path(__file__).resolve().parents[1],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)
