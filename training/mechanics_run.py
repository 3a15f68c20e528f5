"""A case of mechanics from file to file: the wall under a load that is raised in steps."""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np

from training._mechanics_wall import Built, build, corners_of
from training._parts import Parts
from training.datasets import USE, versions
from training.mechanics_case import MechanicsCase
from twinjax import RESULTS
from twinjax.geometry import SEGMENTS, Mesh
from twinjax.mechanics import Deformation, Load, Wall, carried, deform, segment_strain, unload

Progress = Callable[[str, int, int], None]
DIRECTIONS = ("circumferential", "longitudinal", "radial", "fibre")


@dataclasses.dataclass(frozen=True, eq=False)
class MechanicsRun:
    """What a case gives, for every share of the load that was reached; the first is rest.

    `points` (share, node, 3) [mm]; `pressure`, the hydrostatic one at the end, as in
    [`Deformation`][twinjax.mechanics.Deformation]; `volumes` (share, cavity) [mm³]; `strain`
    (share, direction, 17), Green's, if there are segments. `failure` is the sentence on why the
    load could not be raised further, or nothing.
    """

    built: Built
    rest: Wall
    shares: np.ndarray
    points: np.ndarray
    pressure: np.ndarray
    volumes: np.ndarray
    strain: np.ndarray | None
    stats: dict[str, float]
    failure: str | None
    seconds: float

    @property
    def mesh(self) -> Mesh:
        """The corners of the elements at rest."""
        return corners_of(self.rest.elements)


def run_mechanics_case(
    case: MechanicsCase, output: Path | None = None, progress: Progress | None = None
) -> MechanicsRun:
    """Runs a case; with an `output` what is done is kept beside it, and a killed run goes on.

    A load that cannot be raised to its end is told in `failure`, and the last equilibrium is the
    last of the run. Raises `ValueError` for a case that does not fit its geometry, and for an image
    of which no shape at rest is found.
    """
    began = time.perf_counter()
    told = progress or (lambda stage, done, total: None)
    told("geometry", 0, 1)
    try:
        built = build(case)
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(case.name) else f"{case.name}: {text}") from None
    steps = case.table.mechanics.steps
    parts = None
    if output is not None:
        plan = {"case": case.sha256, "versions": versions()}
        parts = Parts(output, plan, resume=True)
    wall, counts = built.wall, dict.fromkeys(("corrections", "factorisations"), 0.0)
    if case.table.mechanics.image:
        wall = _at_rest(case, built, told)
    built = dataclasses.replace(built, axes=_axes(built, wall))
    state, share, failure = wall.at_rest(), 0.0, None
    shares, states = [0.0], [state]
    for number in range(1, steps + 1):
        told("load", number - 1, steps)
        aim = number / steps
        if parts is not None and parts.has(number):
            kept = parts.load(number)
            state = Deformation(jnp.asarray(kept["displacement"]), jnp.asarray(kept["pressure"]))
            share = aim
        else:
            done = deform(
                wall,
                _part(built.load, aim),
                start=(state, _part(built.load, share)),
                throw=False,
            )
            for name in counts:
                counts[name] += float(done.stats[name])
            reached = share + (aim - share) * float(done.stats["load"])
            state, code = done.state, int(done.result)
            if code != RESULTS.successful:
                share = reached
                failure = _failure(case, code, share)
            else:
                share = aim
                if parts is not None:
                    parts.save(
                        number,
                        {
                            "displacement": np.asarray(state.displacement),
                            "pressure": np.asarray(state.pressure),
                        },
                    )
        if share > shares[-1]:
            shares.append(share)
            states.append(state)
        if failure:
            break
    told("load", steps, steps)
    moved = [np.asarray(s.displacement) for s in states]
    strain = None
    if built.segments is not None:
        means = [segment_strain(wall, jnp.asarray(u), built.axes, built.segments) for u in moved]
        strain = np.array([[np.asarray(getattr(m, d)) for d in DIRECTIONS] for m in means])
    return MechanicsRun(
        built,
        wall,
        np.array(shares),
        np.asarray(wall.elements.points)[None] + np.array(moved),
        np.asarray(states[-1].pressure),
        np.array([np.asarray(_volumes(wall, jnp.asarray(u))) for u in moved]),
        strain,
        counts,
        failure,
        time.perf_counter() - began,
    )


