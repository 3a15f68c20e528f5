"""Registration: beats aligned at the openings and closings of their valves.

Valves open and close at phases that are smooth functions of the parameters, and waveforms have
corners and fronts there. Aligned at these landmarks, the value of a waveform at a place of the
beat is a smooth function of the parameters too, which a small network can learn; sampled at
fixed phases it is not.

Each side of the heart has its own landmarks: closing of the atrioventricular valve, opening and
closing of the arterial valve, opening of the atrioventricular valve. Between them phases are
mapped linearly onto those of a reference beat.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax.observables import WAVEFORMS


class Side(NamedTuple):
    """One side of the heart: its valves with upstream and downstream pressure, its waveforms."""

    inflow: tuple[str, str]
    outflow: tuple[str, str]
    waveforms: tuple[str, ...]


SIDES = {
    "left": Side(
        ("left_atrium.pressure", "left_ventricle.pressure"),
        ("left_ventricle.pressure", "systemic_arteries.pressure"),
        (
            "left_atrium.pressure",
            "left_atrium.volume",
            "left_ventricle.pressure",
            "left_ventricle.volume",
            "mitral.flow",
            "aortic.flow",
            "systemic_arteries.pressure",
            "systemic_arteries.flow",
            "pulmonary_veins.pressure",
            "pulmonary_veins.flow",
        ),
    ),
    "right": Side(
        ("right_atrium.pressure", "right_ventricle.pressure"),
        ("right_ventricle.pressure", "pulmonary_arteries.pressure"),
        (
            "right_atrium.pressure",
            "right_atrium.volume",
            "right_ventricle.pressure",
            "right_ventricle.volume",
            "tricuspid.flow",
            "pulmonary.flow",
            "pulmonary_arteries.pressure",
            "pulmonary_arteries.flow",
            "systemic_veins.pressure",
            "systemic_veins.flow",
        ),
    ),
}
ORDER = tuple(name for side in SIDES.values() for name in side.waveforms)
assert sorted(ORDER) == sorted(WAVEFORMS)
_GAP = 0.01  # two landmarks are never closer, in beats
# Nodes of the reference beat, in its five pieces; the front behind an opening is a few ms wide.
_NODES = (60, 250, 60, 200, 120)
_CROWDING = (1.0, 2.0, 1.0, 1.5, 1.0)
# Rows of the tables from which beats are read, evenly spaced in each piece: more rows, but found
# without a search.
_ROWS = (60, 1500, 60, 700, 150)
STARTS = tuple(float(n) for n in np.cumsum((0, *_ROWS)))


def landmarks(waves: Float[Array, "10 samples"], side: str) -> Float[Array, "4"]:
    """The four landmarks [beats] of one side's waveforms, in order of time.

    Crossings of the pressure drop over a valve, extrapolated from its closed side, where it is
    smooth: the three nearest samples give a parabola. The closing of the inflow valve lies within
    half a beat of phase 0.
    """
    names = SIDES[side].waveforms

    def drop(pair: tuple[str, str]) -> Array:
        return waves[names.index(pair[0])] - waves[names.index(pair[1])]

    inflow_opens, inflow_closes = _crossings(drop(SIDES[side].inflow))
    outflow_opens, outflow_closes = _crossings(drop(SIDES[side].outflow))
    return ordered(
        jnp.stack(
            [_near_zero(inflow_closes), _near_zero(outflow_opens), outflow_closes, inflow_opens]
        )
    )


def ordered(k: Float[Array, "4"]) -> Float[Array, "4"]:
    """Landmarks in strict order, with gaps; those of a normal beat are unchanged."""
    second = jnp.maximum(k[1], k[0] + _GAP)
    third = jnp.maximum(k[2], second + _GAP)
    return jnp.stack([k[0], second, third, jnp.maximum(k[3], third + _GAP)])


def _near_zero(phase: Array) -> Array:
    return jnp.where(phase > 0.5, phase - 1, phase)


def _crossings(drop: Float[Array, " samples"]) -> tuple[Array, Array]:
    """Phases at which the valve opens and closes around its greatest drop."""
    n = drop.shape[0]
    top = jnp.argmax(drop)
    closed = jnp.roll(drop, -top) <= 0
    first_closed = jnp.argmax(closed) + top
    last_closed = n - 1 - jnp.argmax(closed[::-1]) + top
    return _crossing(drop, last_closed, 1), _crossing(drop, first_closed, -1)


def _crossing(drop: Array, at: Array, step: int) -> Array:
    n = drop.shape[0]
    y0, y1, y2 = drop[at % n], drop[(at - step) % n], drop[(at - 2 * step) % n]
    bend, slope = (y0 - 2 * y1 + y2) / 2, (3 * y0 - 4 * y1 + y2) / 2
    root = slope**2 - 4 * bend * y0
    curved = (root > 1e-12) & (slope > 0)
    parabola = -2 * y0 / jnp.where(curved, slope + jnp.sqrt(jnp.where(curved, root, 1.0)), 1.0)
    steep = jnp.abs(y0 - y1) > 1e-12
    line = -y0 / jnp.where(steep, y0 - y1, 1.0)
    ahead = jnp.where(curved & (parabola <= 1.3), parabola, line)
    return jnp.mod((at + step * jnp.clip(ahead, 0.0, 1.0)) / n, 1.0)


def knots(k: Float[Array, "4"], fixed: float) -> Float[Array, "6"]:
    """The ends of the five pieces of a beat; `fixed` is a phase that stays where it is."""
    # Only predictions far outside the box could come out of order.
    opens, closes = jnp.minimum(k[3], fixed - _GAP), jnp.maximum(k[0] + 1, fixed + _GAP)
    return jnp.stack([k[0], k[1], k[2], opens, jnp.asarray(fixed), closes])


def fixed_phase(all_landmarks: Float[np.ndarray, "runs 4"], wanted: float | None) -> float:
    """The phase, between filling's onset and end, that all beats share.

    `wanted` is a corner of the drive, such as the onset of atrial contraction; it is taken where
    it lies between the landmarks of every beat, else the middle.
    """
    low, high = all_landmarks[:, 3].max() + 0.05, all_landmarks[:, 0].min() + 1 - 0.02
    if wanted is not None and low < wanted < high:
        return float(wanted)
    return float((low + high) / 2)


def reference_nodes(reference: Float[np.ndarray, "6"]) -> Float[np.ndarray, " nodes"]:
    """The places of the reference beat at which waveforms are kept; the last repeats the first."""
    pieces = [
        start + (end - start) * (np.arange(count) / count) ** power
        for start, end, count, power in zip(
            reference[:-1], reference[1:], _NODES, _CROWDING, strict=True
        )
    ]
    return np.concatenate([*pieces, reference[-1:]])


def register(
    waves: Float[Array, "c samples"],
    k: Float[Array, "4"],
    fixed: float,
    reference: Float[Array, "6"],
    nodes: Float[Array, " nodes"],
) -> Float[Array, "c nodes"]:
    """Waveforms at the nodes of the reference beat, by linear interpolation.

    In the two sampling intervals beside a landmark the value at the landmark itself is a node
    too, extrapolated from the side on which waveforms have no front: without it the result would
    depend on where between two samples the valve happens to open.
    """
    n = waves.shape[1]
    ends = knots(k, fixed)
    x = jnp.interp(nodes, reference, ends) * n
    i = jnp.floor(x).astype(int)
    f = x - i
    result = waves[:, i % n] * (1 - f)[None] + waves[:, (i + 1) % n] * f[None]
    for piece, opening in ((0, False), (1, True), (2, False), (3, True), (5, False)):
        at = ends[piece] * n
        j = jnp.floor(at).astype(int)
        before = at - j
        first, step, u = (j, -1, before) if opening else (j + 1, 1, 1 - before)
        y0, y1, y2 = (waves[:, (first + m * step) % n] for m in range(3))
        value = y0 * (1 + 1.5 * u + 0.5 * u**2) - y1 * (2 * u + u**2) + y2 * (0.5 * u + 0.5 * u**2)
        left = jnp.clip((x - j) / jnp.maximum(before, 1e-9), 0, 1)[None]
        right = jnp.clip((x - at) / jnp.maximum(1 - before, 1e-9), 0, 1)[None]
        near, far = waves[:, j % n][:, None], waves[:, (j + 1) % n][:, None]
        value = value[:, None]
        in_left, in_right = ((x >= j) & (x < at))[None], ((x >= at) & (x < j + 1))[None]
        result = jnp.where(in_left, near * (1 - left) + value * left, result)
        result = jnp.where(in_right, value * (1 - right) + far * right, result)
    return result


def places(
    k: Float[Array, "4"],
    fixed: float,
    starts: Float[Array, "6"],
    phases: Float[Array, " samples"],
) -> Float[Array, " samples"]:
    """Where in a table over the reference beat the phases of a beat lie: row plus fraction.

    The table's rows are equally spaced in each piece; `starts` are the rows at the pieces' ends.
    """
    phases = jnp.where(phases < k[0], phases + 1, phases)
    phases = jnp.where(phases >= k[0] + 1, phases - 1, phases)
    return jnp.interp(phases, knots(k, fixed), starts)


def even_table(
    reference: Float[np.ndarray, "6"],
    nodes: Float[np.ndarray, " nodes"],
    values: Float[np.ndarray, "nodes modes"],
) -> Float[np.ndarray, "rows modes"]:
    """Functions of the reference beat, from crowded nodes to the rows of `STARTS`."""
    pieces = [
        np.linspace(start, end, count, endpoint=False)
        for start, end, count in zip(reference[:-1], reference[1:], _ROWS, strict=True)
    ]
    at = np.concatenate([*pieces, reference[-1:]])
    return np.stack([np.interp(at, nodes, column) for column in values.T], axis=1)
