"""What tissue of one size costs, in a process of its own, so that its peak memory can be seen.

python -m experiments._electro_size SPACING STEPS   prints JSON.
"""

import json
import resource
import sys
import time

from training._application import configure

from .electro_speed import SlabRun


def main() -> None:
    """Compiles, runs, and tells seconds and bytes a node."""
    configure(compilation_cache=False)
    spacing, steps = float(sys.argv[1]), int(sys.argv[2])
    SlabRun(0.5, 2).seconds()  # what JAX needs for any run
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slab = SlabRun(spacing, steps)
    begun = time.perf_counter()
    slab.seconds()
    first = time.perf_counter() - begun
    seconds = min(slab.seconds() for _ in range(3))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {
        "nodes": slab.nodes,
        "seconds": seconds,
        "compile": first - seconds,
        "bytes": 1024 * (peak - before) / slab.nodes,
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
