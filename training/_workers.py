"""Worker processes: the way to employ more than one core."""

import multiprocessing
import multiprocessing.connection
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.queues import SimpleQueue

from training._application import configure

__all__ = ["worker_processes"]


def worker_processes(count: int) -> ProcessPoolExecutor:
    """A pool of processes that compute with JAX, each on a core of its own.

    A process that is bound to one core makes XLA run on one thread; two threads that share the
    small arrays of a beat spend as much time on waiting for each other as they save.
    """
    # Spawned, since a fork of a process that has used JAX may wait for ever.
    context = multiprocessing.get_context("spawn")
    cores: SimpleQueue[int | None] = context.SimpleQueue()
    for number in range(count):
        cores.put(_core(number))
    return ProcessPoolExecutor(count, context, initializer=_start, initargs=(cores,))


def _core(number: int) -> int | None:
    if not hasattr(os, "sched_getaffinity"):  # only Linux binds a process to a core
        return None
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[number % len(allowed)]


def _start(cores: "SimpleQueue[int | None]") -> None:
    """Configures a worker, and ends it with its parent, even one that was killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            multiprocessing.connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    core = cores.get()
    if core is not None:
        os.sched_setaffinity(0, {core})
    configure()
