"""How fast cells are, beside Myokit's CVODE in the same run.

Spec, for a population of 256 O'Hara-Rudy cells at 1 Hz with scattered conductances:

- APD90 of each within 0.5 ms of Myokit's CVODE at a tolerance of 1e-6 (a sample of the cells);
- at least 10 times as many beats per second and core as it; both on one core;
- the periodic orbit within the cost of 40 beats, where pacing needs 1,000.

ns per cell and step are told for three models in float32 and float64, beside the limit: with E
exponentials a step (two evaluations), and the time that a vectorised exponential takes on this
core in the same run, E exponentials alone. Everything runs on one core, in a process bound to it;
compilation is apart. Beats are paced from the published state; of Myokit the second one on.
"""

import functools
import importlib.util
import os
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from training._workers import worker_processes
from twinjax.cells import (
    MODELS,
    AbstractCell,
    RushLarsen2,
    beat_grid,
    biomarkers,
    pace,
    periodic,
    scaled,
)
from twinjax.cells._pace import final_state

from ._report import Report, main
from ._shared import ReferenceAbsent
from ._timing import least

POPULATION = 256
CHECKED = 8  # cells of which CVODE's APD90 is compared
BEATS = 3
NAME = "ohara-rudy-2011-endo"
MODELS_TIMED = (
    "tentusscher-panfilov-2006-epi",
    "ohara-rudy-2011-endo",
    "tomek-torord-dynCl-endo",
)
TOLERANCE = 1e-6


def run(quick: bool, report: Report) -> None:
    """All in one worker process, which is bound to one core; so is its Myokit."""
    if importlib.util.find_spec("myokit") is None:
        raise ReferenceAbsent('Myokit is not installed: pip install ".[peers]", with SUNDIALS')
    with worker_processes(1) as pool:
        found = pool.submit(_measured, quick).result()
    tell_population(report, found, quick)
    for row in found["steps"]:
        tell_steps(report, row)
    orbit = found["orbit"]
    judge(
        report,
        quick,
        "periodic orbit, cost in beats",
        orbit["seconds"] / orbit["beat"],
        at_most=40.0,
        unit="1",
        source=f"{NAME}, one cell: {orbit['run']:.0f} beats after one Jacobian; a change of "
        f"{orbit['residual']:.1g} over the beat",
    )
    judge(
        report,
        quick,
        "APD90 of the orbit less that of pacing",
        abs(orbit["apd90"] - orbit["apd90_paced"]),
        at_most=0.1,
        unit="ms",
        source=f"{NAME}, default grid, {orbit['paced']} beats of pacing",
    )


def judge(report: Report, quick: bool, title: str, value: float, **what: Any) -> None:
    """A row that is judged in a full run only: continuous integration shares its cores."""
    bound = what.pop("at_most", None), what.pop("at_least", None)
    if quick:
        report.information(title, value, **what)
    elif bound[0] is not None:
        report.at_most(title, value, bound[0], **what)
    else:
        report.at_least(title, value, bound[1], **what)


def tell_population(report: Report, found: dict[str, Any], quick: bool) -> None:
    """Agreement with CVODE, then beats per second."""
    report.at_most(
        "APD90 against CVODE, worst cell",
        found["worst_apd90"],
        0.5,
        unit="ms",
        source=f"{found['checked']} of {found['cells']} cells, beat {BEATS}, CVODE at 1e-6",
    )
    ours, theirs = found["seconds_a_beat"], found["myokit_seconds_a_beat"]
    report.information(
        "a beat of CVODE", theirs * 1e3, unit="ms", source="Myokit, one cell, one core"
    )
    for precision, seconds in ours.items():
        source = f"{found['cells']} cells at once, {precision}, {found['grid']} steps, one core"
        report.information(f"a beat of ours, {precision}", seconds * 1e3, unit="ms", source=source)
        judge(
            report,
            quick,
            f"beats per second over CVODE's, {precision}",
            theirs / seconds,
            at_least=10.0,
            unit="1",
            source=source,
        )


