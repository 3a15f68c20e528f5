"""Gradients through tissue: differences, forward, reverse; what reverse mode costs.

A sheet of 3 x 1 mm at 0.25 mm with oblique fibres, stimulated along one edge, cells of O'Hara and
Rudy 2011 or of Luo and Rudy 1991: the activation time of the far corner and the duration of its
action potential (0 mV up to -70 mV down), by both conductivities and by a conductance of
potassium (g_kr, g_k). Spec: finite differences, forward and reverse mode agree to 1e-4, as the
error of an output over its largest derivative by a relative change of a parameter.

Differences are central, of 1e-6 of a parameter: so small that no crossing moves into another step
and no node to the other side of a potential at which rates change form. What a change of 1 %
gives, which sees both, is told beside: that is what a fit moves through.

Cost, on a slab of cells of ten Tusscher and Panfilov 2006 in single precision with a step of
0.02 ms: the time of a value with its gradient by a conductivity over that of the value alone, and
the memory that both need, of 4 ms and of 16 ms. Reverse mode that keeps every state writes much
fresh memory, which costs more than the arithmetic that it saves where Linux hands it out in pages
of 4 kB: so in three ways, with every state in huge pages (GLIBC_TUNABLES=glibc.malloc.hugetlb=1,
spec: at most 4), in small ones, and with 2 √n states. With --quick: Luo and Rudy, 4 ms.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from twinjax.cells import AbstractCell, LuoRudy1991, OHaraRudy2011
from twinjax.electro import Stimulus, Tissue, propagate, slab

from ._report import Report, main

CASES: dict[str, tuple[Callable[[], AbstractCell], str, float, float]] = {
    "Luo-Rudy 1991": (LuoRudy1991, "g_k", -50.0, 430.0),
    "O'Hara-Rudy 2011": (OHaraRudy2011, "g_kr", -80.0, 320.0),
}
OUTPUTS = ("activation", "action potential duration")
TOLERANCE = 1e-4
NARROW, WIDE = 1e-6, 1e-2  # relative changes
REVERSE = 4.0  # times the value alone


def run(quick: bool, report: Report) -> None:
    """Agreement of each cell, then costs."""
    for name in list(CASES)[: 1 if quick else None]:
        compare(report, name)
    for duration in (4.0,) if quick else (4.0, 16.0):
        cost(report, duration, quick)


def outputs_of(name: str) -> tuple[Callable[[Any], Any], int]:
    """Both outputs as a function of the logarithms of three factors."""
    make, field, amplitude, duration = CASES[name]
    grid = slab((3.0, 1.0), 0.25)
    tissue = Tissue(grid, make(), fibres=np.array([0.9, 0.4]), mass="blended")
    stimulus = Stimulus(grid.points[:, 0] < 0.6, amplitude)

    def parameters(t: Tissue) -> list[Any]:
        return [t.conductivity_along, t.conductivity_across, getattr(t.cells[0], field)]

    usual = parameters(tissue)

    def outputs(logs: Any) -> Any:
        scaled = [value * jnp.exp(x) for value, x in zip(usual, logs, strict=True)]
        changed = eqx.tree_at(parameters, tissue, scaled)
        seen = propagate(changed, [stimulus], duration=duration, step=0.1, substeps=2).observations
        return jnp.stack([seen.activation[-1], seen.repolarisation[-1] - seen.activation[-1]])

    return outputs, len(usual)


def compare(report: Report, name: str) -> None:
    """Three ways to the same derivatives."""
    outputs, count = outputs_of(name)
    at = jnp.zeros(count)
    values = jax.jit(jax.vmap(outputs))
    forward = np.asarray(jax.jit(jax.jacfwd(outputs))(at))
    reverse = np.asarray(jax.jit(jax.jacrev(outputs))(at))

    def differences(change: float) -> np.ndarray:
        ends = np.asarray(values(change * jnp.concatenate([jnp.eye(count), -jnp.eye(count)])))
        return (ends[:count] - ends[count:]).T / (2 * change)

    narrow, wide = differences(NARROW), differences(WIDE)
    for i, output in enumerate(OUTPUTS):
        size = np.max(np.abs(forward[i]))
        source = f"largest: {size:.3g} ms by a factor of e"
        for other, what in ((narrow, "finite differences"), (reverse, "reverse")):
            title = f"{name}: {output}, forward against {what}"
            gap = np.max(np.abs(other[i] - forward[i])) / size
            report.at_most(title, gap, TOLERANCE, unit="1", source=source)
        title = f"{name}: {output}, forward against differences of 1 %"
        gap = np.max(np.abs(wide[i] - forward[i])) / size
        report.information(title, gap, unit="1", source="bends and jumps in between")


def cost(report: Report, duration: float, quick: bool) -> None:
    """Time and memory of reverse and forward mode over those of the value."""
    spacing, rounds = (0.4, 2) if quick else (0.2, 5)
    for keeping, memory, pages in (
        ("every state, huge pages", 4.0, "glibc.malloc.hugetlb=1"),
        ("every state", 4.0, ""),
        ("2 √n states", 0.0, ""),
    ):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "costs.json"
            numbers = (duration, spacing, rounds, memory, file)
            subprocess.run(
                [sys.executable, "-m", "experiments._electro_costs", *map(str, numbers)],
                cwd=Path(__file__).resolve().parents[1],
                env=os.environ | {"GLIBC_TUNABLES": pages},
                check=True,
            )
            found = json.loads(file.read_text())
        n, steps = found["nodes"], round(duration / 0.02)
        what = f"{n:,} nodes, {steps} steps, one core"
        for mode in ("reverse", "forward"):
            title = f"{mode} mode over the value alone, {duration:g} ms, {keeping}: time"
            ratio = found[mode]["seconds"] / found["value"]["seconds"]
            if mode == "reverse" and pages and not quick:
                report.at_most(title, ratio, REVERSE, unit="1", source=what)
            else:
                report.information(title, ratio, unit="1", source=what)
        per_node = found["reverse"]["bytes"] / n
        title = f"reverse mode, {duration:g} ms, {keeping}: temporary memory"
        source = (
            f"{per_node / 76:.0f} states of a node; the value: {found['value']['bytes'] / n:.0f}"
        )
        report.information(title, per_node, unit="B/node", source=source)
        title = f"reverse mode, {duration:g} ms, {keeping}: compilation"
        report.information(title, found["reverse"]["compile"], unit="s", source=what)


if __name__ == "__main__":
    main(run, name="electro_gradients")
