"""Activation of a slab of tissue: Niederer et al. 2011, Phil Trans R Soc A 369:4331, 11 codes.

20 x 7 x 3 mm, fibres along the longest edge, cells of ten Tusscher and Panfilov 2006 (epicardial,
the paper's initial state), a cube of 1.5 mm at a corner stimulated for 2 ms; a node's activation
is its first upward crossing of 0 mV. Points are named by their coordinates, for their numbers
differ between codes. Time step 0.01 ms.

Spec: with the lumped mass the nine points lie within one standard deviation of the mean of the 11
codes at 0.5, 0.2 and 0.1 mm; plane waves converge to the continuum's 0.2237 m/s across fibres and
0.614 along them (lumped, 0.025 and 0.05 mm: 2 %). With the blended mass plane waves have those
speeds to 5 % at 0.2 mm and 15 % at 0.4 mm, at no more than twice the cost of the lumped mass.
Told: the blended mass on the slab beside the codes' mean at 0.1 mm, and plane waves across fibres
by schemes that are not part of the library. With --quick: the slab at 0.5 mm, in single
precision, plane waves from 0.2 mm on, and no other schemes. The slab at 0.1 mm is in single
precision too: at 0.5 mm that changes no time by more than 0.01 ms.
"""

import time
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from twinjax.cells import RushLarsen, TenTusscherPanfilov2006
from twinjax.electro import MASSES, Stimulus, Tissue, propagate, slab

from ._report import Report, main

SIZE = (20.0, 7.0, 3.0)
POINTS = (
    (0.0, 0.0, 0.0),
    (20.0, 0.0, 0.0),
    (0.0, 0.0, 3.0),
    (20.0, 0.0, 3.0),
    (0.0, 7.0, 0.0),
    (20.0, 7.0, 0.0),
    (0.0, 7.0, 3.0),
    (20.0, 7.0, 3.0),
    (10.0, 3.5, 1.5),
)
# Mean and standard deviation [ms] of 11 codes at dt 0.01 ms: the paper's supplement.
CODES = {
    0.5: (
        (1.04, 47.73, 27.37, 54.57, 105.66, 117.34, 106.80, 117.86, 55.17),
        (0.38, 8.33, 11.04, 11.97, 33.36, 34.83, 35.08, 36.11, 17.40),
    ),
    0.2: (
        (1.05, 34.43, 11.29, 36.67, 38.56, 52.56, 40.52, 53.81, 24.58),
        (0.40, 1.48, 1.60, 2.98, 5.00, 7.10, 6.08, 8.17, 3.76),
    ),
    0.1: (
        (1.04, 32.23, 8.95, 33.70, 29.76, 43.97, 31.32, 44.93, 20.50),
        (0.38, 0.56, 0.56, 1.00, 1.65, 2.83, 2.12, 3.22, 1.30),
    ),
}
END = {0.5: 130.0, 0.2: 56.0, 0.1: 47.0}
BLENDED_END = 46.0
TIMED = 1.0  # [ms] of each slab, to time a step
STEP = 0.01
AMPLITUDE = -50000 / 1400  # 50 000 µA/cm³ over 1400 /cm and 1 µF/cm² [A/F]
SPEEDS = {"across": 0.2237, "along": 0.614}  # [m/s]
CONDUCTIVITY = {"across": 0.0176062, "along": 0.1334177}  # [S/m]
SOURCE = "mean of 11 codes ± 1 SD, dt 0.01 ms"


def run(quick: bool, report: Report) -> None:
    """Plane waves, then the slab."""
    spacings = (0.4, 0.2) if quick else (0.5, 0.4, 0.2, 0.1, 0.05, 0.025)
    for direction in SPEEDS:
        plane_waves(report, direction, spacings)
    if not quick:
        for spacing in (0.4, 0.2):
            other_schemes(report, spacing)
    for spacing in (0.5,) if quick else (0.5, 0.2, 0.1):
        single = quick or spacing == 0.1
        on_the_slab(report, spacing, jnp.float32 if single else jnp.float64)


