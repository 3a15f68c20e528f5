"""First guesses: which sites on the endocardium, started when, draw an ECG most like the one given.

At given velocities the times of several roots are the least of those of each root alone. So the
times of many sites are found once, and sets of them are tried at the cost of a minimum.
"""

import dataclasses
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from training.activation.model import VentricularEcg
from training.activation.surface import HeartSurface
from twinjax.electro import Eikonal, LeadField, RootPoints, activation_times

T = TypeVar("T")
_GROUPS = 5000  # of nodes, as many as a mesh of 5 mm has
_LATE = 1e6  # time of a node that nothing has reached yet [ms]


@dataclasses.dataclass(frozen=True, eq=False)
class Sites:
    """Candidates: their points (site, 3) [mm], the surface of each, and their fields [ms].

    `fields` (site, node) are the times from each site alone at `velocities`.
    """

    points: Float[np.ndarray, "site 3"]
    surface: np.ndarray
    fields: Float[Array, "site node"]


def make_sites(
    model: VentricularEcg,
    surfaces: tuple[HeartSurface, ...],
    velocities: Float[np.ndarray, "4"],
    spacing: float,
    progress: Callable[[str, float], None],
) -> Sites:
    """Sites `spacing` [mm] apart, and the times from each of them."""
    chosen = [surface.spread(spacing) for surface in surfaces]
    points = np.concatenate(chosen)
    number = np.repeat(np.arange(len(surfaces)), [len(c) for c in chosen])
    tissue = model.with_velocities(jnp.asarray(velocities))

    @eqx.filter_jit
    def field(tissue: Eikonal, point: Array) -> Array:
        return activation_times(tissue, RootPoints(point[None], radius=model.radius))

    fields = in_threads(
        lambda i: jax.block_until_ready(field(tissue, jnp.asarray(points[i]))),
        len(points),
        lambda share: progress("sites", share),
    )
    return Sites(points, number, jnp.stack(fields))


def in_threads(work: Callable[[int], T], count: int, progress: Callable[[float], None]) -> list[T]:
    """`work` of 0 to count - 1, one thread a core: compiled programs run side by side."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = []
        for i, one in enumerate(pool.map(work, range(count))):
            found.append(one)
            progress((i + 1) / count)
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class Guess:
    """Sites by number, their onsets [ms], and the gain that fits best."""

    sites: list[int]
    onsets: list[float]
    gain: float


class _Groups(NamedTuple):
    """Nodes (group, place), padded; which places count (0 or 1), and these over their number."""

    nodes: np.ndarray
    share: np.ndarray
    mean: np.ndarray


def _groups(points: Float[np.ndarray, "node 3"]) -> _Groups:
    """Groups of neighbours, `_GROUPS` at most: halves of halves across the longest side."""
    size = -(-len(points) // _GROUPS)

    def halves(some: np.ndarray) -> list[np.ndarray]:
        if len(some) <= size:
            return [some]
        axis = int(np.argmax(np.ptp(points[some], axis=0)))
        some = some[np.argsort(points[some, axis], kind="stable")]
        # A multiple of the size in the first half, so that few groups are smaller than they may be.
        middle = size * -(-len(some) // (2 * size))
        return halves(some[:middle]) + halves(some[middle:])

    found = halves(np.arange(len(points)))
    nodes = np.array([np.pad(g, (0, size - len(g)), mode="edge") for g in found])
    share = np.array([np.arange(size) < len(g) for g in found], float)
    return _Groups(nodes, share, share / share.sum(axis=1, keepdims=True))


class Search:
    """Sets of sites against one ECG: `target` (lead, time) [mV] at `times` [ms].

    Of a fine mesh neighbouring nodes are taken together, with the mean of their times: guesses
    need no more, and cost in proportion.
    """

    def __init__(
        self,
        model: VentricularEcg,
        sites: Sites,
        times: Float[np.ndarray, " time"],
        shifts: Float[np.ndarray, " shift"],
    ):
        self.sites, self.shifts = sites, jnp.asarray(shifts)
        # On coarse cells a front comes in steps, which a slow upstroke hides.
        slow = jnp.minimum(model.shape.upstroke, 0.5)
        coarse = eqx.tree_at(lambda m: m.shape.upstroke, model, slow)
        groups = _groups(np.asarray(model.tissue.points))
        matrix = jnp.einsum("lgp,gp->lg", model.field.matrix[:, groups.nodes], groups.share)
        self._fields = jnp.einsum("sgp,gp->sg", sites.fields[:, groups.nodes], groups.mean)
        coarse = eqx.tree_at(lambda m: m.fine, coarse, LeadField(matrix, model.field.names))
        if model.ends is not None:
            coarse = eqx.tree_at(lambda m: m.ends, coarse, None)

        def fitted(target: Array, activation: Array) -> tuple[Array, Array]:
            found = coarse.depolarisation(times, activation)
            gain = jnp.maximum(jnp.sum(found * target) / jnp.sum(found**2), 1e-3)
            return jnp.sum((gain * found - target) ** 2), gain

        def table(target: Array, best: Array, fields: Array, shifts: Array) -> Array:
            def of_shift(shift: Array) -> Array:
                return jax.lax.map(
                    lambda field: fitted(target, jnp.minimum(best, field + shift))[0], fields
                )

            return jax.lax.map(of_shift, shifts)

        self._table, self._fitted = jax.jit(table), jax.jit(fitted)

    def guess(
        self,
        target: Float[np.ndarray, "lead time"],
        roots: int,
        factor: float,
        rng: np.random.Generator,
        looseness: float = 0.0,
    ) -> Guess:
        """Adds one site after the other, each time that which helps most, and moves the others.

        `factor` multiplies all velocities. With `looseness` above 0 the first sites are drawn
        among those whose misfit is larger by about this share, so that guesses differ.
        """
        fields = self._fields / factor
        chosen: list[tuple[int, float]] = []
        least = np.inf

        def merged(some: list[tuple[int, float]]) -> Array:
            best = jnp.full(fields.shape[1], _LATE)
            for site, onset in some:
                best = jnp.minimum(best, fields[site] + onset)
            return best

        def table(some: list[tuple[int, float]]) -> np.ndarray:
            return np.asarray(self._table(jnp.asarray(target), merged(some), fields, self.shifts))

        def place(found: np.ndarray, flat: int) -> tuple[int, float]:
            shift, site = np.unravel_index(flat, found.shape)
            return int(site), float(self.shifts[shift])

        while len(chosen) < roots:
            found = table(chosen)
            flat = int(np.argmin(found))
            if looseness > 0 and len(chosen) < 3:
                excess = (found / found.min() - 1).ravel() / looseness
                odds = np.exp(-excess)
                flat = int(rng.choice(len(odds), p=odds / odds.sum()))
            chosen.append(place(found, flat))
            least = float(found.ravel()[flat])
            for which in range(len(chosen) - 1):
                found = table([c for i, c in enumerate(chosen) if i != which])
                if found.min() < least:
                    chosen[which] = place(found, int(np.argmin(found)))
                    least = float(found.min())
        sites, onsets = zip(*chosen, strict=True)
        gain = float(self._fitted(jnp.asarray(target), merged(chosen))[1])
        return Guess(list(sites), list(onsets), gain)
