"""The rows of an experiment: a value, its reference, the tolerance, and whether it holds."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from ._environment import device_in_words, installed_versions

__all__ = ["Report", "Row"]


@dataclass(frozen=True)
class Row:
    """One quantity beside its reference.

    `tolerance` is `None` (for information) or one of `{"relative": r}`, `{"absolute": a}`,
    `{"interval": [low, high]}`, `{"at_most": x}` and `{"at_least": x}`.
    """

    quantity: str
    value: float
    reference: float | None
    tolerance: dict[str, Any] | None
    unit: str
    source: str
    ok: bool


class Report:
    """Collects the rows of one experiment.

    A value that is not a number is never within tolerance, not even for information, and a
    report without rows has not passed. Numbers may be Python's, NumPy's or JAX's.
    """

    def __init__(self, name: str, peers: Sequence[str] = ()):
        self.name = name
        self.peers = tuple(peers)
        self.rows: list[Row] = []
        self._start = time.perf_counter()

    def relative(
        self,
        quantity: str,
        value: float,
        reference: float,
        tolerance: float,
        *,
        unit: str,
        source: str,
    ) -> Row:
        """A row that holds if |value - reference| <= tolerance |reference|."""
        if reference == 0:
            raise ValueError(
                f"the reference of {quantity!r} is 0, so a relative tolerance admits nothing: "
                "use an absolute one."
            )
        limit = _checked(tolerance, quantity) * abs(float(reference))
        ok = abs(float(value) - float(reference)) <= limit
        return self._add(
            quantity, value, reference, {"relative": float(tolerance)}, unit, source, ok
        )

    def absolute(
        self,
        quantity: str,
        value: float,
        reference: float,
        tolerance: float,
        *,
        unit: str,
        source: str,
    ) -> Row:
        """A row that holds if |value - reference| <= tolerance, in the unit of the value."""
        ok = abs(float(value) - float(reference)) <= _checked(tolerance, quantity)
        return self._add(
            quantity, value, reference, {"absolute": float(tolerance)}, unit, source, ok
        )

    def interval(
        self,
        quantity: str,
        value: float,
        low: float,
        high: float,
        *,
        unit: str,
        source: str,
        reference: float | None = None,
    ) -> Row:
        """A row that holds if low <= value <= high."""
        if not low < high:
            raise ValueError(f"the interval of {quantity!r} is empty: {low} is not below {high}.")
        ok = float(low) <= float(value) <= float(high)
        tolerance = {"interval": [float(low), float(high)]}
        return self._add(quantity, value, reference, tolerance, unit, source, ok)

    def at_most(
        self,
        quantity: str,
        value: float,
        bound: float,
        *,
        unit: str,
        source: str,
        reference: float | None = None,
    ) -> Row:
        """A row that holds if value <= bound, as for an error or a time."""
        ok = float(value) <= float(bound)
        return self._add(quantity, value, reference, {"at_most": float(bound)}, unit, source, ok)

    def at_least(
        self,
        quantity: str,
        value: float,
        bound: float,
        *,
        unit: str,
        source: str,
        reference: float | None = None,
    ) -> Row:
        """A row that holds if value >= bound."""
        ok = float(value) >= float(bound)
        return self._add(quantity, value, reference, {"at_least": float(bound)}, unit, source, ok)

    def information(
        self,
        quantity: str,
        value: float,
        *,
        unit: str,
        source: str = "",
        reference: float | None = None,
    ) -> Row:
        """A row that is only told, such as the time that a peer took in the same run."""
        return self._add(quantity, value, reference, None, unit, source, True)

    @property
    def ok(self) -> bool:
        """Whether there are rows and all are within tolerance."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it; a value that is not finite becomes its name."""
        return {
            "name": self.name,
            "rows": [_finite_or_named(asdict(row)) for row in self.rows],
            "wall_s": time.perf_counter() - self._start,
            "device": device_in_words(),
            "versions": installed_versions(self.peers),
        }

    def table(self) -> Table:
        """The rows as a table for a terminal."""
        table = Table(title=escape(self.name))
        for heading in ("quantity", "value", "reference", "tolerance", "unit", "source", ""):
            numeric = heading in ("value", "reference")
            table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
        for row in self.rows:
            verdict = "[red]FAILED[/]" if not row.ok else "ok" if row.tolerance else "info"
            reference = "" if row.reference is None else f"{row.reference:.6g}"
            cells = (row.quantity, f"{row.value:.6g}", reference, _words(row), row.unit, row.source)
            table.add_row(*map(escape, cells), verdict)
        return table

    def _add(
        self,
        quantity: str,
        value: Any,
        reference: Any,
        tolerance: dict[str, Any] | None,
        unit: str,
        source: str,
        ok: bool,
    ) -> Row:
        value = float(value)
        row = Row(
            quantity=quantity,
            value=value,
            reference=None if reference is None else float(reference),
            tolerance=tolerance,
            unit=unit,
            source=source,
            ok=ok and not math.isnan(value),
        )
        self.rows.append(row)
        return row


def _checked(tolerance: float, quantity: str) -> float:
    if not tolerance >= 0:
        raise ValueError(f"the tolerance of {quantity!r} is {tolerance}, which is below zero.")
    return tolerance


def _finite_or_named(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite_or_named(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_finite_or_named(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return str(content)
    return content


def _words(row: Row) -> str:
    match row.tolerance:
        case {"relative": bound}:
            return f"± {100 * bound:.3g} %"
        case {"absolute": bound}:
            return f"± {bound:.3g}"
        case {"interval": [low, high]}:
            return f"{low:.4g} to {high:.4g}"
        case {"at_most": bound}:
            return f"≤ {bound:.4g}"
        case {"at_least": bound}:
            return f"≥ {bound:.4g}"
    return "none"
