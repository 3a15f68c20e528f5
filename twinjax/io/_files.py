"""Opening a text file that a person names, with one sentence for each way it can go wrong."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from pathlib import Path

from twinjax.io._errors import MeasurementError

# keys and columns that would carry a person's identity into a twin
_IDENTITY = re.compile(
    r"(^|_)(name|surname|forename|firstname|lastname|initials|dob|birth|birthday|birthdate|born|"
    r"mrn|nhs|ssn|address|email|phone|postcode|zip|passport)(_|$)|hospital_number|medical_record"
)


def refuse_identity(key: str) -> None:
    """Raise `MeasurementError` if `key` is that of a name, a birth date or another identifier."""
    plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower())
    if _IDENTITY.search(plain):
        raise MeasurementError(
            f"{key!r} is refused: a twin carries no name, date of birth or other identifier of a "
            "person, so give age (years) and an anonymous patient id instead."
        )


def existing(path: str | Path) -> Path:
    """Return `path` if it is a file that is not empty, or raise `MeasurementError`."""
    path = Path(path)
    if path.is_dir():
        raise MeasurementError(f"{path} is a directory: give the file of measurements in it.")
    if not path.is_file():
        raise MeasurementError(f"There is no file {path}.")
    if path.stat().st_size == 0:
        raise MeasurementError(f"{path} is empty.")
    return path


def read_text(path: str | Path) -> str:
    """Return the text of a UTF-8 file; a byte-order mark and any line ends are accepted."""
    path = existing(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MeasurementError(
            f"{path} is not UTF-8 text (byte {error.start} cannot be read): save it as UTF-8."
        ) from None
    if "\0" in text:
        raise MeasurementError(f"{path} is not a text file.")
    if not text.strip():
        raise MeasurementError(f"{path} is empty.")
    return text


def source_of(path: Path, kind: str) -> str:
    """Return the kind of a file and the SHA-256 of its bytes (a path could hold a name)."""
    return f"{kind} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def table(path: str | Path) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a CSV file, stripped; blank and '#' lines are skipped."""
    text = read_text(path)
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline=""))]
    except csv.Error as error:
        raise MeasurementError(f"{path} is not a valid CSV file: {error}.") from None
    rows = [row for row in rows if any(row) and not row[0].startswith("#")]
    if not rows:
        raise MeasurementError(f"{path} holds no table.")
    if len(rows[0]) == 1 and "[" not in rows[0][0] and re.search(r"[;\t|]", rows[0][0]):
        raise MeasurementError(f"The columns of {path} must be separated by commas.")
    return rows[0], rows[1:]


def cell_number(text: str) -> float | None:
    """Return the number in a cell, or `None` if it is not one."""
    try:
        return float(text)
    except ValueError:
        return None
