"""Drugs that change a cell model: Hill block of any of its currents, and binding to hERG."""

from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from twinjax._names import unknown_name
from twinjax.cells._cell import AbstractCell, scaled
from twinjax.cells._functions import power

C = TypeVar("C", bound=AbstractCell)


def _number(value: Any) -> Any:
    return jnp.asarray(value, dtype=float) if isinstance(value, (int, float)) else value


def _numbers(values: dict[str, Any] | None) -> dict[str, Any]:
    return {name: _number(value) for name, value in (values or {}).items()}


class Block(eqx.Module):
    """Block of currents by half-maximal concentrations [nM] and Hill coefficients (default 1).

    What a concentration C leaves of a maximal conductance is 1 / (1 + (C / IC50)ʰ).

    Raises `ValueError` for a Hill coefficient of a current that has no IC50, and for numbers that
    are not positive.
    """

    ic50: dict[str, Any] = eqx.field(converter=_numbers)
    hill: dict[str, Any] = eqx.field(converter=_numbers, default=None)

    def __check_init__(self) -> None:
        for name in self.hill:
            if name not in self.ic50:
                raise ValueError(unknown_name("current with a Hill coefficient", name, self.ic50))
        for what, numbers in (("IC50", self.ic50), ("Hill coefficient", self.hill)):
            for name, value in numbers.items():
                traced = isinstance(value, jax.core.Tracer)
                if eqx.is_array(value) and not traced and not np.all(np.asarray(value) > 0):
                    raise ValueError(f"the {what} of {name} must be positive, not {value}")

    def left(self, concentration: Any) -> dict[str, Any]:
        """The factor of each current's maximal conductance at a concentration [nM]."""
        return {
            name: 1 / (1 + power(concentration / ic50, self.hill.get(name, 1.0)))
            for name, ic50 in self.ic50.items()
        }


class Binding(eqx.Module):
    """Binding to hERG and trapping there: Li et al. 2017, Circ Arrhythm Electrophysiol 10:e004628.

    `k_max`, `k_u` [1/ms], `n`, `half_max` [nMⁿ], `v_half` [mV], `k_t` [1/ms]; see `CipaV1`.
    """

    k_max: Any = eqx.field(converter=_number)
    k_u: Any = eqx.field(converter=_number)
    n: Any = eqx.field(converter=_number)
    half_max: Any = eqx.field(converter=_number)
    v_half: Any = eqx.field(converter=_number)
    k_t: Any = eqx.field(converter=_number, default=3.5e-5)


class Drug(eqx.Module):
    """A drug: what it blocks, how it binds to hERG if that was measured, and its usual level.

    Where a model knows binding to hERG, that takes the place of the block of IKr.
    """

    name: str = eqx.field(static=True)
    block: Block = eqx.field(default_factory=lambda: Block({}))
    binding: Binding | None = None
    peak: Any = eqx.field(converter=_number, default=None)  # free therapeutic maximum [nM]


_BINDING = ("k_max", "k_u", "n", "half_max", "v_half", "k_t")


def with_drug(cell: C, drug: Drug, concentration: Any, *, ignore_missing: bool = False) -> C:
    """A cell in a drug at a concentration [nM]; the given one is unchanged.

    Differentiable in the concentration and in all numbers of the drug. Several drugs in turn block
    as if each had a site of its own; only one of them may bind to hERG.

    **Arguments:** with `ignore_missing`, currents that the model lacks are passed over.

    Raises `ValueError` for a current that the model lacks, a negative concentration, a second
    drug that binds to hERG, and a drug of which a model without binding gets no block of IKr.
    """
    concentration = _number(concentration)
    known = not isinstance(concentration, jax.core.Tracer)
    if known and not np.all(np.asarray(concentration) >= 0):
        raise ValueError(
            f"the concentration of {drug.name} must be at least 0 nM, not {concentration}"
        )
    factors = drug.block.left(concentration)
    changes: dict[str, Any] = {}
    if drug.binding is not None:
        if hasattr(cell, "k_max"):
            _refuse_second(cell, drug)
            factors.pop("IKr", None)
            changes["concentration"] = concentration
            changes |= {name: getattr(drug.binding, name) for name in _BINDING}
        elif "IKr" not in factors:
            raise ValueError(
                f"{cell.about.title} has no binding to hERG: give {drug.name} an IC50 of IKr"
            )
    if ignore_missing:
        factors = {name: x for name, x in factors.items() if name in cell.about.conductances}
    cell = scaled(cell, factors)
    names = list(changes)
    if not names:
        return cell
    return eqx.tree_at(lambda c: [getattr(c, n) for n in names], cell, list(changes.values()))


def _refuse_second(cell: Any, drug: Drug) -> None:
    present = cell.concentration
    if not isinstance(present, jax.core.Tracer) and np.any(np.asarray(present) > 0):
        raise ValueError(f"a drug is bound to hERG already, and {drug.name} would take its place")
