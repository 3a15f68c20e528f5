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
_EDGE = 1 + 1e-6  # of the box, with room for rounding
_AWAY = 16.0


@dataclasses.dataclass(slots=True)
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
    """A loaded surrogate. `names` and `units` say what `theta` is; `card` where it came from.

    Written for few calls of NumPy, each of which costs a microsecond: biases, scales and the mean
    of the members are folded into the matrices, and both sides of the heart are read from one
    table.
    """

    def __init__(self, card: dict[str, Any], arrays: dict[str, np.ndarray]):
        self.card = card
        self.names = tuple(card["names"])
        self.units = tuple(card["units"])
        self.waveform_names = tuple(card["waveforms"])
        self.scalar_names = tuple(card["scalars"])
        self.samples = int(card["samples"])
        self.phases = np.arange(self.samples) / self.samples
        self._box_log = np.asarray(arrays["logarithmic"], bool)
        self._centre = np.asarray(arrays["centre"], float)
        self._half = np.asarray(arrays["half"], float)
        self._network(arrays, np.asarray(arrays["decode"], float))
        self._tables(arrays)
        self._wave_band = _single(arrays["wave_band"])
        self._scalar_band = _single(arrays["scalar_band"])
        self._log = np.flatnonzero(arrays["log_scalars"])
        self._linear = np.flatnonzero(~np.asarray(arrays["log_scalars"], bool))
        self._size = _single(arrays["scalar_scale"])

    def _network(self, arrays: dict[str, np.ndarray], decode: np.ndarray) -> None:
        w0, b0, w1, b1, w2, b2 = (
            np.asarray(arrays[f"network_{name}"], float)
            for name in ("w0", "b0", "w1", "b1", "w2", "b2")
        )
        members, inputs, width = w0.shape
        # silu(2 u) = u (1 + tanh u): the layers give u. The first has a one beside its inputs.
        first = np.concatenate([w0, b0[:, None]], axis=1) / 2
        self._first = _single(first.transpose(1, 0, 2).reshape(inputs + 1, -1))
        self._second, self._second_bias = _single(w1 / 2), _single(b1.ravel() / 2)
        self._third = _single(w2.reshape(members * width, -1) / members)
        self._shape = (members, 1, width)
        constant, linear, latent = np.split(decode, (1, 1 + inputs))
        constant = constant + b2.mean(0) @ latent
        modes = arrays["left_table"].shape[1]
        side = 14 + 10 * modes
        # Reordered: landmarks, logarithms of amplitudes, scalars, shapes; each of both sides.
        at = np.arange(2 * side).reshape(2, side)
        order = [at[:, :4], at[:, 4:14], np.arange(2 * side, decode.shape[1]), at[:, 14:]]
        scale = np.ones(decode.shape[1])
        scale[at[:, :4]] = 1 / float(self.card["landmark_weight"])
        scale[2 * side :] = arrays["scalar_scale"]
        decode = np.concatenate([linear, constant, latent]) * scale
        self._decode = _single(decode[:, np.concatenate([part.ravel() for part in order])])
        self._inputs = inputs

    def _tables(self, arrays: dict[str, np.ndarray]) -> None:
        """Both sides in one table, and beside it the difference of each row to the next."""
        tables = [np.asarray(arrays[f"{side}_table"], float) for side in ("left", "right")]
        self._table = _single(np.concatenate(tables))
        self._steps = _single(np.concatenate([np.diff(t, axis=0, append=t[-1:]) for t in tables]))
        starts = np.array(self.card["starts"], float)
        # The end of the beat before, the beat, and the beginning of the beat after it.
        starts = starts[[4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2]]
        self._starts = np.concatenate([starts, starts + len(tables[0])])
        self._fixed = [float(self.card["fixed_phases"][side]) for side in ("left", "right")]
        # Phases of the right side are moved out of the left's way, for one search in both.
        self._both = np.concatenate([self.phases, self.phases + _AWAY])

    def __call__(self, theta: np.ndarray | Mapping[str, float]) -> Prediction:
        """One beat of the parameters `theta`, in `units`.

        Raises `ValueError` for a missing or unknown name, or an array of another length.
        """
        if isinstance(theta, Mapping):
            theta = self._ordered(theta)
        x = np.array(theta, dtype=float)
        if x.shape != self._half.shape:
            raise ValueError(f"theta needs {self._inputs} values, not shape {x.shape}")
        np.log(x, out=x, where=self._box_log & (x > 0))
        x -= self._centre
        x /= self._half
        inside = all(-_EDGE <= value <= _EDGE for value in x.tolist())
        if not inside and not np.isfinite(x).all():
            return self._nothing(x)
        known = np.empty(len(self._decode), np.float32)
        known[: self._inputs] = x
        known[self._inputs] = 1
        u = known[: self._inputs + 1] @ self._first
        gate = np.tanh(u)
        gate += 1
        gate *= u
        u = np.matmul(gate.reshape(self._shape), self._second).reshape(-1)
        u += self._second_bias
        gate = np.tanh(u)
        gate += 1
        gate *= u
        np.matmul(gate, self._third, out=known[self._inputs + 1 :])
        parts = known @ self._decode

        place = self._places(parts[:8].tolist())
        row = place.astype(np.intp)
        place -= row
        functions = self._steps.take(row, 0)
        functions *= place.astype(np.float32)[:, None]
        functions += self._table.take(row, 0)
        amplitude = np.exp(parts[8:28])[:, None]
        split = 28 + len(self.scalar_names)
        shapes = parts[split:].reshape(20, -1) * amplitude
        waves = np.matmul(
            shapes.reshape(2, 10, -1), functions.reshape(2, self.samples, -1).transpose(0, 2, 1)
        ).reshape(20, -1)
        band = self._wave_band * amplitude
        scalars, reach = self._scalars(parts[28:split])
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

    def _nothing(self, x: np.ndarray) -> Prediction:
        """What is said of parameters that are not numbers."""
        waves = np.full((len(self.waveform_names), self.samples), np.nan, np.float32)
        scalars = np.full(len(self.scalar_names), np.nan, np.float32)
        names = (self._outside(x), self.waveform_names, self.scalar_names)
        return Prediction(waves, waves, waves, scalars, scalars, scalars, False, *names)

    def _scalars(self, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not len(self._linear):
            scalars = np.exp(parts)
            return scalars, self._scalar_band * scalars
        scalars, size = parts.copy(), self._size.copy()
        scalars[self._log] = np.exp(parts[self._log])
        size[self._log] = scalars[self._log]
        return scalars, self._scalar_band * size

    def _places(self, landmarks: list[float]) -> np.ndarray:
        """Row plus fraction in the table of each phase, first of the left, then of the right."""
        ends: list[float] = []
        away = 0.0
        for k, fixed in zip((landmarks[:4], landmarks[4:]), self._fixed, strict=True):
            a = k[0] + away
            b = max(k[1] + away, a + _GAP)
            c = max(k[2] + away, b + _GAP)
            e = fixed + away
            d = min(max(k[3] + away, c + _GAP), e - _GAP)
            last = max(a + 1, e + _GAP)
            ends += (e - 1, a, a, b, c, d, e, last, last, b + 1, c + 1)
            away = _AWAY
        return np.interp(self._both, ends, self._starts)

    def _outside(self, x: np.ndarray) -> tuple[str, ...]:
        return tuple(n for n, v in zip(self.names, x, strict=True) if not abs(v) <= _EDGE)

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
