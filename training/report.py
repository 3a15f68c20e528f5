"""What a person is shown of a twin: tables and a figure."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from training.twin import Twin
from twinjax.observables import OBSERVABLES

_COLOURS = {"left": "#b3202c", "right": "#1f5fa8", "prior": "#9a9a9a", "data": "#111111"}


def measurement_table(twin: Twin) -> Table:
    """Each measurement beside the twin's prediction."""
    table = Table(title="Measured and fitted", title_justify="left")
    for column in ("quantity", "unit", "measured", "SD", "twin", "90 % interval", "misfit / SD"):
        table.add_column(column, justify="left" if column in ("quantity", "unit") else "right")
    for name, item in twin.measurements.scalars.items():
        low, middle, high = np.quantile(twin.scalars[name], [0.05, 0.5, 0.95])
        misfit = (middle - item.value) / item.sd
        table.add_row(
            name + (" (derived, not fitted)" if item.derived else ""),
            item.unit,
            f"{item.value:.4g}",
            f"{item.sd:.2g}",
            f"{middle:.4g}",
            f"{low:.4g} to {high:.4g}",
            f"{misfit:+.1f}",
            style="bold red" if abs(misfit) > 2 else None,
        )
    return table


def parameter_table(twin: Twin) -> Table:
    """Each parameter: prior, posterior, and how much the data said."""
    table = Table(title="Parameters", title_justify="left")
    for column in ("parameter", "unit", "prior median", "twin", "90 % interval", "SD / prior SD"):
        table.add_column(column, justify="left" if column in ("parameter", "unit") else "right")
    prior = np.asarray(twin.space.from_unconstrained(jnp.zeros(len(twin.names))))
    for i in np.argsort(twin.shrinkage):
        low, middle, high = np.quantile(twin.draws[:, i], [0.05, 0.5, 0.95])
        table.add_row(
            twin.names[i],
            twin.units[i],
            f"{prior[i]:.3g}",
            f"{middle:.3g}",
            f"{low:.3g} to {high:.3g}",
            f"{twin.shrinkage[i]:.2f}",
            style="dim" if twin.shrinkage[i] > 0.9 else None,
        )
    return table


def identifiability_table(twin: Twin) -> Table:
    """The combinations of parameters that the data fix."""
    told = [d for d in twin.directions if d["shrinkage"] < 0.9]
    silent = len(twin.directions) - len(told)
    table = Table(
        title=f"What the data fix ({silent} of {len(twin.directions)} directions: prior only)",
        title_justify="left",
    )
    table.add_column("SD / prior SD", justify="right")
    table.add_column("combination, in prior SDs")
    for direction in told:
        terms = " ".join(f"{w:+.2f} {name}" for name, w in direction["weights"].items())
        table.add_row(f"{direction['shrinkage']:.2f}", terms)
    return table


