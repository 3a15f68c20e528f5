"""Where and when to pace a heart with left bundle branch block: by gradient, and by a grid.

The ventricles of crtdemo, on the mesh as it is, with fibres by rule. Right bundle alone: activation
begins at the right ventricle's endocardium and spreads fast over it; the left one has no fast
layer. A lead anywhere on the epicardium paces a while before or after. Wanted are its place and
the delay for which activation is least dispersed: the standard deviation of activation times over
the volume of the wall.

- The grid: places on the epicardium some millimetres apart, with delays some milliseconds apart.
- By gradient: steps downhill along the epicardium and in the delay, from a few places far apart
  where the lead paces first, for one that is overtaken changes nothing. A derivative, which comes
  from the adjoint of the eikonal equation, is counted as a simulation of its own.

Spec: the same place to the grid's own spacing, no worse than the grid, by fewer simulations.
Derivatives against differences. Told: QRS durations of the block and of the paced heart in twelve
leads with the electrodes of the data, and the time until the whole wall is active.

With --quick: one start, and a coarse grid, without judging that they agree.
"""

import dataclasses
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from training.activation.model import VentricularEcg
from training.activation.surface import HeartSurface, surface_of
from training.anatomy import Anatomy, AnatomyTable, load_anatomy
from twinjax.electro import Eikonal, RootPoints, activation_times, ecg_features
from twinjax.fem import P1
from twinjax.geometry import Mesh, Surface

from ._report import Report, main
from ._shared import shared_path

FOLDER = "data/meshes/crtdemo_biv"
PLACES, DELAYS = 10.0, np.arange(-60.0, 1.0, 20.0)  # mm and ms of the grid
STARTS, MOST, SMALL = 50.0, 40, 0.02  # mm between starts; tries; ms of the objective that end it
RADIUS = 4.0  # mm around a lead that it reaches directly
EARLY = -40.0  # ms: delay of the first try
FIRST, LEAST = 8.0, 0.5  # mm and ms: the first step, and that at which a search ends


class Block(eqx.Module):
    """Ventricles whose left bundle is blocked, and a lead."""

    tissue: Eikonal
    bundle: Float[Array, "root 3"]  # where the right one ends [mm]
    share: Float[Array, " node"]  # of the wall's volume

    def activation(self, lead: Float[Array, "4"]) -> Float[Array, " node"]:
        """Times [ms] with a lead at a place [mm] that paces at a time [ms] after the bundle."""
        points = jnp.concatenate([self.bundle, lead[None, :3]])
        onsets = jnp.concatenate([jnp.zeros(len(self.bundle)), lead[3:]])
        return activation_times(self.tissue, RootPoints(points, onsets, radius=RADIUS))

    def dispersion(self, lead: Float[Array, "4"]) -> Float[Array, ""]:
        """Of activation with such a lead [ms]."""
        return self.spread(self.activation(lead))

    def spread(self, times: Float[Array, " node"]) -> Float[Array, ""]:
        """Standard deviation of times over the wall [ms]."""
        return jnp.sqrt(self.share @ (times - self.share @ times) ** 2)

    def unpaced(self) -> Float[Array, " node"]:
        """Times [ms] without the lead."""
        return activation_times(self.tissue, RootPoints(self.bundle, 0.0))


@dataclasses.dataclass
class Found:
    """The best lead, and simulations that it took."""

    lead: np.ndarray
    value: float
    simulations: int


def blocked() -> tuple[Block, Anatomy]:
    """The heart of the experiment."""
    table = AnatomyTable(
        mesh="crtdemo_biv_fibres.vtu",
        electrodes="electrodes_mm.json",
        fibres="rule",
        helix=(60.0, -60.0),
    )
    anatomy = load_anatomy(table, shared_path(FOLDER))
    mesh = anatomy.mesh
    places = {s: np.asarray(mesh.points)[nodes_of(mesh, s)] for s in Surface}
    right = places[Surface.RV_ENDO]
    # Halfway down: at the septum, and where the moderator band reaches the free wall.
    depth = np.linalg.norm(right - places[Surface.BASE].mean(axis=0), axis=1)
    middle = right[np.abs(depth - np.median(depth)) < 5.0]
    apart = np.linalg.norm(middle - places[Surface.LV_ENDO].mean(axis=0), axis=1)
    ends = middle[[int(apart.argmax()), int(apart.argmin())]]
    volume = P1(mesh.points, mesh.cells).lumped_mass()
    tissue = Eikonal(mesh, fast_layers=(Surface.RV_ENDO,))
    return Block(tissue, jnp.asarray(ends), volume / jnp.sum(volume)), anatomy


def nodes_of(mesh: Mesh, surface: Surface) -> np.ndarray:
    """Of the facets of a surface."""
    return np.unique(mesh.facets[mesh.facet_tags == int(surface)])


def by_grid(block: Block, places: np.ndarray, delays: np.ndarray) -> Found:
    """The best of all."""
    each = eqx.filter_jit(Block.dispersion)
    leads = [np.append(place, delay) for place in places for delay in delays]
    values = [float(each(block, jnp.asarray(lead))) for lead in leads]
    best = int(np.argmin(values))
    return Found(leads[best], values[best], len(leads))


