"""HDF5 files of ours, opened by kind."""

from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path

import h5py


@contextmanager
def opened(path: Path, kind: str, version: int) -> Iterator[h5py.File]:
    """A file to read. Raises `ValueError`, in one sentence, for any other, newer or damaged one.

    That holds for what is read within the `with` block, too.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    try:
        with h5py.File(path, "r") as file:
            own = file.attrs.get("twinjax_kind")
            if own != kind:
                told = f"a file of kind '{own}'" if own else "an HDF5 file of another program"
                raise ValueError(f"{path} is {told}, not a {kind}")
            if file.attrs["format"] > version:
                raise ValueError(f"{path} was written by a newer version of twinjax")
            yield file
    except (OSError, KeyError, RuntimeError, TypeError, AttributeError, JSONDecodeError) as error:
        raise ValueError(f"{path} is truncated or not a {kind}") from error
