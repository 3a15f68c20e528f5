"""The emulator: an ensemble of small networks from parameters to registered beats."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from surrogates import _archive
from surrogates.registration import ORDER, SIDES, STARTS, ordered, places
from twinjax import RESULTS, AbstractSimulator, Observations, ParameterSpace
from twinjax.heart import ClosedLoop
from twinjax.observables import OBSERVABLES, WAVEFORMS

_WAVES = len(ORDER) // 2  # of one side


class Network(eqx.Module):
    """z = W₂ silu(W₁ silu(W₀ x + b₀) + b₁) + b₂."""

    w0: Float[Array, "inputs width"]
    b0: Float[Array, " width"]
    w1: Float[Array, "width width"]
    b1: Float[Array, " width"]
    w2: Float[Array, "width latents"]
    b2: Float[Array, " latents"]

    @staticmethod
    def initial(key: Array, inputs: int, width: int, latents: int) -> "Network":
        """Gentle first layers, so that the first guess is nearly linear; a zero last layer."""
        keys = jax.random.split(key, 4)
        draw = [
            jax.random.normal(k, shape, jnp.float32)
            for k, shape in zip(
                keys, ((inputs, width), (width,), (width, width), (width,)), strict=True
            )
        ]
        return Network(
            draw[0] * (0.5 / np.sqrt(inputs)).astype(np.float32),
            draw[1] * np.float32(0.5),
            draw[2] * (0.7 / np.sqrt(width)).astype(np.float32),
            draw[3] * np.float32(0.3),
            jnp.zeros((width, latents), jnp.float32),
            jnp.zeros(latents, jnp.float32),
        )

    def __call__(self, x: Float[Array, " inputs"]) -> Float[Array, " latents"]:
        hidden = jax.nn.silu(x @ self.w0 + self.b0)
        hidden = jax.nn.silu(hidden @ self.w1 + self.b1)
        return hidden @ self.w2 + self.b2

    def with_slopes(
        self, x: Float[Array, "m inputs"], directions: Array
    ) -> tuple[Float[Array, "m latents"], Float[Array, "m d latents"]]:
        """Values, and derivatives with respect to the inputs numbered `directions`."""
        hidden, gain = _silu(x @ self.w0 + self.b0[None])
        slopes = self.w0[directions][None] * gain[:, None]
        hidden, gain = _silu(hidden @ self.w1 + self.b1[None])
        slopes = (slopes @ self.w1) * gain[:, None]
        return hidden @ self.w2 + self.b2[None], slopes @ self.w2


def _silu(a: Array) -> tuple[Array, Array]:
    s = jax.nn.sigmoid(a)
    return a * s, s * (1 + a * (1 - s))


def ensemble(networks: Sequence[Network]) -> Network:
    """Networks of one shape as one, with a leading axis over members on every leaf."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves).astype(float), *networks)


class SideTable(eqx.Module):
    """One side's functions of the reference beat, at the rows of `registration.STARTS`."""

    fixed: float = eqx.field(static=True)
    table: Float[Array, "rows modes"]

    def decode(
        self, k: Float[Array, "4"], coefficients: Float[Array, "10 modes"], samples: int
    ) -> Float[Array, "10 samples"]:
        """Waveforms at equal phases from landmarks and coefficients."""
        phases = jnp.arange(samples) / samples
        at = places(ordered(k), self.fixed, jnp.array(STARTS), phases)
        i = jnp.clip(jnp.floor(at).astype(int), 0, self.table.shape[0] - 2)
        f = (at - i)[:, None]
        rows = self.table[i] * (1 - f) + self.table[i + 1] * f
        return coefficients @ rows.T


