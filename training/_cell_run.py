"""A run of one cell model: paced or by itself, its biomarkers with units, and its file."""

import csv
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from training.datasets import USE, versions
from twinjax import RESULTS, ParameterSpace, Solution, parameters_of
from twinjax._names import unknown_name
from twinjax.cells import (
    ACCURATE,
    DEFAULT,
    MODELS,
    NET,
    AbstractCell,
    Land2017,
    beat_grid,
    biomarkers,
    calcium,
    contract,
    cycle_length,
    even_grid,
    net_current,
    pace,
    scaled,
)
from twinjax.cells._cell import conductance_of

# Of a cell that beats by itself: what one call runs [ms], its steps [ms], and how many calls are
# kept, so that a whole cycle of the slowest is among them.
_WINDOW, _STEP, _FINE_STEP, _KEPT = 1000.0, 0.05, 0.0125, 5
# Compiled: they are many small operations.
_biomarkers, _contract = eqx.filter_jit(biomarkers), eqx.filter_jit(contract)
_BEATING = 20.0  # [mV]: a potential that moves less is at rest
# Biomarkers in the order in which they are shown; "" is a current's unit times seconds.
_UNITS = {
    "cycle_length": "ms",
    "resting_potential": "mV",
    "diastolic_potential": "mV",
    "peak_potential": "mV",
    "upstroke_velocity": "mV/ms",
    "upstroke_time": "ms",
    "apd30": "ms",
    "apd40": "ms",
    "apd50": "ms",
    "apd90": "ms",
    "triangulation": "ms",
    "triangulation40": "ms",
    "repolarised": "1",
    "early_afterdepolarisation": "mV/ms",
    "qnet": "",
    "calcium_diastolic": "mM",
    "calcium_amplitude": "mM",
    "calcium_duration80": "ms",
    "calcium_duration90": "ms",
    "tension_diastolic": "kPa",
    "tension_peak": "kPa",
}
_WAVES = {"v": "mV", "cai": "mM", "tension": "kPa"}
_SETTLING = 5  # beats of the same calcium until the tension, at rest before them, repeats itself


@dataclasses.dataclass(frozen=True)
class Run:
    """The end of a run: time [ms] and waveforms, with what they were made from.

    `waves` are `v` [mV] and, where the model knows its calcium, `cai` [mM] and the isometric
    `tension` [kPa] that it evokes in the myofilaments of Land et al. 2017, which are those of the
    human ventricle whatever the cell; `scalars` the biomarkers; both with `units`. `cycle` is None
    for a cell that beats by itself.
    """

    model: str
    cell: AbstractCell
    cycle: float | None
    beats: int
    accurate: bool
    changed: dict[str, float]
    blocked: dict[str, float]
    time: np.ndarray
    waves: dict[str, np.ndarray]
    scalars: dict[str, float]
    units: dict[str, str]

    @property
    def provenance(self) -> dict[str, Any]:
        about = self.cell.about
        infos = parameters_of(self.cell)
        return {
            "model": self.model,
            "title": about.title,
            "cite": about.cite,
            "cycle_length": "spontaneous" if self.cycle is None else f"{self.cycle:g} ms",
            "stimulus": _stimulus(self.cell),
            "beats": self.beats,
            "tension": f"isometric at resting length, {Land2017.about.cite}"
            if "tension" in self.waves
            else "none",
            "grid": "accurate" if self.accurate else "default",
            "set": {k: f"{v:g} {infos[k].unit}" for k, v in self.changed.items()},
            "blocked": self.blocked,
            "versions": versions(),
            "context_of_use": USE,
        }

    @property
    def parameters(self) -> dict[str, tuple[float, str]]:
        """Every parameter of the cell that ran, with its unit."""
        infos = parameters_of(self.cell)
        values = ParameterSpace(self.cell, tuple(infos)).read(self.cell)
        return {k: (float(x), infos[k].unit) for k, x in zip(infos, values, strict=True)}


def _stimulus(cell: AbstractCell) -> str:
    if cell.about.stimulus is None:
        return "none"
    amplitude, duration = cell.about.stimulus
    return f"{amplitude:g} {cell.about.current_unit} for {duration:g} ms"


