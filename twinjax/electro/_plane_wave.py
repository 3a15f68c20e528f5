"""Speeds of plane waves, and the conductivities that wanted speeds need."""

import math
from typing import Any, NamedTuple

import numpy as np

from twinjax.cells import AbstractCell
from twinjax.electro._grid import VoxelGrid
from twinjax.electro._propagate import Stimulus, propagate
from twinjax.electro._tissue import Tissue

# Seawater has 5 S/m; no tissue conducts better.
_CONDUCTOR = 5.0


class WaveConductivities(NamedTuple):
    """What `conductivities_for` finds, named as the fields of `Tissue` are."""

    conductivity_along: float  # [S/m]
    conductivity_across: float  # [S/m]


def conduction_speed(
    cell: AbstractCell,
    conductivity: float,
    *,
    spacing: float = 0.2,
    mass: str = "lumped",
    step: float = 0.02,
    expected: float = 0.5,
    **options: Any,
) -> float:
    """Speed [m/s] of a plane wave along an axis of a grid, 0 where no wave comes through.

    A cable of resting cells is stimulated at one end for 2 ms with 1½ times the cell's own
    amplitude, and activation timed from the middle to four fifths.

    **Arguments:** `conductivity` [S/m] in the direction of the wave, `spacing` [mm], `mass` of
    `Tissue`, `step` [ms], `expected`, a speed [m/s] by which the length and the duration of the
    run are chosen: a wave slower than a tenth of it is none. Further options are those of `Tissue`.

    Raises `ValueError` for a cell without a stimulus, and for numbers that are not positive.
    """
    for name, value in (("conductivity", conductivity), ("expected speed", expected)):
        if not 0 < value < math.inf:
            raise ValueError(f"the {name} must be positive, not {value}")
    if cell.about.stimulus is None:
        raise ValueError(f"{cell.about.title} beats by itself: it has no stimulus to send a wave")
    # The front is about as many mm long as the wave goes in 1.5 ms.
    reach = max(20 * expected, 30 * spacing)
    start = max(3 * expected, 3 * spacing)
    grid = VoxelGrid(np.ones(round((reach + start) / spacing), bool), spacing)
    tissue = Tissue(grid, cell, mass=mass, conductivity_along=conductivity, **options)
    x = grid.points[:, 0]
    stimulus = Stimulus(x <= start + 1e-6 * spacing, 1.5 * cell.about.stimulus[0])
    duration = step * math.ceil(10 * reach / expected / step)
    first = int(np.argmin(np.abs(x - start - 0.5 * reach)))
    last = int(np.argmin(np.abs(x - start - 0.8 * reach)))
    times = propagate(tissue, [stimulus], duration=duration, step=step).observations.activation
    took = float(times[last] - times[first])
    return float(x[last] - x[first]) / took if math.isfinite(took) and took > 0 else 0.0


def conductivities_for(
    cell: AbstractCell,
    *,
    along: float = 0.6,
    across: float = 0.2,
    rtol: float = 0.005,
    **options: Any,
) -> WaveConductivities:
    """Conductivities [S/m] with which plane waves have wanted speeds [m/s] on a grid.

    A secant search in logarithms, from the continuum's v ∝ √σ. What it finds belongs to the
    cell, the `spacing`, the `mass` and the `step` that it is given (see `conduction_speed`): with
    a lumped mass on a coarse grid it makes up for the grid, along the axes of the grid only.

    **Arguments:** `rtol`, of the speeds. Raises `ValueError` where no conductivity was found.
    """
    return WaveConductivities(
        _found(cell, along, 0.13, rtol, options), _found(cell, across, 0.018, rtol, options)
    )


def _found(cell: AbstractCell, wanted: float, guess: float, rtol: float, options: Any) -> float:
    sigma, power, speed = guess, 2.0, 0.0
    before: tuple[float, float] | None = None
    for _ in range(15):
        if not 1e-6 < sigma < _CONDUCTOR:
            break
        speed = conduction_speed(cell, sigma, expected=wanted, **options)
        if abs(speed - wanted) <= rtol * wanted:
            return sigma
        if speed == 0:  # no wave: the coupling is too weak for this grid
            sigma, before = 3 * sigma, None
            continue
        if before is not None and speed != before[1]:
            slope = math.log(speed / before[1]) / math.log(sigma / before[0])
            power = 1 / min(max(slope, 0.2), 2.0)
        before = (sigma, speed)
        sigma = sigma * min(max((wanted / speed) ** power, 0.1), 10.0)
    raise ValueError(
        f"no conductivity up to {_CONDUCTOR} S/m gives {cell.about.title} a speed of {wanted} m/s; "
        f"the last speed that was tried is {speed:.3g} m/s"
    )