class Surrogate(AbstractSimulator):
    """An emulator of the periodic beat, with calibrated uncertainty.

    `theta` -> x in [-1, 1] over the trained box -> latents (the mean of the members) -> landmarks
    of each side, logarithmic amplitude and shape of each waveform, scalars -> waveforms. Outside
    the box, to which it does not extrapolate, `Observations.result` is `outside_bounds`.
    """

    space: ParameterSpace
    samples: int = eqx.field(static=True)
    logarithmic: Bool[Array, " n"]
    centre: Float[Array, " n"]
    half: Float[Array, " n"]
    members: Network  # leading axis over members on every leaf
    decode: Float[Array, "parts_in parts"]  # rows: constant, x, latents
    left: SideTable
    right: SideTable
    landmark_weight: float = eqx.field(static=True)
    log_scalars: Bool[Array, " scalars"]
    scalar_scale: Float[Array, " scalars"]
    wave_band: Float[Array, "waves samples"]
    scalar_band: Float[Array, " scalars"]
    card_text: str = eqx.field(static=True)  # JSON: static fields must be hashable

    @property
    def card(self) -> dict[str, Any]:
        """What the surrogate was trained on, and how well it did."""
        return json.loads(self.card_text)

    def inputs(self, theta: Float[Array, " n"]) -> Float[Array, " n"]:
        """x, in [-1, 1] inside the box."""
        t = jnp.where(self.logarithmic, jnp.log(jnp.where(self.logarithmic, theta, 1.0)), theta)
        return (t - self.centre) / self.half

    def parts(self, x: Float[Array, " n"]) -> Float[Array, "members parts"]:
        """What each member says of landmarks, amplitudes, shapes and scalars."""
        latents = jax.vmap(lambda net: net(x))(self.members)
        return (self.decode[0] + x @ self.decode[1 : 1 + x.size])[None] + latents @ self.decode[
            1 + x.size :
        ]

    def assemble(self, parts: Float[Array, " parts"]) -> tuple[Array, Array, Array]:
        """Waveforms (20, samples), their amplitudes (20,) and scalars of one member or the mean."""
        waves, amplitudes, start = [], [], 0
        for side in (self.left, self.right):
            modes = side.table.shape[1]
            k = parts[start : start + 4] / self.landmark_weight
            amplitude = jnp.exp(parts[start + 4 : start + 4 + _WAVES])
            start += 4 + _WAVES
            shapes = parts[start : start + _WAVES * modes].reshape(_WAVES, modes)
            start += _WAVES * modes
            waves.append(side.decode(k, shapes * amplitude[:, None], self.samples))
            amplitudes.append(amplitude)
        s = parts[start:] * self.scalar_scale
        scalars = jnp.where(self.log_scalars, jnp.exp(jnp.where(self.log_scalars, s, 0.0)), s)
        return jnp.concatenate(waves), jnp.concatenate(amplitudes), scalars

    def inside(self, theta: Float[Array, " n"]) -> Bool[Array, ""]:
        """Whether `theta` lies in the box of the training runs."""
        return jnp.all(jnp.abs(self.inputs(theta)) <= 1 + 1e-6)

    def __call__(self, theta: Float[Array, " n"]) -> Observations:
        waves, _, scalars = self.assemble(jnp.mean(self.parts(self.inputs(theta)), axis=0))
        finite = jnp.all(jnp.isfinite(waves)) & jnp.all(jnp.isfinite(scalars))
        result = jnp.where(finite, int(RESULTS.successful), int(RESULTS.nonfinite))
        result = jnp.where(self.inside(theta), result, int(RESULTS.outside_bounds))
        return _named(waves, scalars, result)

    def variance(self, theta: Float[Array, " n"]) -> Observations:
        """The variance of every output: that of a normal whose 90 % interval is the band."""
        parts = jnp.mean(self.parts(self.inputs(theta)), axis=0)
        _, amplitudes, scalars = self.assemble(parts)
        sd = self.wave_band * amplitudes[:, None] / 1.6448536
        size = jnp.where(self.log_scalars, jnp.abs(scalars), self.scalar_scale)
        return _named(sd**2, (self.scalar_band * size / 1.6448536) ** 2, jnp.array(0))


def _named(waves: Array, scalars: Array, result: Array) -> Observations:
    return Observations(
        {name: scalars[i] for i, name in enumerate(OBSERVABLES)},
        {name: waves[i] for i, name in enumerate(ORDER)},
        result,
    )


ARRAYS = (
    "logarithmic",
    "centre",
    "half",
    "decode",
    "log_scalars",
    "scalar_scale",
    "wave_band",
    "scalar_band",
)
_LAYERS = ("w0", "b0", "w1", "b1", "w2", "b2")


def save_surrogate(surrogate: Surrogate, path: str | Path) -> None:
    """Writes a `heart.surrogate` file; single precision where it is more than enough."""
    arrays = {name: np.asarray(getattr(surrogate, name)) for name in ARRAYS}
    for name in ("decode", "wave_band", "scalar_band"):
        arrays[name] = arrays[name].astype(np.float32)
    for name in _LAYERS:
        arrays[f"network_{name}"] = np.asarray(getattr(surrogate.members, name), np.float32)
    for side in SIDES:
        arrays[f"{side}_table"] = np.asarray(getattr(surrogate, side).table, np.float32)
    card = {
        **surrogate.card,
        "names": list(surrogate.space.names),
        "units": list(surrogate.space.units),
        "samples": surrogate.samples,
        "waveforms": list(ORDER),
        "waveform_units": [WAVEFORMS[name].unit for name in ORDER],
        "scalars": list(OBSERVABLES),
        "scalar_units": [row.unit for row in OBSERVABLES.values()],
        "landmark_weight": surrogate.landmark_weight,
        "starts": list(STARTS),
        "fixed_phases": {side: getattr(surrogate, side).fixed for side in SIDES},
    }
    _archive.write(path, card, arrays)


def load_surrogate(path: str | Path) -> Surrogate:
    """Reads a `heart.surrogate` file. Raises `ValueError`, in one sentence, for any other."""
    card, arrays = _archive.read(path)
    if tuple(card["scalars"]) != tuple(OBSERVABLES) or tuple(card["waveforms"]) != ORDER:
        raise ValueError(f"{path} was made for other outputs than those of this version")
    sides = {
        side: SideTable(
            card["fixed_phases"][side],
            jnp.asarray(arrays[f"{side}_table"], dtype=float),
        )
        for side in SIDES
    }
    layers = [jnp.asarray(arrays[f"network_{name}"], dtype=float) for name in _LAYERS]
    members = ensemble([Network(*member) for member in zip(*layers, strict=True)])
    values = {
        name: jnp.asarray(arrays[name], dtype=bool if arrays[name].dtype == bool else float)
        for name in ARRAYS
    }
    return Surrogate(
        space=ParameterSpace(ClosedLoop(), card["names"]),
        samples=card["samples"],
        members=members,
        landmark_weight=card["landmark_weight"],
        card_text=json.dumps(card),
        **sides,
        **values,
    )
