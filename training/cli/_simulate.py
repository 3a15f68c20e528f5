"""`twinjax simulate`: the periodic beat of a case, or what tissue, a wall or a heart does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from training.cli._output import key_values, progress_bar, replacing, show, show_json

if TYPE_CHECKING:
    from training.mechanics_run import MechanicsRun
    from training.tissue_run import TissueRun


def simulate(
    case: Annotated[Path, typer.Argument(help="CASE.toml; [tissue], [mechanics] or [heart]")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="beat.h5 or run.h5")] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="a figure of the beat, of times and ECG (NAME_ecg), or of shapes"),
    ] = None,
    vtu: Annotated[
        Path | None,
        typer.Option(help="for ParaView: times and potentials (.vtu), or shapes (.pvd and .vtu)"),
    ] = None,
    film: Annotated[Path | None, typer.Option(help="of a beating heart, a moving .gif")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Run a case: a circulation's periodic beat, activation, a wall under load, a beating heart.

    What the box of a beat's case varies keeps the model's value. A run of tissue, mechanics or a
    heart that was stopped goes on where it was, if it has an output.
    """
    from training._toml import has_table, read_text

    text = read_text(case)
    if film is not None and not has_table(text, "heart"):
        raise ValueError(f"{case} has no table [heart]: --film is for this")
    if has_table(text, "tissue"):
        _tissue(case, output, plot, vtu, as_json)
        return
    if has_table(text, "mechanics"):
        _mechanics(case, output, plot, vtu, as_json)
        return
    if has_table(text, "heart"):
        _heart(case, output, plot, vtu, film, as_json)
        return
    if vtu is not None:
        raise ValueError(
            f"{case} has no table [tissue], [mechanics] or [heart]: --vtu is for these"
        )
    _beat(case, output, plot, as_json)


def _tissue(
    case: Path, output: Path | None, plot: Path | None, vtu: Path | None, as_json: bool
) -> None:
    from training._tissue_chunks import discard_parts
    from training.tissue_case import load_tissue_case
    from training.tissue_run import run_tissue_case, write_tissue_run, write_vtu

    loaded = load_tissue_case(case)
    _check_files(output, plot, vtu, (".vtu", ".vtk", ".xdmf"))
    with progress_bar(quiet=as_json) as update:
        run = run_tissue_case(loaded, output, update)
    files = []
    if output is not None:
        with replacing(output) as temporary:
            write_tissue_run(run, loaded, temporary)
        discard_parts(output)
        files.append(output)
    if vtu is not None:
        write_vtu(run, vtu)
        files.append(vtu)
    if plot is not None:
        files += _figures(run, plot, loaded.equation)
    _tell(f"{loaded.equation}: {case}", _summary(run), run.notes, files, as_json)


def _check_files(
    output: Path | None,
    plot: Path | None,
    vtu: Path | None,
    shapes: tuple[str, ...],
    film: Path | None = None,
) -> None:
    """What cannot be written is told before anything is run."""
    for path, kinds in ((plot, (".png", ".pdf", ".svg")), (vtu, shapes), (film, (".gif",))):
        if path is not None and path.suffix.lower() not in kinds:
            raise ValueError(f"'{path.name}' is none of {', '.join(kinds)}")
    for path in (output, plot, vtu, film):
        if path is not None and not path.absolute().parent.is_dir():
            raise ValueError(f"there is no folder {path.absolute().parent} to write {path.name} in")


def _tell(
    title: str, told: dict[str, float], notes: tuple[str, ...], files: list[Path], as_json: bool
) -> None:
    if as_json:
        show_json(told | {"notes": list(notes), "files": [str(file) for file in files]})
        return
    rows = {name.replace("[", "\\["): f"{value:.4g}" for name, value in told.items()}
    show(key_values(title, rows))
    for note in notes:
        show(note.replace("[", "\\["))
    for file in files:
        show(f"written: {file}")


