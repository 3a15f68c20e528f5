"""A left ventricle that beats in a closed loop: the heart of several experiments, and its works."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twinjax import ParameterSpace
from twinjax.cells import Land2017, ToRORd, pace
from twinjax.geometry import Mesh, Surface, left_ventricle, replace
from twinjax.heart import CalciumTransient, ClosedLoop, HeartState, WallMotion, WholeHeart
from twinjax.mechanics import (
    Ellipsoid,
    Guccione,
    Quadratic,
    QuadraticVolume,
    Springs,
    Wall,
    fibre_stretch,
    stored_energy,
)
from twinjax.mechanics._balance import push
from twinjax.units import factor

SHAPE = Ellipsoid(endo=(22.0, 54.0), epi=(33.0, 63.0), base=16.0)  # mm, an adult's at rest
# Land's sarcomeres under the calcium of ToR-ORd's endocardial cell, whose peak is half the calcium
# of half activation that is published. Fitted with one fibre about a cavity in a circulation to an
# adult's ejection fraction, pressures, times of valves and end-systolic elastance, near to Land's
# own values, and then on the wall; not measured. Land's own are 120 kPa, 0.805 µM, n_trpn 2,
# k_trpn 0.1, n_tm 5, k_u 1, k_uw 0.182, k_ws 0.012, r_s 0.25, phi 2.23. A steep response to calcium
# and slow troponin make of ToR-ORd's calcium, which falls soon, a tension that lasts as long as an
# ejection does. beta_1 keeps its published ratio to ca50: left at -2.4 µM beside a smaller ca50,
# length acts on tension that much more, and calcium of diastole evokes it in a filled ventricle.
CA50 = 0.154  # µM
SARCOMERES = {
    "t_ref": 112.0,
    "ca50": CA50,
    "beta_1": -2.4 / 0.805 * CA50,
    "k_trpn": 0.034,
    "n_trpn": 4.0,
    "n_tm": 5.08,
    "k_u": 0.39,
    "k_uw": 0.0614,
    "k_ws": 0.0149,
    "r_s": 0.094,
    "phi": 0.76,
}
# Of Guccione's law, chosen: nearly 140 mL at 10 mmHg, as with 0.5 kPa, 18.5, 3.6 and 1.6 of dogs'
# hearts, but stiffer in shear, for with those the wall twists further.
STIFFNESS = 0.4  # kPa
EXPONENTS = (14.4, 5.76, 10.08)
# Chosen within what hearts have, for an adult's twist and shortening of the long axis: with 60 and
# -60 degrees it twists by 20 degrees, with 60 and -45 its long axis shortens by 9 %.
HELIX = (70.0, -65.0)  # degrees, endocardium and epicardium
# From the endocardium to the epicardium, ms from the beginning of the beat.
ACTIVATED = (-15.0, 15.0)
# Where branches of the left bundle come to the endocardium [mm]; the septum is at negative x.
BUNDLE = ((-20.0, 0.0, -10.0), (0.0, 18.0, -30.0), (20.0, -5.0, -15.0))
# Atria contract 100 ms before the beat, 85 before the endocardium: a PQ of 140 ms less the 54 that
# pass until they do (Akamatsu et al. 2020, Cardiovasc Ultrasound 18:22). The lumped ventricles wait
# as long as a wall does until it pulls.
ATRIA, VENTRICLES = 0.90, 0.03  # of the beat at 60 bpm
# Murgo et al. 1980, Circulation 62:105: 47 dyn s/cm⁵ of characteristic impedance, mmHg s/mL.
IMPEDANCE = 0.035


def transient(beats: int) -> CalciumTransient:
    """Calcium of ToR-ORd's cell that was paced so many times at 1 Hz."""
    run = pace(ToRORd(), beats=beats)
    return CalciumTransient(run.times[:-1], run.observations["cai"][:-1], period=1000.0)


def sarcomeres() -> Land2017:
    """Those of the experiments' hearts."""
    return Land2017(**SARCOMERES)


def circulation(rate: float) -> ClosedLoop:
    """An adult's, whose atria and lumped ventricles beat in time with the wall; `rate` in bpm.

    The impedance of the aorta is added to the resistance of its valve.
    """
    loop = ClosedLoop(heart_rate=rate)
    onsets = {"atrium": ATRIA, "ventricle": VENTRICLES}
    names = [f"{side}_{chamber}.onset" for chamber in onsets for side in ("left", "right")]
    space = ParameterSpace(loop, [*names, "aortic.open_resistance"])
    resistance = float(space.read(loop)[-1]) + IMPEDANCE
    return space.write(loop, np.append(np.repeat(list(onsets.values()), 2), resistance))


def ventricle(spacing: float, *, calcium: CalciumTransient, rate: float = 60.0) -> WholeHeart:
    """Of tetrahedra with edges of about `spacing` [mm], two through the wall; `rate` in bpm."""
    elements = SHAPE.tetrahedra(spacing, layers=2, degree=2)
    wall = Wall(
        elements,
        Guccione(STIFFNESS, *EXPONENTS),
        frames=SHAPE.frames(elements, *HELIX),
        volume=QuadraticVolume(bulk=1e3, local=50.0),
        cavities=(Surface.LV_ENDO,),
        springs=held(elements),
        viscosity=10.0,
    )
    first, last = ACTIVATED
    depth = SHAPE.depth(elements.at_quadrature(elements.points))
    return WholeHeart(
        wall=wall,
        tension=sarcomeres(),
        calcium=calcium,
        activation=first + (last - first) * depth,
        circulation=circulation(rate),
    )


