"""Files that are there whole or not at all, also where a format needs several."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """`path` in a temporary folder beside it; all files written there are moved up at the end.

    Files keep their names while they are written, since formats of several refer to each other.
    Raises `ValueError` if there is no folder to write in.
    """
    parent = path.absolute().parent
    if not parent.is_dir():
        raise ValueError(f"there is no folder {parent} to write {path.name} in")
    folder = parent / f".{uuid.uuid4().hex[:8]}.tmp"
    folder.mkdir()
    try:
        yield folder / path.name
        for file in sorted(folder.iterdir()):
            os.replace(file, parent / file.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