def plane_waves(report: Report, direction: str, spacings: Sequence[float]) -> None:
    """Speeds of the two masses, and convergence of the lumped one."""
    exact = SPEEDS[direction]
    for spacing in spacings:
        for mass in MASSES:
            speed = plane_wave(direction, spacing, mass)
            title = f"plane wave {direction} fibres, {mass}, {spacing} mm"
            limit = {0.2: 0.05, 0.4: 0.15}.get(spacing) if mass == "blended" else None
            if spacing <= (0.025 if direction == "across" else 0.05):
                limit = 0.02
            source = "continuum: fourth order at 0.0125 mm"
            if limit is None:
                report.information(title, speed, reference=exact, unit="m/s", source=source)
            else:
                report.relative(title, speed, exact, limit, unit="m/s", source=source)


def plane_wave(direction: str, spacing: float, mass: str) -> float:
    """Speed [m/s] between two fifths and seven tenths of a cable."""
    length = 8.0 if direction == "across" else 16.0
    grid = slab((length,), spacing)
    tissue = Tissue(
        grid,
        TenTusscherPanfilov2006(),
        mass=mass,
        conductivity_along=CONDUCTIVITY[direction],
    )
    stimulus = Stimulus(grid.within((0.0,), (1.5,)), AMPLITUDE)
    # The slowest wave that arrives, of the lumped mass on a coarse grid, takes this long.
    duration = 110.0 if direction == "across" else 44.0
    seen = propagate(tissue, [stimulus], duration=duration, step=STEP).observations
    first, last = (grid.nearest((part * length,)) for part in (0.4, 0.7))
    distance = grid.points[last, 0] - grid.points[first, 0]
    return float(distance / (seen.activation[last] - seen.activation[first]))


def other_schemes(report: Report, spacing: float) -> None:
    """Plane waves across fibres by matrices of a cable."""
    n = round(12.0 / spacing) + 1
    second = -2 * np.eye(n) + np.eye(n, k=1) + np.eye(n, k=-1)
    second[0, 0] = second[-1, -1] = -1
    one = np.eye(n)
    diffusion = CONDUCTIVITY["across"] / (140 * 0.01) / spacing**2 * second
    # Two Gauss points in each element, and half an element's length of weight for each.
    places = (np.arange(n - 1)[:, None] + 0.5 + np.array([-1, 1])[None] / 12**0.5).reshape(-1)
    there = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(n)[None]))
    lumped = there.T / 2 / (there.T / 2).sum(axis=1, keepdims=True)
    consistent = np.linalg.solve(there.T @ there / 2, there.T / 2)
    schemes = {
        "fourth order, compact": (np.linalg.solve(one + second / 12, diffusion), None, "a solve"),
        "fourth order, wide": ((one - second / 12) @ diffusion, None, "two stencils"),
        "consistent": (np.linalg.solve(one + second / 6, diffusion), None, "a solve"),
        "consistent, one Neumann term": ((one - second / 6) @ diffusion, None, "two stencils"),
        "consistent, states interpolated": (
            np.linalg.solve(one + second / 6, diffusion),
            (there, consistent),
            "a solve, currents at 8 points of a voxel",
        ),
        "lumped, states interpolated": (
            diffusion,
            (there, lumped),
            "one stencil, currents at 8 points of a voxel",
        ),
    }
    for name, (operator, interpolation, cost) in schemes.items():
        report.information(
            f"plane wave across fibres, {name}, {spacing} mm",
            cable_speed(operator, interpolation, spacing),
            reference=SPEEDS["across"],
            unit="m/s",
            source=f"cost in three dimensions: {cost}",
        )


