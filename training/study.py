"""STUDY.toml: which cell, which drugs with how uncertain inputs, and at which doses."""

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field

from training._drug_tables import BINDING, Inputs, content_of, inputs_of, rows_of
from training._toml import Strict, parse, read_text
from training.hill import HillData, HillFit, fit_hill, read_blocks
from twinjax import ParameterSpace, parameters_of
from twinjax._names import unknown_name
from twinjax.cells import (
    MODELS,
    NET,
    AbstractCell,
    CellSimulator,
    Setting,
    beat_grid,
    calcium,
    female,
    net_current,
    sample_scales,
)

BINDING_FIELDS = ("concentration", *BINDING.values())
# A beat of many cells: against finer steps qNet is 0.1 % too high, alike for all drugs.
TRIAL = Setting(0.02, 5.0, 1.0)


class CellTable(Strict):
    """[cell]: a model, and from one stimulus to the next [ms]."""

    model: str = "ohara-rudy-cipa-v1-2017-endo"
    cycle_length: float = Field(2000.0, gt=100, le=10000)


class CohortTable(Strict):
    """[cohort]: virtual cells; conductances as `sample_scales` draws them. One: as published.

    `women` is their share: see `twinjax.cells.female`.
    """

    size: int = Field(1, ge=1)
    spread: float = Field(0.2, gt=0, lt=1)
    women: float = Field(0.0, ge=0, le=1)
    currents: list[str] | None = None
    seed: int = Field(0, ge=0)


class DrugsTable(Strict):
    """[drugs]: a CSV with a row a drug, perhaps one with joint samples, and whom to take.

    `recordings` are CSVs of percent block (`read_blocks`), whose Hill curves are fitted: `draws` of
    each posterior (200 unless said) take the place of the tables' IC50s of these currents.
    """

    table: str
    samples: str | None = None
    recordings: list[str] = Field(default_factory=list)
    draws: int | None = Field(None, ge=1)
    select: list[str] | None = None
    currents: list[str] | None = None


class ArmsTable(Strict):
    """[arms]: doses in multiples of the free therapeutic maximum."""

    doses: list[float] = Field(default_factory=lambda: [1.0, 2.0, 3.0, 4.0])


class StudyFile(Strict):
    """The whole file."""

    cell: CellTable = CellTable()
    cohort: CohortTable = CohortTable()
    drugs: DrugsTable
    arms: ArmsTable = ArmsTable()


_TABLES = {"cell": CellTable, "cohort": CohortTable, "drugs": DrugsTable, "arms": ArmsTable}


@dataclasses.dataclass(frozen=True)
class Study:
    """A trial that can be run: `table` as written, the cell, its drugs, and what was noticed.

    `scales` are factors of the currents `scaled` of each virtual cell, and `women` says whose it
    is. `digest` tells studies apart, by the text and the content of its tables.
    """

    table: StudyFile
    cell: AbstractCell
    drugs: tuple[Inputs, ...]
    scales: Float[np.ndarray, "cells currents"]
    scaled: tuple[str, ...]
    women: Bool[np.ndarray, " cells"]
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
        currents = {name for drug in self.drugs for name in self.blocked(drug)} | set(self.scaled)
        fields = {known[name] for name in currents} | set(self._female)
        return (*sorted(fields), *(BINDING_FIELDS if any(map(self.binds, self.drugs)) else ()))

    def binds(self, drug: Inputs) -> bool:
        """Whether its binding to hERG is simulated, in place of the IC50 of IKr."""
        return bool(drug.binding) and hasattr(self.cell, "k_max")

    def blocked(self, drug: Inputs) -> tuple[str, ...]:
        """Currents that the drug blocks by Hill's equation."""
        return tuple(name for name in drug.ic50 if name != "IKr" or not self.binds(drug))

    @property
    def _female(self) -> dict[str, float]:
        if not self.women.any():
            return {}
        hers = female(self.cell)
        names = parameters_of(self.cell)
        return {
            n: float(getattr(hers, n)) for n in names if getattr(hers, n) != getattr(self.cell, n)
        }

    @property
    def simulator(self) -> CellSimulator:
        """Of the fields that any arm changes."""
        return self.simulator_of(self.fields)

    def simulator_of(self, fields: Sequence[str]) -> CellSimulator:
        """The cell paced as the study says, its parameters being those of `fields`."""
        stimulus = self.cell.about.stimulus
        assert stimulus is not None
        grid = beat_grid(self.table.cell.cycle_length, stimulus[1], setting=TRIAL.within(self.cell))
        net = set(NET) <= set(self.cell.currents(self.cell.initial_state()))
        space = ParameterSpace(self.cell, fields)
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
        own = rows % len(self.scales)
        for name, value in self._female.items():
            theta[:, self.women[own], place[name]] = value
        for i, current in enumerate(self.scaled):
            theta[..., place[known[current]]] *= self.scales[own, i]
        if drug is None:
            return theta
        levels = doses * drug.peak
        sample = rows % drug.samples
        for current in self.blocked(drug):
            theta[..., place[known[current]]] *= drug.left(current, levels, sample)
        if self.binds(drug):
            theta[..., place["concentration"]] = levels[:, None]
            for name, values in drug.binding.items():
                theta[..., place[name]] = values[sample]
        return theta


