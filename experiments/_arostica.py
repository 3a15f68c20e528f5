"""The heart of Aróstica et al. 2025: walls, fibres, loads, and the curves of the groups.

Comput Methods Appl Mech Eng 435:117485. The benchmark is in SI units; here lengths are mm, times
ms, stresses kPa and masses g, so that 1 Pa s/m is 1e-3 kPa ms/mm and 1 Pa/m is 1e-6 kPa/mm.
"""

import csv
import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.integrate import solve_ivp

from twinjax.fem import P1, solve_dirichlet
from twinjax.geometry import Mesh, Surface, flip_inverted, with_surfaces
from twinjax.io import read_mesh
from twinjax.mechanics import (
    HolzapfelOgden,
    Load,
    LogarithmicVolume,
    Quadratic,
    Springs,
    Wall,
)

from ._shared import shared_path

FOLDER = "references/arostica2025"
ENDO, EPI = (25.0, 90.0), (35.0, 97.0)  # mm: short and long semi-axis
HELIX = (-60.0, 60.0)  # degrees at the endocardium and the epicardium, from the azimuth to the apex
POINTS = {"p0": (25.0, 30.0, 0.0), "p1": (0.0, 30.0, 0.0), "p2": (25.0, 0.0, 72.0)}  # mm
# Of the ten groups: SimVascular's linear elements lock, and its file of P2 is there twice.
LINEAR = "_p1"
TWICE = "simvascular_p2"
EARLY = "simvascular"  # its curves of P2 run 7 ms ahead of all the others

Drive = tuple[float, float, float, float]  # α_pre [1/s], α_mid [1/s], σ_pre [Pa], σ_mid [Pa]
LEFT_ALONE: Drive = (5.0, 1.0, 7000.0, 16000.0)
LEFT: Drive = (5.0, 15.0, 12000.0, 16000.0)
RIGHT: Drive = (1.0, 10.0, 3000.0, 4000.0)
SYSTOLE, PRESSURE_SYSTOLE = (0.16, 0.484), (0.17, 0.484)  # s


@dataclasses.dataclass(frozen=True)
class Case:
    """One problem of the benchmark."""

    curves: str  # of the groups
    biventricular: bool = False
    tension: bool = True
    pressure: bool = True
    factors: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)  # of a, a_f, a_fs, a_s
    steps: tuple[float, float] = (5.0, 5.0)  # ms, while the wall contracts and while it relaxes


CASES = {
    "0A": Case("monoventricular_nonblinded_step_0A", pressure=False, steps=(2.5, 2.5)),
    "0B": Case("monoventricular_nonblinded_step_0B", tension=False),
    "1": Case("monoventricular_nonblinded_step_1", steps=(5.0, 2.5)),
    "biventricular": Case("biventricular_coarse", biventricular=True),
    "biventricular A": Case("biventricular_coarse", biventricular=True, factors=(3.0,) * 4),
    "biventricular B": Case("biventricular_coarse", biventricular=True, factors=(5.0,) * 4),
    "biventricular C": Case("biventricular_coarse", biventricular=True, factors=(1 / 3,) * 4),
}


@functools.cache
def drives() -> dict[str, Float[np.ndarray, " time"]]:
    """Tension and pressures [kPa] at the times `ms` [ms], each from its own equation.

    Bestel, Clément and Sorine 2001, LNCS 2208:1159, with switches S±(x) = (1 ± tanh(x/γ))/2.
    """
    times = np.linspace(0.0, 1.0, 10_001)

    def rise(x: Any) -> Any:
        return (1 + np.tanh(x / 0.005)) / 2

    def activity(t: Any, window: tuple[float, float]) -> Any:
        on = rise(t - window[0]) * rise(window[1] - t)
        return 5.0 * on - 30.0 * (1 - on)

    def tension(t: float, y: np.ndarray) -> Any:
        a = activity(t, SYSTOLE)
        return -abs(a) * y + 1.5e5 * max(a, 0.0)

    def pressure(t: float, y: np.ndarray, drive: Drive) -> Any:
        α_pre, α_mid, σ_pre, σ_mid = drive
        g = rise(PRESSURE_SYSTOLE[1] - t)
        b = activity(t, PRESSURE_SYSTOLE) + α_pre * g + α_mid
        return -abs(b) * y + σ_mid * max(b, 0.0) + σ_pre * max(g, 0.0)

    def solved(rate: Any) -> np.ndarray:
        found = solve_ivp(
            rate, (0, 1), [0.0], "LSODA", t_eval=times, rtol=1e-9, atol=1e-6, max_step=1e-3
        )
        return found.y[0] / 1000  # kPa

    def of(drive: Drive) -> np.ndarray:
        return solved(lambda t, y: pressure(t, y, drive))

    return {
        "ms": 1000 * times,
        "tension": solved(tension),
        "left alone": of(LEFT_ALONE),
        "left": of(LEFT),
        "right": of(RIGHT),
    }


