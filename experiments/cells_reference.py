"""Every cell model against independent programs, or against a number in its paper.

Reference: the published models run by Myokit's CVODE at 1e-10 (Chaste's CellML, the authors' own
files), 10 beats at 1 Hz from the published initial state; two derivative checkpoints each. Spec:

- both checkpoints to 1e-9 relative in every state variable, without an integrator;
- APD90 and APD50 of beat 10 within 0.1 ms with the accurate grid, 0.5 ms with the default one;
- the cycle length of cells that beat by themselves to 0.1 %;
- peak tension of Land et al. 2017 and its time of relaxation to 0.5 %;
- models without such files: what `_published_cells` says.

With --quick: the checkpoints, and the default grid on three models.
"""

import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from twinjax.cells import (
    ACCURATE,
    DEFAULT,
    MODELS,
    AbstractCell,
    Land2017,
    beat_grid,
    biomarkers,
    contract,
    cycle_length,
    even_grid,
    pace,
)

from ._published_cells import compare_published
from ._reference_cells import checkpoints, names_with_reference, worst
from ._report import Report, main
from ._shared import shared_path

BEATS = 10
FOLDER = "references/cells"
TENSION = "land-2017-isometric"
SOURCE = "Myokit, CVODE at 1e-10"
SETTINGS = (("default grid", DEFAULT, 0.5), ("accurate grid", ACCURATE, 0.1))
QUICK = ("luo-rudy-1991", "tentusscher-panfilov-2006-epi", "ohara-rudy-2011-endo")


def run(quick: bool, report: Report) -> None:
    """Checkpoints of all models, then their action potentials."""
    shared_path(FOLDER)
    for name in names_with_reference():
        compare_derivatives(report, name)
    for name in names_with_reference():
        if quick and name not in QUICK:
            continue
        cell = MODELS[name]()
        if cell.about.stimulus is None:
            compare_rhythm(report, name, cell)
        else:
            compare_action_potential(report, name, cell, quick)
    compare_tension(report)
    if not quick:
        compare_published(report)


def compare_derivatives(report: Report, name: str) -> None:
    """The worst state variable of each checkpoint."""
    cell = MODELS[name]()
    points = checkpoints(shared_path(f"{FOLDER}/{name}/facts.json"), name, cell)
    for number, (state, slopes) in enumerate(points, start=1):
        ours = cell.derivatives(jax.tree.map(jnp.asarray, state), 0.0)
        field, error = worst(ours, slopes)
        report.at_most(
            f"{name}: checkpoint {number}, worst relative error",
            error,
            1e-9,
            unit="1",
            source=f"d{field}/dt; {SOURCE.split(',')[0]}",
        )


def reference(name: str) -> dict[str, Any]:
    """Biomarkers of the reference."""
    return json.loads(shared_path(f"{FOLDER}/{name}/biomarkers.json").read_text())


def compare_action_potential(report: Report, name: str, cell: AbstractCell, quick: bool) -> None:
    """APDs, upstroke and calcium of beat 10."""
    known = reference(name)
    assert cell.about.stimulus is not None
    for title, setting, allowed in SETTINGS[: 1 if quick else 2]:
        grid = beat_grid(1000.0, cell.about.stimulus[1], setting=setting.within(cell))
        ours = biomarkers(pace(cell, beats=BEATS, grid=grid))
        source = f"{title}, {len(grid.lengths)} steps; {SOURCE}"
        for key, theirs in (("apd90", "APD90_ms"), ("apd50", "APD50_ms")):
            report.absolute(
                f"{name}: {key.upper()}, {title}",
                float(ours[key]),
                known[theirs],
                allowed,
                unit="ms",
                source=source,
            )
        for key, theirs, unit in (
            ("apd30", "APD30_ms", "ms"),
            ("peak_potential", "Vmax_mV", "mV"),
            ("upstroke_velocity", "dVdt_max_V_per_s", "mV/ms"),
            ("calcium_amplitude", "CaT_amplitude", "mM"),
        ):
            if key in ours and theirs in known:
                report.information(
                    f"{name}: {key.replace('_', ' ')}, {title}",
                    float(ours[key]),
                    reference=known[theirs],
                    unit=unit,
                    source=source,
                )


def compare_rhythm(report: Report, name: str, cell: AbstractCell) -> None:
    """Cycle length after nine seconds, and the action potential's course by the way."""
    known = reference(name)
    grid = even_grid(1000.0, 0.05)
    settled = pace(cell, beats=9, grid=grid)
    # Long enough for three upstrokes.
    window = even_grid(math.ceil(3.5 * known["cycle_length_ms"]), 0.05)
    ours = cycle_length(pace(cell, state=settled.state, grid=window))
    report.relative(
        f"{name}: cycle length",
        float(ours),
        known["cycle_length_ms"],
        1e-3,
        unit="ms",
        source=f"steps of 0.05 ms; {SOURCE}",
    )


def compare_tension(report: Report) -> None:
    """Isometric twitches of Land et al. 2017 under the calcium transient of the reference."""
    rows = json.loads(shared_path(f"{FOLDER}/{TENSION}/biomarkers.json").read_text())
    times = np.linspace(0.0, 1000.0, 2001)
    for row in rows:
        tension, _ = contract(
            Land2017(), jnp.asarray(times), jnp.asarray(transient(times)), row["lambda"]
        )
        curve = np.asarray(tension)
        top = int(curve.argmax())
        found = {"Ta_peak_kPa": float(curve[top])}
        for key, left in (("RT50_ms", 0.5), ("RT95_ms", 0.05)):
            level = left * curve[top]
            i = top + int(np.flatnonzero(curve[top:] < level)[0])
            part = (level - curve[i]) / (curve[i - 1] - curve[i])
            found[key] = float(times[i] - part * (times[i] - times[i - 1]) - times[top])
        for key, value in found.items():
            report.relative(
                f"{TENSION}: {key.split('_')[0]} at a stretch of {row['lambda']}",
                value,
                row[key],
                5e-3,
                unit=key.split("_")[-1],
                source="SciPy's Radau at 1e-8; from the peak" if key[0] == "R" else "the same",
            )


def transient(times: np.ndarray) -> np.ndarray:
    """Calcium [mM] of Rice et al. 2008, Biophys J 95:2368, with the parameters of the reference."""
    ratio = 20 / 110
    beta = ratio ** (-1 / (ratio - 1)) - ratio ** (-1 / (1 - 1 / ratio))
    late = np.maximum(times - 5.0, 0.0)
    return 1e-3 * (0.09 + 1.36 / beta * (np.exp(-late / 20) - np.exp(-late / 110)))


if __name__ == "__main__":
    main(run, name="cells_reference")
