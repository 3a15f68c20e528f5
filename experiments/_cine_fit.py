"""Both ventricles in three dimensions by the volumes and the cuff: few steps of Gauss and Newton.

Each step costs a few beats, in which what the step has disturbed settles, and one with its forward
sensitivities. Beats go on from one another, and so do the derivatives of their states, so that
search and approach to the periodic beat are one.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from twinjax import RESULTS
from twinjax.heart import HeartState, sensitivities, settle
from twinjax.units import factor

from ._cine_heart import CineHeart, goes_on
from ._cine_lumped import CHAMBERS, Seen

LONGEST = (1.0, 0.6)  # of the first three steps and later ones in any coordinate, in SDs
SETTLING, SETTLED = 3, 0.01  # beats at most, and the change over a beat at which there are fewer
PERIODIC = 5.0  # mL, by which a ventricle's volume may change over the beat
DIVISIONS = (1, 2, 4)
EARLY, LATE, UNTIL = 6.0, 15.0, 500.0  # ms: steps of the beat, and when they change


@dataclasses.dataclass(frozen=True)
class Linear:
    """A beat at z (n), linearised: what is measured, then volumes of all frames, and slopes."""

    z: Float[np.ndarray, " n"]
    values: Float[np.ndarray, " d"]
    slopes: Float[np.ndarray, "d n"]
    drift: float  # the greatest change of a ventricle's volume over the beat [mL]
    pressures: Float[np.ndarray, "2"]  # peaks in both ventricles [mmHg]


def beat_steps(period: float) -> Float[np.ndarray, " n"]:
    """Short ones while the heart contracts and relaxes, then long ones [ms]."""
    early = np.full(round(UNTIL / EARLY), EARLY)
    count = int(np.ceil((period - UNTIL) / LATE))
    return np.concatenate([early, np.full(count, (period - UNTIL) / count)])


def settled(
    make: CineHeart, seen: Seen, z: Float[np.ndarray, " n"], state: HeartState
) -> HeartState:
    """The end of a beat at z that is nearly periodic, or of the last of a few, from a state on."""
    start, _ = goes_on(make, jnp.asarray(z), state, None)
    heart = make(jnp.asarray(z))

    def run(lengths: np.ndarray) -> HeartState:
        found = settle(heart, start=start, step=lengths, beats=SETTLING, rtol=SETTLED, throw=False)
        if not (found.ok or found.result == RESULTS.not_periodic):
            raise RuntimeError(RESULTS(int(found.result)).message)
        return found.state

    return _by_steps(seen, run)


def linearised(
    make: CineHeart,
    seen: Seen,
    z: Float[np.ndarray, " n"],
    state: HeartState,
    moves: HeartState | None,
) -> tuple[Linear, HeartState, HeartState]:
    """The beat that goes on from a state at z, what it tells, its end and the end's derivatives."""
    at = jnp.asarray(z)
    start, begun = goes_on(make, at, state, moves)
    run, slopes, moves = _by_steps(
        seen,
        lambda each: sensitivities(make, at, start=start, step=each, moves=begun, rtol=1e-5),
    )
    times = np.asarray(run.times) * factor("ms", "s")
    frames = seen.period * np.arange(seen.frames) / seen.frames

    def told(waves: Any, among: Callable) -> np.ndarray:
        volumes = [np.interp(frames, times, np.asarray(waves[f"{c}.volume"])) for c in CHAMBERS]
        arterial = np.asarray(waves["systemic_arteries.pressure"])
        measured = [v[: seen.count] for v in volumes]
        return np.concatenate([*measured, among(arterial), *volumes])

    arterial = np.asarray(run.observations["systemic_arteries.pressure"])
    ends = [int(arterial.argmax()), int(arterial.argmin())]
    values = told(run.observations, lambda a: a[ends])
    rows = [
        told({name: wave[i] for name, wave in slopes.items()}, lambda a: a[ends])
        for i in range(len(z))
    ]
    volumes = [np.asarray(run.observations[f"{c}.volume"]) for c in CHAMBERS]
    drift = max(abs(float(v[-1] - v[0])) for v in volumes)
    peaks = [float(np.max(np.asarray(run.observations[f"{c}.pressure"]))) for c in CHAMBERS]
    return (
        Linear(np.asarray(z), values, np.stack(rows, axis=1), drift, np.array(peaks)),
        run.state,
        moves,
    )


def _by_steps(seen: Seen, run: Callable[[np.ndarray], Any]) -> Any:
    """A beat; where a step finds no balance all are halved, and once more."""
    lengths = beat_steps(seen.period * factor("s", "ms"))
    for division in DIVISIONS[:-1]:
        with contextlib.suppress(RuntimeError):
            return run(np.repeat(lengths / division, division))
    return run(np.repeat(lengths / DIVISIONS[-1], DIVISIONS[-1]))


def misfit(seen: Seen, at: Linear) -> Float[np.ndarray, " r"]:
    """Of the data, then of the prior, in SDs."""
    data, sds = seen.data()
    return np.concatenate([(at.values[: len(data)] - data) / sds, at.z])


def covariance(seen: Seen, at: Linear) -> Float[np.ndarray, "n n"]:
    """Of z by Laplace's approximation."""
    root = _root(seen, at)
    return np.linalg.inv(root.T @ root)


def _root(seen: Seen, at: Linear) -> np.ndarray:
    data, sds = seen.data()
    return np.concatenate([at.slopes[: len(data)] / sds[:, None], np.eye(len(at.z))])


def fitted(
    make: CineHeart,
    seen: Seen,
    z: Float[np.ndarray, " n"],
    state: HeartState,
    *,
    beats: int,
    tell: Callable[[Linear], None],
) -> Linear:
    """The best of so many linearised beats that are nearly periodic, by steps that are bounded;
    `tell` has each.

    Beats on the way are not periodic, so that one may be worse than that before it and its step
    still be a good one. After a beat that cannot be had the next one tries a quarter of the step.
    """
    moves: HeartState | None = None
    best: Linear | None = None
    last: tuple[Linear, HeartState, HeartState] | None = None
    way = np.zeros(len(z))
    for number in range(beats):
        try:
            last = linearised(make, seen, z, settled(make, seen, z, state), moves)
        except RuntimeError:
            if last is None:
                raise
            way = way / 4
        else:
            tell(last[0])
            best = min((best or last[0], last[0]), key=lambda at: _rank(seen, at))
            root = _root(seen, last[0])
            way = np.linalg.solve(root.T @ root, -root.T @ misfit(seen, last[0]))
            way *= min(1.0, LONGEST[min(number // 3, 1)] / max(np.abs(way).max(), 1e-12))
        here, state, moves = last
        z = here.z + way
    assert best is not None
    return best


def _rank(seen: Seen, at: Linear) -> tuple[bool, float]:
    return at.drift > PERIODIC, _cost(seen, at)


def _cost(seen: Seen, at: Linear) -> float:
    off = misfit(seen, at)
    return float(off @ off)
