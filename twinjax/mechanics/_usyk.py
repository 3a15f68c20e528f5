"""Usyk's law: exponential, orthotropic."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.mechanics._energy import AbstractEnergy, Strain

CITE = "Usyk et al. 2000, J Elasticity 61:143"


class Usyk(AbstractEnergy):
    """Usyk et al. 2000, J Elasticity 61:143, the canine left ventricle.

        W = C/2 (exp Q - 1),
        Q = b_ff E_ff² + b_ss E_ss² + b_nn E_nn² + 2 (b_fs E_fs² + b_fn E_fn² + b_sn E_sn²)

    For walls of (nearly) constant volume: W itself does not resist a change of it.
    """

    stiffness: Float[Array, "*cell"] = parameter(0.88, unit="kPa", bounds=(0.01, 50.0), cite=CITE)
    b_ff: Float[Array, "*cell"] = parameter(5.0, unit="1", bounds=(0.5, 60.0), cite=CITE)
    b_ss: Float[Array, "*cell"] = parameter(6.0, unit="1", bounds=(0.5, 60.0), cite=CITE)
    b_nn: Float[Array, "*cell"] = parameter(3.0, unit="1", bounds=(0.5, 60.0), cite=CITE)
    b_fs: Float[Array, "*cell"] = parameter(10.0, unit="1", bounds=(0.5, 60.0), cite=CITE)
    b_fn: Float[Array, "*cell"] = parameter(2.0, unit="1", bounds=(0.5, 60.0), cite=CITE)
    b_sn: Float[Array, "*cell"] = parameter(2.0, unit="1", bounds=(0.5, 60.0), cite=CITE)

    def density(self, strain: Strain) -> Any:
        e = strain
        along = self.b_ff * e.ff**2 + self.b_ss * e.ss**2 + self.b_nn * e.nn**2
        shear = self.b_fs * e.fs**2 + self.b_fn * e.fn**2 + self.b_sn * e.sn**2
        return self.stiffness / 2 * jnp.expm1(along + 2 * shear)
