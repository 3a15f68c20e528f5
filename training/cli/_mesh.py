"""`twinjax mesh`: what a mesh is, other formats, fibres by rule, and a picture."""

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training.cli._output import key_values, replacing, show, show_json
from training.cli._surfaces import SURFACES, surface_names

if TYPE_CHECKING:
    from twinjax.geometry import Mesh, MeshReport
    from twinjax.io import MeshFile

mesh = typer.Typer(no_args_is_help=True, help="Read, check, convert and draw meshes of hearts.")

_FILE = typer.Argument(help="openCARP, VTK, VTU, Gmsh, TetGen, XDMF or older FEniCS (.h5)")
_UNIT = typer.Option(metavar="UNIT", help="of the file's lengths: µm, mm, cm, m [µm or mm]")
_JSON = typer.Option("--json", help="print JSON")
_WITH_DATA = (".vtu", ".vtk", ".xdmf")


@mesh.command()
def info(
    file: Annotated[Path, _FILE],
    unit: Annotated[str | None, _UNIT] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Say how large a mesh is, what its tags are, and what is wrong with it."""
    from twinjax.geometry import inspect
    from twinjax.io import read_mesh

    read = read_mesh(file, unit)
    report = inspect(read.mesh)
    if as_json:
        data = {"point_data": sorted(read.point_data), "cell_data": sorted(read.cell_data)}
        show_json({"file": str(file), **_plain(report), **data})
        return
    rows = _rows(report)
    for place, arrays in (("nodes", read.point_data), ("cells", read.cell_data)):
        if arrays:
            rows[f"data of {place}"] = ", ".join(sorted(arrays))
    show(key_values(str(file), rows))
    _warn(report)


@mesh.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="the mesh to read")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="the mesh to write")],
    unit: Annotated[str | None, _UNIT] = None,
    to_unit: Annotated[
        str | None, typer.Option(metavar="UNIT", help="of the lengths in OUT [µm or mm]")
    ] = None,
    region: Annotated[
        list[int] | None, typer.Option(metavar="TAG", help="keep these regions only (repeatable)")
    ] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="turn inverted cells; drop repeated ones, lone nodes and small parts",
        ),
    ] = False,
    reorder: Annotated[
        bool, typer.Option("--reorder", help="number neighbours near each other")
    ] = False,
    surfaces: Annotated[
        bool, typer.Option("--surfaces", help="find and tag base, epicardium and endocardia")
    ] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Write a mesh in another format, with its tags, fibres and data."""
    from twinjax import geometry
    from twinjax.io import read_mesh, write_mesh

    read = _regions(read_mesh(source, unit), region)
    if repair:
        read = _follow(read, *geometry.repaired(read.mesh))
    if reorder:
        read = _follow(read, *geometry.reorder(read.mesh))
    if surfaces:
        read = dataclasses.replace(read, mesh=geometry.find_surfaces(read.mesh))
    keeps = target.suffix.lower() in _WITH_DATA
    lost = [] if keeps else sorted({*read.point_data, *read.cell_data})
    write_mesh(
        read.mesh,
        target,
        unit=to_unit,
        point_data=read.point_data if keeps else None,
        cell_data=read.cell_data if keeps else None,
    )
    _told(target, geometry.inspect(read.mesh), {"data_lost": lost}, as_json)


@mesh.command()
def fibres(
    source: Annotated[Path, typer.Argument(metavar="IN", help="the mesh to read")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the mesh to write")],
    unit: Annotated[str | None, _UNIT] = None,
    helix: Annotated[
        tuple[float, float], typer.Option(metavar="ENDO EPI", help="helix angles [deg]")
    ] = (40.0, -50.0),
    sheet: Annotated[
        tuple[float, float], typer.Option(metavar="ENDO EPI", help="sheet angles [deg]")
    ] = (-65.0, 25.0),
    profile: Annotated[
        str, typer.Option(help="through the wall: linear, or bayer to the letter")
    ] = "linear",
    surface: Annotated[list[str] | None, SURFACES] = None,
    coordinates: Annotated[
        bool, typer.Option("--coordinates", help="write ventricular coordinates of nodes too")
    ] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Give a mesh of one or two ventricles the fibres of Bayer et al. 2012."""
    from twinjax import geometry
    from twinjax.io import read_mesh, write_mesh

    formats = _WITH_DATA if coordinates else (*_WITH_DATA, ".pts", ".elem", ".lon")
    if output.suffix.lower() not in formats:
        what = "fibres and coordinates" if coordinates else "fibres"
        raise ValueError(f"cannot write {what} to '{output.name}': name a {formats[0]} file")
    for angle in (*helix, *sheet):
        if not abs(angle) <= 90:
            raise ValueError(f"an angle of fibres lies between -90 and 90 deg, not at {angle:g}")
    rule = geometry.FibreRule(
        helix_endo=helix[0],
        helix_epi=helix[1],
        sheet_endo=sheet[0],
        sheet_epi=sheet[1],
        profile=profile,
    )
    # Fibres that are there will be replaced, so that they may be of any kind.
    bare = geometry.replace(read_mesh(source, unit).mesh, frames=None)
    upright = geometry.flip_inverted(bare)
    try:
        geometry.check(upright)
    except ValueError as error:
        raise ValueError(f"{source}: {error}; see `twinjax mesh convert --repair`") from None
    tagged = _named(upright, surface) if surface else geometry.find_surfaces(upright)
    solved = geometry.fields(tagged)
    made = geometry.replace(tagged, frames=rule.frames(tagged, solved=solved))
    found = geometry.coordinates(tagged, solved) if coordinates else None
    write_mesh(made, output, point_data=None if found is None else vars(found))
    _told(output, geometry.inspect(made), {}, as_json)


@mesh.command()
def picture(
    file: Annotated[Path, _FILE],
    output: Annotated[Path, typer.Option("-o", "--output", help="a .png file")],
    unit: Annotated[str | None, _UNIT] = None,
    region: Annotated[
        list[int] | None, typer.Option(metavar="TAG", help="draw these regions only (repeatable)")
    ] = None,
    colour: Annotated[
        str | None, typer.Option(metavar="NAME", help="data, tag or surface [surface, then tag]")
    ] = None,
    fibres: Annotated[bool, typer.Option("--fibres", help="draw fibres as lines")] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Draw the outside of a mesh from two sides."""
    from training._mesh_figure import draw_mesh
    from twinjax.geometry import inspect
    from twinjax.io import read_mesh

    if output.suffix.lower() != ".png":
        raise ValueError(f"cannot write '{output.name}': name a .png file")
    read = _regions(read_mesh(file, unit), region)
    with replacing(output) as temporary:
        draw_mesh(read, temporary, colour=colour, fibres=fibres)
    if as_json:
        show_json({"file": str(output)})
        return
    show(f"written: {output}")
    _warn(inspect(read.mesh))


def _named(made: "Mesh", given: list[str]) -> "Mesh":
    from twinjax.geometry import Surface, with_surfaces

    names = surface_names(given)
    return with_surfaces(made, {tag: Surface[name.upper()] for tag, name in names.items()})


def _regions(read: "MeshFile", regions: list[int] | None) -> "MeshFile":
    from twinjax.geometry import extract

    if not regions:
        return read
    made, nodes = extract(read.mesh, *regions)
    return _follow(read, made, nodes, [tag in regions for tag in read.mesh.regions.tolist()])


def _follow(read: "MeshFile", made: "Mesh", nodes: Any, cells: Any) -> "MeshFile":
    """The data of the nodes and cells that are left, in their order."""
    import numpy as np

    chosen = np.asarray(cells)
    return dataclasses.replace(
        read,
        mesh=made,
        point_data={name: values[nodes] for name, values in read.point_data.items()},
        cell_data={name: values[chosen] for name, values in read.cell_data.items()},
    )


def _told(path: Path, report: "MeshReport", more: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json({"file": str(path), **_plain(report), **more})
        return
    show(key_values(str(path), _rows(report)))
    _warn(report)
    if more.get("data_lost"):
        names = ", ".join(more["data_lost"])
        show(f"[yellow]warning:[/yellow] a {path.suffix} file does not hold {names}")


def _warn(report: "MeshReport") -> None:
    for sentence in (*report.problems, *report.doubts):
        show(f"[yellow]warning:[/yellow] {sentence}")


def _rows(report: "MeshReport") -> dict[str, Any]:
    from twinjax.geometry import Surface

    named = {int(surface): surface.name.lower() for surface in Surface}
    surfaces = ", ".join(
        f"{tag} ({named[tag]}): {count}" if tag in named else f"{tag}: {count}"
        for tag, count in report.surfaces.items()
    )
    low, mean, high = report.edge
    return {
        "cells": f"{report.cells} {report.kind}",
        "nodes": report.nodes,
        "regions": ", ".join(f"{tag}: {count}" for tag, count in report.regions.items()),
        "surfaces": surfaces or "none tagged",
        "fibre frames": "yes" if report.frames else "no",
        "size \\[mm]": " × ".join(f"{side:.4g}" for side in report.size),
        "volume \\[mL]": f"{report.volume:.4g}",
        "edges \\[mm]": f"{low:.3g} to {high:.3g}, mean {mean:.3g}",
        "worst quality": f"{report.quality:.3g}",
        "inverted cells": report.inverted,
        "connected parts": report.parts,
    }


def _plain(report: "MeshReport") -> dict[str, Any]:
    plain = dataclasses.asdict(report)
    plain = {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in plain.items()
    }
    return plain | {"problems": list(report.problems), "doubts": list(report.doubts)}
