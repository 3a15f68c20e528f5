"""A surrogate on a small machine: NumPy and the standard library only.

    runtime = load("heart.surrogate")
    beat = runtime(theta)            # theta: an array in the order of runtime.names, or a dict
    beat.waveform("aortic.flow")     # mean, lower and upper, at runtime.phases
    beat.inside                      # False outside the box of the training runs

The same numbers as `surrogates.emulator.Surrogate`, in single precision.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surrogates import _archive

_GAP = 0.01  # as in surrogates.registration


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One beat: `waves` (20, samples) and `scalars` (29,) with 90 % intervals.

    `lower` and `upper` hold for each sample by itself. `inside` is whether the parameters are in
    the trained box; `outside` names those that are not.
    """

    waves: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    scalars: np.ndarray
    scalars_lower: np.ndarray
    scalars_upper: np.ndarray
    inside: bool
    outside: tuple[str, ...]
    waveform_names: tuple[str, ...]
    scalar_names: tuple[str, ...]

    def waveform(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, lower and upper, in the unit of `twinjax.observables`."""
        i = _place("waveform", name, self.waveform_names)
        return self.waves[i], self.lower[i], self.upper[i]

    def scalar(self, name: str) -> tuple[float, float, float]:
        """Value, lower and upper, in the unit of `twinjax.observables`."""
        i = _place("scalar", name, self.scalar_names)
        values = (self.scalars, self.scalars_lower, self.scalars_upper)
        return tuple(float(v[i]) for v in values)  # type: ignore[return-value]


class Runtime:
    """A loaded surrogate. `names` and `units` say what `theta` is; `card` where it came from."""

    def __init__(self, card: dict[str, Any], arrays: dict[str, np.ndarray]):
        self.card = card
        self.names = tuple(card["names"])
        self.units = tuple(card["units"])
        self.waveform_names = tuple(card["waveforms"])
        self.scalar_names = tuple(card["scalars"])
        self.samples = int(card["samples"])
        self.phases = np.arange(self.samples) / self.samples
        self._log = np.flatnonzero(arrays["logarithmic"])
        self._half = np.asarray(arrays["half"], float)
        self._shift = np.asarray(arrays["centre"], float) / self._half
        self._invert = 1 / self._half
        layer = {name[8:]: a for name, a in arrays.items() if name.startswith("network_")}
        members, inputs, width = layer["w0"].shape
        # The first layer of all members is one matrix, and so is the last, with their mean in it.
        self._w0 = _single(layer["w0"].transpose(1, 0, 2).reshape(inputs, members * width))
        self._b0 = _single(layer["b0"].ravel())
        self._w1 = _single(layer["w1"])
        self._b1 = _single(layer["b1"].ravel())
        self._w2 = _single(layer["w2"].reshape(members * width, -1) / members)
        self._b2 = _single(layer["b2"].mean(0))
        self._members, self._width = members, width
        decode = np.asarray(arrays["decode"])
        self._decode = _single(decode[1:])
        self._constant = _single(decode[0])
        self._sides = []
        start = 0
        for side in ("left", "right"):
            table = _single(arrays[f"{side}_table"])
            reference = np.asarray(arrays[f"{side}_reference"], float)
            nodes = np.asarray(arrays[f"{side}_nodes"], float)
            size = 14 + 10 * table.shape[1]
            index = np.arange(len(nodes), dtype=float)
            fixed = float(card["fixed_phases"][side])
            self._sides.append((start, start + size, table, reference, nodes, index, fixed))
            start += size
        self._scalars_from = start
        self._weight = float(card["landmark_weight"])
        self._log_scalars = np.flatnonzero(arrays["log_scalars"])
        self._all_log = len(self._log_scalars) == len(arrays["log_scalars"])
        self._scalar_scale = _single(arrays["scalar_scale"])
        self._wave_band = _single(arrays["wave_band"])
        self._scalar_band = _single(arrays["scalar_band"])
        self._waves_shape = (len(self.waveform_names), self.samples)

    def __call__(self, theta: np.ndarray | Mapping[str, float]) -> Prediction:
        """One beat of the parameters `theta`, in `units`.

        Raises `ValueError` for a missing or unknown name, or an array of another length.
        """
        if isinstance(theta, Mapping):
            theta = self._ordered(theta)
        t = np.array(theta, dtype=float)
        if t.shape != (len(self.names),):
            raise ValueError(f"theta needs {len(self.names)} values, not shape {t.shape}")
        with np.errstate(invalid="ignore", divide="ignore"):  # such values are outside the box
            t[self._log] = np.log(t[self._log])
        x = t * self._invert - self._shift
        inside = bool(np.abs(x).max() <= 1 + 1e-6)
        x = x.astype(np.float32)
        h = x @ self._w0 + self._b0
        h /= 1 + np.exp(-h)
        h = np.matmul(h.reshape(self._members, 1, self._width), self._w1).reshape(-1)
        h += self._b1
        h /= 1 + np.exp(-h)
        latents = h @ self._w2 + self._b2
        parts = np.concatenate((x, latents)) @ self._decode + self._constant
        waves = np.empty(self._waves_shape, np.float32)
        band = np.empty(self._waves_shape, np.float32)
        for number, (start, end, table, reference, nodes, index, fixed) in enumerate(self._sides):
            own = parts[start:end]
            place = self._places(own[:4], reference, nodes, index, fixed)
            i = place.astype(np.intp)
            f = (place - i).astype(np.float32)[:, None]
            low = table.take(i, 0)
            low += (table.take(i + 1, 0) - low) * f
            amplitude = np.exp(own[4:14])[:, None]
            rows = slice(10 * number, 10 * number + 10)
            np.matmul(own[14:].reshape(10, -1) * amplitude, low.T, out=waves[rows])
            np.multiply(self._wave_band[rows], amplitude, out=band[rows])
        scalars = parts[self._scalars_from :] * self._scalar_scale
        if self._all_log:
            scalars = np.exp(scalars)
            reach = self._scalar_band * scalars
        else:
            reach = self._scalar_band * self._scalar_scale
            scalars[self._log_scalars] = np.exp(scalars[self._log_scalars])
            reach[self._log_scalars] *= scalars[self._log_scalars]
        return Prediction(
            waves,
            waves - band,
            waves + band,
            scalars,
            scalars - reach,
            scalars + reach,
            inside,
            () if inside else self._outside(x),
            self.waveform_names,
            self.scalar_names,
        )

    def _places(
        self,
        weighted: np.ndarray,
        reference: np.ndarray,
        nodes: np.ndarray,
        index: np.ndarray,
        fixed: float,
    ) -> np.ndarray:
        a, b, c, d = (float(k) / self._weight for k in weighted)
        b = max(b, a + _GAP)
        c = max(c, b + _GAP)
        d = min(max(d, c + _GAP), fixed - _GAP)
        phases = self.phases
        wrapped = phases + (phases < a)
        wrapped -= wrapped >= a + 1
        place = np.interp(wrapped, (a, b, c, d, fixed, max(a + 1, fixed + _GAP)), reference)
        return np.minimum(np.interp(place, nodes, index), len(nodes) - 1.001)

    def _outside(self, x: np.ndarray) -> tuple[str, ...]:
        return tuple(n for n, v in zip(self.names, x, strict=True) if not abs(v) <= 1 + 1e-6)

    def _ordered(self, theta: Mapping[str, float]) -> np.ndarray:
        for name in theta:
            _place("parameter", name, self.names)
        missing = [name for name in self.names if name not in theta]
        if missing:
            raise ValueError(f"the parameter '{missing[0]}' has no value")
        return np.array([theta[name] for name in self.names], dtype=float)


def load(path: str | Path) -> Runtime:
    """Reads a `heart.surrogate` file. Raises `ValueError`, in one sentence, for any other."""
    return Runtime(*_archive.read(path))


def _single(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, dtype=np.float32)


def _place(kind: str, name: str, choices: tuple[str, ...]) -> int:
    if name not in choices:
        near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"valid choices: {', '.join(choices)}"
        raise ValueError(f"unknown {kind} '{name}'; {hint}")
    return choices.index(name)