def tissue_of(heart: WholeHeart, spacing: float) -> Mesh:
    """The tetrahedra of a `ventricle` of that spacing, with fibres, for fronts to run on."""
    mean = np.asarray(jnp.mean(heart.wall.frames, axis=1))
    left, _, right = np.linalg.svd(mean)  # the nearest axes
    mesh = left_ventricle(spacing, endo=SHAPE.endo, epi=SHAPE.epi, base=SHAPE.base, layers=2)
    return replace(mesh, frames=left @ right)


def nearest(mesh: Mesh, surface: Surface, places: Any) -> Int[np.ndarray, " place"]:
    """The nodes of a surface that are nearest to places [mm]."""
    nodes = np.unique(mesh.facets[mesh.facet_tags == int(surface)])
    apart = np.linalg.norm(mesh.points[nodes][None] - np.asarray(places, float)[:, None], axis=2)
    return nodes[apart.argmin(axis=1)]


def held(elements: Quadratic) -> tuple[Springs, ...]:
    """By the pericardium, and what else a wall lies against: it resists along the surface too."""
    return (
        Springs(elements, Surface.EPI, stiffness=0.05, normal=True),
        Springs(elements, Surface.EPI, stiffness=0.05, normal=False),
        Springs(elements, Surface.BASE, stiffness=0.5, normal=False),
    )


class Watch(eqx.Module):
    """What is kept of every step: the first cavity's motion, and what energies are made of."""

    heart: WholeHeart
    motion: WallMotion

    def __init__(self, heart: WholeHeart):
        self.heart, self.motion = heart, WallMotion(heart.wall)

    def __call__(self, state: HeartState) -> dict[str, Array]:
        wall, u = self.heart.wall, state.deformation.displacement
        stretch = fibre_stretch(wall, u)
        return {
            **self.motion(u),
            "displacement": u,
            "volume": wall.volumes(u),
            "pressure": state.pressure,
            "stored": stored_energy(wall, state.deformation),
            "lost": _lost(wall, u, state.velocity),
            "stretch": stretch,
            "tension": self.heart.tension.tension(state.sarcomeres, stretch),
        }


def _lost(wall: Wall, u: Array, velocity: Array) -> Float[Array, ""]:
    """η ∫ |dE/dt|² dV, the power of viscosity [µJ/ms]."""
    slopes, measure = wall.elements.geometry()

    def strain(u: Array) -> Array:
        h = jnp.einsum("cai,cqaj->cqij", u[wall.elements.cells], slopes)
        turned = jnp.swapaxes(h, 2, 3)
        return (h + turned + turned @ h) / 2

    rate = jax.jvp(strain, (u,), (velocity,))[1]
    return wall.viscosity * jnp.einsum("cq,cqij,cqij->", measure, rate, rate)


@eqx.filter_jit
def _swept(wall: Wall, old: Array, new: Array) -> Float[Array, " cavity"]:
    """The volumes by which endocardia have widened the cavities [mm³], by the midpoint."""
    return -jnp.sum(push(wall, (old + new) / 2) * (new - old)[None], axis=(1, 2))


@eqx.filter_jit
def _measure(wall: Wall) -> Array:
    return wall.elements.geometry()[1]


def works(heart: WholeHeart, times: Any, seen: dict[str, Any]) -> dict[str, float]:
    """Energies of a run [J], trapezoidal in time.

    That of the `sarcomeres` is the sum of others: on `blood`, -∫ p dV of all cavities; at the
    `mouth` of each, where no wall bears the pressure, but what lies above does; `stored` in tissue
    and springs; and `lost` to viscosity.
    """
    measure = np.asarray(_measure(heart.wall))
    tension, stretch = (np.asarray(seen[name]) for name in ("tension", "stretch"))
    pressure, volume = (np.asarray(seen[name]) for name in ("pressure", "volume"))
    places = seen["displacement"]
    swept = np.array([_swept(heart.wall, a, b) for a, b in itertools.pairwise(places)])
    mean = (pressure[1:] + pressure[:-1]) / 2
    pulled = np.einsum(
        "tcq,tcq,cq->t", (tension[1:] + tension[:-1]) / 2, np.diff(stretch, axis=0), measure
    )
    stored, lost = np.asarray(seen["stored"]), np.asarray(seen["lost"])
    found = {
        "sarcomeres": -np.sum(pulled),
        "blood": -np.sum(mean * np.diff(volume, axis=0)),
        "mouth": np.sum(mean * (np.diff(volume, axis=0) - swept)),
        "stored": stored[-1] - stored[0],
        "lost": np.sum((lost[1:] + lost[:-1]) / 2 * np.diff(times)),
    }
    return {name: factor("µJ", "J") * float(value) for name, value in found.items()}
