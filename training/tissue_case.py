"""CASE.toml of tissue: where activation starts, how it spreads, and what is wanted of it."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, FiniteFloat

from training._toml import Strict, parse, read_text
from training.anatomy import AnatomyTable
from training.case import Quantity, bounded_value
from twinjax import ParameterInfo
from twinjax._names import unknown_name
from twinjax.cells import MODELS, AbstractCell
from twinjax.electro import Eikonal, Tissue
from twinjax.geometry import Surface

ENDOCARDIA = {"lv_endo": Surface.LV_ENDO, "rv_endo": Surface.RV_ENDO}
LAYERS = ("endo", "mid", "epi")
STIMULATED = 2.0  # how long a stimulus lasts unless it says [ms]
Point = tuple[FiniteFloat, FiniteFloat, FiniteFloat]
Positive = Annotated[FiniteFloat, Field(gt=0)]
NotNegative = Annotated[FiniteFloat, Field(ge=0)]


class TissueTable(Strict):
    """[tissue]: the equation, and how it is stepped; lengths of time in ms.

    `activation` is the file of another run on the same mesh, whose times start the
    reaction-eikonal model in place of stimuli.
    """

    model: str = "monodomain"
    duration: Positive | None = None
    step: Annotated[Positive, Field(le=0.25)] = 0.05
    mass: Literal["lumped", "blended", "consistent"] | None = None
    stepping: Literal["explicit", "implicit"] = "explicit"
    precision: Literal["single", "double"] = "double"
    fast_layers: list[str] = Field(default_factory=list)
    activation: str | None = None


class GeometryTable(Strict):
    """[geometry]: tissue that is no file of a person's; lengths in mm.

    `slab` has a `size`, `voxels` a `file` (.npy of integers: 0 none, else a region); their fibres
    are a vector, or the .npy file of one a voxel. Of the ventricles they are by rule, with the
    angles `helix` [deg]; `left_ventricle` may have a number of `layers` through its wall.
    """

    kind: str
    spacing: Positive
    size: tuple[Positive, Positive, Positive] | None = None
    layers: Annotated[int, Field(ge=1)] | None = None
    file: str | None = None
    fibres: Point | str = (1.0, 0.0, 0.0)
    helix: tuple[float, float] = (40.0, -50.0)


class CellsTable(Strict):
    """[cells]: `model` everywhere, or three by the depth in the wall."""

    model: str | None = None
    endo: str | None = None
    mid: str | None = None
    epi: str | None = None
    depths: tuple[float, float] = (1 / 3, 2 / 3)


class RegionTable(Strict):
    """[[regions]]: cells of a tag, or of a ball, and what is different there.

    `conductivity` and `velocity` are factors of those of the rest: a scar has a conductivity of 0.
    """

    tag: int | None = None
    centre: Point | None = None
    radius: Positive | None = None
    cell: str | None = None
    conductivity: NotNegative = 1.0
    velocity: Positive = 1.0


class StimulusTable(Strict):
    """[[stimuli]]: a point or a whole surface, at some `times`; lengths in mm and ms.

    `amplitude` is in the unit of the cells' currents, and negative. For models with the eikonal
    equation a stimulus is where the front starts, at its only time.
    """

    at: Point | None = None
    surface: str | None = None
    radius: Positive | None = None
    times: list[NotNegative] = Field(default_factory=lambda: [0.0], min_length=1)
    duration: Positive = STIMULATED
    amplitude: Annotated[FiniteFloat, Field(lt=0)] | None = None


class OutputTable(Strict):
    """[output]: times of activation count from `since` on; all times in ms, levels in mV.

    `snapshots` is the time between stored potentials. `ecg` is there where the geometry is a
    heart of tetrahedra; `apd` are action potential durations at endocardium and epicardium, for
    repolarisation after the eikonal equation alone.
    """

    snapshots: Positive | None = None
    ecg: bool | None = None
    ecg_step: Positive = 1.0
    since: NotNegative = 0.0
    threshold: float = 0.0
    recovered: float = -70.0
    apd: tuple[Positive, Positive] | None = None


class TissueCaseFile(Strict):
    """The whole file."""

    tissue: TissueTable
    geometry: GeometryTable | None = None
    anatomy: AnatomyTable | None = None
    cells: CellsTable | None = None
    parameters: dict[str, Quantity] = Field(default_factory=dict)
    regions: list[RegionTable] = Field(default_factory=list)
    stimuli: list[StimulusTable] = Field(default_factory=list)
    output: OutputTable = OutputTable()


_TABLES = {
    "tissue": TissueTable,
    "geometry": GeometryTable,
    "anatomy": AnatomyTable,
    "cells": CellsTable,
    "parameters": Quantity,
    "regions": RegionTable,
    "stimuli": StimulusTable,
    "output": OutputTable,
}
EQUATIONS = ("monodomain", "eikonal", "reaction-eikonal")
KINDS = ("slab", "left_ventricle", "biventricle", "voxels")


@dataclasses.dataclass(frozen=True)
class TissueCase:
    """A case whose words are all known; `parameters` in the units of the model.

    `folder` is where the files that it names are looked for.
    """

    table: TissueCaseFile
    parameters: dict[str, float]
    folder: Path
    name: str
    text: str

    @property
    def equation(self) -> str:
        return self.table.tissue.model

    @property
    def has_cells(self) -> bool:
        return self.equation != "eikonal"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def cell(self, name: str) -> AbstractCell:
        """A cell model by its name in `twinjax.cells.MODELS`."""
        return MODELS[name]()


def load_tissue_case(path: str | Path) -> TissueCase:
    """Reads CASE.toml. Raises `ValueError`, in one sentence, for whatever is wrong with it."""
    path = Path(path)
    return parse_tissue_case(read_text(path), str(path), path.absolute().parent)


def parse_tissue_case(text: str, name: str = "the case", folder: Path = Path()) -> TissueCase:
    """The case in a TOML text; `name` is how messages call it."""
    table = parse(text, name, TissueCaseFile, _TABLES)
    try:
        _check_tissue(table)
        _check_geometry(table)
        _check_cells(table)
        _check_regions(table)
        _check_stimuli(table)
        values = _parameters(table)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return TissueCase(table, values, folder, name, text)


def _check_tissue(table: TissueCaseFile) -> None:
    tissue, output = table.tissue, table.output
    if tissue.model not in EQUATIONS:
        raise ValueError(unknown_name("model", tissue.model, EQUATIONS))
    for layer in tissue.fast_layers:
        if layer not in ENDOCARDIA:
            raise ValueError(unknown_name("fast layer", layer, ENDOCARDIA))
    if tissue.model == "monodomain" and tissue.fast_layers:
        raise ValueError("fast_layers are for the models eikonal and reaction-eikonal")
    if tissue.activation is not None and tissue.model != "reaction-eikonal":
        raise ValueError("tissue.activation is for the model reaction-eikonal")
    if tissue.model == "eikonal":
        return
    if tissue.duration is None:
        raise ValueError(f"tissue.duration is missing: how long the {tissue.model} model runs [ms]")
    if output.apd is not None:
        raise ValueError("output.apd is for the model eikonal: here cells have their own")
    steps = {"tissue.duration": tissue.duration, "output.ecg_step": output.ecg_step}
    if output.snapshots is not None:
        steps["output.snapshots"] = output.snapshots
    for what, length in steps.items():
        if whole(length, tissue.step) is None:
            raise ValueError(f"{what} = {length:g} ms is no whole number of steps of "
                             f"{tissue.step:g} ms")  # fmt: skip
    if output.snapshots is not None and whole(tissue.duration, output.snapshots) is None:
        raise ValueError(
            f"tissue.duration = {tissue.duration:g} ms is no whole number of output.snapshots = "
            f"{output.snapshots:g} ms"
        )


def whole(length: float, step: float) -> int | None:
    """How often a step goes into a length, if it does."""
    count = round(length / step)
    return count if count >= 1 and abs(count * step - length) <= 1e-6 * length else None


def _check_geometry(table: TissueCaseFile) -> None:
    geometry = table.geometry
    if (geometry is None) == (table.anatomy is None):
        raise ValueError("give either [geometry], a shape, or [anatomy], a mesh from a file")
    if geometry is None:
        return
    if geometry.kind not in KINDS:
        raise ValueError(unknown_name("geometry.kind", geometry.kind, KINDS))
    for angle in geometry.helix:
        if not abs(angle) <= 90:
            raise ValueError(f"geometry.helix: an angle lies between -90 and 90 deg, not {angle:g}")
    for key, kind in (("size", "slab"), ("file", "voxels")):
        given = getattr(geometry, key) is not None
        if given != (geometry.kind == kind):
            verb = "needs" if geometry.kind == kind else "has no"
            raise ValueError(f"geometry of the kind {geometry.kind} {verb} {key}")
    if geometry.layers is not None and geometry.kind != "left_ventricle":
        raise ValueError(f"geometry of the kind {geometry.kind} has no layers")
    if geometry.kind in ("slab", "voxels") and table.tissue.model != "monodomain":
        raise ValueError(
            f"the model {table.tissue.model} needs a mesh of tetrahedra, such as [anatomy] or the "
            f"kind left_ventricle, not {geometry.kind}"
        )


def _check_cells(table: TissueCaseFile) -> None:
    cells = table.cells
    if table.tissue.model == "eikonal":
        if cells is not None:
            raise ValueError("[cells] are for the models monodomain and reaction-eikonal")
        return
    if cells is None:
        raise ValueError("[cells] is missing: name a cell model")
    layers = [getattr(cells, layer) for layer in LAYERS]
    if (cells.model is None) == all(layer is None for layer in layers):
        raise ValueError("cells are either one model, or endo, mid and epi")
    if cells.model is None and None in layers:
        missing = LAYERS[layers.index(None)]
        raise ValueError(f"cells.{missing} is missing: layers are endo, mid and epi")
    if cells.model is None and table.geometry is not None and table.geometry.kind == "voxels":
        raise ValueError("voxels have no depth in a wall: name cells by [[regions]] with tags")
    low, high = cells.depths
    if not 0 < low < high < 1:
        raise ValueError(f"cells.depths rise from 0 to 1, not {low:g} and {high:g}")
    for name in (cells.model, *layers, *(region.cell for region in table.regions)):
        if name is not None and name not in MODELS:
            raise ValueError(unknown_name("cell model", name, MODELS))


def _check_regions(table: TissueCaseFile) -> None:
    for number, region in enumerate(table.regions, 1):
        ball = region.centre is not None
        if ball == (region.tag is not None):
            raise ValueError(f"region {number} needs either a tag, or a centre and a radius")
        if ball != (region.radius is not None):
            raise ValueError(f"region {number} needs a centre and a radius, not one of them")
        if table.tissue.model == "eikonal" and (region.cell or region.conductivity != 1):
            raise ValueError(f"region {number}: the model eikonal has a velocity there, no cells")
        if table.tissue.model == "monodomain" and region.velocity != 1:
            raise ValueError(f"region {number}: velocity is for models with the eikonal equation")


def _check_stimuli(table: TissueCaseFile) -> None:
    tissue = table.tissue
    if tissue.activation is not None:
        if table.stimuli:
            raise ValueError("give either [[stimuli]] or tissue.activation, not both")
        return
    if not table.stimuli:
        raise ValueError("[[stimuli]] is missing: where activation starts")
    for number, stimulus in enumerate(table.stimuli, 1):
        title = f"stimulus {number}"
        if (stimulus.at is None) == (stimulus.surface is None):
            raise ValueError(f"{title} is either at a point [mm], or on a surface")
        if stimulus.surface is not None:
            surfaces = {surface.name.lower() for surface in Surface}
            if stimulus.surface not in surfaces:
                raise ValueError(f"{title}: {unknown_name('surface', stimulus.surface, surfaces)}")
            if table.geometry is not None and table.geometry.kind in ("slab", "voxels"):
                raise ValueError(f"{title}: a {table.geometry.kind} has no surface: name a point")
        if tissue.model != "monodomain" and len(stimulus.times) > 1:
            raise ValueError(f"{title} has {len(stimulus.times)} times: a front starts once")
        for before, after in zip(stimulus.times, stimulus.times[1:], strict=False):
            if after <= before:
                raise ValueError(f"{title}: times do not rise: {after:g} ms follows {before:g} ms")
            if after - before < stimulus.duration:
                raise ValueError(
                    f"{title}: at {after:g} ms that of {before:g} ms is still on, which lasts "
                    f"{stimulus.duration:g} ms"
                )
        late = tissue.duration is not None and stimulus.times[-1] >= tissue.duration
        if late:
            raise ValueError(
                f"{title} comes at {stimulus.times[-1]:g} ms, after the end at "
                f"tissue.duration = {tissue.duration:g} ms"
            )
    last = max(stimulus.times[-1] for stimulus in table.stimuli)
    if table.output.since > last:
        raise ValueError(
            f"output.since = {table.output.since:g} ms is after the last stimulus at {last:g} ms"
        )


def known_parameters(equation: str) -> dict[str, ParameterInfo]:
    """Parameters that [parameters] may name, by the equation."""
    models = {"monodomain": (Tissue,), "eikonal": (Eikonal,)}.get(equation, (Tissue, Eikonal))
    return {
        field.name: field.metadata["parameter"]
        for model in models
        for field in dataclasses.fields(model)
        if "parameter" in field.metadata
    }


def _parameters(table: TissueCaseFile) -> dict[str, float]:
    known = known_parameters(table.tissue.model)
    for parameter in table.parameters:
        if parameter not in known:
            raise ValueError(unknown_name("parameter", parameter, known))
    values = {
        name: bounded_value("[parameters]", name, known[name], quantity.value, quantity.unit)
        for name, quantity in table.parameters.items()
    }
    conductivities = [values.get(f"conductivity_{way}") for way in ("along", "across")]
    if conductivities == [0, 0]:
        raise ValueError("[parameters]: tissue whose conductivities are all 0 does not conduct")
    return values


def default_amplitude(cell: AbstractCell) -> float:
    """1.5 times the charge that is the model's own stimulus, given within `STIMULATED` ms."""
    own = cell.about.stimulus
    if own is None:
        raise ValueError(f"{cell.about.title} has no stimulus of its own: give an amplitude")
    return float(np.round(1.5 * own[0] * own[1] / STIMULATED, 6))
