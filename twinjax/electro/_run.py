"""A long run of tissue in parts: it goes on after a kill, and shows where it is."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from twinjax._solve import Solution
from twinjax.cells import AbstractScheme
from twinjax.electro._checkpoint import load, marks, save
from twinjax.electro._propagate import Stimulus, _whole, propagate
from twinjax.electro._snapshots import check_kind, write_snapshot
from twinjax.electro._tissue import Tissue


def run_tissue(
    tissue: Tissue,
    stimuli: Sequence[Stimulus],
    *,
    duration: float,
    every: float,
    step: float = 0.05,
    checkpoint: str | Path | None = None,
    snapshots: str | Path | None = None,
    progress: Callable[[Solution], None] | None = None,
    until_activated: bool = False,
    substeps: int | None = None,
    splitting: str = "godunov",
    scheme: AbstractScheme | None = None,
    state: Any = None,
    threshold: float = 0.0,
    recovered: float = -70.0,
    since: float = 0.0,
    throw: bool = True,
) -> Solution:
    """[`propagate`][twinjax.electro.propagate] in parts of `every` ms, for long runs.

    **Arguments:** `checkpoint`, an HDF5 file that holds the whole state, and the crossings seen so
    far, after each part. If it is there already, the run goes on from it, to the last digit as if
    it had never stopped if `every` is the same; a longer `duration` prolongs it. `snapshots`, a
    name ending in .h5 or .vtu: potentials after each part are written to `NAME-00000400.vtu` after
    400 steps, and so on, points in the order of the tissue's nodes; `NAME.pvd` lists those of VTU
    for ParaView. Files are written under another name and moved. `progress` is called with the
    solution after each part. With `until_activated` no part is begun once all nodes are
    activated. The others are those of `propagate`, by which nothing is kept for gradients here.

    **Returns:** the `Solution` of the last part, whose crossings are those of the whole run. If
    `throw` is false and a part fails, it is that part's, and is not in the checkpoint.

    Raises `ValueError` as `propagate` does, for a checkpoint of other tissue, stimuli or options,
    for one that is damaged or beyond `duration`, and for snapshots of an unknown kind.
    """
    steps, part = _whole(duration, step, "duration"), _whole(every, step, "every")
    levels = {"threshold": threshold, "recovered": recovered, "since": since}
    options: dict[str, Any] = {
        "step": step,
        "substeps": substeps,
        "splitting": splitting,
        "scheme": scheme,
    } | levels
    checkpoint = None if checkpoint is None else Path(checkpoint)
    snapshots = None if snapshots is None else Path(snapshots)
    if snapshots is not None:
        check_kind(snapshots)
    done, found = None, {}
    if checkpoint is not None:
        found = marks(tissue, stimuli=list(stimuli), state=state, **options)
        if checkpoint.exists():
            done = load(checkpoint, tissue, found)
    passed = 0 if done is None else int(done.stats["steps"])
    if passed > steps:
        raise ValueError(f"{checkpoint} is at {passed * step:g} ms, beyond {duration} ms")
    while passed < steps and not (until_activated and done is not None and _all_reached(done)):
        # Up to the next whole part, so that a run which is prolonged keeps its pace.
        count = min(part - passed % part, steps - passed)
        begin = {"state": state} if done is None else {"after": done}
        done = propagate(tissue, stimuli, duration=count * step, throw=throw, **begin, **options)
        if not bool(done.ok):
            break
        passed += count
        if checkpoint is not None:
            save(checkpoint, done, found)
        if snapshots is not None:
            write_snapshot(snapshots, tissue.grid.points, step, done)
        if progress is not None:
            progress(done)
    assert done is not None
    return done


def _all_reached(solution: Solution) -> bool:
    return bool(jnp.all(jnp.isfinite(solution.observations.activation)))
