"""Guccione's law: exponential, transversely isotropic."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.mechanics._energy import AbstractEnergy, Strain

LAND = "Land et al. 2015, Proc R Soc A 471:20150641, problem 1"


class Guccione(AbstractEnergy):
    """Guccione et al. 1991, J Biomech Eng 113:42; defaults of Land et al. 2015.

        W = C/2 (exp Q - 1),
        Q = b_f E_ff² + b_t (E_ss² + E_nn² + 2 E_sn²) + 2 b_fs (E_fs² + E_fn²)

    For walls of (nearly) constant volume: W itself does not resist a change of it.
    """

    stiffness: Float[Array, "*cell"] = parameter(2.0, unit="kPa", bounds=(0.01, 50.0), cite=LAND)
    b_f: Float[Array, "*cell"] = parameter(8.0, unit="1", bounds=(0.5, 60.0), cite=LAND)
    b_t: Float[Array, "*cell"] = parameter(2.0, unit="1", bounds=(0.5, 40.0), cite=LAND)
    b_fs: Float[Array, "*cell"] = parameter(4.0, unit="1", bounds=(0.5, 40.0), cite=LAND)

    def density(self, strain: Strain) -> Any:
        e = strain
        across = e.ss**2 + e.nn**2 + 2 * e.sn**2
        q = self.b_f * e.ff**2 + self.b_t * across + 2 * self.b_fs * (e.fs**2 + e.fn**2)
        return self.stiffness / 2 * jnp.expm1(q)
