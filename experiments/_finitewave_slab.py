"""The slab of `electro_speed` by Finitewave, in an environment of its own, which need not have JAX.

    python _finitewave_slab.py SPACING STEP END THREADS TIMED PIPE

Asked for `time` through the pipe, it answers the processor seconds of `TIMED` steps, of which it
has run as many before; for `activation`, that [ms] of the far end of the stimulated edge after
`END` ms.
"""

import sys
import time
from multiprocessing.connection import Connection
from typing import Any

import finitewave
import numpy as np

SIZE, CUBE, AMPLITUDE, LASTS = (20.0, 7.0, 3.0), 1.5, 50000 / 1400, 2.0
ALONG, ACROSS = 0.1334177 / 1.4, 0.0176062 / 1.4  # [mm²/ms]
# The initial state of Niederer et al. 2011, by the names that Finitewave gives to it.
START = {
    "u": -85.23, "m": 0.00172, "h": 0.7444, "j": 0.7045, "d": 3.373e-5, "f": 0.7888, "f2": 0.9755,
    "fcass": 0.9953, "r": 2.42e-8, "s": 0.999998, "xs": 0.0095, "xr1": 0.00621, "xr2": 0.4712,
    "cai": 0.000126, "casr": 3.64, "cass": 0.00036, "rr": 0.9073, "nai": 8.604, "ki": 136.89,
}  # fmt: skip


def model(spacing: float, step: float, end: float, watch: bool) -> tuple[Any, Any]:
    """A model, and what records activation."""
    nodes = [round(edge / spacing) + 1 for edge in SIZE]
    shape = [n + 2 for n in nodes]  # the outermost layer is no tissue
    tissue = finitewave.CardiacTissue(shape)
    tissue.fibers = np.zeros((*shape, 3))
    tissue.fibers[..., 0] = 1.0
    where = np.zeros(shape)
    inside = [slice(1, int(CUBE / spacing + 1e-6) + 2)] * 3
    where[tuple(inside)] = 1.0
    stimuli = finitewave.StimSequence()
    stimuli.add_stim(finitewave.StimCurrentMatrix(0.0, AMPLITUDE, LASTS, where))
    made = finitewave.TenTusscherPanfilov2006()
    made.cardiac_tissue, made.stim_sequence = tissue, stimuli
    made.dt, made.dr, made.t_max, made.prog_bar = step, spacing, end, False
    made.D_model = ALONG
    made.stencil = made.select_stencil(tissue)
    made.stencil.D_al, made.stencil.D_ac = 1.0, ACROSS / ALONG
    for name, value in START.items():
        setattr(made, f"init_{name}", value)
    tracker = finitewave.ActivationTimeTracker()
    tracker.threshold = 0.0
    if watch:
        made.tracker_sequence = finitewave.TrackerSequence()
        made.tracker_sequence.add_tracker(tracker)
    return made, tracker


def main() -> None:
    """Answers, line by line."""
    spacing, step, end = map(float, sys.argv[1:4])
    threads, timed = int(sys.argv[4]), int(sys.argv[5])
    made, _ = model(spacing, step, timed * step, False)
    made.run(num_of_threads=threads)
    with Connection(int(sys.argv[6])) as connection:
        while True:
            if connection.recv_bytes() == b"time":
                made.t_max = made.t + timed * step
                begun = time.process_time()
                made.run(initialize=False, num_of_threads=threads)
                answer = time.process_time() - begun
            else:
                whole, tracker = model(spacing, step, end, True)
                whole.run(num_of_threads=threads)
                answer = float(tracker.output[-2, 1, 1])
            connection.send_bytes(str(answer).encode())


if __name__ == "__main__":
    main()