def by_gradient(block: Block, surface: HeartSurface, starts: np.ndarray) -> Found:
    """Downhill from each start along the surface; the best of them."""
    value_of = eqx.filter_jit(Block.dispersion)
    slope_of = eqx.filter_jit(lambda b, lead: jax.grad(b.dispersion)(lead))
    count, ends = 0, []
    for place in starts:
        lead, step = np.append(place, EARLY), FIRST
        value, fresh = float(value_of(block, jnp.asarray(lead))), True
        count += 1
        for _ in range(MOST):
            if fresh:
                slope = np.array(slope_of(block, jnp.asarray(lead)))
                count += 1
                _, (along,) = surface.project(lead[None, :3])
                slope[:3] = along.T @ (along @ slope[:3])
                # Millimetres and milliseconds, each at its own pace.
                slope /= np.repeat([np.linalg.norm(slope[:3]), abs(slope[3])], [3, 1]) + 1e-12
            trial = lead - step * slope
            trial[:3] = surface.project(trial[None, :3])[0][0]
            reached = float(value_of(block, jnp.asarray(trial)))
            count += 1
            fresh = reached < value
            if fresh:
                gained, lead, value, step = value - reached, trial, reached, 1.5 * step
                if gained < SMALL:
                    break
            else:
                step /= 2
                if step < LEAST:
                    break
        ends.append((value, lead))
    value, lead = min(ends, key=lambda end: end[0])
    return Found(lead, value, count)


def run(quick: bool, report: Report) -> None:
    """Both searches on the same objective."""
    block, anatomy = blocked()
    surface = surface_of(anatomy.mesh, Surface.EPI)
    derivatives(report, block, surface)
    spacing = 40.0 if quick else PLACES
    places = surface.spread(spacing)
    begun = time.perf_counter()
    grid = by_grid(block, places, DELAYS)
    middle = time.perf_counter()
    found = by_gradient(block, surface, surface.spread(STARTS)[: 1 if quick else None])
    end = time.perf_counter()
    report.information("simulations of the grid", grid.simulations, unit="1", source="all leads")
    words = f"{end - middle:.0f} s, the grid {middle - begun:.0f} s, compiling in both"
    fewer = found.simulations / grid.simulations
    report.at_most("simulations by gradient, of the grid's", fewer, 1.0, unit="1", source=words)
    told = {"unit": "ms", "source": "standard deviation of activation"}
    before = float(block.spread(block.unpaced()))
    report.information("dispersion, block", before, **told)
    report.information("dispersion, the grid's best", grid.value, **told)
    report.at_most("dispersion, by gradient", found.value, before, **told)
    report.information("delay, the grid's best", float(grid.lead[3]), unit="ms", source="grid")
    report.information("delay, by gradient", float(found.lead[3]), unit="ms", source="gradient")
    ecg(report, block, anatomy, found)
    if quick:
        return
    words = "the grid's spacing"
    apart = float(np.linalg.norm(grid.lead[:3] - found.lead[:3]))
    report.at_most("place: gradient and grid", apart, spacing, unit="mm", source=words)
    worse = found.value - grid.value
    report.at_most("dispersion: gradient less grid", worse, 0.0, unit="ms", source="no worse")


def derivatives(report: Report, block: Block, surface: HeartSurface) -> None:
    """By place and delay against differences, within a facet: at nodes times have kinks."""
    lead = jnp.asarray(np.append(surface.spread(100.0)[0], EARLY))
    value = eqx.filter_jit(block.dispersion)
    slope = np.asarray(jax.grad(value)(lead))
    ahead = np.asarray(jax.jacfwd(value)(lead))
    steps = 1e-4 * np.eye(4)
    difference = [float(value(lead + s) - value(lead - s)) / 2e-4 for s in steps]
    scale, words = np.abs(slope).max(), "of the greatest derivative"
    apart = float(np.abs(slope - ahead).max() / scale)
    report.at_most("derivatives: forward, reverse", apart, 1e-9, unit="1", source=words)
    apart = float(np.abs(slope - difference).max() / scale)
    report.at_most("derivatives: reverse, differences", apart, 1e-4, unit="1", source=words)


def ecg(report: Report, block: Block, anatomy: Anatomy, found: Found) -> None:
    """What twelve leads see of both."""
    assert anatomy.electrodes is not None
    field = VentricularEcg(anatomy, anatomy.electrodes).field
    when = jnp.arange(-80.0, 400.0, 1.0)
    lasts, whole = [], []
    for times in (block.unpaced(), block.activation(jnp.asarray(found.lead))):
        potentials = np.asarray(field.of_times(when, times, times + 300.0))
        lasts.append(float(ecg_features(np.asarray(when), potentials).qrs_duration))
        whole.append(float(jnp.max(times) - jnp.min(times)))
    for name, qrs, total in zip(("block", "paced by gradient"), lasts, whole, strict=True):
        report.information(f"QRS duration, {name}", qrs, unit="ms", source="twelve leads")
        report.information(f"whole wall active, {name}", total, unit="ms", source="last less first")


if __name__ == "__main__":
    main(run, name="pacing_optimisation")
