"""Baseline: proper orthogonal decomposition, and ridge regression of its coefficients."""

import dataclasses

import numpy as np
from jaxtyping import Float

from surrogates._pod import Pod

MODES = 80


@dataclasses.dataclass(frozen=True)
class PodRidge:
    """Coefficients as quadratic polynomials of the parameters.

    The penalty is the one, of seven, with the least leave-one-out error, which ridge regression
    gives in closed form: residual / (1 - leverage).
    """

    pod: Pod
    weights: Float[np.ndarray, "features modes"]

    @staticmethod
    def fit(
        x: Float[np.ndarray, "runs n"], waves: Float[np.ndarray, "runs waves samples"]
    ) -> "PodRidge":
        """From parameters in [-1, 1] and their waveforms."""
        pod = Pod.fit(waves, MODES)
        y, design = pod.encode(waves), _features(x)
        u, s, vt = np.linalg.svd(design, full_matrices=False)
        projected = u.T @ y

        def left_out(penalty: float) -> float:
            keep = s**2 / (s**2 + penalty)
            leverage = np.einsum("ij,j,ij->i", u, keep, u)
            residual = y - u @ (keep[:, None] * projected)
            return float(np.mean((residual / (1 - leverage)[:, None]) ** 2))

        penalty = min(len(x) * 10.0 ** np.arange(-6, 1), key=left_out)
        return PodRidge(pod, vt.T @ ((s / (s**2 + penalty))[:, None] * projected))

    def __call__(self, x: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "m waves samples"]:
        return self.pod.decode(_features(x) @ self.weights)


def _features(x: np.ndarray) -> np.ndarray:
    i, j = np.triu_indices(x.shape[1])
    return np.concatenate([np.ones((len(x), 1)), x, x[:, i] * x[:, j]], axis=1)