def _mechanics(
    case: Path, output: Path | None, plot: Path | None, vtu: Path | None, as_json: bool
) -> None:
    from training.mechanics_case import load_mechanics_case
    from training.mechanics_run import (
        draw_mechanics_run,
        run_mechanics_case,
        write_mechanics_run,
        write_mechanics_series,
    )

    loaded = load_mechanics_case(case)
    _check_files(output, plot, vtu, (".pvd",))
    with progress_bar(quiet=as_json) as update:
        run = run_mechanics_case(loaded, output, update)
    files = _written(
        (output, lambda path: write_mechanics_run(run, loaded, path)),
        (vtu, lambda path: write_mechanics_series(run, path)),
        (plot, lambda path: draw_mechanics_run(run, path)),
    )
    if run.failure is not None:
        last = ", ".join(str(file) for file in files)
        raise ValueError(run.failure + (f"; the last equilibrium is in {last}" if last else ""))
    _tell(f"mechanics: {case}", _wall_summary(run), run.built.notes, files, as_json)


def _written(*wanted: tuple[Path | None, Callable[[Path], None]]) -> list[Path]:
    """Writes the files that are asked for, the first of which is the run's: then its parts go."""
    from training._tissue_chunks import discard_parts

    files = []
    for number, (path, write) in enumerate(wanted):
        if path is None:
            continue
        if path.suffix == ".pvd":  # a series: it replaces its own files
            write(path)
        else:
            with replacing(path) as temporary:
                write(temporary)
        if number == 0:
            discard_parts(path)
        files.append(path)
    return files


def _wall_summary(run: "MechanicsRun") -> dict[str, float]:
    """Numbers with their units in brackets."""
    import numpy as np

    moved = np.linalg.norm(run.points[-1] - run.points[0], axis=1)
    told: dict[str, float] = {"nodes": run.points.shape[1]}
    for number, name in enumerate(run.built.cavities):
        told[f"{name} at rest [mL]"] = float(run.volumes[0, number]) / 1000
        told[f"{name} loaded [mL]"] = float(run.volumes[-1, number]) / 1000
    told["greatest displacement [mm]"] = float(moved.max())
    return told | run.stats | {"wall time [s]": run.seconds}


def _heart(
    case: Path,
    output: Path | None,
    plot: Path | None,
    vtu: Path | None,
    film: Path | None,
    as_json: bool,
) -> None:
    from training._heart_figure import draw_heart
    from training._heart_file import write_heart_run, write_heart_series
    from training._heart_film import draw_film
    from training.heart_case import load_heart_case
    from training.heart_run import UNITS, build_heart, outlook, run_heart_case

    loaded = load_heart_case(case)
    _check_files(output, plot, vtu, (".pvd",), film)
    made = build_heart(loaded)
    if not as_json:
        Console(stderr=True, soft_wrap=True, highlight=False).print(outlook(loaded, made))
    with progress_bar(quiet=as_json) as update:
        run = run_heart_case(loaded, output, update, made)
        files = _written(
            (output, lambda path: write_heart_run(run, loaded, path)),
            (vtu, lambda path: write_heart_series(run, path)),
            (plot, lambda path: draw_heart(run, loaded.steps, path)),
            (film, lambda path: draw_film(run, loaded.steps, path, update)),
        )
    if run.failure is not None:
        reached = ", ".join(str(file) for file in files)
        raise ValueError(run.failure + (f"; what was reached is in {reached}" if reached else ""))
    told = {f"{name} [{UNITS[name]}]": value for name, value in run.scalars.items()}
    if run.excited is not None:
        told["qrs_duration [ms]"] = run.excited.qrs
        told["largest ECG deflection [mV]"] = float(abs(run.excited.leads).max())
    told |= run.stats | {"wall time [s]": run.seconds}
    _tell(f"heart: {case}", told, run.notes, files, as_json)


