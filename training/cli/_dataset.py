"""`twinjax dataset`: simulations over a box of parameters."""

from pathlib import Path
from typing import Annotated

import typer

from training.cli._output import key_values, progress_bar, show, show_json


def dataset(
    case: Annotated[Path, typer.Argument(help="CASE.toml with a [box]")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the HDF5 file to write")],
    runs: Annotated[int | None, typer.Option("-n", "--runs", help="default: the case's")] = None,
    seed: Annotated[int | None, typer.Option(help="default: the case's")] = None,
    sensitivities: Annotated[
        bool | None, typer.Option(help="exact derivatives too; default: the case's")
    ] = None,
    resume: Annotated[bool, typer.Option(help="go on with what a killed run left")] = True,
    workers: Annotated[int, typer.Option(min=1, help="processes")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Simulate a space-filling design over the case's box, resumably."""
    from training.case import load_case
    from training.datasets import make_dataset

    with progress_bar() as update:
        made = make_dataset(
            load_case(case),
            output,
            runs,
            seed=seed,
            sensitivities=sensitivities,
            resume=resume,
            workers=workers,
            progress=lambda done, total: update("runs", done, total),
        )
    result = {
        "file": str(output),
        "runs": len(made.theta),
        "failed": len(made.theta) - len(made.usable),
        "parameters": len(made.case.space),
        "sensitivities": made.has_sensitivities,
        "sha256": made.sha256,
    }
    if as_json:
        show_json({**result, "reasons": made.failures})
        return
    show(key_values("dataset", result))
    for reason, count in made.failures.items():
        show(f"{count} failed: {reason}")