def _at_rest(case: MechanicsCase, built: Built, told: Progress) -> Wall:
    def progress(share: float) -> None:
        told("shape at rest [% of the load]", round(100 * share), 100)

    done = unload(built.wall, built.load, progress=progress, throw=False)
    if not done.ok:
        share = 100 * float(done.stats["load"])
        raise ValueError(
            f"{case.name}: the image has no shape at rest under this load, of which {share:.3g} % "
            "could be taken off: lower pressure or tension, or take a stiffer energy"
        )
    return done.state.wall


def _failure(case: MechanicsCase, code: int, share: float) -> str:
    if code == RESULTS.no_equilibrium:
        return (
            f"{case.name}: the wall collapses or bears no more: an equilibrium was found up to "
            f"{100 * share:.3g} % of the load; lower pressure or tension, take a stiffer energy, "
            "or more mechanics.steps"
        )
    return f"{case.name}: {RESULTS(code).message}"


def _part(load: Load, share: float) -> Load:
    return jax.tree.map(lambda leaf: share * leaf, load)


@eqx.filter_jit
def _volumes(wall: Wall, displacement: Any) -> Any:
    return wall.volumes(displacement)


def _axes(built: Built, wall: Wall) -> Any:
    """Axes around, along and across, carried to rest if the case was given by an image."""
    if wall is built.wall:
        return built.axes
    back = wall.elements.points - built.wall.elements.points
    image = eqx.tree_at(lambda w: w.frames, built.wall, jnp.asarray(built.axes))
    return carried(image, back).frames


def write_mechanics_run(run: MechanicsRun, case: MechanicsCase, path: Path) -> None:
    """Writes an HDF5 file of the kind `mechanics`: every dataset has its unit."""
    elements = run.rest.elements
    provenance = {
        "case": case.text,
        "versions": versions(),
        "context_of_use": USE,
        "notes": list(run.built.notes),
        "wall_s": run.seconds,
        "failure": run.failure,
    }
    with h5py.File(path, "w") as file:
        file.attrs["twinjax_kind"] = "mechanics"
        file.attrs["format"] = 1
        file.attrs["energy"] = case.table.mechanics.energy
        file.attrs["complete"] = run.failure is None
        file.attrs["provenance"] = json.dumps(provenance)

        def put(name: str, values: Any, unit: str) -> None:
            file.create_dataset(name, data=values, compression="gzip" if np.size(values) else None)
            file[name].attrs["unit"] = unit

        put("mesh/points", np.asarray(elements.points), "mm")
        put("mesh/cells", np.asarray(elements.cells), "1")
        put("mesh/facets", elements.facets, "1")
        put("mesh/facet_tags", elements.facet_tags, "1")
        put("mesh/fibres", np.asarray(run.rest.frames[..., 0]), "1")
        put("share", run.shares, "1")
        put("points", run.points, "mm")
        put("hydrostatic_pressure", run.pressure, "kPa·mm^1.5")
        put("tension", run.shares * case.tension, "kPa")
        for number, name in enumerate(run.built.cavities):
            put(f"volume/{name}", run.volumes[:, number] / 1000, "mL")
            put(f"pressure/{name}", run.shares * case.pressure.get(name, 0.0), "kPa")
        if run.strain is not None:
            for number, name in enumerate(DIRECTIONS):
                put(f"strain/{name}", run.strain[:, number], "1")
            file["strain"].attrs["segments"] = json.dumps(list(SEGMENTS.values()))


def write_mechanics_series(run: MechanicsRun, path: Path) -> None:
    """The shapes for ParaView, with displacements; the time is the share of the load."""
    from twinjax.io import write_series

    moved = run.points - run.points[:1]
    cells = np.asarray(run.rest.elements.cells)
    write_series(path, run.shares, run.points, cells, point_data={"displacement": moved})


def draw_mechanics_run(run: MechanicsRun, path: Path) -> None:
    """The wall at rest and at the end, coloured by how far its nodes have moved."""
    from training._shape_figure import draw_shapes

    mesh = run.mesh
    count = len(mesh.points)
    moved = np.linalg.norm(run.points[-1, :count] - run.points[0, :count], axis=1)
    end = f"{100 * run.shares[-1]:.3g} % of the load"
    shapes = [("at rest", run.points[0, :count], 0 * moved), (end, run.points[-1, :count], moved)]
    draw_shapes(mesh, shapes, path, label="displacement [mm]")
