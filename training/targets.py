"""What the emulator learns of a dataset: landmarks, amplitudes and shapes of registered beats."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from surrogates.registration import (
    ORDER,
    SIDES,
    fixed_phase,
    knots,
    landmarks,
    reference_nodes,
    register,
)
from training.datasets import Dataset

MODES = 32  # functions of the reference beat on each side; they leave out 0.1 % of a waveform
# An error of 0.001 beats in a landmark moves a front as much as 3 % of its waveform.
LANDMARK_WEIGHT = 30.0
_CHUNK = 25


class Basis(eqx.Module):
    """One side's functions of the reference beat, from all registered waveforms at once.

    `table` (nodes, modes): their values; orthonormal over the beat, so that coefficients are
    inner products and squared errors of coefficients are squared errors of waveforms.
    `scale` (10,): the root mean square of each waveform, in its unit.
    """

    side: str = eqx.field(static=True)
    fixed: float = eqx.field(static=True)
    reference: Float[Array, "6"]
    nodes: Float[Array, " nodes"]
    table: Float[Array, "nodes modes"]
    scale: Float[Array, "10"]

    def describe(self, waves: Float[Array, "10 samples"]) -> Float[Array, " parts"]:
        """Weighted landmarks (4), logarithms of amplitudes (10), shapes (10 modes)."""
        k = landmarks(waves, self.side)
        registered = register(waves, k, self.fixed, self.reference, self.nodes)
        weights = jnp.diff(self.nodes)
        coefficients = (registered[:, :-1] * weights[None] / self.scale[:, None]) @ self.table[:-1]
        amplitude = jnp.linalg.norm(coefficients, axis=1)
        shapes = coefficients / amplitude[:, None]
        log_amplitude = jnp.log(amplitude * self.scale)
        return jnp.concatenate([LANDMARK_WEIGHT * k, log_amplitude, shapes.ravel()])


def fit_basis(
    side: str, waves: Float[np.ndarray, "runs 10 samples"], wanted: float | None
) -> Basis:
    """The basis of a set of beats; `wanted` is a phase to keep in place, see `fixed_phase`."""
    k = np.asarray(jax.jit(jax.vmap(lambda w: landmarks(w, side)))(waves))
    fixed = fixed_phase(k, wanted)
    reference = knots(jnp.asarray(k.mean(0)), fixed)
    nodes = jnp.asarray(reference_nodes(np.asarray(reference)))
    run = jax.jit(jax.vmap(lambda w, k: register(w, k, fixed, reference, nodes)))
    scale = np.sqrt((waves**2).mean((0, 2)))
    weights = np.sqrt(np.diff(np.asarray(nodes)))
    registered = np.asarray(run(waves, k))[:, :, :-1] / scale[:, None] * weights
    flat = registered.reshape(-1, registered.shape[-1])
    _, vectors = np.linalg.eigh(flat.T @ flat)
    values = vectors[:, ::-1][:, : min(MODES, len(flat))] / weights[:, None]
    table = np.concatenate([values, values[:1]])
    return Basis(side, fixed, reference, nodes, jnp.asarray(table), jnp.asarray(scale))


@dataclasses.dataclass(frozen=True)
class Targets:
    """Inputs `x` (m, n), in [-1, 1] over the box, and what is learnt: `y` (m, parts).

    `slopes` (m, parts, n) is dy/dx, where the dataset has sensitivities. `rows` are the
    dataset's rows; the parts are those of the left side, of the right side, then the scalars
    (logarithms where `log_scalars`, else in units of `scalar_scale`).
    """

    rows: Int[np.ndarray, " m"]
    x: Float[np.ndarray, "m n"]
    y: Float[np.ndarray, "m parts"]
    slopes: Float[np.ndarray, "m parts n"] | None
    bases: tuple[Basis, Basis]
    log_scalars: np.ndarray
    scalar_scale: Float[np.ndarray, " scalars"]
    box: "Box"


@dataclasses.dataclass(frozen=True)
class Box:
    """The box in learning coordinates: t = theta or log theta; x = (t - centre) / half."""

    logarithmic: np.ndarray
    centre: Float[np.ndarray, " n"]
    half: Float[np.ndarray, " n"]

    def x(self, theta: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
        t = np.where(self.logarithmic, np.log(np.where(self.logarithmic, theta, 1.0)), theta)
        return (t - self.centre) / self.half

    def theta_by_x(self, theta: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
        return self.half * np.where(self.logarithmic, theta, 1.0)


def box_of(dataset: Dataset) -> Box:
    """Logarithmic where the prior is, or where the interval spans a factor of three."""
    space, box = dataset.case.space, dataset.case.box
    logarithmic = np.array(
        [
            info.prior.log if info.prior else low > 0 and high > 3 * low
            for info, (low, high) in zip(space.info, box, strict=True)
        ]
    )
    t = np.where(logarithmic[:, None], np.log(np.where(logarithmic[:, None], box, 1.0)), box)
    return Box(logarithmic, t.mean(1), (t[:, 1] - t[:, 0]) / 2)


def atrial_onset(dataset: Dataset) -> float | None:
    """The phase at which atria begin to contract, where it is the same in all runs."""
    if "left_atrium.onset" in dataset.case.space.names:
        return None
    chamber: Any = dataset.case.model.left_atrium
    return float(getattr(chamber, "onset", np.nan)) % 1.0


def make_targets(
    dataset: Dataset, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Targets:
    """The targets of all usable runs. Raises `ValueError` if there are too few of them."""
    rows = dataset.usable
    if len(rows) < 20:
        raise ValueError(
            f"{dataset.path} has {len(rows)} usable runs of {len(dataset.theta)}; "
            "an emulator needs at least 20"
        )
    waves = {name: i for i, name in enumerate(dataset.waveform_names)}
    index = [waves[name] for name in ORDER]
    samples = dataset.waveforms[rows][:, index]
    onset = atrial_onset(dataset)
    bases = tuple(
        fit_basis(side, part, onset)
        for side, part in zip(SIDES, np.split(samples, 2, axis=1), strict=True)
    )
    scalars = dataset.scalars[rows]
    log_scalars = (scalars > 0).all(0)
    scalar_scale = np.where(log_scalars, 1.0, np.sqrt((scalars**2).mean(0)) + 1e-300)
    box = box_of(dataset)
    theta = dataset.theta[rows]
    theta_by_x = box.theta_by_x(theta)

    def describe(w: Array, s: Array) -> Array:
        parts = [b.describe(p) for b, p in zip(bases, jnp.split(w, 2), strict=True)]
        on = jnp.asarray(log_scalars)
        s = jnp.where(on, jnp.log(jnp.where(on, s, 1.0)), s) / scalar_scale
        return jnp.concatenate([*parts, s])

    @jax.jit
    def values(w: Array, s: Array) -> Array:
        return jax.vmap(describe)(w, s)

    @jax.jit
    def tangents(w: Array, s: Array, w_by: Array, s_by: Array) -> Array:
        def one(w: Array, s: Array, w_by: Array, s_by: Array) -> Array:
            _, push = jax.linearize(describe, w, s)
            return jax.vmap(push, in_axes=-1, out_axes=-1)(w_by, s_by)

        return jax.vmap(one)(w, s, w_by, s_by)

    y, slopes = [], []
    for start in range(0, len(rows), _CHUNK):
        part = np.arange(start, start + _CHUNK).clip(max=len(rows) - 1)
        count = min(_CHUNK, len(rows) - start)
        y.append(np.asarray(values(samples[part], scalars[part]))[:count])
        if dataset.has_sensitivities:
            unique = np.unique(part)
            w_by, s_by = dataset.sensitivities(rows[unique])
            scale = theta_by_x[part]
            back = np.searchsorted(unique, part)
            w_by = w_by[back][:, index] * scale[:, None, None, :]
            s_by = s_by[back] * scale[:, None, :]
            slopes.append(np.asarray(tangents(samples[part], scalars[part], w_by, s_by))[:count])
        progress(start + count, len(rows))
    return Targets(
        rows=rows,
        x=box.x(theta),
        y=np.concatenate(y),
        slopes=np.concatenate(slopes) if slopes else None,
        bases=bases,
        log_scalars=log_scalars,
        scalar_scale=scalar_scale,
        box=box,
    )
