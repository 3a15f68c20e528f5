"""STUDY.toml: which cell, which drugs with how uncertain inputs, and at which doses."""

import csv
import dataclasses
import gzip
import hashlib
import io
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.case import sentence_of
from twinjax import ParameterSpace
from twinjax._names import unknown_name
from twinjax.cells import (
    MODELS,
    NET,
    AbstractCell,
    CellSimulator,
    Setting,
    beat_grid,
    calcium,
    net_current,
    sample_scales,
)

# Columns of a table of drugs, and the model's parameters of binding to hERG.
BINDING = {"Kmax": "k_max", "Ku": "k_u", "n": "n", "halfmax": "half_max", "Vhalf": "v_half"}
PEAK, CATEGORY = "cmax_free_nM", "tdp_category"
# A beat of many cells: against finer steps qNet is 0.1 % too high, alike for all drugs.
TRIAL = Setting(0.02, 5.0, 1.0)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CellTable(_Strict):
    """[cell]: a model, and from one stimulus to the next [ms]."""

    model: str = "ohara-rudy-cipa-v1-2017-endo"
    cycle_length: float = Field(2000.0, gt=100, le=10000)


class CohortTable(_Strict):
    """[cohort]: virtual cells; conductances as `sample_scales` draws them. One: as published."""

    size: int = Field(1, ge=1)
    spread: float = Field(0.2, gt=0, lt=1)
    currents: list[str] | None = None
    seed: int = Field(0, ge=0)


class DrugsTable(_Strict):
    """[drugs]: a CSV with a row a drug, perhaps one with joint samples, and whom to take."""

    table: str
    samples: str | None = None
    draws: int | None = Field(None, ge=1)
    select: list[str] | None = None
    currents: list[str] | None = None


class ArmsTable(_Strict):
    """[arms]: doses in multiples of the free therapeutic maximum."""

    doses: list[float] = [1.0, 2.0, 3.0, 4.0]


class StudyFile(_Strict):
    """The whole file."""

    cell: CellTable = CellTable()
    cohort: CohortTable = CohortTable()
    drugs: DrugsTable
    arms: ArmsTable = ArmsTable()


_TABLES = {"cell": CellTable, "cohort": CohortTable, "drugs": DrugsTable, "arms": ArmsTable}


@dataclasses.dataclass(frozen=True)
class Inputs:
    """A drug of a trial: IC50 [nM] and Hill coefficient by current, binding to hERG by parameter.

    Each is an array over samples; NaN where a current was not measured. `category` is -1 where it
    is not known.
    """

    name: str
    peak: float
    category: int
    ic50: dict[str, Float[np.ndarray, " samples"]]
    hill: dict[str, Float[np.ndarray, " samples"]]
    binding: dict[str, Float[np.ndarray, " samples"]]

    @property
    def samples(self) -> int:
        return len(next(iter((*self.ic50.values(), *self.binding.values()))))


@dataclasses.dataclass(frozen=True)
class Study:
    """A trial that can be run: `table` as written, the cell, its drugs, and what was noticed.

    `digest` tells studies apart, by the text and the content of its tables.
    """

    table: StudyFile
    cell: AbstractCell
    drugs: tuple[Inputs, ...]
    scales: Float[np.ndarray, "members currents"]
    scaled: tuple[str, ...]
    notes: tuple[str, ...]
    text: str
    digest: str

    @property
    def members(self) -> int:
        """Virtual patients an arm: samples of the drug in turn on cells in turn."""
        draws = max(drug.samples for drug in self.drugs)
        return max(self.table.cohort.size, min(draws, self.table.drugs.draws or draws))

    @property
    def fields(self) -> tuple[str, ...]:
        """The model's parameters that any arm changes."""
        known = self.cell.about.conductances
        currents = {name for drug in self.drugs for name in drug.ic50} | set(self.scaled)
        binding = ("concentration", *BINDING.values()) if self._binds else ()
        return (*sorted({known[name] for name in currents}), *binding)

    @property
    def _binds(self) -> bool:
        return hasattr(self.cell, "k_max") and any(drug.binding for drug in self.drugs)

    @property
    def simulator(self) -> CellSimulator:
        stimulus = self.cell.about.stimulus
        assert stimulus is not None
        grid = beat_grid(self.table.cell.cycle_length, stimulus[1], setting=TRIAL.within(self.cell))
        net = set(NET) <= set(self.cell.currents(self.cell.initial_state()))
        space = ParameterSpace(self.cell, self.fields)
        return CellSimulator(self.cell, space, grid, net_current if net else calcium, rtol=1e-5)

    def parameters(
        self, drug: Inputs | None, rows: Sequence[int] | np.ndarray
    ) -> Float[np.ndarray, "doses rows n"]:
        """The simulator's parameters of some members at all doses; without a drug at one, 0."""
        rows = np.asarray(rows)
        doses = np.array([0.0] if drug is None else self.table.arms.doses)
        usual = np.array([float(getattr(self.cell, name)) for name in self.fields])
        theta = np.broadcast_to(usual, (doses.size, rows.size, usual.size)).copy()
        place = {name: i for i, name in enumerate(self.fields)}
        known = self.cell.about.conductances
        for i, current in enumerate(self.scaled):
            theta[..., place[known[current]]] *= self.scales[rows % len(self.scales), i]
        if drug is None:
            return theta
        level = doses[:, None] * drug.peak
        sample = rows % drug.samples
        for current, ic50 in drug.ic50.items():
            left = 1 / (1 + (level / ic50[sample]) ** drug.hill[current][sample])
            theta[..., place[known[current]]] *= np.where(np.isnan(ic50[sample]), 1.0, left)
        if drug.binding and self._binds:
            theta[..., place["concentration"]] = level
            for name, values in drug.binding.items():
                theta[..., place[name]] = values[sample]
        return theta