def draw_twin(twin: Twin, path: str | Path) -> None:
    """Pressure-volume loops, pressures and flows over a beat, and marginals; PNG, PDF or SVG."""
    with matplotlib.rc_context(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        # Not pyplot: nothing global, and no screen needed.
        figure = Figure(figsize=(13, 9), layout="constrained")
        top, bottom = np.ravel(figure.subfigures(2, 1, height_ratios=(1.25, 1)))
        axes = top.subplots(2, 3)
        _loops(axes[0, 0], twin, "left")
        _loops(axes[1, 0], twin, "right")
        _pressures(axes[0, 1], twin, "left", "systemic_arteries", "left_atrium")
        _pressures(axes[1, 1], twin, "right", "pulmonary_arteries", "right_atrium")
        _flows(axes[0, 2], twin, ("aortic", "mitral"))
        _misfits(axes[1, 2], twin)
        _marginals(bottom, twin)
        figure.savefig(path, dpi=130)


def _time(twin: Twin) -> np.ndarray:
    samples = next(iter(twin.waveforms.values())).shape[1]
    period = 60 / np.median(twin.scalars["heart_rate"])
    return np.arange(samples) / samples * period


def _band(axis: Any, twin: Twin, name: str, colour: str, label: str) -> None:
    low, middle, high = np.quantile(twin.waveforms[name], [0.05, 0.5, 0.95], axis=0)
    axis.fill_between(_time(twin), low, high, color=colour, alpha=0.2, linewidth=0)
    axis.plot(_time(twin), middle, color=colour, label=label)


def _loops(axis: Any, twin: Twin, side: str) -> None:
    volume, pressure = (
        twin.waveforms[f"{side}_ventricle.{what}"] for what in ("volume", "pressure")
    )
    for v, p in zip(volume[:60], pressure[:60], strict=True):
        axis.plot(np.append(v, v[0]), np.append(p, p[0]), color=_COLOURS[side], alpha=0.08)
    v, p = np.median(volume, axis=0), np.median(pressure, axis=0)
    axis.plot(np.append(v, v[0]), np.append(p, p[0]), color=_COLOURS[side], linewidth=2)
    axis.set(xlabel="volume [mL]", ylabel="pressure [mmHg]", title=f"{side} ventricle: loop")


def _pressures(axis: Any, twin: Twin, side: str, artery: str, atrium: str) -> None:
    _band(axis, twin, f"{side}_ventricle.pressure", _COLOURS[side], "ventricle")
    _band(axis, twin, f"{artery}.pressure", "#e08a1e", artery.replace("_", " "))
    _band(axis, twin, f"{atrium}.pressure", "#4c9a52", "atrium")
    for wave in twin.measurements.waveforms:
        if wave.name == f"{artery}.pressure":
            shift = _time(twin)[np.argmin(np.median(twin.waveforms[wave.name], axis=0))]
            axis.plot(
                np.mod(wave.time + shift, wave.period),
                wave.values,
                ".",
                color=_COLOURS["data"],
                markersize=2,
                label="measured",
            )
    axis.set(xlabel="time [s]", ylabel="pressure [mmHg]", title=f"{side} heart: pressures")
    axis.legend(frameon=False, fontsize=8)


def _flows(axis: Any, twin: Twin, valves: tuple[str, str]) -> None:
    for valve, colour in zip(valves, ("#b3202c", "#7a4fa3"), strict=True):
        _band(axis, twin, f"{valve}.flow", colour, f"{valve} valve")
    axis.set(xlabel="time [s]", ylabel="flow [mL/s]", title="flow through the valves")
    axis.legend(frameon=False, fontsize=8)


def _misfits(axis: Any, twin: Twin) -> None:
    items = list(twin.measurements.scalars.items())[::-1]
    axis.axvspan(-2, 2, color="#eeeeee", zorder=0)
    for row, (name, item) in enumerate(items):
        low, middle, high = (
            np.quantile(twin.scalars[name], [0.05, 0.5, 0.95]) - item.value
        ) / item.sd
        axis.plot([low, high], [row, row], color=_COLOURS["left"], linewidth=2)
        axis.plot(middle, row, "o", color=_COLOURS["left"], markersize=4)
    axis.set_yticks(range(len(items)), [_words(name) for name, _ in items], fontsize=7)
    axis.set(xlabel="(twin - measured) / SD of the measurement", title="misfit, 90 % interval")


def _marginals(figure: Any, twin: Twin) -> None:
    shown = np.argsort(twin.shrinkage)[:12]
    prior = np.asarray(twin.space.sample_prior(jax.random.key(0), 400))
    axes = figure.subplots(2, 6).ravel()
    for axis, i in zip(axes, shown, strict=False):
        both = np.concatenate([prior[:, i], twin.draws[:, i]])
        low, high = np.quantile(both, [0.005, 0.995])
        bins = np.linspace(low, high, 28)
        axis.hist(prior[:, i], bins, density=True, color=_COLOURS["prior"], alpha=0.45)
        axis.hist(twin.draws[:, i], bins, density=True, color=_COLOURS["left"], alpha=0.65)
        axis.set_title(_words(twin.names[i]), fontsize=7)
        axis.set_xlabel(twin.units[i], fontsize=7)
        axis.set_yticks([])
        axis.tick_params(labelsize=7)
    for axis in axes[len(shown) :]:
        axis.remove()
    figure.suptitle("parameters that the data tell most about: prior (grey), twin (red)", size=9)


def _words(name: str) -> str:
    return name.replace("_", " ").replace(".", ": ")


def summary(twin: Twin) -> dict[str, Any]:
    """What `--json` prints: numbers of the fit, by name."""
    return {
        "parameters": {
            name: {
                "unit": twin.units[i],
                "mode": float(twin.mode[i]),
                "median": float(np.median(twin.draws[:, i])),
                "interval_90": [float(q) for q in np.quantile(twin.draws[:, i], [0.05, 0.95])],
                "shrinkage": float(twin.shrinkage[i]),
            }
            for i, name in enumerate(twin.names)
        },
        "predictions": {
            name: {
                "unit": OBSERVABLES[name].unit,
                "median": float(np.median(values)),
                "interval_90": [float(q) for q in np.quantile(values, [0.05, 0.95])],
            }
            for name, values in twin.scalars.items()
        },
        "diagnostics": twin.diagnostics,
    }