def tell_steps(report: Report, row: dict[str, Any]) -> None:
    """ns per cell and step, and how far from the limit."""
    source = f"{POPULATION} cells, RushLarsen2, {row['exponentials']} exponentials a step"
    title = f"{row['name']}, {row['precision']}"
    report.information(
        f"{title}: a cell and step",
        row["ns"],
        reference=row["exponentials"] * row["exp_ns"],
        unit="ns",
        source=f"{source}; reference: the exponentials alone, {row['exp_ns']:.2f} ns each",
    )
    report.information(f"{title}: compilation", row["compile"], unit="s", source=source)


def _measured(quick: bool) -> dict[str, Any]:
    cells = 32 if quick else POPULATION
    cell = MODELS[NAME]()
    assert cell.about.stimulus is not None
    scales = np.exp(0.1 * np.random.default_rng(0).standard_normal((cells, len(_fields(cell)))))
    found: dict[str, Any] = {"cells": cells, "seconds_a_beat": {}, "steps": []}
    grid = beat_grid(1000.0, cell.about.stimulus[1])
    found["grid"] = len(grid.lengths)
    repeats = 2 if quick else 5
    for precision in ("float64", "float32"):
        seconds, _ = _beat_seconds(cell, scales, precision, repeats)
        found["seconds_a_beat"][precision] = seconds / cells
    found |= _against_cvode(cell, scales, 2 if quick else CHECKED)
    for name in MODELS_TIMED[: 1 if quick else None]:
        for precision in ("float32", "float64"):
            found["steps"].append(_step(MODELS[name](), name, precision, cells, repeats))
    found["orbit"] = _orbit(cell, 50 if quick else 1000)
    return found


def _fields(cell: AbstractCell) -> list[str]:
    return list(cell.about.conductances.values())


def _scaled(cell: AbstractCell, scale: Any) -> AbstractCell:
    return scaled(cell, dict(zip(cell.about.conductances, scale, strict=True)))


def _beat_seconds(
    cell: AbstractCell, scales: np.ndarray, precision: str, repeats: int
) -> tuple[float, float]:
    """Seconds of one beat of all, and of compiling it (with one run)."""
    cell = jax.tree.map(lambda x: x.astype(precision), cell)
    assert cell.about.stimulus is not None
    amplitude, duration = cell.about.stimulus
    grid, scheme = beat_grid(1000.0, duration), RushLarsen2()
    start = jax.tree.map(lambda x: jnp.full(len(scales), x, precision), tuple(cell.initial_state()))
    state_type = type(cell.initial_state())

    @jax.jit
    def beat(scales: Any, state: Any) -> Any:
        return jax.vmap(
            lambda s, x: final_state(_scaled(cell, s), state_type(*x), grid, amplitude, scheme)
        )(scales, state)

    factors = jnp.asarray(scales, precision)
    begun = time.perf_counter()
    jax.block_until_ready(beat(factors, start))
    compiled = time.perf_counter() - begun
    return least(lambda: jax.block_until_ready(beat(factors, start)), repeats), compiled


def _against_cvode(cell: AbstractCell, scales: np.ndarray, checked: int) -> dict[str, Any]:
    import myokit

    from ._myokit import simulation

    gaps, seconds = [], []
    run = eqx.filter_jit(lambda c: biomarkers(pace(c, beats=BEATS))["apd90"])
    for scale in scales[:checked]:
        changed = _scaled(cell, scale)
        theirs, names = simulation(changed, 1000.0, TOLERANCE)
        theirs.pre(1000.0 * (BEATS - 1))
        log = theirs.run(1000.0, log=["engine.time", names[0]])
        apd = _apd90(np.array(log["engine.time"]), np.array(log[names[0]]))
        gaps.append(abs(float(run(changed)) - apd))
        seconds.append(least(functools.partial(theirs.run, 3000.0, log=myokit.LOG_NONE), 3) / 3)
    return {
        "worst_apd90": max(gaps),
        "checked": checked,
        "myokit_seconds_a_beat": float(np.median(seconds)),
    }


