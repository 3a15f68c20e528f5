"""Parts of a long run: files that are whole or absent, so that a kill at any instant loses none."""

import json
import os
import shutil
import uuid
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

_PLAN = "plan.json"


class Parts:
    """The folder `.NAME.parts` beside the file that is being made.

    `plan` says what is being made; a folder left by a run with another plan is refused, so that
    parts of different runs never mix.
    """

    def __init__(self, path: Path, plan: dict[str, Any], *, resume: bool):
        self.folder = path.with_name(f".{path.name}.parts")
        if self.folder.exists():
            if not resume:
                shutil.rmtree(self.folder)
            elif self._plan() not in (None, plan):
                raise ValueError(
                    f"{self.folder} holds parts of another run (other case, seed or version); "
                    "remove it, or do not resume"
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / _PLAN, json.dumps(plan).encode())

    def _plan(self) -> dict[str, Any] | None:
        try:
            return json.loads((self.folder / _PLAN).read_text())
        except (OSError, ValueError):
            return None

    def has(self, number: int) -> bool:
        return self._file(number).is_file()

    def save(self, number: int, arrays: dict[str, np.ndarray]) -> None:
        temporary = self.folder / f"{uuid.uuid4().hex[:8]}.tmp.npz"
        try:
            np.savez(temporary, **arrays)
            os.replace(temporary, self._file(number))
        finally:
            temporary.unlink(missing_ok=True)

    def load(self, number: int) -> dict[str, np.ndarray]:
        part = self._file(number)
        try:
            with np.load(part, allow_pickle=False) as file:
                return dict(file)
        except (zipfile.BadZipFile, EOFError, ValueError) as error:
            raise ValueError(f"{part} is damaged; remove it and run the command again") from error

    def remove(self) -> None:
        shutil.rmtree(self.folder)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npz"


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
