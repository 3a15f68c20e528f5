"""Steps of a beating heart in chunks, of which each is kept, so that a killed run goes on."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from training._parts import Parts
from training._tissue_chunks import STATE
from twinjax import RESULTS
from twinjax.heart import HeartState, WholeHeart, beat
from twinjax.mechanics import fibre_stretch

FINEST = 8  # a step without a balance is divided into as many at the most


class Means(eqx.Module):
    """What is seen of the wall at every step."""

    heart: WholeHeart

    def __call__(self, state: HeartState) -> dict[str, Any]:
        stretch = fibre_stretch(self.heart.wall, state.deformation.displacement)
        tension = self.heart.tension.tension(state.sarcomeres, stretch)
        _, volume = self.heart.wall.elements.geometry()
        share = volume / jnp.sum(volume)
        return {"fibre_stretch": jnp.sum(share * stretch), "tension": jnp.sum(share * tension)}


def onward(
    means: Means, state: HeartState, step: float, steps: int, told: Callable[[float], None]
) -> tuple[dict[str, np.ndarray], HeartState, int, dict[str, float]]:
    """So many steps, those without a balance in halves, quarters or eighths.

    **Returns:** rows of values, the first of which is where they begin; the state after the last;
    a `RESULTS` code; and counts of what was done.
    """
    counts = {"corrections": 0.0, "factorisations": 0.0, "divided steps": 0.0}

    def run(state: HeartState, step: float, steps: int) -> tuple[Any, list, int]:
        done = beat(
            means.heart,
            start=state,
            step=step,
            steps=steps,
            observe=means,
            progress=told,
            throw=False,
        )
        for name, value in done.stats.items():
            counts[name] += float(value)
        seen = dict(done.observations)
        seen |= seen.pop("seen")
        rows = {name: np.asarray(row) for name, row in seen.items()}
        sound = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((done.state, rows)))
        code = int(done.result) if sound else int(RESULTS.nonfinite)
        return (
            done.state,
            [{k: row[i] for k, row in rows.items()} for i in range(len(done.times))],
            code,
        )

    begin = state
    state, rows, code = run(begin, step, steps)
    if code == RESULTS.nonfinite:
        state, rows = begin, rows[:1]
    # What makes a step hard lasts for some of them: the rest of the chunk stays divided.
    division = 2
    while len(rows) <= steps and division <= FINEST:
        after, seen, code = run(state, step / division, division)
        if code != RESULTS.successful:
            division *= 2
            continue
        state, counts["divided steps"] = after, counts["divided steps"] + 1
        rows.append(seen[-1])
    return {k: np.array([row[k] for row in rows]) for k in rows[0]}, state, code, counts


@dataclasses.dataclass
class Kept:
    """What is kept of a run: rows of steps, shapes, counts."""

    rows: list[dict[str, np.ndarray]] = dataclasses.field(default_factory=list)
    shapes: list[np.ndarray] = dataclasses.field(default_factory=list)
    moments: list[float] = dataclasses.field(default_factory=list)
    stats: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    def add(self, rows: dict[str, np.ndarray], stats: dict[str, float]) -> None:
        self.rows.append(rows)
        self.stats = {name: self.stats.get(name, 0.0) + value for name, value in stats.items()}

    def shape(self, state: HeartState) -> None:
        self.shapes.append(np.asarray(state.deformation.displacement))
        self.moments.append(float(state.time))

    def last(self) -> dict[str, np.ndarray]:
        return {f"row_{k}": row for k, row in self.rows[-1].items()} | {
            "displacement": self.shapes[-1]
        }


def save(
    parts: Parts,
    number: int,
    state: HeartState,
    kept: Kept,
    seconds: float,
    arrays: dict[str, np.ndarray],
) -> None:
    """A chunk; -1 is the filled heart. The state comes last: with it the chunk counts as done."""
    parts.save(number + 1, arrays | {"moment": np.array(kept.moments[-1])})
    leaves = {f"leaf_{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
    counts = {f"count_{name}": np.array(value) for name, value in kept.stats.items()}
    known = {"number": np.array(number), "seconds": np.array(seconds)}
    parts.save(STATE + number % 2, leaves | counts | known)


def resumed(heart: WholeHeart, parts: Parts | None, kept: Kept) -> tuple[HeartState | None, int]:
    """Where the chunks that were kept have ended, and the number of the last; or nothing, and 0."""
    states = []
    if parts is not None:
        states = [parts.load(STATE + i) for i in (0, 1) if parts.has(STATE + i)]
    if parts is None or not states:
        return None, 0
    last = max(states, key=lambda state: int(state["number"]))
    number = int(last["number"])
    for part in (parts.load(i) for i in range(number + 2)):
        kept.shapes.append(part["displacement"])
        kept.moments.append(float(part["moment"]))
        rows = {k.removeprefix("row_"): v for k, v in part.items() if k.startswith("row_")}
        if rows:
            kept.rows.append(rows)
    kept.seconds = float(last["seconds"])
    kept.stats = {
        k.removeprefix("count_"): float(v) for k, v in last.items() if k.startswith("count_")
    }
    structure: Any = jax.tree.structure(_unfilled(heart))
    leaves = [jnp.asarray(last[f"leaf_{i}"]) for i in range(structure.num_leaves)]
    return jax.tree.unflatten(structure, leaves), number


def _unfilled(heart: WholeHeart) -> HeartState:
    """Of the form of every state."""
    rest, cavities = heart.wall.at_rest(), jnp.zeros(len(heart.chambers))
    return HeartState(
        jnp.zeros(()),
        rest,
        cavities,
        heart.circulation.initial_state(),
        heart.tension.initial_state(),
        jnp.zeros_like(rest.displacement),
        cavities,
    )
