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
import json
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax.electro import (
    Conductivities,
    Eikonal,
    RootPoints,
    activation_times,
    ecg_features,
    unbounded_lead_field,
)
from twinjax.geometry import FibreRule, Mesh, Surface, find_surfaces, repaired, replace
from twinjax.io import read_mesh

from ._biventricle import FILE
from ._report import Report, main
from ._shared import shared_path

PLACES, DELAYS = 10.0, np.arange(-60.0, 1.0, 20.0)  # mm and ms of the grid
STARTS, MOST, SMALL = 6, 40, 0.02  # starts; tries from one; ms of the objective that end it
RADIUS = 4.0  # mm around a lead that it reaches directly
EARLY = -40.0  # ms: delay of the first try
FIRST, LEAST = 8.0, 0.5  # mm and ms: the first step, and that at which a search ends
LEADS = "data/meshes/crtdemo_biv/electrodes_mm.json"


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
        """Standard deviation over the wall [ms]."""
        times = self.activation(lead)
        mean = self.share @ times
        return jnp.sqrt(self.share @ (times - mean) ** 2)

    def unpaced(self) -> Float[Array, " node"]:
        """Times [ms] without the lead."""
        return activation_times(self.tissue, RootPoints(self.bundle, 0.0))


@dataclasses.dataclass
class Found:
    """The best lead, and simulations that it took."""

    lead: np.ndarray
    value: float
    simulations: int


def blocked() -> tuple[Block, Mesh]:
    """The heart of the experiment."""
    mesh = find_surfaces(repaired(read_mesh(shared_path(FILE)).mesh)[0])
    mesh = replace(mesh, frames=FibreRule(helix_endo=60.0, helix_epi=-60.0).frames(mesh))
    tissue = Eikonal(mesh, fast_layers=(Surface.RV_ENDO,))
    right = mesh.points[nodes_of(mesh, Surface.RV_ENDO)]
    # The moderator band ends at the free wall, halfway: the place farthest from the left cavity.
    left = mesh.points[nodes_of(mesh, Surface.LV_ENDO)].mean(axis=0)
    base = mesh.points[nodes_of(mesh, Surface.BASE)].mean(axis=0)
    depth = np.linalg.norm(right - base, axis=1)
    middle = right[np.abs(depth - np.median(depth)) < 5.0]
    apart = np.linalg.norm(middle - left, axis=1)
    ends = middle[[int(apart.argmax()), int(apart.argmin())]]
    corners = mesh.points[mesh.cells]
    sides = corners[:, 1:] - corners[:, :1]
    volume = np.abs(np.linalg.det(sides)) / 6
    share = np.bincount(mesh.cells.ravel(), np.repeat(volume / 4, 4), len(mesh.points))
    return Block(tissue, jnp.asarray(ends), jnp.asarray(share / share.sum())), mesh


def nodes_of(mesh: Mesh, surface: Surface) -> np.ndarray:
    """Of the facets of a surface."""
    return np.unique(mesh.facets[mesh.facet_tags == int(surface)])


class Epicardium:
    """Where a lead can be."""

    def __init__(self, mesh: Mesh):
        facets = mesh.facets[mesh.facet_tags == int(Surface.EPI)]
        points = np.asarray(mesh.points)
        self.corners, self.points = points[facets], points[np.unique(facets)]

    def normal(self, place: np.ndarray) -> np.ndarray:
        """Of the facets around a place [mm], their mean."""
        a, b, c = np.moveaxis(self.corners, 1, 0)
        near = np.argsort(np.linalg.norm((a + b + c) / 3 - place, axis=1))[:6]
        mean = np.cross(b - a, c - a)[near].sum(axis=0)
        return mean / np.linalg.norm(mean)

    def nearest(self, place: np.ndarray) -> np.ndarray:
        """The point of the surface that is nearest to a place [mm]."""
        a, b, c = np.moveaxis(self.corners, 1, 0)
        inside = _on_planes(place, a, b, c)
        edges = [_on_edges(place, *ends) for ends in ((a, b), (b, c), (c, a))]
        every = np.concatenate([inside, *edges])
        return every[np.nanargmin(np.linalg.norm(every - place, axis=1))]

    def spread(self, spacing: float = 0.0, count: int = 10**6) -> np.ndarray:
        """Nodes that are as far apart as can be, until nothing is farther than `spacing`."""
        chosen, apart = [0], np.linalg.norm(self.points - self.points[0], axis=1)
        while len(chosen) < count and apart.max() > spacing:
            chosen.append(int(apart.argmax()))
            apart = np.minimum(apart, np.linalg.norm(self.points - self.points[chosen[-1]], axis=1))
        return self.points[chosen]


