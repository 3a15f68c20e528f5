"""What tissue of one size costs, in a process of its own, so that its peak memory can be seen.

python -m experiments._electro_size SPACING STEPS FILE   writes JSON.
"""

import json
import os
import resource
import sys
from pathlib import Path

from training._application import configure

from .electro_speed import SlabRun


def main() -> None:
    """Compiles, runs on one core, and tells processor seconds and bytes a node."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    configure(compilation_cache=False)
    spacing, steps = float(sys.argv[1]), int(sys.argv[2])
    SlabRun(0.5, 2).seconds()  # what JAX needs for any run
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slab = SlabRun(spacing, steps)
    first = slab.processor_seconds()
    seconds = min(slab.processor_seconds() for _ in range(3))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {
        "nodes": slab.nodes,
        "seconds": seconds,
        "compile": first - seconds,
        "bytes": 1024 * (peak - before) / slab.nodes,
    }
    Path(sys.argv[3]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
