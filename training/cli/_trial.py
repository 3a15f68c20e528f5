"""`twinjax trial`: drugs on virtual patients."""

from pathlib import Path
from typing import Annotated, Any

import typer

from training.cli._output import progress_bar, replacing, show, show_json


def trial(
    study: Annotated[Path, typer.Argument(help="STUDY.toml: cell, drugs, doses")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the HDF5 file to write")],
    report: Annotated[
        Path | None, typer.Option(help="an HTML file with tables and figures")
    ] = None,
    resume: Annotated[bool, typer.Option(help="go on with what a killed run left")] = True,
    workers: Annotated[int, typer.Option(min=1, help="processes")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Give every drug at every dose to every virtual patient, resumably, and judge its risk."""
    from training._trial_report import summary, write_report
    from training.sensitivity import sensitivities
    from training.study import load_study
    from training.trials import run_trial

    if report is not None and not report.absolute().parent.is_dir():
        raise ValueError(f"there is no folder {report.absolute().parent} to write {report.name} in")
    loaded = load_study(study)
    with progress_bar() as update:
        made = run_trial(
            loaded,
            output,
            resume=resume,
            workers=workers,
            progress=lambda done, total: update("orbits", done, total),
        )
    if report is not None:
        with progress_bar() as update:
            found = sensitivities(
                loaded, made, lambda done, total: update("gradients of drugs", done, total)
            )
        with replacing(report) as temporary:
            temporary.write_text(write_report(made, loaded, found), encoding="utf-8")
    rows = summary(made)
    if as_json:
        files = {"file": str(output), "report": None if report is None else str(report)}
        show_json({**files, "drugs": [_plain(row) for row in rows], "notes": list(loaded.notes)})
        return
    show(_table(rows))
    for note in loaded.notes:
        show(note)


def _table(rows: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(title="Drugs, most dangerous first; median (95 %)", title_justify="left")
    for heading in ("drug", "score [mC/F]", "ΔAPD90 [ms]", "EAD", "not repolarised", "no orbit"):
        table.add_column(heading, justify="left" if heading == "drug" else "right")
    worst = sorted(
        rows, key=lambda row: row["score"][0] if "score" in row else -row["apd90_change"][0]
    )
    for row in worst:
        score = row.get("score")
        table.add_row(
            row["drug"],
            "none" if score is None else _told([1000 * x for x in score]),
            _told(row["apd90_change"]),
            *(
                f"{100 * row[name]:.1f} %"
                for name in ("afterdepolarisations", "not_repolarised", "without_orbit")
            ),
        )
    return table


def _told(interval: Any) -> str:
    middle, low, high = interval
    return f"{middle:.3g} ({low:.3g} to {high:.3g})" if middle == middle else "none"


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    def number(x: Any) -> Any:
        if isinstance(x, tuple):
            return [number(y) for y in x]
        return None if isinstance(x, float) and x != x else int(x) if hasattr(x, "item") else x

    return {name: number(value) for name, value in row.items()}
