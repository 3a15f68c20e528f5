"""Gradients through the periodic beat: finite differences, forward mode and reverse mode.

Outputs: ejection fraction, systolic pressure, mean pulmonary pressure and left-ventricular stroke
work, with respect to every parameter of the closed loop, for the default adult and for the
parameters of Regazzoni et al. 2022. Spec: the three agree to 1e-5 relative, and reverse mode
costs at most 4 forward runs.

What is compared are scaled sensitivities, S = scale ∂y/∂θ: the change of the output per relative
change of the parameter (scale = |θ|; for a timing within the beat, which may be 0, the whole
beat). They have one unit for each output, so that they can be told apart in size: a parameter
whose S is a millionth of the largest moves the output by nothing that could be measured. Two
errors are shown for each output, and both must be below 1e-5:

- of all parameters, max |ΔS| / max |S|;
- elementwise, max |ΔS / S| over those with |S| at least 1/1000 of the largest.

Finite differences are central, with Richardson's extrapolation from a step and its half. Valves
switch within some 0.003 mmHg: steps must be small, and then rounding counts. Of a ladder of steps
the value is taken at which two neighbours agree best (Ridders 1982, Adv Eng Softw 4:75), without
regard to the derivatives it is to check.
"""

import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from twinjax import BeatSimulator, ParameterSpace, equilibrate, parameters_of
from twinjax.heart import ClosedLoop, regazzoni2022

from ._report import Report, main
from ._timing import least

OUTPUTS = (
    "lv_ejection_fraction",
    "systolic_blood_pressure",
    "pulmonary_mean_pressure",
    "lv_stroke_work",
)
LADDER = 1e-3 / 4.0 ** np.arange(8)  # steps of the differences, relative to the scale
TOLERANCE = 1e-5
NOT_NEGLIGIBLE = 1e-3
RTOL = 1e-13  # of the periodic state: differences need more digits than a fit
QUICK = (
    "heart_rate",
    "stressed_volume",
    "left_ventricle.active_elastance",
    "left_ventricle.onset",
    "left_atrium.contraction",
    "aortic.open_resistance",
    "mitral.sharpness",
    "systemic_arteries.resistance",
    "pulmonary_veins.inertance",
)


def outputs_of(model: ClosedLoop, space: ParameterSpace, guess: Any) -> Callable[[Any], Any]:
    """The four outputs, shape (4,), as a function of theta."""
    simulator = BeatSimulator(model, space, rtol=RTOL, guess=guess)

    def outputs(theta: Any) -> Any:
        scalars = simulator(theta).scalars
        return jnp.stack([scalars[name] for name in OUTPUTS])

    return outputs


def finite_differences(
    outputs: Callable[[Any], Any], theta: np.ndarray, scales: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scaled sensitivities, shape (4, n), and the disagreement of neighbours on the ladder."""
    steps = np.unique(np.concatenate([LADDER, LADDER / 2]))
    shift = np.concatenate([steps, -steps])[:, None, None] * np.diag(scales)
    many = eqx.filter_jit(jax.vmap(outputs))
    values = np.concatenate([np.asarray(many(rows)) for rows in theta + shift])
    values = values.reshape(2, len(steps), len(theta), len(OUTPUTS))
    slopes = (values[0] - values[1]) / (2 * steps[:, None, None])
    at = dict(zip(steps, slopes, strict=True))
    better = np.stack([(4 * at[h / 2] - at[h]) / 3 for h in LADDER])
    apart = np.abs(np.diff(better, axis=0))
    best = np.argmin(apart, axis=0)[None]
    picked = np.take_along_axis(better[1:], best, axis=0)[0]
    return picked.T, np.take_along_axis(apart, best, axis=0)[0].T


def compare(report: Report, title: str, model: ClosedLoop, names: list[str]) -> None:
    """The rows of one model."""
    space = ParameterSpace(model, names)
    theta = np.asarray(space.read(model))
    timing = np.array([unit == "1" for unit in space.units])
    scales = np.where(timing, 1.0, np.abs(theta))
    guess = equilibrate(model, rtol=RTOL).state
    outputs = outputs_of(model, space, guess)
    start = jnp.asarray(theta)
    forward = np.asarray(eqx.filter_jit(jax.jacfwd(outputs))(start)) * scales
    reverse = np.asarray(eqx.filter_jit(jax.jacrev(outputs))(start)) * scales
    differences, apart = finite_differences(outputs, theta, scales)
    for i, output in enumerate(OUTPUTS):
        largest = np.max(np.abs(reverse[i]))
        shown = np.abs(reverse[i]) >= NOT_NEGLIGIBLE * largest
        for what, other in (("forward", forward[i]), ("differences", differences[i])):
            error = np.abs(other - reverse[i])
            worst = names[int(np.argmax(error))]
            report.at_most(
                f"{title}, {output}: {what} against reverse, all parameters",
                np.max(error) / largest,
                TOLERANCE,
                unit="1",
                source=f"{len(names)} parameters; worst {worst}",
            )
            elementwise = np.where(shown, error / np.abs(reverse[i]), 0.0)
            report.at_most(
                f"{title}, {output}: {what} against reverse, elementwise",
                np.max(elementwise),
                TOLERANCE,
                unit="1",
                source=f"{int(shown.sum())} parameters that are not negligible; "
                f"worst {names[int(np.argmax(elementwise))]}",
            )
        report.information(
            f"{title}, {output}: the differences' own uncertainty",
            np.max(apart[i]) / largest,
            unit="1",
            source="largest disagreement of neighbours on the ladder of steps",
        )


def cost(report: Report, title: str, model: ClosedLoop, names: list[str], repeats: int) -> None:
    """Reverse mode in forward runs, at the accuracy of a fit and from the default start."""
    space = ParameterSpace(model, names)
    theta = space.read(model)
    simulator = BeatSimulator(model, space)

    def pressure(theta: Any) -> Any:
        return simulator(theta).scalars["systolic_blood_pressure"]

    run = eqx.filter_jit(pressure)
    gradient = eqx.filter_jit(jax.value_and_grad(pressure))
    # In turns and by processors: the load of other programs falls on both, or on neither.
    pairs = [
        (
            least(lambda: jax.block_until_ready(run(theta)), 3, clock=time.process_time),
            least(lambda: jax.block_until_ready(gradient(theta)), 3, clock=time.process_time),
        )
        for _ in range(repeats)
    ]
    once, both = (min(column) for column in zip(*pairs, strict=True))
    report.at_most(
        f"{title}: value and reverse gradient, in forward runs",
        both / once,
        4.0,
        unit="1",
        source=f"{1e3 * both:.3g} ms over {1e3 * once:.3g} ms, {len(names)} parameters, least of "
        f"{3 * repeats}",
    )


def run(quick: bool, report: Report) -> None:
    """Fills the report."""
    for title, model in (("default", ClosedLoop()), ("regazzoni2022", regazzoni2022())):
        names = list(QUICK if quick else parameters_of(model))
        compare(report, title, model, names)
        cost(report, title, model, list(parameters_of(model)), 5 if quick else 20)


if __name__ == "__main__":
    main(run, name="gradients_periodic_beat")
