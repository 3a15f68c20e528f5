"""`twinjax simulate`: the periodic beat of a case."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from training.cli._output import replacing, show, show_json


def simulate(
    case: Annotated[Path, typer.Argument(help="CASE.toml")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="beat.h5")] = None,
    plot: Annotated[Path | None, typer.Option(help="a figure of the beat")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Find the periodic beat of a case; what its box varies keeps the model's value."""
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
