"""Cardiac elastodynamics: Aróstica et al. 2025, Comput Methods Appl Mech Eng 435:117485.

An ellipsoid, and two ventricles, of Holzapfel and Ogden's law, nearly incompressible and viscous,
with inertia; on springs with dashpots; a beat of 1 s under a given tension along the fibres and
given pressures in the cavities. Wanted: where points of the wall go, beside what ten groups found.

    python -m experiments.arostica2025 [--case CASE]... [--until MS] [--spacing MM] [--quick]
        [--json FILE]

- 0A: tension alone. 0B: pressure alone, close to an instability in which the groups' u_x spreads
  by 17 %, so that it is told and not judged. 1: both.
- biventricular, and the same with the materials A, B and C (stiffer three and five times, softer
  three times): told, beside the groups' curves on the same coarse mesh, and of several which fits
  best. `--spacing` coarsens the ventricles' mesh, of 3.4 mm, to edges of about so many mm.

Spec: steps 0A and 1 within the band of the groups' curves of quadratic elements, at both points,
over the whole second, but for 0.01 mm. The ellipsoid's mesh is the published one of 5 mm with
fibres by the benchmark's rule; that of the ventricles has the published fibres.

With --quick: the first 50 ms of step 1, in which pressure rises, against the groups' band, and
Bestel's curves against the published ones.

A beat is saved as it goes, under XDG_CACHE_HOME, and resumes: `--case` picks one (by default 0A
and 1), and `--until` ends it sooner.
"""

import argparse
import csv
import dataclasses
import os
import sys
import time
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from rich.console import Console

from twinjax.geometry import coarsened, locate
from twinjax.mechanics import Deformation, Moving, Wall, move

from ._arostica import (
    CASES,
    FOLDER,
    POINTS,
    Curves,
    curves,
    drives,
    load_at,
    mesh_of,
    wall_of,
)
from ._report import Report, main
from ._shared import shared_path

SOURCE = "curves of the groups, quadratic elements"
ALLOWED = 0.01  # mm: of curves to be read by eye
OUTPUT = 10.0  # ms
LEAST_STEP = 0.3  # ms
RTOL = 5e-6  # of the wall's size
JUDGED = ("0A", "1")
DEFAULT = ("0A", "1")
COMPONENTS = ("ux", "uy", "uz")


@dataclasses.dataclass(frozen=True)
class Scheme:
    """Steps of a beat [ms]: while the wall contracts, while it relaxes, and of 10 ms else."""

    contracting: float
    relaxing: float
    pressures: str = "pointwise"
    degree: int = 2

    def step(self, begin: float) -> float:
        """Of the 10 ms from a time on."""
        if 160 <= begin < 300:
            return self.contracting
        return self.relaxing if 480 <= begin < 600 else OUTPUT


