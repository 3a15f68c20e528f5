"""CASE.toml of a beating heart: ventricles whose sarcomeres contract, in a circulation."""

import dataclasses
import hashlib
import math
from pathlib import Path
from typing import Annotated, Any

import jax.numpy as jnp
from pydantic import Field, FiniteFloat

from training._toml import Strict, parse, read_text
from training.anatomy import AnatomyTable
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

LEFT, RIGHT = "left_ventricle", "right_ventricle"
VISCOSITY = ParameterInfo(
    10.0, "Pa·s", (0.0, 1000.0), None, "chosen: oscillations of the wall die within a step or two"
)
SHARE = ParameterInfo(1.0, "1", (0.05, 2.0), None, "chosen: no more than of the left one's wall")
# Of parameters, by their unit: the power of the body's volume with which they go.
GROWTH = {"mL": 1, "mL/mmHg": 1, "mmHg/mL": -1, "mmHg·s/mL": -1, "mmHg·s²/mL": -1}
START_RIGHT = Quantity(value=4.0, unit="mmHg")
Beats = Annotated[int, Field(ge=1, le=100)]
Few = Annotated[FiniteFloat, Field(gt=0, le=20)]


class HeartTable(Strict):
    """[heart]: the wall's energy, the cell whose calcium it contracts by, and how it beats.

    The cell is paced `cell_beats` times at the heart's `rate`. The heart starts relaxed, its left
    cavity under the pressure `start` and the right one, if there is one, under `start_right` (by
    default 4 mmHg), and does `beats` whole beats in steps of at most `step` [ms]; the wall is
    activated at `activation` [ms] of each, where there is no [excitation].

    A mesh from a file is `imaged` under these pressures unless that is said to be false: its shape
    at rest is found first. The circulation is an adult's, its volumes larger by the factor `size`.
    """

    energy: str = "guccione"
    cell: str = "tomek-torord-2019-fkatp-endo"
    cell_beats: Annotated[int, Field(ge=1, le=1000)] = 3
    rate: Quantity = Quantity(value=60.0, unit="bpm")
    start: Quantity = Quantity(value=8.0, unit="mmHg")
    start_right: Quantity | None = None
    imaged: bool | None = None
    size: Annotated[FiniteFloat, Field(ge=0.01, le=10)] = 1.0
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
    geometry: ShapeTable | None = None
    anatomy: AnatomyTable | None = None
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
    "anatomy": AnatomyTable,
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

    `viscosity` [kPa·ms] of the wall; `start` and `start_right` [mmHg]; `tension` and `circulation`
    have the values of the case, and in the right ventricle's free wall is the share `right` [1] of
    the tension, all of it if that is not said. A beat of `period` [ms] has `steps` of equal length,
    and `every` so many of them a shape is kept. Without an `excitation` the wall is activated at
    once.
    """

    table: HeartCaseFile
    wall: WallPlan
    viscosity: float
    tension: Land2017
    right: float | None
    circulation: ClosedLoop
    excitation: Excitation | None
    period: float
    start: float
    start_right: float
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def imaged(self) -> bool:
        """Whether the shape of the wall is one under pressure."""
        return self.table.anatomy is not None and self.table.heart.imaged is not False

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
    check_wall(heart.energy, table.geometry, table.anatomy, table.fixed, table.springs)
    if heart.imaged is not None and table.anatomy is None:
        raise ValueError("heart.imaged is for [anatomy]: the ellipsoid of [geometry] is at rest")
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
    start = _pressure("heart.start", heart.start)
    start_right = _pressure("heart.start_right", heart.start_right or START_RIGHT)
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
        table.anatomy,
        table.fixed,
        table.springs,
        output.septum,
        folder,
    )
    tension, right = _sarcomeres(table.tension)
    circulation = _circulation(table, rate)
    return HeartCase(
        table,
        wall,
        viscosity,
        tension,
        right,
        circulation,
        excitation,
        period,
        start,
        start_right,
        name,
        text,
    )


def _pressure(place: str, given: Quantity) -> float:
    try:
        value = float(convert(given.value, given.unit, "mmHg"))
    except UnitError as error:
        raise ValueError(f"{place}: {error}") from None
    if not 0 < value <= 40:
        raise ValueError(f"{place}: {value:g} mmHg fills no ventricle; valid: above 0 to 40")
    return value


def _contracts(name: str) -> bool:
    """Whether a cell is paced, and knows the calcium of its cytosol."""
    cell = MODELS[name]()
    return cell.about.stimulus is not None and hasattr(cell.initial_state(), "cai")


def _circulation(table: HeartCaseFile, rate: float) -> ClosedLoop:
    for parameter in table.circulation:
        if parameter == "heart_rate":
            raise ValueError("[circulation]: the heart_rate is given as heart.rate")
        if parameter.startswith(f"{LEFT}."):
            raise ValueError(
                f"[circulation]: {parameter} is not asked for: the wall is the left ventricle"
            )
    loop = sized(ClosedLoop(heart_rate=rate), table.heart.size)
    known = {
        name: info
        for name, info in parameters_of(loop).items()
        if name != "heart_rate" and not name.startswith(f"{LEFT}.")
    }
    return _changed(loop, quantities("[circulation]", table.circulation, known))


def sized(loop: ClosedLoop, size: float) -> ClosedLoop:
    """The circulation of a body in which all volumes are larger by a factor, pressures are not."""
    units = {name: info.unit for name, info in parameters_of(loop).items() if info.unit in GROWTH}
    space = ParameterSpace(loop, tuple(units))
    factors = jnp.array([size ** GROWTH[unit] for unit in units.values()])
    return space.write(loop, space.read(loop) * factors)


def _sarcomeres(given: dict[str, Quantity]) -> tuple[Land2017, float | None]:
    """With the parameters that are given, and the share of the tension in the right ventricle."""
    model = Land2017()
    values = quantities("[tension]", given, parameters_of(model) | {"right": SHARE})
    share = values.pop("right", None)
    return _changed(model, values), share


def _changed(model: Any, values: dict[str, float]) -> Any:
    """The model with other values of some parameters."""
    if not values:
        return model
    return ParameterSpace(model, tuple(values)).write(model, jnp.array([*values.values()]))
