"""Niederer's slab: plane waves across fibres by many schemes, and what their steps cost."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from twinjax import geometry
from twinjax.cells import RushLarsen, TenTusscherPanfilov2006
from twinjax.electro import Stimulus, Tissue, TissueMesh, longest_step, propagate, slab

from ._report import Report

__all__ = ["AMPLITUDE", "CONDUCTIVITY", "SPEEDS", "STEP", "costs_of_schemes", "other_schemes"]

STEP = 0.01
AMPLITUDE = -50000 / 1400  # 50 000 µA/cm³ over 1400 /cm and 1 µF/cm² [A/F]
SPEEDS = {"across": 0.2237, "along": 0.614}  # [m/s]
CONDUCTIVITY = {"across": 0.0176062, "along": 0.1334177}  # [S/m]


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


def scheme_tissue(name: str, size: tuple[float, float, float], spacing: float) -> Tissue:
    """The schemes of the library, on a slab with fibres along its first edge."""
    kind, mass, stepping = name.split(", ")
    weight: Any = {"half": 0.5}.get(mass, mass)
    cell = TenTusscherPanfilov2006()
    if kind == "voxels":
        tissue = Tissue(slab(size, spacing), cell, mass=weight)
    else:
        grid = TissueMesh(geometry.slab(size, spacing, cells=kind))
        tissue = Tissue(grid, cell, fibres=0, mass=weight, stepping=stepping)
    return tissue.astype(jnp.float32)


SCHEMES = (
    "voxels, lumped, explicit",
    "voxels, blended, explicit",
    "tetrahedra, lumped, explicit",
    "tetrahedra, blended, explicit",
    "tetrahedra, half, explicit",
    "tetrahedra, consistent, explicit",
    "tetrahedra, lumped, implicit",
    "tetrahedra, consistent, implicit",
    "hexahedra, lumped, explicit",
    "hexahedra, blended, explicit",
    "hexahedra, half, explicit",
    "hexahedra, consistent, implicit",
)


def costs_of_schemes(report: Report) -> None:
    """Speed of a plane wave across fibres, and the cost of a step beside lumped voxels.

    Costs are the least of several turns in which all schemes take part, each with the cells.
    """
    runs: dict[str, Any] = {}
    for name in SCHEMES:
        tissue = scheme_tissue(name, (6.0, 3.0, 3.0), 0.2)
        where = tissue.grid.within((0.0,) * 3, (1.5,) * 3)
        stimulus = Stimulus(where, AMPLITUDE)

        def run(tissue: Tissue = tissue, stimulus: Stimulus = stimulus) -> None:
            jax.block_until_ready(
                propagate(tissue, [stimulus], duration=0.5, step=STEP, substeps=1).state
            )

        run()  # compiles
        runs[name] = run
    least = dict.fromkeys(SCHEMES, np.inf)
    for _ in range(6):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            least[name] = min(least[name], time.perf_counter() - began)
    for spacing in (0.4, 0.2):
        for name in SCHEMES:
            # Across fibres: they lie along the first edge, the wave goes along the second.
            tissue = scheme_tissue(name, (2 * spacing, 8.0, 2 * spacing), spacing)
            points = np.asarray(tissue.grid.points)
            stimulus = Stimulus(points[:, 1] < 1.5 + 1e-6, AMPLITUDE)
            done = propagate(tissue, [stimulus], duration=110.0, step=2 * STEP)
            first, last = (tissue.grid.nearest((0.0, y, 0.0)) for y in (3.2, 5.6))
            times = done.observations.activation
            speed = float((points[last, 1] - points[first, 1]) / (times[last] - times[first]))
            cost = least[name] / least[SCHEMES[0]]
            limit = float(longest_step(tissue))
            report.information(
                f"plane wave across fibres, {name}, {spacing} mm",
                speed if np.isfinite(speed) else 0.0,
                reference=SPEEDS["across"],
                unit="m/s",
                source=f"cost of a step {cost:.2f} at 0.2 mm, longest step {limit:.3f} ms",
            )