class Beat:
    """A beat of a case, as far as it has come."""

    def __init__(self, name: str, scheme: Scheme, folder: Path | None, spacing: float = 0.0):
        self.name, self.case, self.scheme = name, CASES[name], scheme
        mesh = mesh_of(self.case)
        if spacing and self.case.biventricular:
            mesh = coarsened(mesh, spacing)
        self.wall: Wall = wall_of(self.case, mesh, pressures=scheme.pressures, degree=scheme.degree)
        self.names = tuple(POINTS)[: 3 if self.case.biventricular else 2]
        self.at = locate(mesh, np.array([POINTS[name] for name in self.names]))
        self.moving = Moving.at_rest(self.wall)
        self.times = [0.0]
        self.seen = [np.zeros((len(self.names), 3))]
        self.seconds = 0.0
        self.console = Console(stderr=True, width=160)
        self.nodes = len(self.wall.elements.points)
        self.title = f"{name}, {self.nodes:,} nodes, {scheme}"
        safe = name.replace(" ", "-") + (f"-{spacing:g}mm" if spacing else "")
        key = f"{scheme.contracting:g}-{scheme.relaxing:g}-{scheme.pressures}-{scheme.degree}"
        self.path = None if folder is None else folder / f"arostica2025-{safe}-{key}.npz"
        self._resume()

    def _resume(self) -> None:
        if self.path is None or not self.path.exists():
            return
        try:
            with np.load(self.path, allow_pickle=False) as kept:
                state = Deformation(jnp.asarray(kept["u"]), jnp.asarray(kept["p"]))
                self.moving = Moving(state, jnp.asarray(kept["v"]), jnp.asarray(kept["a"]))
                self.times, self.seen = list(kept["times"]), list(kept["seen"])
                self.seconds = float(kept["seconds"])
        except (OSError, KeyError, ValueError, zipfile.BadZipFile):
            return  # cut off: from the start

    def _save(self) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        moving, state = self.moving, self.moving.deformation
        with temporary.open("wb") as file:
            np.savez(
                file,
                u=state.displacement,
                p=state.pressure,
                v=moving.velocity,
                a=moving.acceleration,
                times=self.times,
                seen=self.seen,
                seconds=self.seconds,
            )
        os.replace(temporary, self.path)

    def until(self, end: float) -> Float[np.ndarray, "time point 3"]:
        """Steps on to a time [ms], or as far as steps are found; displacements [mm] every 10 ms."""
        while self.times[-1] < end - 1e-9:
            began = time.perf_counter()
            step = self._advance(self.times[-1])
            if step is None:
                self.console.print(f"{self.title}: no step is found after {self.times[-1]:g} ms")
                break
            self.seconds += time.perf_counter() - began
            u = self.moving.deformation.displacement
            self.times.append(self.times[-1] + OUTPUT)
            here = self.wall.elements.within(u, self.at.cells, self.at.weights)
            self.seen.append(np.asarray(here))
            self._save()
            where = "  ".join(np.array2string(u, precision=3) for u in self.seen[-1])
            took = time.perf_counter() - began
            self.console.print(
                f"{self.title}: {self.times[-1]:g} ms, step {step:g} ms, {took:.0f} s  {where}",
                markup=False,
                highlight=False,
            )
        return np.array(self.seen)

    def _advance(self, begin: float) -> float | None:
        """The next 10 ms, with halved steps where the search fails; None where all do."""
        step = self.scheme.step(begin)
        while True:
            done = move(
                self.wall,
                lambda t: load_at(self.case, t),
                step=step,
                steps=round(OUTPUT / step),
                start=self.moving,
                begin=begin,
                observe=lambda m: m.deformation.displacement[0],
                rtol=RTOL,
                throw=False,
            )
            if done.ok:
                self.moving = done.state
                return step
            step /= 2
            if step < LEAST_STEP:
                return None


def run(
    quick: bool,
    report: Report,
    cases: tuple[str, ...] = DEFAULT,
    end: float = 1000.0,
    spacing: float = 0.0,
) -> None:
    """Bestel's curves, then one beat a case."""
    published(report)
    if quick:
        first_filling(report)
        return
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twinjax"
    beats = [Beat(name, Scheme(*CASES[name].steps), folder, spacing) for name in cases]
    for beat in beats:
        whole(report, beat, beat.name, end)
    materials(report, [beat for beat in beats if beat.case.biventricular])


def published(report: Report) -> None:
    """Tension and pressures beside the published ones."""
    with shared_path(f"{FOLDER}/bestel_curves.csv").open() as file:
        table = np.array([[float(x) for x in row] for row in list(csv.reader(file))[1:]])
    known = drives()
    for column, name in enumerate(("tension", "left alone", "left", "right"), start=1):
        ours = 1000 * np.interp(1000 * table[:, 0], known["ms"], known[name])
        apart = np.abs(ours - table[:, column]).max() / table[:, column].max()
        title = f"Bestel's {name}: greatest difference, of the peak"
        report.at_most(title, apart, 1e-4, unit="1", source="bestel_curves.csv")


def first_filling(report: Report) -> None:
    """Step 1 for 50 ms."""
    beat = Beat("1", Scheme(*CASES["1"].steps), None)
    found = beat.until(50.0)
    for point, values in zip(beat.names, np.moveaxis(found, 1, 0), strict=True):
        compare(report, "1, 50 ms", point, values, curves(beat.case, point), judged=True)


def whole(report: Report, beat: Beat, name: str, end: float) -> None:
    """A beat of 1 s, or of a part of it."""
    found = beat.until(end)[: round(end / OUTPUT) + 1]
    reached = OUTPUT * (len(found) - 1)
    if name in JUDGED:
        report.at_least(f"{name}: time reached", reached, end, unit="ms", source="asked")
    title = name if reached == 1000 else f"{name}, {reached:g} ms"
    for point, values in zip(beat.names, np.moveaxis(found, 1, 0), strict=True):
        compare(report, title, point, values, curves(beat.case, point), judged=name in JUDGED)
    report.information(f"{title}: time", beat.seconds / 60, unit="min", source=str(beat.scheme))