def load_at(case: Case, time: float) -> Load:
    """Tension and pressures at a time [ms]."""
    known = drives()

    def at(name: str) -> float:
        return float(np.interp(time, known["ms"], known[name]))

    pressures = ["left", "right"] if case.biventricular else ["left alone"]
    pressure = np.array([at(name) for name in pressures])
    return Load(pressure * case.pressure, at("tension") * case.tension)


def mesh_of(case: Case) -> Mesh:
    """The published mesh of tetrahedra [mm], its surfaces tagged as a heart's."""
    if case.biventricular:
        path = shared_path(f"{FOLDER}/biv_coarse.h5")
        # The round cavity within the thick wall has the tag 30.
        tags = {10: Surface.BASE, 20: Surface.RV_ENDO, 30: Surface.LV_ENDO, 40: Surface.EPI}
    else:
        path = shared_path(f"{FOLDER}/ellipsoid_0.005.h5")
        tags = {1: Surface.LV_ENDO, 2: Surface.EPI, 3: Surface.BASE}
    return with_surfaces(flip_inverted(read_mesh(path, "m").mesh), tags)


def wall_of(case: Case, mesh: Mesh, *, pressures: str = "pointwise", degree: int = 5) -> Wall:
    """The wall at rest."""
    elements = Quadratic(mesh, degree=degree)
    a, a_f, a_fs, a_s = case.factors
    energy = HolzapfelOgden(a=0.059 * a, a_f=18.472 * a_f, a_fs=0.216 * a_fs, a_s=2.481 * a_s)
    frames = shipped(mesh, elements) if case.biventricular else by_rule(mesh, elements)
    endocardia = (Surface.LV_ENDO, Surface.RV_ENDO)[: 1 + case.biventricular]
    return Wall(
        elements,
        energy,
        frames=frames,
        volume=LogarithmicVolume(bulk=1e3),
        cavities=endocardia,
        springs=(
            Springs(elements, Surface.EPI, stiffness=100.0, normal=True, damping=5.0),
            Springs(
                elements,
                Surface.BASE,
                stiffness=1.0 if case.biventricular else 0.1,
                normal=False,
                damping=5.0,
            ),
        ),
        density=1.0,
        viscosity=100.0,
        pressures=pressures,
    )


