"""The `heart.surrogate` file: a zip of one JSON card and NumPy arrays, without pickle."""

import hashlib
import io
import json
import os
import uuid
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = "heart.surrogate"
VERSION = 1
USE = "research use; not for diagnosis or treatment"


def write(path: str | Path, card: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Writes the file, whole or not at all."""
    path = Path(path)
    card = {"format": FORMAT, "version": VERSION, "use": USE, **card, "sha256": _digest(arrays)}
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            _add(archive, "card.json", json.dumps(card, indent=1, allow_nan=False).encode())
            for name, array in arrays.items():
                stream = io.BytesIO()
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
                _add(archive, f"{name}.npy", stream.getvalue())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The card and the arrays. Raises `ValueError`, in one sentence, for any other file."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    try:
        with zipfile.ZipFile(path) as archive:
            card = json.loads(archive.read("card.json"))
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            arrays = {
                name.removesuffix(".npy"): np.load(
                    io.BytesIO(archive.read(name)), allow_pickle=False
                )
                for name in names
            }
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is truncated or not a surrogate") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise ValueError(f"{path} is a zip archive of another program, not a surrogate")
    if card["version"] > VERSION:
        raise ValueError(f"{path} was written by a newer version of twinjax")
    if card.get("sha256") != _digest(arrays):
        raise ValueError(f"{path} is damaged: its weights do not match their checksum")
    return card, arrays


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # A fixed date, so that equal content gives equal files.
    archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
