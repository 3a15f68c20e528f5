"""CASE.toml of a beating heart: a left ventricle whose sarcomeres contract, in a circulation."""

import dataclasses
import hashlib
import math
from pathlib import Path
from typing import Annotated, Any

import jax.numpy as jnp
from pydantic import Field, FiniteFloat

from training._toml import Strict, parse, read_text
from training.case import Quantity, bounded_value
from training.heart_excitation import EcgTable, Excitation, ExcitationTable, plan_excitation
from training.mechanics_case import (
    Positive,
    ShapeTable,
    SpringTable,
    WallPlan,
    check_wall,
    known_parameters,
    quantities,
)
from twinjax import ParameterInfo, ParameterSpace, parameters_of
from twinjax._names import unknown_name
from twinjax.cells import MODELS, Land2017
from twinjax.heart import ClosedLoop
from twinjax.units import UnitError, convert

CHAMBER = "left_ventricle"
VISCOSITY = ParameterInfo(
    10.0, "Pa·s", (0.0, 1000.0), None, "chosen: oscillations of the wall die within a step or two"
)
Beats = Annotated[int, Field(ge=1, le=100)]
Few = Annotated[FiniteFloat, Field(gt=0, le=20)]


class HeartTable(Strict):
    """[heart]: the wall's energy, the cell whose calcium it contracts by, and how it beats.

    The cell is paced `cell_beats` times at the heart's `rate`. The heart starts relaxed, its
    cavity under the pressure `start`, and does `beats` whole beats in steps of at most `step`
    [ms]; the wall is activated at `activation` [ms] of each, where there is no [excitation].
    """

    energy: str = "guccione"
    cell: str = "tomek-torord-2019-fkatp-endo"
    cell_beats: Annotated[int, Field(ge=1, le=1000)] = 3
    rate: Quantity = Quantity(value=60.0, unit="bpm")
    start: Quantity = Quantity(value=8.0, unit="mmHg")
    beats: Beats = 1
    step: Few = 4.0
    activation: Annotated[FiniteFloat, Field(ge=0)] = 20.0


class HeartOutputTable(Strict):
    """[output]: shapes are kept, and the run is saved, `every` so many ms.

    Strain is told by segments where `septum` is given, the direction from the long axis to the
    middle of the septum.
    """

    every: Positive = 20.0
    septum: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None = None


class HeartCaseFile(Strict):
    """The whole file."""

    heart: HeartTable
    geometry: ShapeTable
    parameters: dict[str, Quantity] = Field(default_factory=dict)
    tension: dict[str, Quantity] = Field(default_factory=dict)
    circulation: dict[str, Quantity] = Field(default_factory=dict)
    fixed: list[str] = Field(default_factory=list)
    springs: list[SpringTable] = Field(default_factory=list)
    excitation: ExcitationTable | None = None
    ecg: EcgTable | None = None
    output: HeartOutputTable = HeartOutputTable()


_TABLES = {
    "heart": HeartTable,
    "geometry": ShapeTable,
    "parameters": Quantity,
    "tension": Quantity,
    "circulation": Quantity,
    "springs": SpringTable,
    "excitation": ExcitationTable,
    "ecg": EcgTable,
    "output": HeartOutputTable,
}


@dataclasses.dataclass(frozen=True)
class HeartCase:
    """A case whose words are all known.

    `viscosity` [kPa·ms] of the wall; `start` [mmHg]; `tension` and `circulation` have the values
    of the case. A beat of `period` [ms] has `steps` of equal length, and `every` so many of them a
    shape is kept. Without an `excitation` the wall is activated at once.
    """

    table: HeartCaseFile
    wall: WallPlan
    viscosity: float
    tension: Land2017
    circulation: ClosedLoop
    excitation: Excitation | None
    period: float
    start: float
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def steps(self) -> int:
        return math.ceil(self.period / self.table.heart.step - 1e-9)

    @property
    def step(self) -> float:
        """Its length [ms]."""
        return self.period / self.steps

    @property
    def every(self) -> int:
        return max(1, round(self.table.output.every / self.step))


