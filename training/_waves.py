"""Measured waveforms beside simulated ones."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax.io import WaveformMeasurement

# Errors of a waveform are alike at neighbouring times. One beat is counted as this many
# independent samples, however finely it was recorded.
INDEPENDENT = 10


class Wave(eqx.Module):
    """One beat of a measured waveform at equal phases, SDs enlarged for correlated errors."""

    name: str = eqx.field(static=True)
    values: Float[Array, " samples"]
    sds: Float[Array, " samples"]

    @staticmethod
    def of(measured: WaveformMeasurement, samples: int, discrepancy: float) -> "Wave":
        """Resampled; the model's relative error refers to the mean of the absolute values."""
        at = np.arange(samples) / samples * measured.period
        values = np.interp(at, measured.time, measured.values, period=measured.period)
        sds = np.interp(at, measured.time, measured.sd, period=measured.period)
        total = np.hypot(sds, discrepancy * np.mean(np.abs(values)))
        inflation = np.sqrt(samples / min(samples, INDEPENDENT))
        return Wave(measured.name, jnp.asarray(values), jnp.asarray(total * inflation))


def align(simulated: Float[Array, " samples"], wave: Wave) -> Float[Array, " samples"]:
    """The simulated beat, shifted in phase to where it correlates best with the measured one.

    When the pulse reached the sensor is not known. The shift minimises the misfit, so that its
    own derivative does not enter that of the misfit: it is held constant.
    """
    n = simulated.shape[0]
    product = jnp.fft.rfft(wave.values) * jnp.conj(jnp.fft.rfft(jax.lax.stop_gradient(simulated)))
    correlation = jnp.fft.irfft(product, n)
    at = jnp.argmax(correlation)
    before, top, after = correlation[(at - 1) % n], correlation[at], correlation[(at + 1) % n]
    shift = at + 0.5 * (before - after) / (before - 2 * top + after)
    phase = jnp.exp(-2j * jnp.pi * jnp.arange(n // 2 + 1) * shift / n)
    return jnp.fft.irfft(jnp.fft.rfft(simulated) * phase, n)