def _on_planes(place: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The foot on each triangle's plane; NaN outside of the triangle."""
    sides = np.stack([b - a, c - a], axis=2)
    share = np.einsum("fki,fi->fk", np.linalg.pinv(sides), place - a)
    foot = a + np.einsum("fik,fk->fi", sides, share)
    within = np.all(share >= 0, axis=1) & (share.sum(axis=1) <= 1)
    return np.where(within[:, None], foot, np.nan)


def _on_edges(place: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The nearest point of each edge."""
    along = end - begin
    share = np.sum((place - begin) * along, axis=1) / np.sum(along**2, axis=1)
    return begin + np.clip(share, 0, 1)[:, None] * along


def by_grid(block: Block, places: np.ndarray, delays: np.ndarray) -> Found:
    """The best of all."""
    each = eqx.filter_jit(Block.dispersion)
    leads = [np.append(place, delay) for place in places for delay in delays]
    values = [float(each(block, jnp.asarray(lead))) for lead in leads]
    best = int(np.argmin(values))
    return Found(leads[best], values[best], len(leads))


def by_gradient(block: Block, surface: Epicardium, starts: np.ndarray) -> Found:
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
                slope[:3] -= (normal := surface.normal(lead[:3])) * (normal @ slope[:3])
                # Millimetres and milliseconds, each at its own pace.
                slope /= np.repeat([np.linalg.norm(slope[:3]), abs(slope[3])], [3, 1]) + 1e-12
            trial = lead - step * slope
            trial[:3] = surface.nearest(trial[:3])
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
    block, mesh = blocked()
    surface = Epicardium(mesh)
    derivatives(report, block, surface)
    spacing = 40.0 if quick else PLACES
    places = surface.spread(spacing)
    begun = time.perf_counter()
    grid = by_grid(block, places, DELAYS)
    middle = time.perf_counter()
    found = by_gradient(block, surface, surface.spread(count=1 if quick else STARTS))
    end = time.perf_counter()
    report.information("simulations of the grid", grid.simulations, unit="1", source="all leads")
    words = f"{end - middle:.0f} s, the grid {middle - begun:.0f} s, compiling in both"
    fewer = found.simulations / grid.simulations
    report.at_most("simulations by gradient, of the grid's", fewer, 1.0, unit="1", source=words)
    told = {"unit": "ms", "source": "standard deviation of activation"}
    times = np.asarray(block.unpaced())
    share = np.asarray(block.share)
    before = float(np.sqrt(share @ (times - share @ times) ** 2))
    report.information("dispersion, block", before, **told)
    report.information("dispersion, the grid's best", grid.value, **told)
    report.at_most("dispersion, by gradient", found.value, before, **told)
    report.information("delay, the grid's best", float(grid.lead[3]), unit="ms", source="grid")
    report.information("delay, by gradient", float(found.lead[3]), unit="ms", source="gradient")
    ecg(report, block, mesh, found)
    if quick:
        return
    words = "the grid's spacing"
    apart = float(np.linalg.norm(grid.lead[:3] - found.lead[:3]))
    report.at_most("place: gradient and grid", apart, spacing, unit="mm", source=words)
    worse = found.value - grid.value
    report.at_most("dispersion: gradient less grid", worse, 0.0, unit="ms", source="no worse")


def derivatives(report: Report, block: Block, surface: Epicardium) -> None:
    """By place and delay against differences, within a facet: at nodes times have kinks."""
    within = surface.corners[len(surface.corners) // 2].mean(axis=0)
    lead = jnp.asarray(np.append(within, EARLY))
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


def ecg(report: Report, block: Block, mesh: Mesh, found: Found) -> None:
    """What twelve leads see of both."""
    places = json.loads(shared_path(LEADS).read_text(encoding="utf-8"))
    names = ("RA", "LA", "LL", *(f"V{k}" for k in range(1, 7)))
    electrodes = np.array([places[name] for name in names], float)
    assert mesh.frames is not None
    inside = Conductivities().intracellular(mesh.frames[:, :, :1])
    field = unbounded_lead_field(mesh.points, mesh.cells, inside, electrodes).twelve_leads()
    when = jnp.arange(-80.0, 400.0, 1.0)
    lasts, whole = [], []
    for times in (block.unpaced(), block.activation(jnp.asarray(found.lead))):
        potentials = np.asarray(field.of_times(when, times, times + 300.0))
        lasts.append(float(ecg_features(np.asarray(when), potentials).qrs_duration))
        whole.append(float(jnp.max(times) - jnp.min(times)))
    for name, qrs, total in zip(("block", "paced by gradient"), lasts, whole, strict=True):
        report.information(f"QRS duration, {name}", qrs, unit="ms", source="twelve leads")
        report.information(f"whole wall active, {name}", total, unit="ms", source="last less first")
    report.at_least(
        "QRS duration, shorter by pacing",
        lasts[0] - lasts[1],
        0.0,
        unit="ms",
        source="twelve leads",
    )


if __name__ == "__main__":
    main(run, name="pacing_optimisation")
