"""Baseline: proper orthogonal decomposition, and Gaussian processes for its coefficients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from surrogates._pod import Pod

MODES = 80
_STEPS = 60
_LEADING, _ENERGY = 20, 0.999


@dataclasses.dataclass(frozen=True)
class GaussianProcess:
    """Each coefficient a linear trend plus a Gaussian process, all with one kernel

        k(x, x') = exp(-½ Σ (x_i - x'_i)² / l_i²) + noise [x = x'],

    whose lengths and noise maximise the marginal likelihood of all coefficients together.
    """

    pod: Pod
    x: Float[np.ndarray, "runs n"]
    lengths: Float[np.ndarray, " n"]
    trend: Float[np.ndarray, "features modes"]
    weights: Float[np.ndarray, "runs modes"]

    @staticmethod
    def fit(
        x: Float[np.ndarray, "runs n"], waves: Float[np.ndarray, "runs waves samples"]
    ) -> "GaussianProcess":
        """From parameters in [-1, 1] and their waveforms."""
        pod = Pod.fit(waves, MODES)
        y, design = pod.encode(waves), _linear(x)
        trend = np.linalg.lstsq(design, y, rcond=None)[0]
        rest = y - design @ trend
        m = len(rest)
        # The leading modes decide: the small ones are mostly what POD makes of moving fronts.
        energy = np.cumsum(np.sum(rest**2, axis=0))
        modes = min(1 + int(np.searchsorted(energy, _ENERGY * energy[-1])), _LEADING)
        leading = rest[:, :modes]
        inputs = jnp.asarray(x)
        unit = jnp.asarray(leading / np.sqrt(np.mean(leading**2, axis=0)))

        def loss(log: Array) -> Array:
            covariance = kernel(inputs, inputs, jnp.exp(log[:-1]))
            covariance = covariance + jnp.exp(log[-1]) * jnp.eye(m)
            factor = jnp.linalg.cholesky(covariance)
            white = jax.scipy.linalg.solve_triangular(factor, unit, lower=True)
            variance = jnp.sum(white**2, axis=0) / m
            spread = modes * jnp.sum(jnp.log(jnp.diagonal(factor)))
            return (spread + 0.5 * m * jnp.sum(jnp.log(variance))) / (m * modes)

        optimiser = optax.adam(0.15)
        start = jnp.concatenate([jnp.full(x.shape[1], jnp.log(3.0)), jnp.array([jnp.log(1e-3)])])

        @jax.jit
        def climb(log: Array) -> Array:
            def step(carry: tuple, _: None) -> tuple[tuple, None]:
                log, state = carry
                change, state = optimiser.update(jax.grad(loss)(log), state)
                log = jnp.clip(optax.apply_updates(log, change), -9.0, 5.0)
                return (log, state), None

            return jax.lax.scan(step, (log, optimiser.init(log)), None, length=_STEPS)[0][0]

        log = np.asarray(climb(start))
        lengths = np.exp(log[:-1])
        covariance = np.asarray(kernel(inputs, inputs, jnp.asarray(lengths)))
        weights = np.linalg.solve(covariance + np.exp(log[-1]) * np.eye(m), rest)
        return GaussianProcess(pod, x, lengths, trend, weights)

    def __call__(self, x: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "m waves samples"]:
        covariance = kernel(*(jnp.asarray(a) for a in (x, self.x, self.lengths)))
        rest = np.asarray(covariance) @ self.weights
        return self.pod.decode(_linear(x) @ self.trend + rest)


def kernel(
    a: Float[Array, "p n"], b: Float[Array, "q n"], lengths: Float[Array, " n"]
) -> Float[Array, "p q"]:
    """exp(-½ |a - b|²), distances in units of `lengths`."""
    a, b = a / lengths[None], b / lengths[None]
    squares = jnp.sum(a**2, 1)[:, None] + jnp.sum(b**2, 1)[None] - 2 * a @ b.T
    return jnp.exp(-0.5 * jnp.maximum(squares, 0.0))


def _linear(x: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((len(x), 1)), x], axis=1)
