"""The lumped heart of a person by the volumes of two ventricles and a cuff, a cheap fit.

The closed loop with elastances, in the coordinates z of broad priors, z being standard normal: the
literature's where a parameter has one, wider ones where volumes of a heart tell more than a cohort.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax import ParameterSpace, equilibrate
from twinjax.heart import ClosedLoop

CHAMBERS = ("left_ventricle", "right_ventricle")
VOLUME_SD, CUFF_SD = 5.0, 5.0  # mL and mmHg, assumed: of contours, and of a cuff
# Names, the SD of their logarithm, or of themselves where they may be below zero.
LOGARITHMIC = {
    "stressed_volume": 0.3,
    "left_ventricle.active_elastance": 0.5,
    "left_ventricle.passive_elastance": 0.5,
    "left_ventricle.contraction": 0.15,
    "left_ventricle.relaxation": 0.3,
    "right_ventricle.active_elastance": 0.5,
    "right_ventricle.passive_elastance": 0.5,
    "right_ventricle.contraction": 0.15,
    "right_ventricle.relaxation": 0.3,
    "left_atrium.active_elastance": 0.4,
    "left_atrium.passive_elastance": 0.35,
    "right_atrium.active_elastance": 0.4,
    "right_atrium.passive_elastance": 0.35,
    "systemic_arteries.resistance": 0.4,
    "systemic_arteries.compliance": 0.4,
    "systemic_veins.compliance": 0.3,
    "pulmonary_arteries.resistance": 0.5,
    "pulmonary_arteries.compliance": 0.4,
    "pulmonary_veins.compliance": 0.3,
}
PLAIN = {
    "left_ventricle.unstressed_volume": 20.0,
    "right_ventricle.unstressed_volume": 20.0,
    "left_ventricle.onset": 0.03,
    "right_ventricle.onset": 0.03,
}


@dataclasses.dataclass(frozen=True)
class Seen:
    """What was measured: `volumes` (2, frame) [mL] of both ventricles, systolic and diastolic
    `cuff` (2) [mmHg], and the beat's `period` [s], of which there are `frames`, evenly."""

    volumes: Float[np.ndarray, "2 frame"]
    cuff: Float[np.ndarray, "2"]
    period: float
    frames: int

    def data(self) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
        """All numbers, and their SDs: volumes by ventricle, then the cuff's."""
        volumes = self.volumes.ravel()
        sds = np.concatenate([np.full(len(volumes), VOLUME_SD), np.full(2, CUFF_SD)])
        return np.concatenate([volumes, self.cuff]), sds

    def told(
        self, times: Any, volumes: Float[Array, "2 time"], arterial: Float[Array, " time"]
    ) -> Float[Array, " d"]:
        """The same numbers of a beat whose waveforms are given at `times` [s]."""
        return jnp.concatenate(
            [self.framed(times, volumes)[:, : self.count].ravel(), cuff(arterial)]
        )

    def framed(self, times: Any, volumes: Float[Array, "2 time"]) -> Float[Array, "2 frames"]:
        """Volumes [mL] at all frames of the beat, linear between the `times` [s]."""
        at = self.period * jnp.arange(self.frames) / self.frames
        return jax.vmap(lambda v: jnp.interp(at, jnp.asarray(times), v))(volumes)

    @property
    def count(self) -> int:
        """Of the frames that were measured."""
        return self.volumes.shape[1]


def cuff(arterial: Float[Array, " time"]) -> Float[Array, "2"]:
    """Systolic and diastolic pressure."""
    return jnp.stack([jnp.max(arterial), jnp.min(arterial)])


@dataclasses.dataclass(frozen=True)
class Mode:
    """The most probable z (n), its covariance (n, n) by Laplace, and steps that were taken."""

    z: Float[np.ndarray, " n"]
    covariance: Float[np.ndarray, "n n"]
    steps: int


class Lumped:
    """The lumped heart of a person in coordinates z of its priors."""

    def __init__(self, seen: Seen):
        self.seen = seen
        self.model = ClosedLoop(heart_rate=60.0 / seen.period)
        self.names = tuple(LOGARITHMIC) + tuple(PLAIN)
        self.space = ParameterSpace(self.model, list(self.names))
        self.centre = np.asarray(self.space.read(self.model))
        self.sds = np.array([*LOGARITHMIC.values(), *PLAIN.values()])
        self._both = jax.jit(lambda z: (self._told(z), jax.jacfwd(self._told)(z)))

    def loop(self, z: Float[Array, " n"]) -> ClosedLoop:
        """The circulation of z."""
        count = len(LOGARITHMIC)
        grown = self.centre[:count] * jnp.exp(self.sds[:count] * z[:count])
        moved = self.centre[count:] + self.sds[count:] * z[count:]
        return self.space.write(self.model, jnp.concatenate([grown, moved]))

    def waves(self, z: Float[Array, " n"]) -> dict[str, Array]:
        """Of the periodic beat, the last sample being the first again."""
        return equilibrate(self.loop(z), throw=False).observations

    def _told(self, z: Float[Array, " n"]) -> Array:
        waves = self.waves(z)
        volumes = jnp.stack([waves[f"{name}.volume"] for name in CHAMBERS])
        times = jnp.linspace(0.0, self.seen.period, volumes.shape[1])
        arterial = waves["systemic_arteries.pressure"]
        told = self.seen.told(times, volumes, arterial)
        return jnp.concatenate([told, self.seen.framed(times, volumes).ravel()])

    def told(self, z: Float[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
        """What is measured, then the volumes of all frames; and their derivatives."""
        values, slopes = self._both(jnp.asarray(z))
        return np.asarray(values), np.asarray(slopes)

    def mode(self, *, steps: int = 40) -> Mode:
        """By Levenberg and Marquardt's method from the centre of the priors."""
        data, sds = self.seen.data()
        z, damping = np.zeros(len(self.names)), 1.0
        count = len(data)

        def off(values: np.ndarray, z: np.ndarray) -> np.ndarray:
            return np.concatenate([(values[:count] - data) / sds, z])

        values, slopes = self.told(z)
        number = 0
        for number in range(1, steps + 1):  # noqa: B007  (told below)
            root = np.concatenate([slopes[:count] / sds[:, None], np.eye(len(z))])
            now = off(values, z)
            way = np.linalg.solve(root.T @ root + damping * np.eye(len(z)), -root.T @ now)
            there, tilt = self.told(z + way)
            ahead = off(there, z + way)
            if np.isfinite(ahead).all() and ahead @ ahead < now @ now:
                gained = now @ now - ahead @ ahead
                z, values, slopes, damping = z + way, there, tilt, damping / 4
                if gained < 1e-4 * (now @ now):
                    break
            else:
                damping *= 6
        root = np.concatenate([slopes[:count] / sds[:, None], np.eye(len(z))])
        return Mode(z, np.linalg.inv(root.T @ root), number)
