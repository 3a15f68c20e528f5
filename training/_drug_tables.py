"""Tables of drugs: what they block and how they bind to hERG, with uncertainty or without."""

import csv
import dataclasses
import gzip
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from training.hill import HillFit
from twinjax.cells import AbstractCell

# Columns of a table of drugs, and the model's parameters of binding to hERG.
BINDING = {"Kmax": "k_max", "Ku": "k_u", "n": "n", "halfmax": "half_max", "Vhalf": "v_half"}
PEAK, CATEGORY = "cmax_free_nM", "tdp_category"


@dataclasses.dataclass(frozen=True)
class Inputs:
    """A drug of a trial: IC50 [nM] and Hill coefficient by current, binding to hERG by parameter.

    Each is an array over samples; NaN where a current was not measured. `category` is -1 where it
    is not known.
    """

    name: str
    peak: float
    category: int
    ic50: dict[str, Float[np.ndarray, " samples"]]
    hill: dict[str, Float[np.ndarray, " samples"]]
    binding: dict[str, Float[np.ndarray, " samples"]]

    @property
    def samples(self) -> int:
        return len(next(iter((*self.ic50.values(), *self.binding.values()))))

    def left(
        self, current: str, levels: Float[np.ndarray, " doses"], sample: Int[np.ndarray, " rows"]
    ) -> Float[np.ndarray, "doses rows"]:
        """What concentrations [nM] leave of a current, by Hill's equation; 1 without data."""
        ic50, hill = self.ic50[current][sample], self.hill[current][sample]
        return np.where(np.isnan(ic50), 1.0, 1 / (1 + (levels[:, None] / ic50) ** hill))


def content_of(path: Path) -> bytes:
    """Of a table, unpacked if its name ends in .gz."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def rows_of(content: bytes, name: str) -> list[dict[str, str]]:
    """A CSV with a column `drug`; `name` is how messages call it."""
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not text in UTF-8") from None
    if not rows or "drug" not in rows[0]:
        raise ValueError(f"{name} needs a header with a column 'drug', and a row for each")
    return rows


def inputs_of(
    row: Mapping[str, str],
    given: Sequence[Mapping[str, str]],
    cell: AbstractCell,
    currents: Sequence[str],
    fits: Mapping[str, HillFit],
    notes: list[str],
) -> Inputs:
    """A drug from its row, its joint samples, which may be that row alone, and its recordings.

    `fits` are posteriors by current, which take the place of the table's; with them, samples are
    repeated until there is one for each draw. What was noticed is added to `notes`. Raises
    `ValueError` for numbers that cannot be.
    """
    name = row["drug"]
    peak = _number(row, PEAK, name)
    if not peak > 0:
        raise ValueError(f"{name} needs a positive {PEAK}, not '{row.get(PEAK, '')}'")
    category = _number(row, CATEGORY, name)
    draws = max((len(fit.ic50) for fit in fits.values()), default=len(given))
    binding = {
        ours: np.resize([_number(r, f"herg_{column}", name) for r in given], draws)
        for column, ours in BINDING.items()
    }
    if np.isnan(list(binding.values())).any():
        if not np.isnan(list(binding.values())).all():
            raise ValueError(f"{name} has binding to hERG in part: {', '.join(BINDING)} are needed")
        binding = {}
    ic50, hill, missing = {}, {}, []
    for current in currents:
        if current in fits:
            ic50[current], hill[current] = fits[current].ic50, fits[current].h
            if fits[current].doubt:
                notes.append(f"{name}, {current}: {fits[current].doubt}")
            continue
        column = "hERG" if current == "IKr" else current
        half = np.resize([_number(r, f"{column}_IC50", name) for r in given], draws)
        power = np.resize([_number(r, f"{column}_h", name, 1.0) for r in given], draws)
        if (half < 0).any() or (power < 0).any():
            raise ValueError(f"{name} has a negative IC50 or Hill coefficient of {current}")
        # Tables write 0 for what was not measured.
        absent = np.isnan(half) | (half == 0) | (power == 0)
        needed = current != "IKr" or not (binding and hasattr(cell, "k_max"))
        if absent.all():
            if needed:
                missing.append(current)
            continue
        if absent.any() and needed:
            notes.append(f"{name}: {current} is not blocked in {absent.sum()} samples without data")
        ic50[current] = np.where(absent, np.nan, half)
        hill[current] = power
    if missing:
        notes.append(f"{name}: not measured, and taken as not blocked: {', '.join(missing)}")
    if not ic50 and not binding:
        raise ValueError(f"{name} has no data on any current of {cell.about.title}")
    return Inputs(name, peak, -1 if math.isnan(category) else int(category), ic50, hill, binding)


def _number(row: Mapping[str, Any], column: str, drug: str, usual: float = math.nan) -> float:
    text = (row.get(column) or "").strip()
    if text in ("", "NA"):
        return usual
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{drug}: {column} is '{text}', which is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{drug}: {column} must be finite, not '{text}'")
    return value
