"""Cells behind the seam to everything that learns: parameters in, biomarkers out."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import ParameterSpace
from twinjax._results import RESULTS
from twinjax._simulator import AbstractSimulator, Observations
from twinjax._solve import Solution
from twinjax.cells._biomarkers import biomarkers
from twinjax.cells._cell import AbstractCell
from twinjax.cells._land_2017 import Land2017
from twinjax.cells._orbit import Near, near_orbit, periodic
from twinjax.cells._pace import Grid, calcium, pace
from twinjax.cells._tension import contract


class CellSimulator(AbstractSimulator):
    """The periodic orbit of a paced cell: its biomarkers, and the peak of isometric tension.

    **Arguments:** `cell` gives every parameter that is not in `space`; `grid` of one beat;
    `record` as of `pace`; `state` that the search starts from, and the charge of the orbit.
    """

    cell: AbstractCell
    space: ParameterSpace
    grid: Grid
    record: Callable[[AbstractCell, Any], dict[str, Array]] = eqx.field(
        static=True, default=calcium
    )
    state: Any = None
    rtol: float = eqx.field(static=True, default=1e-7)
    max_beats: int = eqx.field(static=True, default=60)

    def __call__(self, theta: Float[Array, " n"]) -> Observations:
        return self.beside(theta, None)[0]

    def beside(
        self, theta: Float[Array, " n"], near: Near | None, max_beats: int | None = None
    ) -> tuple[Observations, Near]:
        """The same, from what is known of another orbit; and what is known after."""
        orbit = periodic(
            self.space.write(self.cell, theta),
            state=self.state,
            near=near,
            grid=self.grid,
            record=self.record,
            rtol=self.rtol,
            max_beats=self.max_beats if max_beats is None else max_beats,
            throw=False,
        )
        return self._told(theta, orbit), Near(orbit.state, orbit.stats["inverse"])

    def near(self, theta: Float[Array, " n"], state: Any) -> Near:
        """What the orbit through `state` tells of its neighbours: see `near_orbit`."""
        return near_orbit(self.space.write(self.cell, theta), state, grid=self.grid)

    def paced(
        self, theta: Float[Array, " n"], beats: int, state: Any = None
    ) -> tuple[Observations, Any]:
        """The last of so many beats from a state, and the state after it: it needs no orbit."""
        last = pace(
            self.space.write(self.cell, theta),
            state=self.state if state is None else state,
            beats=beats,
            grid=self.grid,
            record=self.record,
            throw=False,
        )
        return self._told(theta, last), last.state

    def _told(self, theta: Array, beat: Solution) -> Observations:
        scalars = biomarkers(beat)
        if "cai" in beat.observations:
            tension, _ = contract(Land2017(), beat.times, beat.observations["cai"])
            scalars["peak_tension"] = jnp.max(tension)
        if "beats" in beat.stats:
            scalars["beats"] = beat.stats["beats"]
        inside = self.space.contains(theta)
        return Observations(scalars, {}, jnp.where(inside, beat.result, RESULTS.outside_bounds))
