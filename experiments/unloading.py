"""Shapes at rest: unloading undoes loads, on a truncated ellipsoid and on imaged hearts.

A heart is imaged under the pressures in its cavities. Its shape at rest, on which the equations of
mechanics stand, is found by the balance in the loaded shape (Govindjee and Mihalic 1996, Comput
Methods Appl Mech Eng 136:47); the usual way is a fixed point (Sellier 2011, Comput Math Appl
62:1767). Here a known shape is loaded, and found again from the loaded one: the ellipsoid of Land
et al. 2015, Proc R Soc A 471:20150641, problem 2, and with tension and turning fibres as in problem
3; and both ventricles, with their valves, of the whole heart of Gerach et al. 2021, Mathematics
9:1247, with the materials and pressures of its parameter file. Then the shape of the whole heart as
imaged, under all four pressures, is unloaded, and the volumes of its cavities at rest are told.

Spec: the shape at rest is recovered to 0.1 mm RMS. The load then makes of it the shape that was
given, to 0.1 mm; of the whole heart the shape as imaged is an equilibrium on the shape found, but
loaded from rest it was seen to end in another one, 0.16 mm RMS off, which is told and not judged.
The derivatives of the volume at rest agree three ways to 1e-5.

The ventricles are held at their base, the whole heart at the ends of its vessels, and both by
springs of 0.2 kPa/mm along the normal of the epicardium (Pfaller et al. 2019, Biomech Model
Mechanobiol 18:503), which are slack at rest. Both meshes are coarsened to
edges of about 12 mm.
With --quick: the ellipsoid alone, on few cells.
"""

import dataclasses
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from twinjax import Solution
from twinjax.geometry import coarsened
from twinjax.mechanics import Deformation, Guccione, Load, Wall, carried, deform, unload

from ._kit_heart import CAVITIES, Heart, imaged, ventricles, with_held
from ._report import Report, main
from .land2015 import PROBLEM_2, PROBLEM_3

CLOSE = 0.1  # mm
SPACING = 12.0  # of the coarsened hearts [mm]
SPRINGS = 0.2  # kPa/mm


def run(quick: bool, report: Report) -> None:
    """The ellipsoid, derivatives; unless quick, both ventricles and the whole heart."""
    cells = {"cells": (2, 4, 1), "apex": 0.4} if quick else {"cells": (4, 6, 2), "apex": 0.15}
    for title, case in (
        ("ellipsoid, pressure", dataclasses.replace(PROBLEM_2, **cells)),
        ("ellipsoid, pressure and tension", dataclasses.replace(PROBLEM_3, **cells)),
    ):
        recovered(report, title, case.wall(), case.load())
    derivatives(report)
    if quick:
        return
    mesh, held = imaged()
    heart = Heart(coarsened(ventricles(mesh), SPACING), (131, 130), SPRINGS)
    recovered(report, "ventricles", heart.wall(), heart.load())
    whole(report, Heart(coarsened(with_held(mesh, held), SPACING), tuple(CAVITIES), SPRINGS))


def loaded_by(wall: Wall, load: Load, start: tuple[Deformation, Load] | None = None) -> Solution:
    """The equilibrium, told where there is none."""
    return deform(wall, load, start=start, throw=False)


def recovered(report: Report, title: str, wall: Wall, load: Load) -> None:
    """A known shape is loaded and unloaded again."""
    rest = np.asarray(wall.elements.points)
    loaded = _whole(loaded_by(wall, load))
    moved = _rms(np.asarray(loaded.displacement))
    image = carried(wall, loaded.displacement)
    began = time.perf_counter()
    found = unload(image, load)
    np.asarray(found.state.wall.elements.points)
    took = time.perf_counter() - began
    apart = _rms(np.asarray(found.state.wall.elements.points) - rest)
    source = f"the load moved nodes by {moved:.1f} mm RMS"
    report.at_most(f"{title}: shape at rest off, RMS", apart, CLOSE, unit="mm", source=source)
    again = _whole(loaded_by(found.state.wall, load))
    back = found.state.wall.elements.points + again.displacement - image.elements.points
    source = "the load on the shape found"
    title_ = f"{title}: loaded again off, RMS"
    report.at_most(title_, _rms(np.asarray(back)), CLOSE, unit="mm", source=source)
    _cost(report, title, wall, found.stats, took)