def materials(report: Report, beats: list[Beat]) -> None:
    """How far each beat is from the groups' median, over the time that all have reached."""
    if len(beats) < 2:
        return
    samples = min(len(beat.seen) for beat in beats)
    far = {}
    for beat in beats:
        seen = np.array(beat.seen[:samples])
        bands = [curves(beat.case, point).only().values[:, :samples] for point in beat.names]
        middle = np.stack([np.median(band, axis=0) for band in bands], axis=1)
        far[beat.name] = np.sqrt(np.mean(np.sum((seen - middle) ** 2, axis=2)))
        size = np.sqrt(np.mean(np.sum(middle**2, axis=2)))
        report.information(
            f"{beat.name}: distance from the groups' median",
            far[beat.name],
            unit="mm",
            source=f"RMS to {OUTPUT * (samples - 1):g} ms, {beat.nodes:,} nodes; "
            f"the points move {size:.2f} mm",
        )
    names = sorted(far, key=lambda name: far[name])
    words = f"of the second: {names[1]}; best is {names[0]}"
    ratio = far[names[0]] / far[names[1]]
    report.information("the material that fits best, its distance", ratio, unit="1", source=words)


def compare(
    report: Report,
    name: str,
    point: str,
    values: Float[np.ndarray, "time 3"],
    every: Curves,
    *,
    judged: bool,
) -> None:
    """How far each component is outside of the groups' band, and the peaks."""
    band, prompt = every.only(), every.only(early=False)
    for i, component in enumerate(COMPONENTS):
        title = f"{name}: {component} of {point}"
        ours = values[:, i]
        outside = beyond(ours, band.values[:, : len(ours), i])
        middle = np.median(band.values[:, : len(ours), i], axis=0)
        peak = np.abs(middle).argmax()
        worst = int(outside.argmax())
        words = (
            f"{outside[worst] / max(abs(middle[peak]), 1e-9):.2%} of the peak, at "
            f"{band.times[worst]:g} ms; {np.sum(outside > ALLOWED)} of {len(ours)} samples; "
            f"{SOURCE}"
        )
        if judged:
            report.at_most(f"{title}, outside", outside[worst], ALLOWED, unit="mm", source=words)
        else:
            report.information(f"{title}, outside", outside[worst], unit="mm", source=words)
        without = beyond(ours, prompt.values[:, : len(ours), i])
        when = band.times[int(without.argmax())]
        report.information(
            f"{title}, outside without the curve that runs ahead",
            without.max(),
            unit="mm",
            source=f"at {when:g} ms; {np.sum(without > ALLOWED)} samples",
        )
        spread = band.values[:, peak, i]
        report.information(
            f"{title} when its median is greatest",
            ours[peak],
            reference=float(middle[peak]),
            unit="mm",
            source=f"[{spread.min():.2f}, {spread.max():.2f}] at {band.times[peak]:g} ms",
        )


def beyond(
    ours: Float[np.ndarray, " time"], band: Float[np.ndarray, "group time"]
) -> Float[np.ndarray, " time"]:
    """The distance to the band of the groups, 0 within it."""
    return np.maximum(0.0, np.maximum(ours - band.max(axis=0), band.min(axis=0) - ours))


def _asked(argv: list[str]) -> tuple[tuple[str, ...], float, float, list[str]]:
    """The cases, the end and the spacing that are asked for, and what is left of the line."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--case", action="append", choices=list(CASES))
    parser.add_argument("--until", type=float, default=1000.0)
    parser.add_argument("--spacing", type=float, default=0.0)
    known, rest = parser.parse_known_args(argv)
    if not 10 <= known.until <= 1000:
        parser.error(f"a beat ends between 10 and 1000 ms, not at {known.until:g}")
    if known.spacing and not 4 <= known.spacing <= 15:
        parser.error(f"edges are coarsened to between 4 and 15 mm, not to {known.spacing:g}")
    return tuple(known.case or DEFAULT), known.until, known.spacing, rest


if __name__ == "__main__":
    chosen, until, edges, others = _asked(sys.argv[1:])

    def of_chosen(quick: bool, report: Report) -> None:
        """The chosen cases."""
        run(quick, report, chosen, until, edges)

    main(of_chosen, name="arostica2025", argv=others)