def build(
    model: str, changes: Mapping[str, float] | None = None, block: Mapping[str, float] | None = None
) -> AbstractCell:
    """A listed model with parameters changed and shares (0 to 1) of its conductances blocked.

    Raises `ValueError` for an unknown model, parameter or current and for a value out of range.
    """
    if model not in MODELS:
        raise ValueError(unknown_name("cell model", model, MODELS))
    cell = MODELS[model]()
    infos = parameters_of(cell)
    values = dict(changes or {})
    for name, value in values.items():
        if name not in infos:
            raise ValueError(unknown_name(f"parameter of {model}", name, infos))
        low, high = infos[name].bounds
        if not low <= value <= high:
            unit = infos[name].unit
            raise ValueError(f"{name} = {value:g} {unit} is outside [{low:g}, {high:g}] {unit}")
    for current, share in (block or {}).items():
        conductance_of(cell, current)  # refuses one that the model lacks
        if not 0 <= share <= 1:
            raise ValueError(
                f"a block is a share between 0 and 1, of which 0.5 is half; not {current}={share:g}"
            )
    if values:
        space = ParameterSpace(cell, tuple(values))
        cell = space.write(cell, jnp.array([*values.values()], float))
    return scaled(cell, {current: 1 - share for current, share in (block or {}).items()})


