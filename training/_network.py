"""The one training loop: full of steps, interrupted at will, resumed to the same digit."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from surrogates.emulator import Network
from training._parts import Parts


@dataclasses.dataclass(frozen=True)
class Settings:
    """How one member of the ensemble is trained.

    `slope_weight` is that of the mean squared error of the slopes beside that of the values;
    `directions` of the slopes are drawn at each step, which is as good as all of them and much
    cheaper. Training ends early after `patience` blocks of `block` steps without progress on the
    runs held out.
    """

    width: int = 256
    steps: int = 4000
    batch: int = 50
    rate: float = 7e-3
    slope_weight: float = 0.1
    directions: int = 2
    block: int = 200
    patience: int = 6


class _Data(eqx.Module):
    x: Array
    y: Array
    slopes: Array | None
    check_x: Array
    check_y: Array


class _Progress(eqx.Module):
    network: Network
    optimiser: Any
    best: Network
    best_error: Array
    waited: Array
    step: Array


def train_network(
    x: Float[np.ndarray, "m n"],
    y: Float[np.ndarray, "m latents"],
    slopes: Float[np.ndarray, "m n latents"] | None,
    held_out: tuple[Float[np.ndarray, "v n"], Float[np.ndarray, "v latents"]],
    settings: Settings,
    *,
    seed: int,
    parts: Parts,
    number: int,
    on_block: Callable[[int, float], None],
) -> Network:
    """Adam with a cosine rate on values and slopes, in single precision.

    The state is committed to `parts` under `number` after each block; a killed run that is
    started again goes on from there, and ends with the same network. `on_block(step, error)` is
    told the root mean squared error of the runs held out.
    """
    single = [None if a is None else jnp.asarray(a, jnp.float32) for a in (x, y, slopes, *held_out)]
    data = _Data(*single)
    key = jax.random.key(seed)
    network = Network.initial(key, x.shape[1], settings.width, y.shape[1])
    state = _Progress(
        network,
        _optimiser(settings).init(network),
        network,
        jnp.asarray(np.inf, jnp.float32),
        jnp.asarray(0),
        jnp.asarray(0),
    )
    if parts.has(number):
        state = _unpack(state, parts.load(number))
    while int(state.step) < settings.steps and int(state.waited) < settings.patience:
        state, error = _block(state, data, key, settings)
        parts.save(number, _pack(state))
        on_block(int(state.step), float(error))
    return _solved(state.best, data, settings.slope_weight)


def _optimiser(settings: Settings) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(settings.rate, settings.steps), b2=0.99)


@eqx.filter_jit
def _block(
    state: _Progress, data: _Data, key: Array, settings: Settings
) -> tuple[_Progress, Array]:
    """`settings.block` steps, then the error on the runs held out."""
    optimiser = _optimiser(settings)

    def step(carry: Any, number: Array) -> tuple[Any, None]:
        network, opt = carry
        gradient = jax.grad(_loss)(network, data, jax.random.fold_in(key, number + 1), settings)
        change, opt = optimiser.update(gradient, opt, network)
        return (optax.apply_updates(network, change), opt), None

    numbers = state.step + jnp.arange(settings.block)
    (network, opt), _ = jax.lax.scan(step, (state.network, state.optimiser), numbers)
    miss = jax.vmap(network)(data.check_x) - data.check_y
    error = jnp.sqrt(jnp.mean(miss**2))
    better = error < state.best_error
    best = jax.tree.map(lambda a, b: jnp.where(better, a, b), network, state.best)
    return _Progress(
        network,
        opt,
        best,
        jnp.where(better, error, state.best_error),
        jnp.where(better, 0, state.waited + 1),
        state.step + settings.block,
    ), error


def _solved(network: Network, data: _Data, slope_weight: float) -> Network:
    """With the last layer, in which the loss is quadratic, at the minimum over all runs."""
    last = (jnp.eye(network.w1.shape[1], dtype=jnp.float32), jnp.zeros_like(network.b1))
    hidden = dataclasses.replace(network, w2=last[0], b2=last[1])
    axes = jnp.arange(data.x.shape[1])
    values, slopes = (np.asarray(a, dtype=float) for a in hidden.with_slopes(data.x, axes))
    design = np.concatenate([values, np.ones((len(values), 1))], axis=1)
    gram, moment = design.T @ design, design.T @ np.asarray(data.y, dtype=float)
    if data.slopes is not None:
        flat = slopes.reshape(-1, slopes.shape[-1])
        flat = np.concatenate([flat, np.zeros((len(flat), 1))], axis=1)
        known = np.asarray(data.slopes, dtype=float).reshape(len(flat), -1)
        gram += slope_weight * flat.T @ flat
        moment += slope_weight * flat.T @ known
    # Without slopes there may be fewer runs than hidden units: the ridge keeps the solution small.
    ridge = (1e-6 if data.slopes is not None else 1e-3) * len(values) * np.eye(len(gram))
    start = np.concatenate([np.asarray(network.w2), np.asarray(network.b2)[None]]).astype(float)
    solution = start + np.linalg.solve(gram + ridge, moment - gram @ start)
    return dataclasses.replace(
        network,
        w2=jnp.asarray(solution[:-1], jnp.float32),
        b2=jnp.asarray(solution[-1], jnp.float32),
    )


def _loss(network: Network, data: _Data, key: Array, settings: Settings) -> Array:
    m, n = data.x.shape
    batch, directions = min(settings.batch, m), min(settings.directions, n)
    pick, turn = jax.random.split(key)
    rows = jax.random.permutation(pick, m)[:batch]
    axes = jax.random.permutation(turn, n)[:directions]
    values, tangents = network.with_slopes(data.x[rows], axes)
    total = jnp.sum((values - data.y[rows]) ** 2) / batch
    if data.slopes is None:
        return total
    miss = jnp.sum((tangents - data.slopes[rows][:, axes]) ** 2) / batch
    return total + settings.slope_weight * (n / directions) * miss


def _pack(state: _Progress) -> dict[str, np.ndarray]:
    return {f"leaf{i:03d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}


def _unpack(like: _Progress, arrays: dict[str, np.ndarray]) -> _Progress:
    leaves = [jnp.asarray(arrays[name]) for name in sorted(arrays)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)
