"""Functions that rate equations share, finite in value and derivative everywhere."""

from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["boltzmann", "ghk", "linoid", "nernst", "power"]


def linoid(x: Any) -> Any:
    """x / (eˣ - 1), whose singularity at 0 is removed.

    So a (V - b) / (1 - exp(-(V - b) / c)) is a c · linoid(-(V - b) / c). Near 0 its Taylor series
    1 - x/2 + x²/12 - x⁴/720 + x⁶/30240 is exact to the last digit of float64.
    """
    small = jnp.abs(x) < 0.05
    square = x * x
    series = 1 - x / 2 + square * (1 / 12 - square * (1 / 720 - square / 30240))
    # A divisor that is never 0, also in the branch that is not taken: gradients see both.
    safe = jnp.where(small, 1.0, x)
    return jnp.where(small, series, safe / jnp.expm1(safe))


def boltzmann(v: Any, half: Any, slope: Any) -> Any:
    """1 / (1 + exp((v - half) / slope)), falling with v where the slope is positive."""
    return jax.nn.sigmoid((half - v) / slope)


def nernst(rt_over_zf: Any, outside: Any, inside: Any) -> Any:
    """Reversal potential RT/(zF) log(outside / inside) [mV]."""
    return rt_over_zf * jnp.log(outside / inside)


def ghk(u: Any, inside: Any, outside: Any) -> Any:
    """The Goldman-Hodgkin-Katz flux u (inside eᵘ - outside) / (eᵘ - 1), with u = z V F / (R T).

    Times P z F it is a current per permeability P; z V F² / (R T) times the same quotient is
    F z times this.
    """
    return inside * linoid(-u) - outside * linoid(u)


def power(x: Any, exponent: Any) -> Any:
    """x to a positive exponent for x >= 0, with finite derivatives at 0.

    There the slope is 1 for an exponent of 1, 0 above, and below, where it is infinite, large.
    """
    return x * jnp.exp((exponent - 1) * jnp.log(jnp.maximum(x, 1e-30)))