def cable_speed(
    operator: np.ndarray, interpolation: tuple[np.ndarray, np.ndarray] | None, spacing: float
) -> float:
    """Speed [m/s] of a plane wave with this ∇·(D∇·) [1/ms].

    With an interpolation (to points, back) the currents are those of the states at the points.
    """
    cell, scheme, n = TenTusscherPanfilov2006(), RushLarsen(), len(operator)
    current = jnp.where(np.arange(n) * spacing < 1.5 + 1e-9, AMPLITUDE, 0.0)

    @jax.jit
    def run() -> Any:
        def step(carry: Any, i: Any) -> Any:
            state, activation = carry
            stimulus = jnp.where(i * STEP < 2.0 - 1e-9, 1.0, 0.0) * current
            after = scheme.step(cell, state, stimulus, STEP)[0]
            v = after.v
            if interpolation is not None:
                there, back = interpolation
                points = jax.tree.map(lambda x: there @ x, state)
                v = state.v + STEP * (back @ cell.rates(points, there @ stimulus).v)
            v = v + STEP * (operator @ v)
            up = (state.v < 0) & (v >= 0) & jnp.isinf(activation)
            share = -state.v / jnp.where(v == state.v, 1.0, v - state.v)
            activation = jnp.where(up, STEP * (i + share), activation)
            return (after._replace(v=v), activation), None

        state = jax.tree.map(lambda x: jnp.full(n, x), cell.initial_state())
        return jax.lax.scan(step, (state, jnp.full(n, jnp.inf)), jnp.arange(11000))[0][1]

    activation = run()
    first, last = round(0.35 * n), round(0.65 * n)
    return float((last - first) * spacing / (activation[last] - activation[first]))


def on_the_slab(report: Report, spacing: float, dtype: Any) -> None:
    """Nine points of each mass, and what a step costs."""
    means, deviations = CODES[spacing]
    costs = {}
    for mass, end in (("lumped", END[spacing]), ("blended", BLENDED_END)):
        times, costs[mass] = activation(spacing, mass, end, dtype)
        columns = zip(POINTS, times, means, deviations, CODES[0.1][0], strict=True)
        for point, found, mean, deviation, finest in columns:
            title = f"slab, {mass}, {spacing} mm, at {point}"
            if mass == "lumped":
                report.absolute(title, found, mean, deviation, unit="ms", source=SOURCE)
            else:
                source = "mean of 11 codes at 0.1 mm"
                report.information(title, found, reference=finest, unit="ms", source=source)
    title = f"slab, {spacing} mm: cost of a step, blended over lumped"
    ratio = costs["blended"] / costs["lumped"]
    source = f"{1e9 * costs['lumped']:.0f} ns a node and step, lumped, {dtype.__name__}"
    if spacing == 0.5:  # so few nodes that what every step costs besides them shows
        report.information(title, ratio, unit="1", source=source)
    else:
        report.at_most(title, ratio, 2.0, unit="1", source=source)


def activation(spacing: float, mass: str, end: float, dtype: Any) -> tuple[np.ndarray, float]:
    """Times [ms] at the nine points, and seconds a node and step, without compiling."""
    grid = slab(SIZE, spacing)
    tissue = Tissue(grid, TenTusscherPanfilov2006(), mass=mass)
    tissue = jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, tissue)
    stimulus = Stimulus(grid.within((0.0,) * 3, (1.5,) * 3), AMPLITUDE)

    def run(duration: float) -> np.ndarray:
        done = propagate(tissue, [stimulus], duration=duration, step=STEP)
        return np.array(done.observations.activation, float)

    took = []
    for _ in range(3):  # the first compiles
        began = time.perf_counter()
        run(TIMED)
        took.append(time.perf_counter() - began)
    cost = min(took[1:]) / (len(grid.nodes) * round(TIMED / STEP))
    return run(end)[[grid.nearest(point) for point in POINTS]], cost


if __name__ == "__main__":
    main(run, name="niederer2011")
