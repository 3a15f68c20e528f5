"""CASE.toml: which model, which parameters are fixed, and the box from which runs are drawn."""

import dataclasses
import hashlib
from pathlib import Path
from statistics import NormalDist
from typing import Literal

import jax.numpy as jnp
import numpy as np
from pydantic import Field

from training._toml import Strict, parse, read_text
from twinjax import BeatSimulator, ParameterInfo, ParameterSpace, parameters_of
from twinjax._names import unknown_name
from twinjax.heart import ClosedLoop, regazzoni2022
from twinjax.units import UnitError, convert

MODELS = {"closed-loop": ClosedLoop, "regazzoni2022": regazzoni2022}


class ModelTable(Strict):
    """[model]: a name of `MODELS`, steps of the solver and stored samples a beat."""

    name: str = "closed-loop"
    steps_per_beat: int = Field(500, ge=100, le=20000)
    samples: int = Field(500, ge=50, le=20000)


class Quantity(Strict):
    """A value with its unit."""

    value: float
    unit: str


class Range(Strict):
    """An interval: `low`, `high` and `unit`, or the central part `prior` of the prior."""

    low: float | None = None
    high: float | None = None
    unit: str | None = None
    prior: float | None = Field(None, gt=0, lt=1)


class DatasetTable(Strict):
    """[dataset]: how many runs, from which seed, and whether with exact sensitivities."""

    runs: int = Field(400, ge=1)
    seed: int = Field(0, ge=0)
    design: Literal["sobol"] = "sobol"
    sensitivities: bool = True


class CaseFile(Strict):
    """The whole file."""

    model: ModelTable = ModelTable()
    parameters: dict[str, Quantity] = Field(default_factory=dict)
    box: dict[str, Range] = Field(default_factory=dict)
    dataset: DatasetTable = DatasetTable()


_TABLES = {"model": ModelTable, "dataset": DatasetTable, "parameters": Quantity, "box": Range}


@dataclasses.dataclass(frozen=True)
class Case:
    """A case: `model` with its fixed values, `space` of the box, `box` (n, 2) in its units.

    Without a box there is one heart, and nothing but `model` and `table` to use.
    """

    model: ClosedLoop
    varied: ParameterSpace | None
    box: np.ndarray
    table: CaseFile
    text: str

    @property
    def space(self) -> ParameterSpace:
        """Raises `ValueError` if the case has no box."""
        if self.varied is None:
            raise ValueError("the case has no [box]: there is nothing to vary")
        return self.varied

    @property
    def simulator(self) -> BeatSimulator:
        table = self.table.model
        return BeatSimulator(self.model, self.space, table.samples, table.steps_per_beat)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def load_case(path: str | Path) -> Case:
    """Reads CASE.toml. Raises `ValueError`, in one sentence, for whatever is wrong with it."""
    return parse_case(read_text(Path(path)), str(path))


def parse_case(text: str, name: str = "the case") -> Case:
    """The case in a TOML text; `name` is how messages call it."""
    table = parse(text, name, CaseFile, _TABLES)
    if table.model.name not in MODELS:
        raise ValueError(f"{name}: {unknown_name('model', table.model.name, MODELS)}")
    model = MODELS[table.model.name]()
    known = parameters_of(model)
    for parameter in (*table.parameters, *table.box):
        if parameter not in known:
            raise ValueError(f"{name}: {unknown_name('parameter', parameter, known)}")
    both = set(table.parameters) & set(table.box)
    if both:
        raise ValueError(f"{name}: '{min(both)}' is both fixed in [parameters] and in [box]")
    fixed = {
        parameter: bounded_value(name, parameter, known[parameter], quantity.value, quantity.unit)
        for parameter, quantity in table.parameters.items()
    }
    if fixed:
        values = jnp.array(list(fixed.values()))
        model = ParameterSpace(model, tuple(fixed)).write(model, values)
    box = np.array(
        [_interval(name, p, known[p], rule) for p, rule in table.box.items()], dtype=float
    ).reshape(-1, 2)
    varied = ParameterSpace(model, tuple(table.box)) if table.box else None
    return Case(model, varied, box, table, text)


def bounded_value(name: str, parameter: str, info: ParameterInfo, value: float, unit: str) -> float:
    """A quantity in the unit of its parameter; `ValueError` for another kind or out of bounds."""
    try:
        value = float(convert(value, unit, info.unit))
    except UnitError as error:
        raise ValueError(f"{name}: {parameter}: {error}") from None
    low, high = info.bounds
    if not low <= value <= high:
        raise ValueError(
            f"{name}: {parameter} = {value:g} {info.unit} is outside its bounds "
            f"[{low:g}, {high:g}] {info.unit}"
        )
    return value


def _interval(name: str, parameter: str, info: ParameterInfo, rule: Range) -> tuple[float, float]:
    ends = (rule.low, rule.high, rule.unit)
    if rule.prior is not None:
        if any(end is not None for end in ends):
            raise ValueError(f"{name}: {parameter}: give either prior, or low, high and unit")
        return prior_interval(info, rule.prior, f"{name}: {parameter}")
    if rule.low is None or rule.high is None or rule.unit is None:
        raise ValueError(f"{name}: {parameter} needs low, high and unit, or prior")
    low = bounded_value(name, parameter, info, rule.low, rule.unit)
    high = bounded_value(name, parameter, info, rule.high, rule.unit)
    if not low < high:
        raise ValueError(f"{name}: {parameter}: low = {rule.low:g} is not below {rule.high:g}")
    return low, high


def prior_interval(info: ParameterInfo, part: float, name: str) -> tuple[float, float]:
    """The central `part` of a parameter's prior, in its unit."""
    if info.prior is None:
        raise ValueError(f"{name} has no prior: give low, high and unit")
    reach = NormalDist().inv_cdf(0.5 + part / 2) * info.prior.scale
    ends = np.array([info.prior.loc - reach, info.prior.loc + reach])
    low, high = np.clip(np.exp(ends) if info.prior.log else ends, *info.bounds)
    return float(low), float(high)


def whole_prior(part: float, *, runs: int = 400, seed: int = 0, model: str = "closed-loop") -> Case:
    """The case whose box is the central `part` of the prior of every parameter that has one."""
    names = [n for n, info in parameters_of(MODELS[model]()).items() if info.prior is not None]
    lines = [f'[model]\nname = "{model}"\n\n[dataset]\nruns = {runs}\nseed = {seed}\n\n[box]']
    return parse_case("\n".join([*lines, *(f'"{n}" = {{prior = {part}}}' for n in names)]) + "\n")
