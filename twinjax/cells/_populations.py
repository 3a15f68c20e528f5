"""Virtual populations: cells that differ in their conductances."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.stats import norm, qmc

from twinjax._names import unknown_name
from twinjax._parameters import parameters_of
from twinjax._results import RESULTS
from twinjax._simulator import in_chunks
from twinjax._solve import Solution
from twinjax.cells._biomarkers import biomarkers
from twinjax.cells._cell import AbstractCell, conductance_of, scaled
from twinjax.cells._pace import Grid, pace
from twinjax.cells._ranges import Range
from twinjax.cells._schemes import AbstractScheme

Measure = Callable[[Solution], dict[str, Array]]


class Pacing(eqx.Module):
    """How every cell of a population is paced; `None` is the default of `pace`."""

    beats: int = eqx.field(default=10, static=True)
    grid: Grid | None = None
    state: Any = None
    amplitude: Any = None
    scheme: AbstractScheme | None = None
    measure: Measure = eqx.field(default=biomarkers, static=True)

    def __call__(self, cell: AbstractCell) -> tuple[dict[str, Array], Array]:
        """Biomarkers of the last beat, and the `RESULTS` code."""
        beat = pace(
            cell,
            state=self.state,
            beats=self.beats,
            grid=self.grid,
            amplitude=self.amplitude,
            scheme=self.scheme,
            throw=False,
        )
        return self.measure(beat), beat.result


@dataclasses.dataclass(frozen=True)
class Population:
    """Virtual cells, one a row.

    - `currents`: the names whose conductances differ; `scales` (n, k): factors of the model's own.
    - `biomarkers`: of the last beat, (n,) each; NaN where a cell has none.
    - `results` (n,): a `RESULTS` code each; `failed`: the simulation itself went wrong.
    """

    currents: tuple[str, ...]
    scales: Float[np.ndarray, "n k"]
    biomarkers: dict[str, Float[np.ndarray, " n"]]
    results: Int[np.ndarray, " n"]

    @property
    def failed(self) -> Bool[np.ndarray, " n"]:
        return self.results != int(RESULTS.successful)

    def within(self, ranges: Mapping[str, Range]) -> Bool[np.ndarray, " n"]:
        """Which cells have every biomarker in its range: acceptance or rejection.

        A failed simulation, or a biomarker that does not exist, is outside. Raises `ValueError`
        for an unknown biomarker.
        """
        inside = ~self.failed
        for name, wanted in ranges.items():
            if name not in self.biomarkers:
                raise ValueError(unknown_name("biomarker", name, self.biomarkers))
            value = self.biomarkers[name]
            inside &= (value >= wanted.low) & (value <= wanted.high)  # False for NaN
        return inside

    def select(self, which: Any) -> "Population":
        """The cells of a mask, or of indices."""
        return Population(
            self.currents,
            self.scales[which],
            {name: value[which] for name, value in self.biomarkers.items()},
            self.results[which],
        )


def _names(currents: Sequence[str]) -> tuple[str, ...]:
    # A lone name is a sequence too, of its letters.
    return (currents,) if isinstance(currents, str) else tuple(currents)


def sample_scales(
    cell: AbstractCell,
    count: int,
    *,
    currents: Sequence[str] | None = None,
    distribution: Literal["lognormal", "uniform"] = "lognormal",
    spread: float = 0.3,
    method: Literal["sobol", "latin hypercube"] = "sobol",
    seed: int = 0,
) -> tuple[tuple[str, ...], Float[np.ndarray, "n k"]]:
    """Factors of maximal conductances that fill their distribution evenly.

    Lognormal with median 1 and `spread` the SD of the logarithm (Sobie 2009, Biophys J 96:1264), or
    uniform between 1 - spread and 1 + spread (Britton et al. 2013, PNAS 110:E2098, with spread 1).
    Sobol points, scrambled, or a Latin hypercube; the same seed gives the same factors.

    **Arguments:** `currents`, a name or several (default: all that the model lists and that are
    not 0).

    **Returns:** the names, and factors (count, k), within the bounds of the parameters.

    Raises `ValueError` for an unknown current, distribution or method, a count below 1, or a
    spread that is not possible.
    """
    every = cell.about.conductances.items()
    usual = [name for name, field in every if float(getattr(cell, field)) > 0]
    names = _names(usual if currents is None else currents)
    low, high = factor_bounds(cell, names)
    if count < 1:
        raise ValueError(f"a population needs at least one cell, not {count}")
    most = {"lognormal": math.inf, "uniform": 1.0}
    if distribution not in most:
        raise ValueError(unknown_name("distribution", distribution, most))
    if not 0 < spread <= most[distribution]:
        raise ValueError(
            f"the spread of a {distribution} distribution must lie in (0, {most[distribution]:g}], "
            f"not {spread}"
        )
    engines = {
        "sobol": lambda: qmc.Sobol(len(names), seed=seed).random_base2(math.ceil(math.log2(count))),
        "latin hypercube": lambda: qmc.LatinHypercube(len(names), seed=seed).random(count),
    }
    if method not in engines:
        raise ValueError(unknown_name("method", method, engines))
    unit = np.asarray(engines[method]())[:count]
    if distribution == "uniform":
        factors = 1 + spread * (2 * unit - 1)
    else:
        # A scrambled Sobol point may be exactly 0.
        factors = np.exp(spread * norm.ppf(np.clip(unit, 1e-12, 1 - 1e-12)))
    return names, np.clip(factors, low, high)


def simulate_population(
    cell: AbstractCell,
    currents: Sequence[str],
    scales: Float[np.ndarray, "n k"] | Sequence[Sequence[float]],
    *,
    pacing: Pacing | None = None,
    chunk: int = 128,
) -> Population:
    """Paces every virtual cell, `chunk` of them at once.

    A cell whose simulation fails is recorded with its code and NaN; the others go on.

    **Arguments:** `currents`, a name or several; `scales`, factors of their conductances.

    Raises `ValueError` for an unknown current, factors that do not fit the currents or are
    negative, or an empty chunk.
    """
    names = _names(currents)
    factor_bounds(cell, names)
    scales = np.asarray(scales, dtype=float)
    _check_scales(scales, names)
    pacing = Pacing() if pacing is None else pacing
    size = min(chunk, len(scales))
    found, results = in_chunks(lambda rows: simulate_chunk(cell, names, pacing, rows), scales, size)
    return _population(names, scales, found, results)


def factor_bounds(cell: AbstractCell, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Factors that keep each conductance within the bounds of its parameter."""
    if not names:
        choices = ", ".join(cell.about.conductances) or "none"
        raise ValueError(
            f"a population needs the name of at least one current that {cell.about.title} scales: "
            f"{choices}"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"a current of a population is named twice: {', '.join(names)}")
    known = parameters_of(cell)
    low, high = [], []
    for name in names:
        field = conductance_of(cell, name)
        value = float(getattr(cell, field))
        if not value > 0:
            raise ValueError(f"the conductance of {name} is {value:g}, so that it cannot be scaled")
        bounds = known[field].bounds
        low.append(bounds[0] / value)
        high.append(bounds[1] / value)
    return np.array(low), np.array(high)


def _check_scales(scales: np.ndarray, names: Sequence[str]) -> None:
    if scales.ndim != 2 or scales.shape[1] != len(names) or not len(scales):
        raise ValueError(
            f"{len(names)} currents need factors of shape (n, {len(names)}), not {scales.shape}"
        )
    if not (np.isfinite(scales) & (scales >= 0)).all():
        raise ValueError("factors of conductances must be finite and not negative")


def _population(
    names: tuple[str, ...], scales: np.ndarray, found: dict[str, np.ndarray], results: np.ndarray
) -> Population:
    failed = results != int(RESULTS.successful)
    markers = {name: np.where(failed, np.nan, value) for name, value in found.items()}
    return Population(names, np.array(scales, dtype=float), markers, results)


def paced_with(cell: AbstractCell, names: tuple[str, ...], pacing: Pacing, factors: Array) -> Any:
    """Biomarkers and the code of one cell."""
    return pacing(scaled(cell, dict(zip(names, factors, strict=True))))


@eqx.filter_jit
def simulate_chunk(
    cell: AbstractCell, names: tuple[str, ...], pacing: Pacing, factors: Array
) -> Any:
    """The same of many cells at once."""
    return jax.vmap(lambda x: paced_with(cell, names, pacing, x))(factors)
