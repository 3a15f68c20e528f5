"""`twinjax cell`: a run of one cell model, and the list of them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from training.cli._output import progress_bar, replacing, show, show_json

if TYPE_CHECKING:
    from training._cell_run import Run

_TABLES = (".csv", ".h5", ".hdf5")
_FIGURES = (".png", ".pdf", ".svg")
_LONGEST = 100_000.0  # [ms]


def cell(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a model, or `list` for all")],
    cycle_length: Annotated[
        float | None, typer.Option(metavar="MS", max=_LONGEST, help="default: 1000 ms")
    ] = None,
    beats: Annotated[
        int | None,
        typer.Option(
            min=1, help="the last is kept; seconds, if the cell beats by itself; default: 10"
        ),
    ] = None,
    accurate: Annotated[bool, typer.Option("--accurate", help="a four times finer grid")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="a parameter, in its unit (repeatable)"),
    ] = None,
    block: Annotated[
        list[str] | None,
        typer.Option(metavar="CURRENT=SHARE", help="IKr=0.5 blocks half of it (repeatable)"),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help=".h5 or .csv")] = None,
    figure: Annotated[Path | None, typer.Option(help=".png, .pdf or .svg")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Pace a cell model and read its biomarkers; `twinjax cell list` lists the models."""
    if model == "list":
        given = (cycle_length, beats, output, figure)
        if accurate or set_ or block or any(option is not None for option in given):
            raise ValueError("`cell list` runs no model: of the options it takes only --json")
        _list(as_json)
        return
    # All that can be refused is refused before anything is computed.
    changes = _numbers("--set", "NAME=VALUE", set_)
    shares = _numbers("--block", "CURRENT=SHARE", block)
    for path, suffixes in ((output, _TABLES), (figure, _FIGURES)):
        if path is not None:
            _check(path, suffixes)

    from training._cell_figure import draw_cell
    from training._cell_run import run_cell, write_run

    with progress_bar(quiet=as_json) as update:
        run = run_cell(
            model,
            cycle=cycle_length,
            beats=10 if beats is None else beats,
            accurate=accurate,
            changes=changes,
            block=shares,
            progress=lambda done, total: update(model, done, total),
        )
    _write(output, lambda path: write_run(run, path))
    _write(figure, lambda path: draw_cell(run, path))
    if as_json:
        show_json(_plain(run, output, figure))
        return
    show(_table(run))
    for warning in _warnings(run):
        show(f"[yellow]warning:[/yellow] {warning}")
    written = ", ".join(str(path) for path in (output, figure) if path is not None)
    if written:
        show(f"written: {written}")


def _numbers(option: str, form: str, given: list[str] | None) -> dict[str, float]:
    values: dict[str, float] = {}
    for item in given or []:
        name, equals, text = (part.strip() for part in item.partition("="))
        if not (name and equals and text):
            raise ValueError(f"{option} needs {form}, not '{item}'")
        if name in values:
            raise ValueError(f"{option} names {name} twice")
        try:
            values[name] = float(text)
        except ValueError:
            raise ValueError(f"{option} {name}: '{text}' is not a number") from None
    return values


def _check(path: Path, suffixes: tuple[str, ...]) -> None:
    folder = path.absolute().parent
    if path.suffix not in suffixes:
        *others, last = suffixes
        raise ValueError(f"cannot write '{path.name}': name a {', '.join(others)} or {last} file")
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder} to write {path.name} in")
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a file")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"the folder {folder} cannot be written to")


def _write(path: Path | None, write: Callable[[Path], None]) -> None:
    if path is None:
        return
    with replacing(path) as temporary:
        try:
            write(temporary)
        except OSError as error:
            # The temporary name says nothing to who asked for another.
            raise ValueError(f"cannot write {path}: {error.strerror or error}") from error


def _list(as_json: bool) -> None:
    from twinjax.cells import MODELS

    rows = []
    for name in sorted(MODELS):
        model = MODELS[name]()
        about = model.about
        rows.append(
            {
                "name": name,
                "title": about.title,
                "species": about.species,
                "tissue": about.tissue,
                "states": len(model.initial_state()),
                "stimulus": None
                if about.stimulus is None
                else {
                    "amplitude": about.stimulus[0],
                    "unit": about.current_unit,
                    "duration_ms": about.stimulus[1],
                },
                "cite": about.cite,
            }
        )
    if as_json:
        show_json(rows)
        return
    table = Table(title="cell models")
    for heading in ("name", "title", "species", "tissue", "states", "stimulus", "citation"):
        right = heading == "states"
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading == "name")
    for row in rows:
        given: Any = row["stimulus"]
        stimulus = "beats by itself"
        if given is not None:
            stimulus = f"{given['amplitude']:g} {given['unit']}, {given['duration_ms']:g} ms"
        told = (row[key] for key in ("name", "title", "species", "tissue", "states"))
        table.add_row(*map(str, told), stimulus, str(row["cite"]))
    show(table)


def _table(run: "Run") -> Table:
    what = "by itself" if run.cycle is None else f"beat {run.beats} at {run.cycle:g} ms"
    changed = [f"{name} = {value:g}" for name, value in run.changed.items()]
    changed += [f"{name} blocked by {100 * share:g} %" for name, share in run.blocked.items()]
    table = Table(title=", ".join([f"{run.cell.about.title}, {what}", *changed]))
    for heading in ("biomarker", "value", "unit"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for name, value in run.scalars.items():
        finite = abs(value) < float("inf")
        table.add_row(name, f"{value:.4g}" if finite else "none", run.units[name])
    return table


def _warnings(run: "Run") -> list[str]:
    """What the numbers alone would not tell."""
    scalars = run.scalars
    told = []
    if run.cycle is None and scalars["cycle_length"] != scalars["cycle_length"]:
        told.append("no whole cycle in what was kept: the cell rests, or needs more --beats")
    if scalars.get("repolarised") == 0:
        told.append("the cell has not repolarised by 90 % before the end of the beat")
    if scalars.get("early_afterdepolarisation", 0) > 0:
        told.append("the potential rises again after 100 ms: an early afterdepolarisation")
    return told


def _plain(run: "Run", output: Path | None, figure: Path | None) -> dict[str, Any]:
    def number(value: float) -> float | None:
        return value if abs(value) < float("inf") else None

    return {
        **run.provenance,
        "biomarkers": {
            name: {"value": number(value), "unit": run.units[name]}
            for name, value in run.scalars.items()
        },
        "warnings": _warnings(run),
        "file": None if output is None else str(output),
        "figure": None if figure is None else str(figure),
    }
