"""Times on a machine that others use too: the least of many."""

import time
from collections.abc import Callable
from typing import Any

__all__ = ["least"]


def least(run: Callable[[], Any], repeats: int, *, patience: float = 60.0) -> float:
    """The least wall time [s] of `run`, after one run that is not counted (it may compile).

    Other programs only ever add to a time, so the least one is the nearest to the truth. No
    repeat is begun after `patience` seconds.
    """
    run()
    begun = time.perf_counter()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        end = time.perf_counter()
        best = min(best, end - start)
        if end - begun > patience:
            break
    return best
