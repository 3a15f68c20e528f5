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
the memory that both need, of 4 ms and of 16 ms. With --quick: Luo and Rudy, 4 ms.
"""

import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from twinjax.cells import AbstractCell, LuoRudy1991, OHaraRudy2011, TenTusscherPanfilov2006
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
    grid = slab((8.0, 4.0, 2.0), 0.4 if quick else 0.2)
    tissue = Tissue(grid, TenTusscherPanfilov2006()).astype("float32")
    stimulus = Stimulus(grid.within((0.0,) * 3, (1.6,) * 3), -50000 / 1400)
    sigma = tissue.conductivity_along

    def value(s: Any) -> Any:
        changed = eqx.tree_at(lambda t: t.conductivity_along, tissue, s)
        done = propagate(changed, [stimulus], duration=duration, step=0.02, substeps=1, throw=False)
        seen = done.observations.activation
        return jnp.sum(jnp.where(jnp.isfinite(seen), seen, 0.0))

    modes = {
        "value": value,
        "reverse": jax.value_and_grad(value),
        "forward": lambda s: jax.jvp(value, (s,), (jnp.ones_like(s),)),
    }
    compiled = {name: jax.jit(mode).lower(sigma).compile() for name, mode in modes.items()}
    seconds = dict.fromkeys(modes, float("inf"))
    for _ in range(2 if quick else 4):
        for name, mode in compiled.items():
            begun = time.perf_counter()
            jax.block_until_ready(mode(sigma))
            seconds[name] = min(seconds[name], time.perf_counter() - begun)
    n, steps = len(grid.nodes), round(duration / 0.02)
    what = f"{n:,} nodes, {steps} steps"
    for name, bound in (("reverse", REVERSE), ("forward", None)):
        title = f"{name} mode over the value alone, {duration:g} ms: time"
        ratio = seconds[name] / seconds["value"]
        if bound is None or quick:
            report.information(title, ratio, unit="1", source=what)
        else:
            report.at_most(title, ratio, bound, unit="1", source=what)
    for name, mode in compiled.items():
        memory = mode.memory_analysis()
        assert memory is not None
        bytes_a_node = memory.temp_size_in_bytes / n
        title = f"{name}, {duration:g} ms: temporary memory"
        states = f"{bytes_a_node / 76:.0f} states of a node; {what}"
        report.information(title, bytes_a_node, unit="B/node", source=states)


if __name__ == "__main__":
    main(run, name="electro_gradients")
