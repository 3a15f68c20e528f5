"""Proper orthogonal decomposition of waveforms at fixed phases, for the baselines."""

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class Pod:
    """All waveforms of a beat as one vector, each over its root mean square: mean plus modes."""

    scale: Float[np.ndarray, " waves"]
    mean: Float[np.ndarray, " features"]
    modes: Float[np.ndarray, "modes features"]

    @staticmethod
    def fit(waves: Float[np.ndarray, "runs waves samples"], modes: int) -> "Pod":
        scale = np.sqrt((waves**2).mean((0, 2)))
        flat = (waves / scale[:, None]).reshape(len(waves), -1)
        mean = flat.mean(0)
        _, _, vectors = np.linalg.svd(flat - mean, full_matrices=False)
        return Pod(scale, mean, vectors[:modes])

    def encode(
        self, waves: Float[np.ndarray, "runs waves samples"]
    ) -> Float[np.ndarray, "runs modes"]:
        flat = (waves / self.scale[:, None]).reshape(len(waves), -1)
        return (flat - self.mean) @ self.modes.T

    def decode(
        self, coefficients: Float[np.ndarray, "runs modes"]
    ) -> Float[np.ndarray, "runs waves samples"]:
        flat = self.mean + coefficients @ self.modes
        return flat.reshape(len(flat), len(self.scale), -1) * self.scale[:, None]
