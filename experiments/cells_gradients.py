"""Gradients of biomarkers with respect to every conductance: differences, forward, reverse.

Outputs: APD90, calcium amplitude, peak tension (Land et al. 2017 driven by the cell's calcium) and
qNet, of a paced beat from the published state and of the periodic orbit, where the implicit rule
replaces the iterations. Spec: the three agree to 1e-4. What is compared are sensitivities to the
relative change of a conductance, S = ∂y/∂log g; the error of an output is max |ΔS| / max |S|, and
elementwise max |ΔS / S| over conductances with |S| of at least a thousandth of the largest.

Finite differences are central, with Richardson's extrapolation; of a ladder of steps the value is
taken at which two neighbours agree best, without regard to what it is to check. Some published
rates switch at a potential (h and j of INa at -40 mV, by 2 % in ToR-ORd). A derivative of the
program does not see how a parameter moves the moment of the switch; a wide step does, and what
that amounts to is told beside. With --quick: one model, the paced beat.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from twinjax.cells import (
    MODELS,
    AbstractCell,
    Land2017,
    biomarkers,
    contract,
    net_current,
    pace,
    periodic,
)

from ._report import Report, main
from ._timing import least

NAMES = ("ohara-rudy-cipa-v1-2017-endo", "ohara-rudy-2011-endo", "tomek-torord-dynCl-endo")
OUTPUTS = ("APD90", "calcium amplitude", "peak tension", "qNet")
TOLERANCE = 1e-4
NOT_NEGLIGIBLE = 1e-3
LADDER = 4e-3 / 4.0 ** np.arange(6)  # steps of log conductance


def run(quick: bool, report: Report) -> None:
    """Each model, on a paced beat and on the orbit."""
    for name in NAMES[: 1 if quick else None]:
        cell = MODELS[name]()
        fields = [f for f in cell.about.conductances.values() if float(getattr(cell, f)) != 0]
        compare(report, f"{name}, paced beat", cell, fields, paced, quick)
        if not quick:
            compare(report, f"{name}, periodic orbit", cell, fields, on_orbit, quick)


def paced(cell: AbstractCell) -> Any:
    """The second beat from the published state."""
    return pace(cell, beats=2, record=net_current)


def on_orbit(cell: AbstractCell) -> Any:
    """The beat that repeats itself, to more digits than differences need."""
    return periodic(cell, rtol=1e-14, max_beats=40, record=net_current, throw=False)


def outputs_of(
    cell: AbstractCell, fields: list[str], solve: Callable[[AbstractCell], Any]
) -> Callable[[Any], Any]:
    """The four outputs as a function of the logarithms of the conductances' factors."""
    usual = [getattr(cell, field) for field in fields]
    muscle = Land2017()

    def outputs(logs: Any) -> Any:
        scaled = [g * jnp.exp(x) for g, x in zip(usual, logs, strict=True)]
        changed = eqx.tree_at(lambda c: [getattr(c, f) for f in fields], cell, scaled)
        solution = solve(changed)
        found = biomarkers(solution)
        tension = contract(muscle, solution.times, solution.observations["cai"])[0]
        return jnp.stack(
            [
                found["apd90"],
                1e6 * found["calcium_amplitude"],
                jnp.max(tension),
                1e3 * found["qnet"],
            ]
        )

    return outputs


def compare(
    report: Report,
    title: str,
    cell: AbstractCell,
    fields: list[str],
    solve: Callable[[AbstractCell], Any],
    quick: bool,
) -> None:
    """Two rows an output, and what reverse mode costs."""
    outputs = outputs_of(cell, fields, solve)
    at = jnp.zeros(len(fields))
    values = jax.jit(outputs)
    forward = np.asarray(jax.jit(jax.jacfwd(outputs))(at))
    reverse_of = jax.jit(jax.grad(lambda x: outputs(x)[0]))
    reverse = np.asarray(jax.jit(jax.jacrev(outputs))(at))
    differences, wide = finite_differences(jax.jit(jax.vmap(outputs)), at)
    others = (
        (differences, "finite differences"),
        (reverse, "reverse"),
        (wide, f"differences of a step of {LADDER[0]}"),
    )
    for i, name in enumerate(OUTPUTS):
        for other, other_name in others:
            size = np.max(np.abs(forward[i]))
            counts = np.abs(forward[i]) >= NOT_NEGLIGIBLE * size
            gap = np.abs(other[i] - forward[i])
            worst = max(np.max(gap) / size, np.max(gap[counts] / np.abs(forward[i][counts])))
            what = f"{title}: {name}, forward against {other_name}"
            source = f"{len(fields)} conductances, {counts.sum()} not negligible"
            if other is wide:
                report.information(what, worst, unit="1", source=source)
            else:
                report.at_most(what, worst, TOLERANCE, unit="1", source=source)
    if not quick:
        once = least(lambda: jax.block_until_ready(values(at)), 3)
        back = least(lambda: jax.block_until_ready(reverse_of(at)), 3)
        report.information(
            f"{title}: reverse over forward run", back / once, unit="1", source="one output"
        )


def finite_differences(many: Callable[[Any], Any], at: Any) -> tuple[np.ndarray, np.ndarray]:
    """Central differences with Richardson's extrapolation; shape (outputs, parameters).

    Those of the pair of neighbouring steps of the ladder that agree best (Ridders 1982, Adv Eng
    Softw 4:75), and those of the widest.
    """
    steps = [*LADDER, LADDER[-1] / 4]
    slopes = []
    for h in steps:
        seen = np.asarray(
            many(jnp.concatenate([at + h * jnp.eye(at.size), at - h * jnp.eye(at.size)]))
        )
        slopes.append(((seen[: at.size] - seen[at.size :]) / (2 * h)).T)
    # Steps fall by a factor of 4, so that the error of second order falls by one of 16.
    better = np.stack([(16 * slopes[k + 1] - slopes[k]) / 15 for k in range(len(LADDER))])
    apart = np.abs(np.diff(better, axis=0))
    best = np.argmin(apart, axis=0)
    return np.take_along_axis(better[1:], best[None], axis=0)[0], better[0]


if __name__ == "__main__":
    main(run, name="cells_gradients")
