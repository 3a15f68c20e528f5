"""CASE.toml of mechanics: a wall, what holds it, and the load under which it deforms."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat

from training._toml import Strict, parse, read_text
from training.anatomy import AnatomyTable
from training.case import Quantity, bounded_value
from twinjax import ParameterInfo
from twinjax._names import unknown_name
from twinjax.geometry import Surface
from twinjax.mechanics import Guccione, HolzapfelOgden, MooneyRivlin, QuadraticVolume, Usyk
from twinjax.units import UnitError, convert

ENERGIES: dict[str, Any] = {
    "guccione": Guccione,
    "usyk": Usyk,
    "holzapfel_ogden": HolzapfelOgden,
    "mooney_rivlin": MooneyRivlin,
}
SURFACES = {surface.name.lower(): surface for surface in Surface}
CAVITIES = ("lv_endo", "rv_endo")
Positive = Annotated[FiniteFloat, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Axes = tuple[Positive, Positive]


class MechanicsTable(Strict):
    """[mechanics]: the energy, and in how many steps the load is raised.

    With `image = true` the shape that is given is the one under the whole load, as images are: it
    is unloaded first, and its shape at rest then loaded.
    """

    energy: str
    steps: Count = 10
    image: bool = False


class ShapeTable(Strict):
    """[geometry]: a truncated ellipsoid; lengths in mm.

    Semi-axes (radius, length) of endo- and epicardium, cut off at z = `base`. Hexahedra: `square`²
    around the apex, `rings` from there to the base and `layers`, the square reaching `apex` of the
    way; or tetrahedra of edges of about `spacing`. `helix` are the fibres' angles [deg].
    """

    kind: Literal["ellipsoid"]
    endo: Axes = (26.0, 60.0)
    epi: Axes = (34.0, 68.0)
    base: FiniteFloat = 20.0
    square: Count = 2
    rings: Count = 4
    layers: Count = 1
    apex: Annotated[FiniteFloat, Field(gt=0, lt=1)] = 0.4
    spacing: Positive | None = None
    helix: tuple[float, float] = (60.0, -60.0)


class SpringTable(Strict):
    """[[springs]]: `stiffness` [kPa/mm] along the normal of a surface, or in every direction."""

    surface: str
    stiffness: Positive
    direction: Literal["normal", "every"] = "normal"


class LoadTable(Strict):
    """[load]: what the whole load is; pressures of cavities by their endocardium."""

    pressure: dict[str, Quantity] = Field(default_factory=dict)
    tension: Quantity | None = None


class MechanicsOutputTable(Strict):
    """[output]: `septum`, the direction from the long axis to the middle of the septum.

    Strain is told by segments where it is given, or where there is a right ventricle.
    """

    septum: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None = None


class MechanicsCaseFile(Strict):
    """The whole file."""

    mechanics: MechanicsTable
    geometry: ShapeTable | None = None
    anatomy: AnatomyTable | None = None
    parameters: dict[str, Quantity] = Field(default_factory=dict)
    fixed: list[str] = Field(default_factory=list)
    springs: list[SpringTable] = Field(default_factory=list)
    load: LoadTable
    output: MechanicsOutputTable = MechanicsOutputTable()


_TABLES = {
    "mechanics": MechanicsTable,
    "geometry": ShapeTable,
    "anatomy": AnatomyTable,
    "parameters": Quantity,
    "springs": SpringTable,
    "load": LoadTable,
    "output": MechanicsOutputTable,
}


@dataclasses.dataclass(frozen=True)
class WallPlan:
    """What a wall is made of, whatever acts on it: words that are known, `parameters` by name."""

    energy: str
    parameters: dict[str, float]
    geometry: ShapeTable | None
    anatomy: AnatomyTable | None
    fixed: list[str]
    springs: list[SpringTable]
    septum: tuple[float, float, float] | None
    folder: Path


@dataclasses.dataclass(frozen=True)
class MechanicsCase:
    """A case whose words are all known; values are in the units of the model, pressures in kPa.

    `folder` is where the files that it names are looked for.
    """

    table: MechanicsCaseFile
    parameters: dict[str, float]
    pressure: dict[str, float]
    tension: float
    folder: Path
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def wall(self) -> WallPlan:
        table = self.table
        return WallPlan(
            table.mechanics.energy,
            self.parameters,
            table.geometry,
            table.anatomy,
            table.fixed,
            table.springs,
            table.output.septum,
            self.folder,
        )


def load_mechanics_case(path: str | Path) -> MechanicsCase:
    """Reads CASE.toml. Raises `ValueError`, in one sentence, for whatever is wrong with it."""
    path = Path(path)
    return parse_mechanics_case(read_text(path), str(path), path.absolute().parent)


def parse_mechanics_case(text: str, name: str = "the case", folder: Path = Path()) -> MechanicsCase:
    """The case in a TOML text; `name` is how messages call it."""
    table = parse(text, name, MechanicsCaseFile, _TABLES)
    try:
        _check(table)
        known = known_parameters(table.mechanics.energy)
        values = quantities("[parameters]", table.parameters, known)
        pressure = {
            cavity: _kilopascal(f"load.pressure.{cavity}", given)
            for cavity, given in table.load.pressure.items()
        }
        tension = table.load.tension
        active = 0.0 if tension is None else _kilopascal("load.tension", tension)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return MechanicsCase(table, values, pressure, active, folder, name, text)


def _kilopascal(name: str, given: Quantity) -> float:
    try:
        return float(convert(given.value, given.unit, "kPa"))
    except UnitError as error:
        raise ValueError(f"{name}: {error}") from None


def _check(table: MechanicsCaseFile) -> None:
    check_wall(table.mechanics.energy, table.geometry, table.anatomy, table.fixed, table.springs)
    for cavity in table.load.pressure:
        if cavity not in CAVITIES:
            raise ValueError(unknown_name("cavity", cavity, CAVITIES))
        if table.geometry is not None and cavity == "rv_endo":
            raise ValueError("an ellipsoid has no cavity rv_endo; valid choices: lv_endo")
    if not table.load.pressure and table.load.tension is None:
        raise ValueError("[load] is empty: give pressure of a cavity, or tension")


def check_wall(
    energy: str,
    geometry: ShapeTable | None,
    anatomy: AnatomyTable | None,
    fixed: list[str],
    springs: list[SpringTable],
) -> None:
    """Raises `ValueError` for a wall of no shape or two, unknown words, and angles of no fibre.

    And for a wall that nothing holds.
    """
    if (geometry is None) == (anatomy is None):
        raise ValueError("give either [geometry], an ellipsoid, or [anatomy], a mesh from a file")
    if energy not in ENERGIES:
        raise ValueError(unknown_name("energy", energy, ENERGIES))
    for surface in (*fixed, *(spring.surface for spring in springs)):
        if surface not in SURFACES:
            raise ValueError(unknown_name("surface", surface, SURFACES))
    if not (fixed or springs):
        raise ValueError(
            "nothing holds the wall: name surfaces that are fixed, as fixed = ['base'], or springs"
        )
    for angle in geometry.helix if geometry else ():
        if not abs(angle) <= 90:
            raise ValueError(f"geometry.helix: an angle lies between -90 and 90 deg, not {angle:g}")


def known_parameters(energy: str) -> dict[str, ParameterInfo]:
    """Parameters that [parameters] may name, by the energy: its own, and those of the volume."""
    return {
        field.name: field.metadata["parameter"]
        for model in (ENERGIES[energy], QuadraticVolume)
        for field in dataclasses.fields(model)
        if "parameter" in field.metadata
    }


def quantities(
    place: str, given: Mapping[str, Quantity], known: Mapping[str, ParameterInfo]
) -> dict[str, float]:
    """Values in the units of their parameters; `place` is the table that they stand in.

    Raises `ValueError` for unknown names, other kinds of units and values out of bounds.
    """
    for parameter in given:
        if parameter not in known:
            raise ValueError(unknown_name("parameter", parameter, known))
    return {
        name: bounded_value(place, name, known[name], quantity.value, quantity.unit)
        for name, quantity in given.items()
    }