def load_study(path: str | Path) -> Study:
    """Reads STUDY.toml and its tables, whose paths are relative to it.

    Raises `ValueError`, in one sentence, for whatever is wrong with them.
    """
    path = Path(path)
    text = read_text(path)
    table = parse(text, str(path), StudyFile, _TABLES)
    doses = table.arms.doses
    if not doses or not all(0 < dose < math.inf for dose in doses) or sorted(set(doses)) != doses:
        raise ValueError(f"{path}: doses must be positive and increasing, not {doses}")
    if table.cell.model not in MODELS:
        raise ValueError(f"{path}: {unknown_name('cell model', table.cell.model, MODELS)}")
    cell = MODELS[table.cell.model]()
    if cell.about.stimulus is None:
        raise ValueError(f"{path}: {cell.about.title} beats by itself and cannot be paced")
    contents = [content_of(path.parent / table.drugs.table)]
    rows = rows_of(contents[0], table.drugs.table)
    samples: dict[str, list[dict[str, str]]] = {}
    if table.drugs.samples is not None:
        contents.append(content_of(path.parent / table.drugs.samples))
        for row in rows_of(contents[1], table.drugs.samples):
            samples.setdefault(row["drug"], []).append(row)
    names = [row["drug"] for row in rows]
    for name in table.drugs.select or ():
        if name not in names:
            raise ValueError(f"{path}: {unknown_name('drug', name, names)}")
    if len(set(names)) < len(names):
        raise ValueError(f"{table.drugs.table} names a drug twice")
    known = cell.about.conductances
    currents = list(known) if table.drugs.currents is None else table.drugs.currents
    for current in currents:
        if current not in known:
            raise ValueError(f"{path}: {unknown_name('current', current, known)}")
    rows = [row for row in rows if table.drugs.select is None or row["drug"] in table.drugs.select]
    files = [path.parent / name for name in table.drugs.recordings]
    contents += [content_of(file) for file in files]
    fits = _fits(files, {row["drug"] for row in rows}, currents, table.drugs.draws or 200)
    notes: list[str] = []
    drugs = tuple(
        inputs_of(
            row,
            samples.get(row["drug"], [row])[: table.drugs.draws],
            cell,
            currents,
            fits.get(row["drug"], {}),
            notes,
        )
        for row in rows
    )
    if not drugs:
        raise ValueError(f"{table.drugs.table} has no drug")
    scaled: tuple[str, ...] = ()
    size = table.cohort.size
    scales = np.ones((size, 0))
    if size > 1:
        scaled, scales = sample_scales(
            cell,
            size,
            currents=table.cohort.currents,
            spread=table.cohort.spread,
            seed=table.cohort.seed,
        )
    # Spread over the cells, as each of the first of them may meet a drug's only sample.
    women = np.diff(np.floor(table.cohort.women * np.arange(size + 1) + 1e-9)) > 0
    if women.any():
        try:
            female(cell)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    elif table.cohort.women:
        raise ValueError(f"{path}: a share of {table.cohort.women} women of {size} is none")
    digest = hashlib.sha256(b"\0".join((text.encode(), *contents))).hexdigest()
    return Study(table, cell, drugs, scales, tuple(scaled), women, tuple(notes), text, digest)


def _fits(
    files: Sequence[Path], drugs: set[str], currents: Sequence[str], draws: int
) -> dict[str, dict[str, HillFit]]:
    """Posteriors of Hill curves by drug and current, of those that were recorded."""
    if not files:
        return {}
    data = read_blocks(*files)
    recorded = [pair for pair in data.recordings if pair[0] in drugs and pair[1] in currents]
    if not recorded:
        names = ", ".join(file.name for file in files)
        raise ValueError(f"there are no recordings of the study's drugs and currents in {names}")
    kept = HillData({pair: data.recordings[pair] for pair in recorded})
    found: dict[str, dict[str, HillFit]] = {}
    for (drug, current), fit in fit_hill(kept, samples=draws).fits.items():
        found.setdefault(drug, {})[current] = fit
    return found