def _apd90(t: np.ndarray, v: np.ndarray) -> float:
    """From the steepest rise to 90 % repolarisation, on CVODE's own steps.

    The rise is found between steps by a parabola through the three steepest chords.
    """
    t = t - t[0]
    keep = np.append(True, np.diff(t) > 0)
    t, v = t[keep], v[keep]
    slope, middle = np.diff(v) / np.diff(t), 0.5 * (t[1:] + t[:-1])
    i = int(np.argmax(slope))
    a, b, _ = np.polyfit(middle[i - 1 : i + 2] - middle[i], slope[i - 1 : i + 2], 2)
    rise = middle[i] + (-b / (2 * a) if a < 0 else 0.0)
    level = v.max() - 0.9 * (v.max() - v[0])
    j = np.flatnonzero((v[:-1] >= level) & (v[1:] < level))[0]
    return float(t[j] + (v[j] - level) / (v[j] - v[j + 1]) * (t[j + 1] - t[j]) - rise)


def _step(
    cell: AbstractCell, name: str, precision: str, cells: int, repeats: int
) -> dict[str, Any]:
    assert cell.about.stimulus is not None
    steps = len(beat_grid(1000.0, cell.about.stimulus[1]).lengths)
    scales = np.ones((cells, len(_fields(cell))))
    seconds, compiled = _beat_seconds(cell, scales, precision, repeats)
    return {
        "name": name,
        "precision": precision,
        "ns": seconds / cells / steps * 1e9,
        "compile": compiled,
        "exponentials": 2 * _exponentials(cell),
        "exp_ns": _exponential_ns(precision),
    }


def _exponentials(cell: AbstractCell) -> int:
    """Of one evaluation and advance, as traced; logarithms and powers count too."""
    state = jax.tree.map(jnp.asarray, cell.initial_state())
    scheme = RushLarsen2()
    traced = jax.make_jaxpr(lambda s: scheme.step(cell, s, 0.0, jnp.asarray(0.1))[0])(state)
    return _count(traced.jaxpr)


def _count(jaxpr: Any) -> int:
    dear = {"exp", "exp2", "expm1", "log", "logistic", "pow", "tanh"}
    total = 0
    for equation in jaxpr.eqns:
        inner = [v for v in equation.params.values() if hasattr(v, "eqns") or hasattr(v, "jaxpr")]
        total += sum(_count(getattr(v, "jaxpr", v)) for v in inner)
        total += equation.primitive.name in dear
    return total


def _exponential_ns(precision: str) -> float:
    """Of a vectorised exponential in a loop that stays in the nearest cache."""
    x = jnp.linspace(-1.0, 0.0, 1024, dtype=precision)
    run = jax.jit(lambda x: jax.lax.fori_loop(0, 1000, lambda _, y: jnp.exp(-y), x))
    return least(lambda: jax.block_until_ready(run(x)), 10) / 1024 / 1000 * 1e9


def _orbit(cell: AbstractCell, beats: int) -> dict[str, Any]:
    found = periodic(cell)
    seconds = least(lambda: jax.block_until_ready(periodic(cell)), 3)
    several = 10
    beat = least(lambda: jax.block_until_ready(pace(cell, beats=several)), 3) / several
    paced = biomarkers(pace(cell, beats=beats))
    return {
        "seconds": seconds,
        "beat": beat,
        "run": float(found.stats["beats"]),
        "residual": float(found.stats["residual"]),
        "apd90": float(biomarkers(found)["apd90"]),
        "apd90_paced": float(paced["apd90"]),
        "paced": beats,
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(run, name="cells_speed", peers=("myokit",))
