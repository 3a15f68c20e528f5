"""The slab of `electro_speed` by TorchCor, in an environment of its own, which need not have JAX.

    python _torchcor_slab.py FOLDER FAR STEP END THREADS TIMED PIPE

`FOLDER` has a mesh of openCARP's files and the stimulated nodes, `stimulated.vtx`. Asked for
`time` through the pipe, it answers the processor seconds of `TIMED` steps, of which it has run as
many before; for `activation`, that [ms] of node `FAR` after `END` ms. As its users run it but for
lumped masses, which the others have: double precision, the Crank-Nicolson method, conjugate
gradients to 1e-5.
"""

import math
import sys
import time
import warnings
from multiprocessing.connection import Connection
from typing import Any

import torch

warnings.filterwarnings("ignore")

from torchcor.ionic import TenTusscherPanfilov  # noqa: E402
from torchcor.simulator import Monodomain  # noqa: E402

# The initial state of Niederer et al. 2011, by the names that TorchCor gives to it.
START = {
    "V": -85.23, "M": 0.00172, "H": 0.7444, "J": 0.7045, "d": 3.373e-5, "F": 0.7888, "F2": 0.9755,
    "FCaSS": 0.9953, "R": 2.42e-8, "S": 0.999998, "Xs": 0.0095, "Xr1": 0.00621, "Xr2": 0.4712,
    "Cai": 0.000126, "CaSR": 3.64, "CaSS": 0.00036, "R_": 0.9073, "Nai": 8.604, "Ki": 136.89,
}  # fmt: skip
TOLERANCE = 1e-5


def started(folder: str, step: float, end: float) -> tuple[Any, Any]:
    """A simulator and its potential before the first step."""
    cell = TenTusscherPanfilov(step, cell_type="EPI")
    for name, value in START.items():
        setattr(cell, f"{name}_init", value)
    made = Monodomain([cell], end, step, device=torch.device("cpu"), mass_lumping=True)
    made.load_mesh(folder)
    made.add_conductivity(None, il=0.17, it=0.019, el=0.62, et=0.24)
    made.add_stimulus(f"{folder}/stimulated.vtx", 0.0, 2.0, 50000 / 1400)
    made.assemble()
    v = cell.initialize(made.n_nodes)
    made.cg.initialize(x=v, linear_guess=True)
    return made, v


def main() -> None:
    """Answers, line by line."""
    folder, far = sys.argv[1], int(sys.argv[2])
    step, end = map(float, sys.argv[3:5])
    timed = int(sys.argv[6])
    torch.set_num_threads(int(sys.argv[5]))
    made, v = started(folder, step, end)
    number = 0

    def ahead(count: int) -> None:
        nonlocal v, number
        for _ in range(count):
            number += 1
            v = made.step(v, number * step, TOLERANCE, TOLERANCE, 100)[0]

    ahead(timed)
    with Connection(int(sys.argv[7])) as connection:
        while True:
            if connection.recv_bytes() == b"time":
                begun = time.process_time()
                ahead(timed)
                answer = time.process_time() - begun
            else:
                made, v = started(folder, step, end)
                number, answer = 0, math.inf
                while number * step < end and math.isinf(answer):
                    before = float(v[far])
                    ahead(1)
                    after = float(v[far])
                    if before < 0 <= after:
                        answer = step * (number - after / (after - before))
            connection.send_bytes(str(answer).encode())


if __name__ == "__main__":
    main()
