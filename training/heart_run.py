"""A case of a beating heart: its steps, and what they amount to."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from training._heart_chunks import FINEST, Kept, Means, onward, resumed, save
from training._heart_ecg import Excited, duration_of, excite, excited_of, front_mesh
from training._heart_wall import (
    at_rest,
    chambers_of,
    make_heart,
    pressures_of,
    sarcomeres,
    told_pressures,
    unloaded,
)
from training._mechanics_wall import Made, corners_of
from training._parts import Parts
from training.datasets import versions
from training.heart_case import LEFT, RIGHT, HeartCase
from training.mechanics_run import DIRECTIONS
from twinjax import RESULTS
from twinjax.cells import DEFAULT, MODELS, beat_grid, pace
from twinjax.geometry import Mesh
from twinjax.heart import CalciumTransient, HeartState, WholeHeart
from twinjax.mechanics import Wall, segment_strain
from twinjax.observables import WAVEFORMS
from twinjax.units import convert

Progress = Callable[[str, int, int], None]
_START = 800_000  # the part with what the cell gives
_FRONT = 800_001  # the part with activation and ECG
_REST = 800_002  # the part with the shape at rest
MEANS = {"fibre_stretch": "1", "tension": "kPa"}
_BASE = 0.95  # of the program and its compiled code [GB]
_IMAGED = 0.7  # and of finding a shape at rest, with a front on the mesh of the file [GB]
# name -> unit, in the order in which they are shown
SCALARS = {
    "lv_end_diastolic_volume": "mL",
    "lv_end_systolic_volume": "mL",
    "lv_stroke_volume": "mL",
    "lv_ejection_fraction": "%",
    "lv_peak_pressure": "mmHg",
    "lv_dpdt_max": "mmHg/s",
    "lv_stroke_work": "J",
    "systolic_blood_pressure": "mmHg",
    "diastolic_blood_pressure": "mmHg",
    "lv_volume_gained": "mL",
}
RIGHT_SCALARS = {  # of a right ventricle that has a wall
    "rv_end_diastolic_volume": "mL",
    "rv_end_systolic_volume": "mL",
    "rv_ejection_fraction": "%",
    "rv_peak_pressure": "mmHg",
    "rv_stroke_work": "J",
}
UNITS = SCALARS | RIGHT_SCALARS
_SHORT = {LEFT: "lv", RIGHT: "rv"}


@dataclasses.dataclass(frozen=True, eq=False)
class HeartRun:
    """What a case gives, as far as it came.

    `times` (n) [ms]; `waves` (n) with the names and units of
    [`WAVEFORMS`][twinjax.observables.WAVEFORMS]; `means` (n) over the wall of `fibre_stretch` [1]
    and active `tension` [kPa]. Shapes of the wall, at `moments` (shape) [ms]: `points` (shape,
    node, 3) [mm] and `strain` (shape, direction, 17), Green's from rest, if there are segments.
    `scalars` of the last whole beat, with the units of `UNITS`; empty if there is none.
    `excited` has activation and ECG of a beat, unless the wall is activated at once. `failure` is
    the sentence on why it ended before its end, or nothing.
    """

    made: Made
    excited: Excited | None
    times: np.ndarray
    waves: dict[str, np.ndarray]
    means: dict[str, np.ndarray]
    moments: np.ndarray
    points: np.ndarray
    strain: np.ndarray | None
    scalars: dict[str, float]
    stats: dict[str, float]
    failure: str | None
    seconds: float

    @property
    def notes(self) -> tuple[str, ...]:
        """What is told along."""
        return self.made.notes + (() if self.excited is None else (self.excited.note,))

    @property
    def mesh(self) -> Mesh:
        """The corners of the elements at rest."""
        return corners_of(self.made.wall.elements)

    @property
    def chambers(self) -> tuple[str, ...]:
        """Those that have walls."""
        return chambers_of(self.made)


def build_heart(case: HeartCase) -> Made:
    """The wall of a case, as imaged. Raises `ValueError` for one that does not fit the case."""
    try:
        made = make_heart(case)
        front_mesh(case)
        return made
    except ValueError as error:
        raise ValueError(f"{case.name}: {error}") from None


def outlook(case: HeartCase, made: Made) -> str:
    """How large the run will be, in a line."""
    freedom = int(np.sum(~np.asarray(made.wall.fixed)))
    steps = case.table.heart.beats * case.steps
    memory = _BASE + _IMAGED * case.imaged + 1e-9 * _bytes(made.wall)
    return f"{freedom:,} degrees of freedom, {steps} steps of {case.step:.3g} ms, {memory:.1f} GB"


def _bytes(wall: Wall) -> float:
    """Of factorisations, and of the stiffness of the cells as it is made; measured, not derived."""
    fronts = wall.sparsity.fronts.fronts
    factors = sum(len(f.own) * (len(f.own) + 2 * len(f.rim)) for f in fronts)
    cells, corners = wall.elements.cells.shape
    return 8 * (4.5 * factors + 5 * cells * (3 * corners) ** 2)


def run_heart_case(
    case: HeartCase,
    output: Path | None = None,
    progress: Progress | None = None,
    made: Made | None = None,
) -> HeartRun:
    """Runs a case; with an `output` what is done is kept beside it, and a killed run goes on.

    A step without a balance is tried again in halves, quarters and eighths. Where none of these
    has one, the run ends there, and `failure` tells it. Raises `ValueError` for a case that does
    not fit its geometry, and for a heart that cannot be filled.
    """
    began = time.perf_counter()
    told = progress or (lambda stage, done, total: None)
    told("geometry", 0, 1)
    made = made or build_heart(case)
    parts = None
    if output is not None:
        plan = {"case": case.sha256, "versions": versions(), "kind": "heart"}
        parts = Parts(output, plan, resume=True)
    try:
        cell = _cell(case, parts, told)
        excited = _excited(case, made, cell, parts, told)
        made = _rest(case, made, parts, told)
        heart, kept = _heart(case, made, cell, excited), Kept()
        state, number = resumed(heart, parts, kept)
        if state is None:
            told("filling", 0, 1)
            state = _filled(case, heart)
            kept.shape(state)
            if parts is not None:
                save(parts, -1, state, kept, 0.0, {"displacement": kept.shapes[-1]})
        else:
            number += 1
    except ValueError:
        # A heart that does not begin leaves nothing that a mended case would stumble over.
        if parts is not None and not parts.has(1):
            parts.remove()
        raise
    spent, total = kept.seconds, case.table.heart.beats * case.steps
    first = done = min(number * case.every, total)
    means, failure = Means(heart), None
    end, clock = round(total * case.step), [0.0, 0.0]

    def tell(now: float) -> None:
        steps, left = now / case.step - first, ""
        # The first step waits for the compiler and says nothing of the others.
        if clock[0] == 0 and steps > 0:
            clock[:] = time.perf_counter(), steps
        elif clock[0]:
            each = (time.perf_counter() - clock[0]) / (steps - clock[1])
            left = f", about {each * (total - first - steps):.0f} s left"
        told(f"heart [ms]{left}", round(now), end)

    while done < total and failure is None:
        count = min(case.every, total - done)
        tell(done * case.step)
        rows, state, code, stats = onward(means, state, case.step, count, tell)
        kept.add(rows if done == 0 else {name: row[1:] for name, row in rows.items()}, stats)
        done += len(rows["tension"]) - 1
        kept.shape(state)
        if code != RESULTS.successful:
            failure = _failure(case, code, done * case.step)
        elif parts is not None:
            seconds = spent + time.perf_counter() - began
            save(parts, number, state, kept, seconds, kept.last())
        number += 1
    told("heart [ms]", end, end)
    seconds = spent + time.perf_counter() - began
    return _assembled(case, made, excited, kept, done, failure, seconds)


def _cell(case: HeartCase, parts: Parts | None, told: Progress) -> dict[str, np.ndarray]:
    """Calcium of the cell, which is paced once, and how long its action potential lasts."""
    if parts is not None and parts.has(_START):
        return parts.load(_START)
    kept = _calcium(case, told)
    if parts is not None:
        parts.save(_START, kept)
    return kept


def _excited(
    case: HeartCase,
    made: Made,
    cell: dict[str, np.ndarray],
    parts: Parts | None,
    told: Progress,
) -> Excited | None:
    """The front and its ECG, which are the same in every beat."""
    if case.excitation is None:
        return None
    if parts is not None and parts.has(_FRONT):
        return excited_of(parts.load(_FRONT))
    told("excitation and ECG", 0, 1)
    duration = float(cell["duration"])
    found = excite(case, made, duration if np.isfinite(duration) else None)
    if parts is not None and found is not None:
        parts.save(_FRONT, found.arrays())
    return found


def _rest(case: HeartCase, made: Made, parts: Parts | None, told: Progress) -> Made:
    """The wall at rest, which is found once."""
    if not case.imaged:
        return made
    if parts is not None and parts.has(_REST):
        return at_rest(made, parts.load(_REST))
    told("shape at rest [%]", 0, 100)
    found = unloaded(case, made, lambda share: told("shape at rest [%]", round(100 * share), 100))
    if parts is not None:
        parts.save(_REST, found)
    return at_rest(made, found)


def _heart(
    case: HeartCase, made: Made, cell: dict[str, np.ndarray], excited: Excited | None = None
) -> WholeHeart:
    return WholeHeart(
        wall=made.wall,
        tension=sarcomeres(case, made),
        calcium=CalciumTransient(cell["times"], cell["values"], case.period),
        activation=case.table.heart.activation if excited is None else excited.activation,
        circulation=case.circulation,
        chambers=chambers_of(made),
    )


def _calcium(case: HeartCase, told: Progress) -> dict[str, np.ndarray]:
    table = case.table.heart
    cell, state, seen = MODELS[table.cell](), None, None
    assert cell.about.stimulus is not None
    grid = beat_grid(case.period, cell.about.stimulus[1], setting=DEFAULT.within(cell))
    for number in range(table.cell_beats):
        told("cell [beats]", number, table.cell_beats)
        seen = pace(cell, state=state, grid=grid, throw=False)
        state = seen.state
        if int(seen.result) != RESULTS.successful:
            raise ValueError(
                f"{case.name}: the cell {table.cell} became infinite or NaN in beat {number + 1}; "
                "take another cell or another rate"
            )
    assert seen is not None
    times, values = np.asarray(seen.times), np.asarray(seen.observations["cai"])
    duration = duration_of(times, np.asarray(seen.observations["v"]))
    # The last value is the first of the next beat.
    return {
        "times": times[:-1],
        "values": values[:-1],
        "duration": np.array(np.nan if duration is None else duration),
    }


def _filled(case: HeartCase, heart: WholeHeart) -> HeartState:
    try:
        return heart.filled(pressures_of(case, heart.chambers))
    except RuntimeError:
        raise ValueError(
            f"{case.name}: the wall does not bear {told_pressures(case, heart.chambers)}: lower "
            "it, or take a stiffer energy"
        ) from None


def _failure(case: HeartCase, code: int, reached: float) -> str:
    if code == RESULTS.nonfinite:
        return f"{case.name}: after {reached:.4g} ms: {RESULTS(code).message}"
    return (
        f"{case.name}: after {reached:.4g} ms no balance of wall, sarcomeres and blood was found, "
        f"nor in steps of 1/{FINEST} of {case.step:.3g} ms: lower t_ref, take a stiffer energy or "
        "a higher viscosity, or a shorter heart.step"
    )


def _assembled(
    case: HeartCase,
    made: Made,
    excited: Excited | None,
    kept: Kept,
    done: int,
    failure: str | None,
    seconds: float,
) -> HeartRun:
    rows = {k: np.concatenate([row[k] for row in kept.rows]) for k in kept.rows[0]}
    # A run that fails at once after a shape was kept has it twice.
    fresh = [i for i, m in enumerate(kept.moments) if i == 0 or m > kept.moments[i - 1]]
    moved = np.array([kept.shapes[i] for i in fresh])
    strain = None
    if made.segments is not None:
        each = [segment_strain(made.wall, jnp.asarray(u), made.axes, made.segments) for u in moved]
        strain = np.array([[np.asarray(getattr(e, d)) for d in DIRECTIONS] for e in each])
    waves = {name: rows[name] for name in WAVEFORMS}
    return HeartRun(
        made,
        excited,
        case.step * np.arange(done + 1),
        waves,
        {name: rows[name] for name in MEANS},
        np.array(kept.moments)[fresh],
        np.asarray(made.wall.elements.points)[None] + moved,
        strain,
        scalars_of(waves, case.step, case.steps, chambers_of(made)),
        kept.stats,
        failure,
        seconds,
    )


def last_beat(count: int, steps: int) -> slice | None:
    """Of so many rows those of the last whole beat of so many steps; nothing if there is none."""
    whole = (count - 1) // steps
    return slice((whole - 1) * steps, whole * steps + 1) if whole else None


def scalars_of(
    waves: dict[str, np.ndarray], step: float, steps: int, chambers: tuple[str, ...] = (LEFT,)
) -> dict[str, float]:
    """Of the last whole beat: `waves` (n) from its start, `steps` of `step` [ms] a beat.

    Loops are closed by a straight line where the volume at the beat's end, of the left ventricle
    `lv_volume_gained` more, is not that at its beginning.
    """
    last = last_beat(len(waves["left_ventricle.volume"]), steps)
    if last is None:
        return {}
    found: dict[str, Any] = {}
    for chamber in chambers:
        short = _SHORT[chamber]
        pressure, volume = (waves[f"{chamber}.{what}"][last] for what in ("pressure", "volume"))
        around, across = np.append(volume, volume[0]), np.append(pressure, pressure[0])
        work = -float(np.sum((across[1:] + across[:-1]) / 2 * np.diff(around)))
        most, least = float(volume.max()), float(volume.min())
        found |= {
            f"{short}_end_diastolic_volume": most,
            f"{short}_end_systolic_volume": least,
            f"{short}_stroke_volume": most - least,
            f"{short}_ejection_fraction": 100 * (most - least) / most,
            f"{short}_peak_pressure": pressure.max(),
            f"{short}_dpdt_max": np.gradient(pressure, float(convert(step, "ms", "s"))).max(),
            f"{short}_stroke_work": convert(work, "mmHg·mL", "J"),
            f"{short}_volume_gained": volume[-1] - volume[0],
        }
    arterial = waves["systemic_arteries.pressure"][last]
    found["systolic_blood_pressure"] = arterial.max()
    found["diastolic_blood_pressure"] = arterial.min()
    return {name: float(found[name]) for name in UNITS if name in found}