def by_rule(mesh: Mesh, elements: Quadratic) -> Float[Array, "cell q 3 3"]:
    """Fibre, sheet and sheet normal of the ellipsoid, whose long axis is x and whose apex at -x.

    With t the harmonic field from 0 on the endocardium to 1 on the epicardium, semi-axes and helix
    angles go linearly with t; e_u is along the meridian, towards the apex, and e_v along the
    azimuth. f = sin α e_u + cos α e_v, n = e_u × e_v, s = f × n; twinjax wants a triad (f, s, n)
    that is right-handed, for which s has the opposite sign.
    """
    inner, outer = (np.zeros(len(mesh.points), bool) for _ in range(2))
    inner[mesh.facets[mesh.facet_tags == Surface.LV_ENDO]] = True
    outer[mesh.facets[mesh.facet_tags == Surface.EPI]] = True
    stiffness = P1(mesh.points, mesh.cells).stiffness()
    depth = solve_dirichlet(stiffness, inner | outer, outer.astype(float))
    t = jnp.einsum("qa,ca->cq", elements.linear_values(), depth[mesh.cells])
    x, y, z = jnp.moveaxis(elements.at_quadrature(elements.points), -1, 0)
    short, long = (a + t * (b - a) for a, b in zip(ENDO, EPI, strict=True))
    u, v = jnp.arctan2(jnp.hypot(y, z) / short, x / long), jnp.arctan2(z, y)
    o = jnp.zeros_like(u)
    along = [-long * jnp.sin(u), short * jnp.cos(u) * jnp.cos(v), short * jnp.cos(u) * jnp.sin(v)]
    meridian = jnp.stack(along, axis=-1)
    meridian = meridian / jnp.linalg.norm(meridian, axis=-1, keepdims=True)
    azimuth = jnp.stack([o, -jnp.sin(v), jnp.cos(v)], axis=-1)
    angle = jnp.deg2rad(HELIX[0] + t * (HELIX[1] - HELIX[0]))[..., None]
    fibre = jnp.sin(angle) * meridian + jnp.cos(angle) * azimuth
    normal = jnp.cross(meridian, azimuth)
    return jnp.stack([fibre, jnp.cross(normal, fibre), normal], axis=-1)


def shipped(mesh: Mesh, elements: Quadratic) -> Float[Array, "cell q 3 3"]:
    """The published axes at the nodes of the biventricular mesh, interpolated as they look.

    Where the right ventricle's wall is one cell thick they turn by 120 degrees within a cell, by
    way of the circumference; `at_points`, which takes the shorter way between axes without a
    sense, would go by way of the meridian. They are of length 1 everywhere, though the mean of
    axes so far apart is half as long, or less.
    """
    from scipy.spatial import cKDTree  # slow to import, and rarely needed

    file = read_mesh(shared_path(f"{FOLDER}/biv_coarse_fibers.vtk"), "m")
    apart, node = cKDTree(file.mesh.points).query(mesh.points)
    if apart.max() > 1e-3:
        raise ValueError(f"fibres are {apart.max():g} mm away from the nodes of the mesh")
    values = np.asarray(elements.linear_values())
    fibre, sheet = (
        np.einsum("qa,cai->cqi", values, file.point_data[name][node][mesh.cells])
        for name in ("f0", "s0")
    )
    fibre = fibre / np.linalg.norm(fibre, axis=-1, keepdims=True)
    sheet = sheet - np.sum(sheet * fibre, axis=-1, keepdims=True) * fibre
    sheet = sheet / np.linalg.norm(sheet, axis=-1, keepdims=True)
    return jnp.asarray(np.stack([fibre, sheet, np.cross(fibre, sheet)], axis=-1))


@dataclasses.dataclass(frozen=True)
class Curves:
    """What the groups found at one point: `values` (group, time, component) [mm]."""

    times: Float[np.ndarray, " time"]  # ms
    groups: tuple[str, ...]
    values: Float[np.ndarray, "group time 3"]

    def only(self, *, early: bool = True) -> "Curves":
        """Those of quadratic elements, each group once; or without those that run ahead, too."""
        # On the ventricles SimVascular has linear elements alone.
        early = early and TWICE in self.groups
        keep = [
            i
            for i, name in enumerate(self.groups)
            if LINEAR not in name and name != TWICE and (early or name != EARLY)
        ]
        names = tuple(self.groups[i] for i in keep)
        return Curves(self.times, names, self.values[keep])


def curves(case: Case, point: str) -> Curves:
    """All curves of the file of a point."""
    with shared_path(f"{FOLDER}/csv_{case.curves}_{point}.csv").open() as file:
        head, *rows = list(csv.reader(file))
    table = np.array([[float(x) for x in row] for row in rows])
    groups = tuple(name.split(":")[0] for name in head[1::3])
    values = table[:, 1:].reshape(len(table), len(groups), 3)
    return Curves(1000 * table[:, 0], groups, 1000 * np.moveaxis(values, 1, 0))
