"""The order of every scheme on three models, and single precision against double.

Order: the whole state, relative to its size, after 20 ms of plateau from a state 40 ms into a beat;
against `RushLarsen2` with a step 16 times as fine as the finest. Spec: between two halvings the
error falls by a factor of at least 2^(order - 0.25).

Single precision: APD90 of the third beat at 1 Hz in float32 against float64, for every model that
is paced, on the same grid: 0.2 ms. Grandi 2010 is told and not judged: its 50,000 short steps add
increments that single precision rounds off (with steps of 0.04, 0.02 and 0.01 ms it is 0.26, -0.70
and -1.19 ms away), so it asks for double precision. With --quick: one model, and three models.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from twinjax.cells import (
    MODELS,
    AbstractCell,
    AbstractScheme,
    ForwardEuler,
    GeneralisedRushLarsen,
    GeneralisedRushLarsen2,
    RushLarsen,
    RushLarsen2,
    beat_grid,
    biomarkers,
    even_grid,
    pace,
)

from ._report import Report, main

ORDER = ("luo-rudy-1991", "tentusscher-panfilov-2006-epi", "courtemanche-1998")
SCHEMES = (
    ForwardEuler(),
    RushLarsen(),
    GeneralisedRushLarsen(),
    RushLarsen2(),
    GeneralisedRushLarsen2(),
)
STEPS = (0.02, 0.01, 0.005)
WINDOW = 20.0
SINGLE = 0.2
QUICK = ("luo-rudy-1991", "mitchell-schaeffer-2003", "noble-1962")


def run(quick: bool, report: Report) -> None:
    """Orders, then precisions."""
    for name in ORDER[: 1 if quick else None]:
        compare_orders(report, name, MODELS[name]())
    for name, build in MODELS.items():
        cell = build()
        if cell.about.stimulus is not None and (not quick or name in QUICK):
            compare_precisions(report, name, cell)


def compare_orders(report: Report, name: str, cell: AbstractCell) -> None:
    """A row for each scheme."""
    assert cell.about.stimulus is not None
    beginning = beat_grid(40.0, cell.about.stimulus[1])
    start = pace(cell, grid=beginning).state

    def end(scheme: AbstractScheme, step: float) -> np.ndarray:
        grid = even_grid(WINDOW, step)
        return np.array(pace(cell, state=start, grid=grid, amplitude=0.0, scheme=scheme).state)

    exact = end(RushLarsen2(), STEPS[-1] / 16)
    size = np.abs(exact) + 1e-6
    for scheme in SCHEMES:
        errors = [float(np.max(np.abs(end(scheme, h) - exact) / size)) for h in STEPS]
        orders = np.log2(np.array(errors[:-1]) / errors[1:])
        told = ", ".join(f"{error:.2g}" for error in errors)
        report.at_least(
            f"{name}: order of {type(scheme).__name__}",
            float(np.min(orders)),
            scheme.order - 0.25,
            unit="1",
            source=f"errors {told} at steps {', '.join(map(str, STEPS))} ms",
        )


def compare_precisions(report: Report, name: str, cell: AbstractCell) -> None:
    """APD90 in both precisions."""
    run_beats = eqx.filter_jit(lambda c: biomarkers(pace(c, beats=3, throw=False))["apd90"])
    double = float(run_beats(cell))
    single = float(run_beats(jax.tree.map(_single, cell)))
    title, source = f"{name}: APD90 in float32", "reference: float64, the same grid"
    if not name.startswith("grandi"):
        report.absolute(title, single, double, SINGLE, unit="ms", source=source)
    else:
        report.information(
            title,
            single,
            reference=double,
            unit="ms",
            source=f"{source}; rounding of the increments of many short steps",
        )


def _single(leaf: Any) -> Any:
    return leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf


if __name__ == "__main__":
    main(run, name="cells_convergence")
