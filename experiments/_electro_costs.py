"""What gradients through tissue cost, in a process of its own, for which memory is set up.

python -m experiments._electro_costs DURATION SPACING ROUNDS MEMORY FILE   writes JSON.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from training._application import configure
from twinjax.cells import TenTusscherPanfilov2006
from twinjax.electro import Stimulus, Tissue, propagate, slab

STEP = 0.02  # [ms]


def main() -> None:
    """Processor seconds and temporary memory [B] of a value, of forward and of reverse mode."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    configure(compilation_cache=False)
    duration, spacing, rounds, memory = (float(text) for text in sys.argv[1:5])
    grid = slab((8.0, 4.0, 2.0), spacing)
    tissue = Tissue(grid, TenTusscherPanfilov2006()).astype("float32")
    stimulus = Stimulus(grid.within((0.0,) * 3, (1.6,) * 3), -50000 / 1400)
    sigma = tissue.conductivity_along

    def value(s: Any) -> Any:
        changed = eqx.tree_at(lambda t: t.conductivity_along, tissue, s)
        done = propagate(
            changed,
            [stimulus],
            duration=duration,
            step=STEP,
            substeps=1,
            memory=memory,
            throw=False,
        )
        seen = done.observations.activation
        return jnp.sum(jnp.where(jnp.isfinite(seen), seen, 0.0))

    modes = {
        "value": value,
        "reverse": jax.value_and_grad(value),
        "forward": lambda s: jax.jvp(value, (s,), (jnp.ones_like(s),)),
    }
    found: dict[str, Any] = {"nodes": len(grid.nodes)}
    programs: dict[str, Any] = {}
    for name, mode in modes.items():
        begun = time.perf_counter()
        program = jax.jit(mode).lower(sigma).compile()
        compiled = time.perf_counter() - begun
        analysis = program.memory_analysis()
        assert analysis is not None
        found[name] = {"compile": compiled, "bytes": analysis.temp_size_in_bytes, "seconds": 1e99}
        programs[name] = program
    for _ in range(int(rounds)):  # in turns, the least of each
        for name, program in programs.items():
            begun = time.process_time()
            jax.block_until_ready(program(sigma))
            took = time.process_time() - begun
            found[name]["seconds"] = min(found[name]["seconds"], took)
    Path(sys.argv[5]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
