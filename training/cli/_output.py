"""What the verbs show: tables, progress, JSON, and mistakes in one sentence."""

import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

_LINE_EVERY = 30.0  # [s]


def complain(message: str) -> int:
    """One sentence on stderr; the exit code of a mistake."""
    text = " ".join(message.split())
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"twinjax: {text}", markup=False)
    return 2


def show(content: Any) -> None:
    """A table or a line on stdout."""
    console = Console(soft_wrap=isinstance(content, str))
    if not console.is_terminal:
        # A pipe has no width: rich would take it for 80 columns and break every cell.
        console = Console(width=160, soft_wrap=isinstance(content, str))
    console.print(content)


def show_json(content: Any) -> None:
    """Machine-readable: one JSON document on stdout."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    Console(soft_wrap=True, highlight=False).print(text, markup=False)


def key_values(title: str, rows: dict[str, Any]) -> Table:
    """A table of names and values."""
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


@contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """`update(stage, done, total)`, shown on stderr: a bar, or without a terminal a line at times.

    A log gets no more than a line in half a minute, and none of what is over before.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None)
        begun = told = time.monotonic()

        def update(stage: str, done: int, total: int) -> None:
            nonlocal told
            bar.update(task, description=stage, completed=done, total=total)
            now = time.monotonic()
            if not (quiet or console.is_terminal) and now - told >= _LINE_EVERY:
                told = now
                sys.stderr.write(f"{stage}: {done} of {total}, {now - begun:.0f} s\n")
                sys.stderr.flush()

        yield update


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it if all went well."""
    if not path.absolute().parent.is_dir():
        raise ValueError(f"there is no folder {path.absolute().parent} to write {path.name} in")
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