def run_cell(
    model: str,
    *,
    cycle: float | None = None,
    beats: int = 10,
    accurate: bool = False,
    changes: Mapping[str, float] | None = None,
    block: Mapping[str, float] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Run:
    """Runs a listed model through beats and keeps the last one.

    **Arguments:** `cycle` is the cycle length [ms] (default 1000); `beats` of it. A cell that
    beats by itself takes no cycle length, runs `beats` seconds, and keeps the last five.
    Raises `ValueError` for a mistake in these, and if the state became infinite or NaN.
    """
    cell = build(model, changes, block)
    usual = cell.about.stimulus
    if usual is not None:
        cycle = 1000.0 if cycle is None else cycle
        if not np.isfinite(cycle):
            raise ValueError(f"the cycle length is a number of milliseconds, not {cycle}")
        grid = beat_grid(cycle, usual[1], setting=(ACCURATE if accurate else DEFAULT).within(cell))
    elif cycle is not None:
        raise ValueError(f"{model} beats by itself: it takes no cycle length")
    else:
        grid = even_grid(_WINDOW, _FINE_STEP if accurate else _STEP)
    known = jax.eval_shape(cell.currents, jax.tree.map(jnp.asarray, cell.initial_state()))
    record = net_current if set(NET) <= set(known) else calcium
    kept: list[Solution] = []
    state = None
    for beat in range(beats):
        # One compiled program runs every beat, whatever their number.
        seen = pace(cell, state=state, grid=grid, record=record, throw=False)
        if int(seen.result) != RESULTS.successful:
            raise ValueError(
                f"{model}: the state became infinite or NaN in beat {beat + 1}; "
                + ("check the parameters" if accurate else "try the accurate grid (--accurate)")
            )
        state = seen.state
        kept = [*kept, seen][-(_KEPT if usual is None else 1) :]
        progress(beat + 1, beats)
    seen = _joined(kept)
    found = spontaneous_biomarkers(seen) if usual is None else _biomarkers(seen)
    waves = {k: np.asarray(seen.observations[k]) for k in ("v", "cai") if k in seen.observations}
    if "cai" in waves:
        waves["tension"] = np.asarray(_tension(seen, 1 if usual is None else _SETTLING))
        # The first second of a cell that beats by itself starts from rest.
        late = waves["tension"][seen.times >= (_WINDOW if usual is None and beats > 1 else 0.0)]
        found |= {"tension_diastolic": late.min(), "tension_peak": late.max()}
    # A compiled function returns its names sorted.
    known_first = [name for name in _UNITS if name in found]
    names = known_first + [name for name in found if name not in _UNITS]
    scalars = {name: found[name] for name in names}
    units = {name: _UNITS.get(name, "1") or f"{cell.about.current_unit}·s" for name in names}
    units |= _WAVES
    return Run(
        model,
        cell,
        cycle,
        beats,
        accurate,
        dict(changes or {}),
        dict(block or {}),
        np.asarray(seen.times),
        waves,
        {name: float(value) for name, value in scalars.items()},
        units,
    )


def _tension(seen: Solution, times_over: int) -> jax.Array:
    """Isometric tension at resting length that the recorded calcium evokes."""
    model, state, tension = Land2017(), None, jnp.zeros(0)
    for _ in range(times_over):
        tension, state = _contract(model, seen.times, seen.observations["cai"], state=state)
    return tension


def _joined(windows: list[Solution]) -> Solution:
    """One solution of consecutive ones; a node that two of them share is kept once."""
    if len(windows) == 1:
        return windows[0]
    times, end = [windows[0].times], windows[0].times[-1]
    for window in windows[1:]:
        times.append(end + window.times[1:])
        end = end + window.times[-1]
    seen = jax.tree.map(
        lambda first, *rest: jnp.concatenate([first, *(part[1:] for part in rest)]),
        *(window.observations for window in windows),
    )
    last = windows[-1]
    return Solution(jnp.concatenate(times), seen, last.state, last.stats, last.result)


def spontaneous_biomarkers(seen: Solution) -> dict[str, Any]:
    """Of the last whole cycle, from one maximum diastolic potential to the next.

    Durations are measured down to a share of the way from the peak to that potential. Without
    three upstrokes in the record there is no whole cycle, and its length is NaN.
    """
    v = np.asarray(seen.observations["v"])
    low, high = float(v.min()), float(v.max())
    middle = (low + high) / 2
    up = np.flatnonzero((v[:-1] < middle) & (v[1:] >= middle))
    if len(up) < 3 or high - low < _BEATING:
        return {"cycle_length": np.nan, "diastolic_potential": low, "peak_potential": high}
    lows = (int(a + np.argmin(v[a:b])) for a, b in zip(up[-3:-1], up[-2:], strict=True))
    part = cut(seen, *lows)
    marks = _biomarkers(part)
    found = {
        "cycle_length": cycle_length(seen, middle),
        "diastolic_potential": marks["resting_potential"],
    }
    keep = ("peak_potential", "upstroke_velocity", "apd30", "apd50", "apd90", "triangulation")
    found |= {name: marks[name] for name in keep}
    if "cai" in part.observations:
        cai = part.observations["cai"]
        found["calcium_diastolic"] = jnp.min(cai)
        found["calcium_amplitude"] = jnp.max(cai) - jnp.min(cai)
    return found


def cut(seen: Solution, first: int, last: int) -> Solution:
    """The part of a solution between two nodes, its times from 0."""
    times = seen.times[first : last + 1] - seen.times[first]
    part = jax.tree.map(lambda x: x[first : last + 1], seen.observations)
    return eqx.tree_at(lambda s: (s.times, s.observations), seen, (times, part))


def write_run(run: Run, path: Path) -> None:
    """Writes HDF5 (.h5, .hdf5) or CSV (.csv), under the very name that is given."""
    {".csv": _csv, ".h5": _hdf5, ".hdf5": _hdf5}[path.suffix](run, path)


def _csv(run: Run, path: Path) -> None:
    """Provenance in a comment, then one row a node; headings carry the units."""
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(f"# {json.dumps(run.provenance, ensure_ascii=False)}\n")
        scalars = {k: v if np.isfinite(v) else None for k, v in run.scalars.items()}
        file.write(f"# {json.dumps({'biomarkers': scalars}, ensure_ascii=False)}\n")
        rows = csv.writer(file)
        rows.writerow(["time [ms]", *(f"{name} [{run.units[name]}]" for name in run.waves)])
        columns = (run.time, *run.waves.values())
        rows.writerows([f"{x:.9g}" for x in row] for row in zip(*columns, strict=True))


def _hdf5(run: Run, path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["twinjax_kind"] = "cell"
        file.attrs["format"] = 1
        file.attrs["provenance"] = json.dumps(run.provenance)
        rows = {
            "time": (run.time, "ms"),
            **{f"waveforms/{k}": (wave, run.units[k]) for k, wave in run.waves.items()},
            **{f"scalars/{k}": (value, run.units[k]) for k, value in run.scalars.items()},
            **{f"parameters/{k}": row for k, row in run.parameters.items()},
        }
        for name, (value, unit) in rows.items():
            file[name] = value
            file[name].attrs["unit"] = unit
