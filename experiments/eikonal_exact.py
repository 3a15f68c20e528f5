"""Activation times against exact ones, and against fim-python 1.2 on the same meshes.

A cube of 10 mm in tetrahedra (Kuhn's division), fibres oblique to all axes, 0.6, 0.4 and 0.2 m/s
along fibres, in the sheet and across it:

- a plane wave, T = n·x / √(n·V n): exact on every mesh;
- a point source in the middle, T = √((x - x₀)·V⁻¹ (x - x₀)), from its node only, and as a point
  with a radius of 2 mm. From a node the error is that of the cells around it, of order h log(1/h)
  (Qian, Zhang, Zhao 2007, SIAM J Numer Anal 45:83); exact times in a ball give order 1;
- isotropic tissue with a velocity that grows linearly, v = 0.3 + 0.05 z, constant in each cell:
  T = arcosh(1 + g² |x - x₀|² / (2 v v₀)) / g, with g = 0.05 /ms.

Spec: the plane wave to rounding; with the radius orders of at least 0.85 from 1.25 mm on;
derivatives by velocities, place and onset of a root in forward and reverse mode within 1e-7 of
differences; the same times as fim-python (float64) within its stopping rule, 1e-4 of the largest;
reverse mode at most four times the cost of times.

Times of programs are on the 2 cores of the machine, without compiling and setting up: the least of
repeats, but for fim-python, which runs once. With --quick spacings end at 0.625 mm, and fim-python
computes the cube only.
"""

import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from twinjax.electro import Eikonal, RootNodes, RootPoints, activation_times
from twinjax.geometry import Mesh, Surface, find_surfaces, repaired, replace, slab, with_fibres
from twinjax.io import read_mesh

from ._report import Report, main
from ._shared import ReferenceAbsent, shared_path
from ._timing import least

SIZE = (10.0, 10.0, 10.0)
VELOCITIES = {"velocity_fibre": 0.6, "velocity_sheet": 0.4, "velocity_normal": 0.2}
FRAME = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
TENSOR = FRAME @ np.diag(np.array([0.6, 0.4, 0.2]) ** 2) @ FRAME.T
CENTRE = np.array([5.0, 5.0, 5.0])
RADIUS = 2.0
GROWTH = 0.05  # of velocity [1/ms]
EXACT = "exact solution"


def run(quick: bool, report: Report) -> None:
    """Fills the report."""
    spacings = (2.5, 1.25, 0.625) if quick else (2.5, 1.25, 0.625, 0.3125)
    plane_wave(report)
    orders(report, spacings)
    derivatives(report)
    beside_fim(report, "cube of 1.25 mm", cube(1.25), RootNodes(*ball(cube(1.25))))
    try:
        mesh = heart()
    except ReferenceAbsent:  # the exact problems hold without it
        return
    if not quick:
        roots = RootNodes(mesh.nodes(Surface.LV_ENDO)[[0, 100]])
        beside_fim(report, "ventricles", mesh, roots)
    on_a_heart(report, mesh)


def cube(spacing: float) -> Mesh:
    """The cube with its frames."""
    mesh = slab(SIZE, spacing)
    return replace(mesh, frames=np.broadcast_to(FRAME, (len(mesh.cells), 3, 3)))


def from_point(points: Any, source: np.ndarray) -> np.ndarray:
    """Exact times from a point."""
    away = np.asarray(points) - source
    return np.sqrt(np.einsum("ni,ij,nj->n", away, np.linalg.inv(TENSOR), away))


