"""`twinjax train`: a surrogate from a dataset."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from training.cli._output import progress_bar, show, show_json


def train(
    data: Annotated[Path, typer.Argument(help="the dataset")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the heart.surrogate to write")],
    members: Annotated[int, typer.Option(min=2, help="networks in the ensemble")] = 3,
    width: Annotated[int, typer.Option(min=8, help="of each network")] = 256,
    steps: Annotated[int, typer.Option(min=1, help="of each network")] = 4000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    baselines: Annotated[bool, typer.Option(help="compare with POD-ridge and GP")] = True,
    resume: Annotated[bool, typer.Option(help="go on with what a killed run left")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Train an ensemble with calibrated intervals, and compare it with baselines."""
    from training.train import train_surrogate

    with progress_bar() as update:
        surrogate = train_surrogate(
            data,
            output,
            members=members,
            width=width,
            steps=steps,
            seed=seed,
            baselines=baselines,
            resume=resume,
            progress=lambda p: update(p.stage, p.done, p.total),
        )
    card = surrogate.card
    if as_json:
        show_json({"file": str(output), **card})
    else:
        show(accuracy(card))


def accuracy(card: dict) -> Table:
    """Held-out errors of a surrogate, its baselines beside it."""
    baselines = card.get("baselines", {})
    table = Table(title="relative L2 error on runs not seen in training")
    for heading in ("waveform", "one member", "95th percentile", "ensemble", *baselines):
        first = heading == "waveform"
        table.add_column(heading, justify="left" if first else "right", no_wrap=first)
    for name, error in card["errors"]["waveforms"].items():
        together = error["mean"] * card["errors"]["ensemble_over_member"]["waveforms"]
        told = [error["mean"], error["p95"], together, *(b[name] for b in baselines.values())]
        table.add_row(name, *(f"{100 * value:.2f} %" for value in told))
    return table
