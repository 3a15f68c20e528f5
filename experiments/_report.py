"""The contract of every experiment: rows against a reference, a table, a JSON file, an exit code.

An experiment is a module with a function `run(quick, report)` and the last lines

    if __name__ == "__main__":
        main(run, name="circulation_regazzoni2022")

`python -m experiments.NAME [--quick] [--json FILE]` exits 0 only if every row is within tolerance,
1 if one is not, 2 for a mistake on the command line and 77 if its reference data are absent.
"""

import argparse
import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from training._application import configure

from ._rows import Report, Row
from ._shared import ReferenceAbsent

__all__ = ["SKIPPED", "Report", "Row", "main"]

SKIPPED = 77  # the exit code by which test harnesses since automake know a skipped check


def main(
    run: Callable[[bool, Report], None],
    *,
    name: str,
    peers: Sequence[str] = (),
    compilation_cache: bool = True,
    argv: Sequence[str] | None = None,
) -> NoReturn:
    """Run one experiment as a program; it ends the process with the exit code.

    Args:
        run: `run(quick, report)` fills the report; `quick` asks for a run that fits into CI.
        name: the experiment's module name.
        peers: further packages whose versions belong into the report.
        compilation_cache: whether compiled code is kept from run to run. An experiment that times
            the first call must switch it off.
        argv: the arguments, those of the process by default.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.{name}",
        description=inspect.getdoc(inspect.getmodule(run)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a smaller run, the one of CI")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report here")
    arguments = parser.parse_args(argv)
    if arguments.json is not None:
        if not arguments.json.absolute().parent.is_dir():
            parser.error(f"the folder of --json {arguments.json} does not exist.")
        if arguments.json.is_dir():
            parser.error(f"--json {arguments.json} is a folder, not a file.")

    configure(compilation_cache=compilation_cache)

    console = Console()
    if not console.is_terminal:
        # A log is no terminal: rich would take it for 80 columns and break every cell.
        console = Console(width=160)
    report = Report(name, peers)
    try:
        run(arguments.quick, report)
    except ReferenceAbsent as absent:
        console.print(f"{name}: skipped, {absent}", soft_wrap=True, markup=False)
        _write(arguments.json, report.as_dict() | {"skipped": str(absent)})
        sys.exit(SKIPPED)
    except BaseException as failure:
        # What was measured before the failure is kept: a long run must not end with nothing.
        _show(console, report)
        _write(arguments.json, report.as_dict() | {"error": f"{type(failure).__name__}: {failure}"})
        raise
    _show(console, report)
    _write(arguments.json, report.as_dict())
    sys.exit(0 if report.ok else 1)


def _show(console: Console, report: Report) -> None:
    console.print(report.table())
    failed = sum(not row.ok for row in report.rows)
    told = sum(row.tolerance is None for row in report.rows)
    console.print(
        f"{report.name}: rows {len(report.rows)}, failed {failed}, for information {told}",
        markup=False,
    )


def _write(path: Path | None, content: dict[str, Any]) -> None:
    if path is None:
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=2, allow_nan=False, ensure_ascii=False)
            file.write("\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
