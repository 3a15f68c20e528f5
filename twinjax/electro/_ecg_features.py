"""What is read off an ECG, and how alike two of them are."""

import dataclasses
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax.electro._twelve_leads import LEADS

_QUIET = 10.0  # the slope stays low so long before an onset and after an end [ms]
_WINDOW = 5.0  # [ms]
_SHARE = 0.05  # of the largest slope
_NO_WAVE = 0.05  # root mean square of the leads below which there is no T wave [mV]


@dataclasses.dataclass(frozen=True)
class EcgFeatures:
    """Of one beat: times and durations in ms, amplitudes in mV by lead, the axis in degrees.

    `t_peak`, `t_end`, `qt` and the amplitudes of the T wave are `None` where there is no T wave,
    `t_end` and `qt` also where the beat is cut off before its end. The axis of QRS is 0 to the left
    and 90 downwards, in (-180, 180]; it is `None` without the leads I and aVF.
    """

    qrs_onset: float
    qrs_end: float
    qrs_duration: float
    r_amplitude: dict[str, float]  # the largest value within QRS
    s_amplitude: dict[str, float]  # the smallest
    axis: float | None
    t_peak: float | None
    t_end: float | None
    qt: float | None
    t_amplitude: dict[str, float] | None  # with its sign, at the peak of the root mean square


def ecg_features(
    times: Float[np.ndarray | Array, " time"],
    values: Float[np.ndarray | Array, "lead time"],
    leads: Sequence[str] = LEADS,
) -> EcgFeatures:
    """Features of one beat at equal intervals, that begins before its QRS complex.

    QRS is where the root of the squared slopes of all leads, smoothed over 5 ms, exceeds 5 % of
    its largest value and 2.5 times its first decile over the beat, with 10 ms below these on
    either side; T is the largest root mean square of the leads 60 ms or more after it, and ends
    where the tangent at its steepest descent meets the level of the end of the PR segment
    (Lepeschkin and Surawicz 1952, Circulation 6:378). The axis is that of the areas of I and aVF
    within QRS, aVF times 2/√3. Noise of more than 0.01 mV a sample at 1 kHz hides the ends of
    QRS: take a median beat. On the host, not differentiable.

    Raises `ValueError` for values that are not finite, or without a deflection.
    """
    times, values = np.asarray(times, float), np.asarray(values, float)
    if not np.isfinite(values).all():
        raise ValueError("the ECG has values that are not finite")
    step = float(times[-1] - times[0]) / (len(times) - 1)
    width = round(_WINDOW / step)
    smooth = np.stack([_smooth(lead, width) for lead in values])
    slope = np.sqrt(np.sum(np.gradient(smooth, step, axis=1) ** 2, axis=0))
    slope = _smooth(slope, width)
    if not slope.max() > 0:
        raise ValueError("the ECG has no deflection")
    peak = int(np.argmax(slope))
    noise = 2.5 * float(np.percentile(slope, 10))
    level = min(max(_SHARE * slope[peak], noise), 0.5 * slope[peak])
    quiet = max(1, round(_QUIET / step))
    start, end = _until(slope, peak, -1, level, quiet), _until(slope, peak, 1, level, quiet)
    onset, finish = float(times[start]), float(times[end])
    base = values[:, max(0, start - quiet) : start + 1].mean(axis=1, keepdims=True)
    centred = values - base
    inside = centred[:, start : end + 1]
    named = list(leads)
    axis = None
    if {"I", "aVF"} <= set(named):
        area = inside.sum(axis=1)
        x, y = area[named.index("I")], area[named.index("aVF")] * 2 / 3**0.5
        axis = float(np.rad2deg(np.arctan2(y, x)))
    t = _t_wave(times, centred, end + round(60.0 / step), round(15.0 / step))
    return EcgFeatures(
        onset,
        finish,
        finish - onset,
        dict(zip(named, inside.max(axis=1).tolist(), strict=True)),
        dict(zip(named, inside.min(axis=1).tolist(), strict=True)),
        axis,
        None if t is None else float(times[t[0]]),
        None if t is None else t[1],
        None if t is None or t[1] is None else t[1] - onset,
        None if t is None else dict(zip(named, centred[:, t[0]].tolist(), strict=True)),
    )


def _until(slope: np.ndarray, peak: int, way: int, level: float, quiet: int) -> int:
    """The first sample, going from the peak, beyond which the slope stays low."""
    below = 0
    for i in range(peak, -1 if way < 0 else len(slope), way):
        below = below + 1 if slope[i] < level else 0
        if below == quiet:
            return i - way * (quiet - 1)
    return 0 if way < 0 else len(slope) - 1


def _t_wave(
    times: np.ndarray, centred: np.ndarray, begin: int, width: int
) -> tuple[int, float | None] | None:
    """The sample of the peak, and the time of the end unless the beat is cut off before it."""
    size = _smooth(np.sqrt(np.mean(centred**2, axis=0)), width)
    if begin >= len(size) - 2:
        return None
    peak = begin + int(np.argmax(size[begin:]))
    if size[peak] < _NO_WAVE or peak in (begin, len(size) - 1):
        return None
    fall = np.gradient(size, times)
    steepest = peak + int(np.argmin(fall[peak:]))
    if not fall[steepest] < 0:
        return None
    end = float(times[steepest] - size[steepest] / fall[steepest])
    return peak, end if end <= times[-1] else None


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Means over an odd number of samples, near `width`."""
    width = max(1, width | 1)
    padded = np.pad(values, width // 2, mode="edge")
    return np.convolve(padded, np.ones(width) / width, mode="valid")


class EcgAgreement(eqx.Module):
    """How alike an ECG is to a reference; differentiable numbers.

    `correlation` is Pearson's over all leads and times together, `correlations` (lead) that of
    each lead, 0 for a flat one; `relative_error` is ‖one - reference‖ / ‖reference‖; `rmse` [mV].
    """

    correlation: Float[Array, ""]
    correlations: Float[Array, " lead"]
    relative_error: Float[Array, ""]
    rmse: Float[Array, ""]


def ecg_agreement(
    one: Float[np.ndarray | Array, "lead time"], reference: Float[np.ndarray | Array, "_ _"]
) -> EcgAgreement:
    """Compares two ECGs of the same leads and times [mV].

    Raises `ValueError` for arrays of different shapes.
    """
    if one.shape != reference.shape:
        raise ValueError(f"ECGs of the shapes {one.shape} and {reference.shape} do not compare")
    a, b = jnp.asarray(one), jnp.asarray(reference)
    difference = jnp.sqrt(jnp.mean((a - b) ** 2) + jnp.finfo(a.dtype).tiny)
    size = jnp.sqrt(jnp.mean(b**2))
    return EcgAgreement(
        correlation=_correlation(a.reshape(1, -1), b.reshape(1, -1))[0],
        correlations=_correlation(a, b),
        relative_error=difference / jnp.where(size > 0, size, jnp.nan),
        rmse=difference,
    )


def _correlation(a: Array, b: Array) -> Array:
    a = a - jnp.mean(a, axis=1, keepdims=True)
    b = b - jnp.mean(b, axis=1, keepdims=True)
    square = jnp.sum(a * a, axis=1) * jnp.sum(b * b, axis=1)
    safe = jnp.where(square > 0, square, 1.0)
    return jnp.where(square > 0, jnp.sum(a * b, axis=1) / jnp.sqrt(safe), 0.0)