def _figures(run: "TissueRun", plot: Path, equation: str) -> list[Path]:
    import numpy as np

    from training._ecg_figure import draw_ecg
    from training._surface_figure import draw_times
    from twinjax.electro import LEADS
    from twinjax.io import EcgRecord

    panels = [("activation", run.activation)]
    if run.repolarisation is not None and np.isfinite(run.repolarisation).any():
        panels.append(("repolarisation", run.repolarisation))
    with replacing(plot) as temporary:
        draw_times(run.heart.mesh, panels, temporary)
    if run.ecg is None:
        return [plot]
    paper = plot.with_name(f"{plot.stem}_ecg{plot.suffix}")
    with replacing(paper) as temporary:
        draw_ecg([EcgRecord(run.ecg_times, run.ecg, LEADS)], temporary, title=equation)
    return [plot, paper]


def _summary(run: "TissueRun") -> dict[str, float]:
    """Numbers with their units in brackets."""
    import numpy as np

    told: dict[str, float] = {
        "nodes": len(run.activation),
        "activated [%]": 100 * run.reached,
    }
    for name, times in (("activation", run.activation), ("repolarisation", run.repolarisation)):
        if times is not None and np.isfinite(times).any():
            known = times[np.isfinite(times)]
            told[f"first {name} [ms]"], told[f"last {name} [ms]"] = map(
                float, (known.min(), known.max())
            )
    if run.ecg is not None:
        told["largest ECG deflection [mV]"] = float(np.abs(run.ecg).max())
    return told | {"wall time [s]": run.seconds}


def _beat(case: Path, output: Path | None, plot: Path | None, as_json: bool) -> None:
    import h5py
    import numpy as np

    from training.case import load_case
    from training.datasets import versions
    from twinjax import RESULTS, BeatSimulator, ParameterSpace, parameters_of
    from twinjax.observables import OBSERVABLES, WAVEFORMS

    loaded = load_case(case)
    table = loaded.table.model
    space = ParameterSpace(loaded.model, ("heart_rate",))
    simulator = BeatSimulator(loaded.model, space, table.samples, table.steps_per_beat)
    seen = simulator(space.read(loaded.model))
    if int(seen.result) != RESULTS.successful:
        raise ValueError(f"{case}: {RESULTS(int(seen.result)).message}")
    waves = {name: np.asarray(seen.waveforms[name]) for name in WAVEFORMS}
    scalars = {name: float(seen.scalars[name]) for name in OBSERVABLES}
    phases = np.arange(table.samples) / table.samples
    period = 60 / scalars["heart_rate"]
    names = tuple(parameters_of(loaded.model))
    values = np.asarray(ParameterSpace(loaded.model, names).read(loaded.model))
    if output is not None:
        provenance = {"case": loaded.text, "versions": versions()}
        with replacing(output) as temporary, h5py.File(temporary, "w") as file:
            file.attrs["twinjax_kind"] = "beat"
            file.attrs["format"] = 1
            file.attrs["provenance"] = json.dumps(provenance)
            file["time"] = phases * period
            file["time"].attrs["unit"] = "s"
            for name, wave in waves.items():
                file[f"waveforms/{name}"] = wave
                file[f"waveforms/{name}"].attrs["unit"] = WAVEFORMS[name].unit
            for name, scalar in scalars.items():
                file[f"scalars/{name}"] = scalar
                file[f"scalars/{name}"].attrs["unit"] = OBSERVABLES[name].unit
            for name, value in zip(names, values, strict=True):
                file[f"parameters/{name}"] = value
                file[f"parameters/{name}"].attrs["unit"] = parameters_of(loaded.model)[name].unit
    if plot is not None:
        from training._beat_figure import draw_beat

        bands = {name: (wave, None, None) for name, wave in waves.items()}
        draw_beat(phases * period, bands, plot)
    if as_json:
        units = {name: OBSERVABLES[name].unit for name in scalars}
        show_json({"scalars": scalars, "units": units, "file": str(output) if output else None})
        return
    shown = Table(title="periodic beat")
    for heading in ("quantity", "value", "unit"):
        shown.add_column(heading, justify="right" if heading == "value" else "left")
    for name, scalar in scalars.items():
        shown.add_row(name, f"{scalar:.4g}", OBSERVABLES[name].unit)
    show(shown)