def load_study(path: str | Path) -> Study:
    """Reads STUDY.toml and its tables, whose paths are relative to it.

    Raises `ValueError`, in one sentence, for whatever is wrong with them.
    """
    path = Path(path)
    text = _read(path).decode("utf-8", "replace")
    try:
        table = StudyFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        raise ValueError(f"{path}: {sentence_of(error, StudyFile, _TABLES)}") from None
    doses = table.arms.doses
    if not doses or not all(0 < dose < math.inf for dose in doses) or sorted(set(doses)) != doses:
        raise ValueError(f"{path}: doses must be positive and increasing, not {doses}")
    if table.cell.model not in MODELS:
        raise ValueError(f"{path}: {unknown_name('cell model', table.cell.model, MODELS)}")
    cell = MODELS[table.cell.model]()
    if cell.about.stimulus is None:
        raise ValueError(f"{path}: {cell.about.title} beats by itself and cannot be paced")
    contents = [_read(path.parent / table.drugs.table)]
    rows = _rows(contents[0], table.drugs.table)
    samples: dict[str, list[dict[str, str]]] = {}
    if table.drugs.samples is not None:
        contents.append(_read(path.parent / table.drugs.samples))
        for row in _rows(contents[1], table.drugs.samples):
            samples.setdefault(row["drug"], []).append(row)
    names = [row["drug"] for row in rows]
    for name in table.drugs.select or ():
        if name not in names:
            raise ValueError(f"{path}: {unknown_name('drug', name, names)}")
    if len(set(names)) < len(names):
        raise ValueError(f"{table.drugs.table} names a drug twice")
    notes: list[str] = []
    drugs = tuple(
        _inputs(row, samples.get(row["drug"]), cell, table.drugs, notes)
        for row in rows
        if table.drugs.select is None or row["drug"] in table.drugs.select
    )
    if not drugs:
        raise ValueError(f"{table.drugs.table} has no drug")
    scaled: tuple[str, ...] = ()
    scales = np.ones((1, 0))
    if table.cohort.size > 1:
        scaled, scales = sample_scales(
            cell,
            table.cohort.size,
            currents=table.cohort.currents,
            spread=table.cohort.spread,
            seed=table.cohort.seed,
        )
    digest = hashlib.sha256(b"\0".join((text.encode(), *contents))).hexdigest()
    return Study(table, cell, drugs, scales, tuple(scaled), tuple(notes), text, digest)


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def _rows(content: bytes, name: str) -> list[dict[str, str]]:
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not text in UTF-8") from None
    if not rows or "drug" not in rows[0]:
        raise ValueError(f"{name} needs a header with a column 'drug', and a row for each")
    return rows


def _inputs(
    row: dict[str, str],
    samples: list[dict[str, str]] | None,
    cell: AbstractCell,
    table: DrugsTable,
    notes: list[str],
) -> Inputs:
    name = row["drug"]
    given = [row] if samples is None else samples[: table.draws]
    known = cell.about.conductances
    peak = _number(row, PEAK, name)
    if not peak > 0:
        raise ValueError(f"{name} needs a positive {PEAK}, not '{row.get(PEAK, '')}'")
    category = _number(row, CATEGORY, name)
    binding = {
        ours: np.array([_number(r, f"herg_{column}", name) for r in given])
        for column, ours in BINDING.items()
    }
    if np.isnan(list(binding.values())).any():
        if not np.isnan(list(binding.values())).all():
            raise ValueError(f"{name} has binding to hERG in part: {', '.join(BINDING)} are needed")
        binding = {}
    ic50, hill, missing = {}, {}, []
    wanted = known if table.currents is None else table.currents
    for current in wanted:
        if current not in known:
            raise ValueError(unknown_name(f"current of {cell.about.title}", current, known))
        column = "hERG" if current == "IKr" else current
        if current == "IKr" and binding and hasattr(cell, "k_max"):
            continue
        half = np.array([_number(r, f"{column}_IC50", name) for r in given])
        power = np.array([_number(r, f"{column}_h", name, 1.0) for r in given])
        if (half < 0).any() or (power < 0).any():
            raise ValueError(f"{name} has a negative IC50 or Hill coefficient of {current}")
        # Tables write 0 for what was not measured.
        absent = np.isnan(half) | (half == 0) | (power == 0)
        if absent.all():
            missing.append(current)
            continue
        if absent.any():
            notes.append(f"{name}: {current} is not blocked in {absent.sum()} samples without data")
        ic50[current] = np.where(absent, np.nan, half)
        hill[current] = power
    if missing:
        notes.append(f"{name}: not measured, and taken as not blocked: {', '.join(missing)}")
    if not ic50 and not binding:
        raise ValueError(f"{name} has no data on any current of {cell.about.title}")
    return Inputs(name, peak, -1 if math.isnan(category) else int(category), ic50, hill, binding)


def _number(row: dict[str, Any], column: str, drug: str, usual: float = math.nan) -> float:
    text = (row.get(column) or "").strip()
    if text in ("", "NA"):
        return usual
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{drug}: {column} is '{text}', which is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{drug}: {column} must be finite, not '{text}'")
    return value