def ball(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Nodes near the centre, and their exact times."""
    nodes = np.flatnonzero(np.linalg.norm(mesh.points - CENTRE, axis=1) < RADIUS)
    return nodes, from_point(mesh.points[nodes], CENTRE)


def plane_wave(report: Report) -> None:
    """Exact to rounding."""
    mesh = cube(1.0)
    normal = np.array([1.0, 0.5, 0.3])
    exact = mesh.points @ normal / np.sqrt(normal @ TENSOR @ normal)
    sides = mesh.nodes(1, 3, 5)
    found = activation_times(Eikonal(mesh, **VELOCITIES), RootNodes(sides, exact[sides]))
    error = np.max(np.abs(found - exact))
    report.at_most("plane wave, 1 mm: largest error", error, 1e-10, unit="ms", source=EXACT)


def orders(report: Report, spacings: tuple[float, ...]) -> None:
    """Errors on each mesh and the orders between them."""
    errors: dict[str, list[float]] = {"a node": [], "a radius": [], "velocity gradient": []}
    for spacing in spacings:
        mesh = cube(spacing)
        exact = from_point(mesh.points, CENTRE)
        tissue = Eikonal(mesh, **VELOCITIES)
        middle = int(np.argmin(np.linalg.norm(mesh.points - CENTRE, axis=1)))
        found = activation_times(tissue, RootNodes([middle]))
        errors["a node"].append(float(np.mean(np.abs(found - exact))))
        found = activation_times(tissue, RootPoints([CENTRE], radius=RADIUS))
        errors["a radius"].append(float(np.mean(np.abs(found - exact))))
        errors["velocity gradient"].append(velocity_gradient(mesh))
    for name, values in errors.items():
        for spacing, error in zip(spacings, values, strict=True):
            title = f"{name}, {spacing} mm: mean error"
            report.information(title, error, unit="ms", source=EXACT)
        for i in range(1, len(values)):
            order = np.log(values[i - 1] / values[i]) / np.log(spacings[i - 1] / spacings[i])
            title = f"{name}, {spacings[i - 1]} to {spacings[i]} mm: order"
            if name == "a node" or i == 1:
                report.information(title, order, unit="1", source=EXACT, reference=1.0)
            else:
                report.at_least(title, order, 0.85, unit="1", source=EXACT, reference=1.0)


def velocity_gradient(mesh: Mesh) -> float:
    """The mean error with v = 0.3 + 0.05 z, from exact times in a ball."""
    velocity = 0.3 + GROWTH * mesh.centres()[:, 2]
    there = 0.3 + GROWTH * mesh.points[:, 2]
    away = np.sum((mesh.points - CENTRE) ** 2, axis=1)
    start = 0.3 + GROWTH * CENTRE[2]
    exact = np.arccosh(1 + GROWTH**2 * away / (2 * there * start)) / GROWTH
    nodes = np.flatnonzero(away < RADIUS**2)
    tissue = Eikonal(mesh, **dict.fromkeys(VELOCITIES, velocity))
    found = activation_times(tissue, RootNodes(nodes, exact[nodes]))
    return float(np.mean(np.abs(found - exact)))


def derivatives(report: Report) -> None:
    """Of the sum of squares of all times, three ways."""
    tissue = Eikonal(cube(1.0))

    def chosen(t: Eikonal) -> list[Any]:
        return [t.velocity_fibre, t.velocity_sheet, t.velocity_normal]

    @jax.jit
    def seen(x: jax.Array) -> jax.Array:
        roots = RootPoints(x[3:9].reshape(2, 3), x[9:])
        times = activation_times(eqx.tree_at(chosen, tissue, list(x[:3])), roots)
        return jnp.sum(times**2)

    x = jnp.array([0.6, 0.4, 0.2, 2.1, 3.3, 1.4, 7.2, 6.1, 8.3, 0.0, 3.0])
    forward, reverse = jax.jacfwd(seen)(x), jax.jacrev(seen)(x)
    # So small, for where the two fronts meet times have bends, which a larger step goes over.
    steps = 1e-6 * np.eye(len(x))
    differences = np.array([(seen(x + c) - seen(x - c)) / 2e-6 for c in steps])
    scale = np.abs(forward)
    for name, other in (("reverse mode", reverse), ("differences", differences)):
        worst = np.max(np.abs(other - forward) / scale)
        title = f"derivatives, forward mode and {name}: largest relative difference"
        limit = 1e-10 if name == "reverse mode" else 1e-7
        report.at_most(title, worst, limit, unit="1", source="11 velocities, places and onsets")


def heart() -> Mesh:
    """Ventricles of a person (crtdemo), with fibres by rule."""
    folder = shared_path("data/meshes/crtdemo_biv")
    mesh = repaired(read_mesh(folder / "crtdemo_mesh_oriented.vtk").mesh)[0]
    return with_fibres(find_surfaces(mesh))


def on_a_heart(report: Report, mesh: Mesh) -> None:
    """What times and derivatives cost."""
    inside = mesh.points[mesh.nodes(Surface.LV_ENDO)]
    tissue = Eikonal(mesh, fast_layers=(Surface.LV_ENDO, Surface.RV_ENDO))
    points, onsets = jnp.asarray(inside[[5, 50, 150]]), jnp.array([0.0, 3.0, 5.0])

    def chosen(t: Eikonal) -> list[Any]:
        return [t.velocity_fibre, t.velocity_sheet, t.velocity_normal, t.velocity_lv_endo]

    def total(v: jax.Array, p: jax.Array, tissue: Eikonal) -> jax.Array:
        changed = eqx.tree_at(chosen, tissue, list(v))
        return jnp.sum(activation_times(changed, RootPoints(p, onsets)) ** 2)

    velocities = jnp.stack(chosen(tissue))
    value = jax.jit(total)
    both = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))
    one, two = alternating(
        lambda: value(velocities, points, tissue), lambda: both(velocities, points, tissue)
    )
    size = f"{len(mesh.points)} nodes, two fast layers, 3 roots"
    report.information("ventricles: times", 1e3 * one, unit="ms", source=size)
    title = "ventricles: times and derivatives over times"
    report.at_most(title, two / one, 4.0, unit="1", source=size)


def beside_fim(report: Report, name: str, mesh: Mesh, roots: RootNodes) -> None:
    """The same problem by fim-python: the difference, and the times of both."""
    from fimpy.solver import create_fim_solver

    tissue = Eikonal(mesh, **VELOCITIES)
    v = np.array(list(VELOCITIES.values()))
    metric = np.einsum("cik,k,cjk->cij", mesh.frames, v**2, mesh.frames)
    solver = create_fim_solver(
        mesh.points, mesh.cells, metric, precision=np.float64, device="cpu", use_active_list=True
    )
    nodes, onsets = np.asarray(roots.nodes), np.asarray(roots.onsets)
    mine = np.asarray(activation_times(tissue, roots))
    begun = time.perf_counter()
    theirs = np.asarray(solver.comp_fim(nodes, onsets))
    two = time.perf_counter() - begun  # once, for it takes long, and has nothing to compile
    one = least(lambda: activation_times(tissue, roots).block_until_ready(), 7)
    difference = np.max(np.abs(mine - theirs)) / np.max(mine)
    source = "fim-python, active list, float64"
    title = f"{name}: largest difference over the largest time"
    report.at_most(title, difference, 1e-4, unit="1", source=source)
    if name.startswith("cube"):
        exact = from_point(mesh.points, CENTRE)
        title = f"{name}: mean error of fim-python over ours"
        ratio = np.mean(np.abs(theirs - exact)) / np.mean(np.abs(mine - exact))
        report.information(title, ratio, unit="1", source=source)
    size = f"{len(mesh.points)} nodes, {len(mesh.cells)} tetrahedra, 2 cores"
    report.information(f"{name}: times, ours", 1e3 * one, unit="ms", source=size)
    report.information(f"{name}: times, fim-python", 1e3 * two, unit="ms", source=size)
    report.at_least(f"{name}: fim-python over ours", two / one, 1.0, unit="1", source=size)


def alternating(
    one: Callable[[], Any], two: Callable[[], Any], repeats: int = 7
) -> tuple[float, float]:
    """The least seconds of each, in turns, after a first run of both that may compile."""
    best = [float("inf"), float("inf")]
    for repeat in range(repeats + 1):
        for i, program in enumerate((one, two)):
            begun = time.perf_counter()
            jax.block_until_ready(program())
            if repeat:
                best[i] = min(best[i], time.perf_counter() - begun)
    return best[0], best[1]


if __name__ == "__main__":
    main(run, name="eikonal_exact", peers=("fim-python",))
