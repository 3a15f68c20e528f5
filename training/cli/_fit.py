"""`twinjax fit`: measurements in, a twin, its tables and its figure out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.status import Status

from training.cli._output import show as show_on_stdout
from training.cli._output import show_json
from twinjax.io import Measurements, read_cohort, read_measurements

if TYPE_CHECKING:
    from training.twin import Twin

STAGES = {
    "population": "estimating the prior of the cohort",
    "mode": "looking for the most probable parameters",
    "emulator": "simulating around them",
    "chains": "drawing from the posterior",
    "predictions": "simulating every draw",
}


def fit(
    measurements: Annotated[Path, typer.Argument(help="TOML, CSV or WFDB header (.hea)")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the twin")] = Path("twin.h5"),
    figure: Annotated[Path | None, typer.Option(help="default: beside the twin, as PNG")] = None,
    sampler: Annotated[str, typer.Option(help="emulator, solver or laplace")] = "emulator",
    free: Annotated[
        list[str] | None, typer.Option(help="fit only these parameters (repeatable)")
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option(help="a table of other people: their prior, not the literature's")
    ] = None,
    draws: Annotated[int, typer.Option(min=50)] = 400,
    chains: Annotated[int, typer.Option(min=2)] = 4,
    starts: Annotated[int, typer.Option(min=1, help="of the search for the mode")] = 4,
    discrepancy: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="the model's own relative error")
    ] = 0.03,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> None:
    """Fit a heart to one person's measurements, and say how sure each number is."""
    # Read first, so that a mistake in the file is told before JAX has been loaded.
    person = read_measurements(measurements)
    others = None if cohort is None else read_cohort(cohort).patients
    for path in (output, figure):
        if path is not None and not path.absolute().parent.is_dir():
            raise ValueError(f"the folder of {path} does not exist")

    from training.fit import fit as fit_twin
    from training.report import draw_twin, summary
    from training.twin import save_twin

    with Console(stderr=True).status("starting") as status:
        twin = fit_twin(
            person,
            sampler=sampler,
            free=free,
            cohort=others,
            draws=draws,
            chains=chains,
            starts=starts,
            discrepancy=discrepancy,
            seed=seed,
            progress=lambda stage: _tell(status, stage),
        )
    save_twin(twin, output)
    figure = output.with_suffix(".png") if figure is None else figure
    draw_twin(twin, figure)
    if as_json:
        show_json({"twin": str(output), "figure": str(figure), **summary(twin)})
        return
    show(twin, person)
    show_on_stdout(f"written: {output}, {figure}")


def show(twin: "Twin", person: Measurements) -> None:
    """The tables of a fit on the terminal, its warnings and what was missing."""
    from training.report import identifiability_table, measurement_table, parameter_table

    for table in (measurement_table(twin), parameter_table(twin), identifiability_table(twin)):
        show_on_stdout(table)
    if person.missing:
        show_on_stdout(f"not measured: {', '.join(person.missing)}")
    told = twin.diagnostics
    numbers = [
        f"{what} {told[key]:.3g}"
        for key, what in (
            ("rhat", "R-hat"),
            ("ess", "effective draws"),
            ("importance_ess", "after correction"),
            ("pareto_k", "Pareto k"),
        )
        if key in told
    ]
    show_on_stdout(f"sampler {told['sampler']}: {', '.join(numbers)}")
    for warning in told["warnings"]:
        show_on_stdout(f"[yellow]warning:[/yellow] {warning}")


def _tell(status: Status, stage: str) -> None:
    status.update(STAGES.get(stage, stage))