def load_heart_case(path: str | Path) -> HeartCase:
    """Reads CASE.toml. Raises `ValueError`, in one sentence, for whatever is wrong with it."""
    path = Path(path)
    return parse_heart_case(read_text(path), str(path), path.absolute().parent)


def parse_heart_case(text: str, name: str = "the case", folder: Path = Path()) -> HeartCase:
    """The case in a TOML text; `name` is how messages call it."""
    table = parse(text, name, HeartCaseFile, _TABLES)
    try:
        return _checked(table, folder, name, text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _checked(table: HeartCaseFile, folder: Path, name: str, text: str) -> HeartCase:
    heart, output = table.heart, table.output
    check_wall(heart.energy, table.geometry, table.fixed, table.springs)
    if heart.cell not in MODELS:
        raise ValueError(unknown_name("cell model", heart.cell, MODELS))
    if not _contracts(heart.cell):
        valid = ", ".join(filter(_contracts, MODELS))
        raise ValueError(
            f"heart.cell: {heart.cell} is not paced or knows no calcium; valid choices: {valid}"
        )
    rate = bounded_value(
        "heart",
        "rate",
        parameters_of(ClosedLoop())["heart_rate"],
        heart.rate.value,
        heart.rate.unit,
    )
    try:
        start = float(convert(heart.start.value, heart.start.unit, "mmHg"))
    except UnitError as error:
        raise ValueError(f"heart.start: {error}") from None
    if not 0 < start <= 40:
        raise ValueError(f"heart.start: {start:g} mmHg fills no ventricle; valid: above 0 to 40")
    period = float(convert(1 / convert(rate, "bpm", "Hz"), "s", "ms"))
    if heart.activation >= period:
        raise ValueError(f"heart.activation: {heart.activation:g} ms is after the beat's end")
    excitation = plan_excitation(table.excitation, table.ecg, heart.activation, period)
    if output.every > period:
        raise ValueError(f"output.every: {output.every:g} ms is longer than a beat, {period:g} ms")
    known = known_parameters(heart.energy) | {"viscosity": VISCOSITY}
    values = quantities("[parameters]", table.parameters, known)
    viscosity = values.pop("viscosity", VISCOSITY.default)
    wall = WallPlan(
        heart.energy,
        values,
        table.geometry,
        None,
        table.fixed,
        table.springs,
        output.septum,
        folder,
    )
    tension = _changed("[tension]", Land2017(), table.tension)
    circulation = _circulation(table, rate)
    return HeartCase(
        table, wall, viscosity, tension, circulation, excitation, period, start, name, text
    )


def _contracts(name: str) -> bool:
    """Whether a cell is paced, and knows the calcium of its cytosol."""
    cell = MODELS[name]()
    return cell.about.stimulus is not None and hasattr(cell.initial_state(), "cai")


def _circulation(table: HeartCaseFile, rate: float) -> ClosedLoop:
    for parameter in table.circulation:
        if parameter == "heart_rate":
            raise ValueError("[circulation]: the heart_rate is given as heart.rate")
        if parameter.startswith(f"{CHAMBER}."):
            raise ValueError(
                f"[circulation]: {parameter} is not asked for: the wall is the left ventricle"
            )
    return _changed("[circulation]", ClosedLoop(heart_rate=rate), table.circulation)


def _changed(place: str, model: Any, given: dict[str, Quantity]) -> Any:
    """The model with parameters that are given. Raises `ValueError` for those that don't fit."""
    known = {
        name: info
        for name, info in parameters_of(model).items()
        if name != "heart_rate" and not name.startswith(f"{CHAMBER}.")
    }
    values = quantities(place, given, known)
    if not values:
        return model
    return ParameterSpace(model, tuple(values)).write(model, jnp.array([*values.values()]))
