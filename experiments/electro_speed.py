"""How fast tissue is, beside a C program, Finitewave and TorchCor in the same run.

The slab of Niederer et al. 2011: 20 x 7 x 3 mm, fibres along the longest edge, cells of ten
Tusscher and Panfilov 2006 (epicardial, the same initial state), a corner stimulated for 2 ms, no
flux through the walls. All take a step of 0.02 ms: one of the cells by Rush and Larsen, then one
of conduction by the plain stencil or its like on tetrahedra; TorchCor, which has no other way,
solves for conduction. The C program is written for this slab alone, in double precision with
tables of the gates; compiled with -O3 -march=native -ffast-math. Ours is in single precision.

Spec: the same activation of the far end of the stimulated edge at 0.5 mm (the C program 1 %, the
others 5 %); at 0.2 mm at least as many node-steps a second as the C program, on one core and on
all. Told: how many times as many as Finitewave and as TorchCor, whose kernels are compiled too,
beside how many times as many the C program has; what a node and step costs from 4,000 to 3.4
million nodes, bytes a node, and what a heart of 100 million nodes would need. Compilation is
apart. Times on one core are processor times, which other work on the machine changes little;
those on all cores are by the clock. With --quick: the C program alone, and no times judged.

Finitewave and TorchCor need packages that disagree with ours; name the Pythons that have them in
TWINJAX_FINITEWAVE_PYTHON and TWINJAX_TORCHCOR_PYTHON.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax

from training._workers import worker_processes
from twinjax.cells import TenTusscherPanfilov2006
from twinjax.electro import Stimulus, Tissue, propagate, slab

from ._electro_peers import CProgram, finitewave, torchcor
from ._report import Report, main

SIZE = (20.0, 7.0, 3.0)
FAR = (20.0, 0.0, 0.0)
AMPLITUDE = -50000 / 1400  # [A/F]
STEP = 0.02
COARSE, TIMED = 0.5, 0.2  # [mm]: where activation is compared, and times
END = 50.0  # [ms], when the far end has been reached at 0.5 mm
STEPS = 150
PEER_STEPS, PEER_ROUNDS = 100, 5
# A spacing and steps of each size; at 0.05 mm conduction takes two substeps of a step.
SIZES = {0.5: 1000, 0.2: 150, 0.1: 40, 0.05: 30}
HEART = 1e8  # nodes


class SlabRun:
    """Some steps of the slab, ready to be timed again and again."""

    def __init__(self, spacing: float, steps: int):
        grid = slab(SIZE, spacing)
        self.nodes, self.steps, self.far = len(grid.nodes), steps, grid.nearest(FAR)
        self._tissue = Tissue(grid, TenTusscherPanfilov2006()).astype("float32")
        self._stimulus = Stimulus(grid.within((0.0,) * 3, (1.5,) * 3), AMPLITUDE)

    def run(self) -> float:
        """Activation [ms] of the far end."""
        done = propagate(self._tissue, [self._stimulus], duration=self.steps * STEP, step=STEP)
        return float(jax.block_until_ready(done.observations.activation)[self.far])

    def seconds(self) -> float:
        """Of one run, with all that comes before and after the loop."""
        return self._timed(time.perf_counter)

    def processor_seconds(self) -> float:
        """The same as this process's time on processors."""
        return self._timed(time.process_time)

    def _timed(self, clock: Callable[[], float]) -> float:
        begun = clock()
        self.run()
        return clock() - begun


def run(quick: bool, report: Report) -> None:
    """Agreement, then times, then sizes."""
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = CProgram(folder)
        agreement(report, program, cores)
        against_c(report, program, cores, quick)
        if not quick:
            against_others(report, program, folder)
            sizes(report, folder)
    on_a_gpu(report)


def agreement(report: Report, program: CProgram, cores: int) -> None:
    """All programs solve the same problem."""
    found = SlabRun(COARSE, round(END / STEP)).run()
    theirs = program(COARSE, STEP, END, cores)["activation"]
    title, source = f"activation at (20, 0, 0) mm, {COARSE} mm", "the C program, at the next step"
    report.relative(title, found, theirs, 0.01, unit="ms", source=source)