def whole(report: Report, heart: Heart) -> None:
    """All cavities of the imaged heart at rest."""
    wall, load = heart.wall(), heart.load()
    began = time.perf_counter()
    found = unload(wall, load, throw=False)
    took = time.perf_counter() - began
    _cost(report, "whole heart", wall, found.stats, took)
    share = float(found.stats["load"])
    source = "pressures of scenario_I.xml"
    report.at_least("whole heart: share of the load taken off", share, 1.0, unit="1", source=source)
    volumes = found.observations
    for number, tag in enumerate(heart.cavities):
        title = f"whole heart: {CAVITIES[tag]} at rest"
        imaged_ = float(volumes["loaded_volumes"][number]) / 1e3
        source = f"imaged, coarsened: {imaged_:.1f} mL"
        report.information(title, float(volumes["volumes"][number]) / 1e3, unit="mL", source=source)
    rest, deformation = found.state.wall, found.state.deformation
    still = _whole(loaded_by(rest, load, (deformation, load)))
    off = np.asarray(still.displacement - deformation.displacement)
    title = "whole heart: what deform corrects of the equilibrium found, RMS"
    report.at_most(title, _rms(off), CLOSE, unit="mm", source="started from it")
    again = loaded_by(rest, load)
    share = float(again.stats["load"])
    source = "deform on the shape found"
    title = "whole heart: share of the load put on again from rest"
    report.information(title, share, unit="1", source=source)
    # Not judged: so soft a heart has other equilibria, and from rest another one may be met.
    off = np.asarray(again.state.displacement - deformation.displacement)
    title = "whole heart: loaded again off, RMS"
    report.information(title, _rms(off), unit="mm", source=source)


def derivatives(report: Report) -> None:
    """Of the cavity's volume at rest by five numbers, on few cells."""
    case = dataclasses.replace(PROBLEM_3, cells=(2, 4, 1), apex=0.4)
    wall = case.wall()
    names = ("C", "b_f", "tension", "pressure", "length of the loaded shape")
    start = jnp.array([2.0, 8.0, 20.0, 5.0, 1.0])

    def volume(theta: Any) -> Any:
        points = wall.elements.points * jnp.stack([1.0, 1.0, theta[4]])[None]
        law = Guccione(theta[0], theta[1], 2.0, 4.0)
        image = eqx.tree_at(lambda w: (w.energy, w.elements.points), wall, (law, points))
        return unload(image, Load(theta[3], theta[2]), rtol=1e-11).observations["volumes"][0]

    reverse = jax.grad(volume)(start)
    # All at once: each raises the volume by itself.
    way = start * jnp.sign(reverse)
    forward = float(jax.jvp(volume, (start,), (way,))[1])
    title = "derivatives: along all five, forward mode"
    report.relative(title, forward, float(reverse @ way), 1e-5, unit="mm3", source="reverse mode")
    for i, name in enumerate(names):
        h = 1e-4 * float(start[i])
        step = jnp.zeros_like(start).at[i].set(h)
        difference = float((volume(start + step) - volume(start - step)) / (2 * h))
        title = f"derivatives: of the volume at rest by {name}"
        report.relative(title, float(reverse[i]), difference, 1e-5, unit="1", source="differences")


def _whole(solution: Solution) -> Deformation:
    if not solution.ok:
        raise RuntimeError(f"only {float(solution.stats['load']):.3f} of the load was borne")
    return solution.state


def _cost(report: Report, title: str, wall: Wall, stats: Any, took: float) -> None:
    steps = ", ".join(f"{stats[k]} {k}" for k in ("load_steps", "corrections", "factorisations"))
    source = f"{len(wall.elements.points)} nodes; {steps}"
    report.information(f"{title}: unloading", took, unit="s", source=source)


def _rms(moved: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.sum(moved**2, axis=1))))


if __name__ == "__main__":
    main(run, name="unloading")
