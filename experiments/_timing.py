"""Times on a machine that others use too: the least of many."""

import time
from collections.abc import Callable
from typing import Any

__all__ = ["least"]


def least(
    run: Callable[[], Any],
    repeats: int,
    *,
    patience: float = 60.0,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """The least time [s] of `run`, after one run that is not counted (it may compile).

    Other programs only ever add to a time, so the least one is the nearest to the truth. No
    repeat is begun after `patience` seconds. `clock` is that of the wall, or `time.process_time`
    of processors, which others change little.
    """
    run()
    begun = time.perf_counter()
    best = float("inf")
    for _ in range(repeats):
        start = clock()
        run()
        best = min(best, clock() - start)
        if time.perf_counter() - begun > patience:
            break
    return best