def against_c(report: Report, program: CProgram, cores: int, quick: bool) -> None:
    """Node-steps a second, in turns."""
    rounds = 2 if quick else 8
    best = dict.fromkeys([(who, n) for who in ("ours", "C") for n in (1, cores)], float("inf"))
    here = SlabRun(TIMED, STEPS)
    compiled = here.seconds()
    with worker_processes(1) as pool:
        pool.submit(_bound_seconds, TIMED, STEPS).result()
        for _ in range(rounds):
            took = {
                ("ours", cores): here.seconds(),
                ("C", cores): program(TIMED, STEP, STEPS * STEP, cores)["seconds"],
                ("ours", 1): pool.submit(_bound_seconds, TIMED, STEPS).result(),
                ("C", 1): program(TIMED, STEP, STEPS * STEP, 1)["processor"],
            }
            best = {key: min(best[key], took[key]) for key in best}
    work = here.nodes * STEPS
    report.information(
        "compilation", compiled - best["ours", cores], unit="s", source="first run less another"
    )
    for n in sorted({1, cores}):
        for who in ("ours", "C"):
            title = f"{who}: a node and step, {n} core{'s' * (n > 1)}"
            report.information(
                title, 1e9 * best[who, n] / work, unit="ns", source=f"{here.nodes:,} nodes"
            )
        title = f"node-steps a second over the C program's, {n} core{'s' * (n > 1)}"
        ratio, source = best["C", n] / best["ours", n], f"least of {rounds} in turns"
        if quick:
            report.information(title, ratio, unit="1", source=source)
        else:
            report.at_least(title, ratio, 1.0, unit="1", source=source)


@functools.cache
def _bound(spacing: float, steps: int) -> SlabRun:
    return SlabRun(spacing, steps)


def _bound_seconds(spacing: float, steps: int) -> float:
    return _bound(spacing, steps).processor_seconds()


def against_others(report: Report, program: CProgram, folder: Path) -> None:
    """Finitewave and TorchCor at the coarse spacing, all on one core."""
    whole, steps = SlabRun(COARSE, round(END / STEP)), round(END / STEP)
    expected, nodes = whole.run(), whole.nodes
    peers = {
        "Finitewave": finitewave(COARSE, STEP, END, 1, PEER_STEPS),
        "TorchCor": torchcor(folder, COARSE, STEP, END, 1, PEER_STEPS),
    }
    for name, peer in peers.items():
        if peer is None:
            report.information(f"{name} is installed", 0.0, unit="1", source="it is not")
            continue
        times: dict[str, list[float]] = {"ours": [], "C": [], name: []}
        with worker_processes(1) as pool:
            pool.submit(_bound_seconds, COARSE, steps).result()
            for _ in range(PEER_ROUNDS):  # from the stimulus until the wave is half way
                times[name].append(peer("time") / PEER_STEPS)
                times["ours"].append(pool.submit(_bound_seconds, COARSE, steps).result() / steps)
                times["C"].append(program(COARSE, STEP, END, 1)["processor"] / steps)
        reached = peer("activation")
        peer.close()
        title = f"{name}: activation at (20, 0, 0) mm, {COARSE} mm"
        report.relative(title, reached, expected, 0.05, unit="ms", source="reference: ours")
        best = {who: min(taken) for who, taken in times.items()}
        ns = 1e9 * best[name] / nodes
        source = f"{nodes:,} nodes, least of {PEER_ROUNDS} in turns"
        report.information(f"{name}: a node and step, 1 core", ns, unit="ns", source=source)
        title, ratio = f"node-steps a second over {name}'s", best[name] / best["ours"]
        c_ratio = best[name] / best["C"]
        source = f"one core, {source}; reference: the C program over it"
        report.information(title, ratio, reference=c_ratio, unit="1", source=source)


def sizes(report: Report, folder: Path) -> None:
    """Cost of a node as tissue grows; the largest, carried on to a heart."""
    for spacing, steps in SIZES.items():
        file = folder / "size.json"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "experiments._electro_size",
                str(spacing),
                str(steps),
                str(file),
            ],
            cwd=Path(__file__).resolve().parents[1],
            check=True,
        )
        found = json.loads(file.read_text())
        ns = 1e9 * found["seconds"] / found["nodes"] / steps
        title = f"{found['nodes']:,} nodes"
        report.information(
            f"{title}: a node and step", ns, unit="ns", source=f"{steps} steps, 1 core"
        )
        if found["nodes"] > 2e5:  # the compiler needs as much as fewer nodes do
            report.information(
                f"{title}: peak memory a node", found["bytes"], unit="B", source="at any time"
            )
    source = f"carried on from {title}"
    report.information(
        "a heart of 100 million nodes: memory",
        found["bytes"] * HEART / 1e9,
        unit="GB",
        source=source,
    )
    hours = ns * 1e-9 * HEART * 1000 / STEP / 3600
    report.information(
        "a heart of 100 million nodes: a second of it", hours, unit="core h", source=source
    )


def on_a_gpu(report: Report) -> None:
    """The same slab on a GPU, where JAX sees one."""
    if jax.default_backend() != "gpu":
        report.information("GPUs that JAX sees", 0.0, unit="1", source="no row of one")
        return
    slab_run = SlabRun(0.1, 1000)
    slab_run.seconds()
    seconds = min(slab_run.seconds() for _ in range(3))
    ns = 1e9 * seconds / slab_run.nodes / slab_run.steps
    source = f"{slab_run.nodes:,} nodes, {jax.devices()[0].device_kind}"
    report.information("GPU: a node and step", ns, unit="ns", source=source)


if __name__ == "__main__":
    main(run, name="electro_speed", compilation_cache=False)
