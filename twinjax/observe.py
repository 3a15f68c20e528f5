"""Observers: all that leaves the loop."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax import units


class AbstractObserver(eqx.Module):
    """Turns the states of a beat into what a person could measure."""

    @abc.abstractmethod
    def __call__(self, model: Any, prepared: Any, states: Any, drives: Any) -> Any:
        """`states` and `drives` have a leading axis over the nodes of the beat."""


class Waveforms(AbstractObserver):
    """Every waveform at the nodes of the beat: a dict of arrays of shape (n + 1,)."""

    def __call__(
        self, model: Any, prepared: Any, states: Any, drives: Any
    ) -> dict[str, Float[Array, " n"]]:
        return jax.vmap(lambda s, d: model.observe(prepared, s, d))(states, drives)


class Beat(AbstractObserver):
    """Waveforms at `samples` equal steps of the beat (phase 0 included, 1 not) and `indices`."""

    samples: int = eqx.field(static=True, default=100)

    def __call__(
        self, model: Any, prepared: Any, states: Any, drives: Any
    ) -> tuple[dict[str, Float[Array, " samples"]], dict[str, Float[Array, ""]]]:
        waves = Waveforms()(model, prepared, states, drives)
        scalars = indices(waves, model.period(), diastole(model))
        return {name: resample(wave, self.samples) for name, wave in waves.items()}, scalars


def resample(wave: Float[Array, " n"], samples: int) -> Float[Array, " samples"]:
    """A waveform at equal steps of the beat (phase 0 included, 1 not), linear between nodes.

    **Arguments:** n nodes at equal phases, the first at 0 and the last at 1.
    """
    # Where to look is known before the run: a search at run time would cost more than the beat.
    node, rest = np.divmod(np.arange(samples) * (wave.shape[0] - 1), samples)
    part = (rest / samples).astype(wave.dtype)
    return wave[node] + part * (wave[node + 1] - wave[node])


def diastole(model: Any) -> tuple[Array, Array]:
    """Phases at which left-ventricular relaxation and atrial contraction begin."""
    ventricle = model.left_ventricle
    return ventricle.onset + ventricle.contraction, model.left_atrium.onset


def peak(y: Float[Array, " n"], among: Any = True) -> Float[Array, ""]:
    """Maximum of a periodic sampled curve, by the parabola through its top three samples.

    `among` masks the samples that may be the top one.
    """
    at = jnp.argmax(jnp.where(among, y, -jnp.inf))
    n = y.shape[0]
    before, top, after = y[(at - 1) % n], y[at], y[(at + 1) % n]
    curvature = before - 2 * top + after
    # The sample itself is kept where it is the edge of a mask, not the top of a hill.
    hill = (top >= before) & (top >= after) & (curvature < 0)
    rise = (before - after) ** 2 / (8 * jnp.where(hill, -curvature, 1.0))
    return top + jnp.where(hill, rise, 0.0)


def indices(
    waves: dict[str, Float[Array, " n"]], period: Float[Array, ""], filling: tuple[Array, Array]
) -> dict[str, Float[Array, ""]]:
    """The clinical scalars of a periodic beat; names and units as in `twinjax.observables`.

    **Arguments:** waveforms at n equally spaced nodes of which the last repeats the first;
    period [s]; phases at which left-ventricular relaxation and atrial contraction begin.

    Systemic resistance is 80 (mean arterial - right atrial) / cardiac output, the pulmonary one
    80 (mean pulmonary - wedge) / cardiac output, as at the bedside. The wedge pressure is the
    mean left-atrial pressure. Means are over time; end diastole is the onset of contraction.
    """
    w = {name: wave[:-1] for name, wave in waves.items()}
    phase = jnp.arange(next(iter(w.values())).shape[0]) / next(iter(w.values())).shape[0]

    def low(name: str) -> Array:
        return -peak(-w[name])

    def top(name: str) -> Array:
        return peak(w[name])

    def mean(name: str) -> Array:
        return jnp.mean(w[name])

    stroke, ejection = {}, {}
    for side in ("left", "right"):
        cavity = f"{side}_ventricle.volume"
        stroke[side] = top(cavity) - low(cavity)
        ejection[side] = stroke[side] / top(cavity)
    output = units.convert(stroke["left"] / period, "mL/s", "L/min")
    aortic, pulmonary = mean("systemic_arteries.pressure"), mean("pulmonary_arteries.pressure")
    right, wedge = mean("right_atrium.pressure"), mean("left_atrium.pressure")
    relaxed, atrial = (jnp.mod(at, 1.0) for at in filling)
    mitral = w["mitral.flow"]
    early = peak(mitral, (phase >= relaxed) & (phase < atrial))
    late = peak(mitral, (phase >= atrial) | (phase < 0.05))
    pressure, volume = w["left_ventricle.pressure"], w["left_ventricle.volume"]
    slope = (jnp.roll(pressure, -1) - jnp.roll(pressure, 1)) * phase.size / (2 * period)
    work = -jnp.sum(pressure * (jnp.roll(volume, -1) - jnp.roll(volume, 1))) / 2
    wood = units.convert(1.0, "mmHg·min/L", "dyn·s/cm5")
    return {
        "heart_rate": units.convert(1 / period, "Hz", "bpm"),
        "systolic_blood_pressure": top("systemic_arteries.pressure"),
        "diastolic_blood_pressure": low("systemic_arteries.pressure"),
        "mean_arterial_pressure": aortic,
        "cardiac_output": output,
        "right_atrial_pressure": right,
        "pulmonary_wedge_pressure": wedge,
        "right_ventricular_systolic_pressure": top("right_ventricle.pressure"),
        "right_ventricular_diastolic_pressure": low("right_ventricle.pressure"),
        "right_ventricular_end_diastolic_pressure": w["right_ventricle.pressure"][0],
        "left_ventricular_end_diastolic_pressure": pressure[0],
        "pulmonary_systolic_pressure": top("pulmonary_arteries.pressure"),
        "pulmonary_diastolic_pressure": low("pulmonary_arteries.pressure"),
        "pulmonary_mean_pressure": pulmonary,
        "lv_end_diastolic_volume": top("left_ventricle.volume"),
        "lv_end_systolic_volume": low("left_ventricle.volume"),
        "lv_stroke_volume": stroke["left"],
        "rv_end_diastolic_volume": top("right_ventricle.volume"),
        "rv_end_systolic_volume": low("right_ventricle.volume"),
        "rv_stroke_volume": stroke["right"],
        "lv_ejection_fraction": units.convert(ejection["left"], "1", "%"),
        "rv_ejection_fraction": units.convert(ejection["right"], "1", "%"),
        "left_atrial_maximum_volume": top("left_atrium.volume"),
        "right_atrial_maximum_volume": top("right_atrium.volume"),
        "mitral_e_to_a_ratio": early / late,
        "systemic_vascular_resistance": wood * (aortic - right) / output,
        "pulmonary_vascular_resistance": wood * (pulmonary - wedge) / output,
        "lv_stroke_work": work,
        "lv_dpdt_max": peak(slope),
    }
