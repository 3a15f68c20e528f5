"""A quadratic emulator of the predicted data near a person's mode."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class LocalEmulator(eqx.Module):
    """Predicted data as a quadratic polynomial of w, where z = centre + scale w.

    Quantities that are positive over the whole design are emulated by their logarithm: pressures,
    volumes and flows are nearly products of powers of the parameters. `variance` is the
    leave-one-out mean square error of each quantity, in its unit squared.
    """

    centre: Float[Array, " n"]
    scale: Float[Array, "n n"]
    coefficients: Float[Array, "features d"]
    logarithmic: Float[Array, " d"]
    variance: Float[Array, " d"]

    def __call__(self, w: Float[Array, " n"]) -> Float[Array, " d"]:
        y = features(w) @ self.coefficients
        on = self.logarithmic > 0
        return jnp.where(on, jnp.exp(jnp.where(on, y, 0.0)), y)

    def z(self, w: Float[Array, " n"]) -> Float[Array, " n"]:
        """The standard normal parameters of w."""
        return self.centre + self.scale @ w


def features(w: Float[Array, " n"]) -> Float[Array, " features"]:
    """1, w_i, and w_i w_j for i <= j."""
    i, j = np.triu_indices(w.shape[0])
    return jnp.concatenate([jnp.ones(1), w, w[i] * w[j]])


def feature_count(n: int) -> int:
    """How many `features` n parameters have."""
    return 1 + n + n * (n + 1) // 2


def fit_emulator(
    centre: np.ndarray, scale: np.ndarray, w: np.ndarray, predicted: np.ndarray
) -> LocalEmulator:
    """Ridge regression on a design w (m, n) with predictions (m, d); rows with NaN are left out.

    Raises `ValueError` where too few rows are left to determine the polynomial.
    """
    usable = np.isfinite(predicted).all(axis=1)
    w, y = w[usable], predicted[usable]
    count = feature_count(w.shape[1])
    if len(w) < 1.2 * count:
        raise ValueError(
            f"only {len(w)} of {len(usable)} simulations around the mode succeeded, too few for "
            f"an emulator with {count} coefficients; use the sampler 'solver'"
        )
    i, j = np.triu_indices(w.shape[1])
    x = np.concatenate([np.ones((len(w), 1)), w, w[:, i] * w[:, j]], axis=1)
    logarithmic = (y > 0).all(axis=0)
    target = np.where(logarithmic, np.log(np.where(logarithmic, y, 1.0)), y)
    # Enough to keep the inverse defined, too little to bias.
    gram = x.T @ x + 1e-8 * len(w) * np.eye(count)
    coefficients = np.linalg.solve(gram, x.T @ target)
    leverage = np.einsum("ij,ji->i", x, np.linalg.solve(gram, x.T))
    left_out = (target - x @ coefficients) / (1 - leverage)[:, None]
    size = np.where(logarithmic, np.abs(y), 1.0)
    variance = np.mean((left_out * size) ** 2, axis=0)
    return LocalEmulator(
        *(jnp.asarray(a, dtype=float) for a in (centre, scale, coefficients, logarithmic, variance))
    )
