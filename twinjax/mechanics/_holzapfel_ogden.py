"""Holzapfel and Ogden's law: orthotropic, by the structure of the wall."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.mechanics._energy import AbstractEnergy, Strain

CITE = "Holzapfel and Ogden 2009, Phil Trans R Soc A 367:3445, table 1 (simple shear)"

DISPERSION = "Gasser, Ogden and Holzapfel 2006, J R Soc Interface 3:15"


class HolzapfelOgden(AbstractEnergy):
    """Holzapfel and Ogden 2009, Phil Trans R Soc A 367:3445, in the form of Aróstica et al. 2025.

        W = a/(2 b) (exp(b (J^{-2/3} I_1 - 3)) - 1)
            + Σ_{i = f, s} a_i/(2 b_i) χ(E_i) (exp(b_i E_i²) - 1)
            + a_fs/(2 b_fs) (exp(b_fs I_fs²) - 1)
        E_i = κ_i I_1 + (1 - 3 κ_i) I_i - 1

    with I_f = f·C f, I_s = s·C s and I_fs = f·C s. Fibres and sheets bear tension only: χ is
    1/(1 + exp(-k x)), which replaces the step of the paper, k being `sharpness` (100 as in
    Aróstica et al. 2025, Comput Methods Appl Mech Eng 435:117485). The rest state is free of
    stress whatever k is.

    κ_f and κ_s disperse the directions of fibres and sheets about their mean, from 0, all alike,
    to 1/3, every direction alike: E_i is the mean of m·C m - 1 over the directions m (Gasser,
    Ogden and Holzapfel 2006, J R Soc Interface 3:15; in the heart Eriksson et al. 2013, Int J
    Numer Methods Biomed Eng 29:1267). The step is at E_i = 0, where the energy has none.
    """

    a: Float[Array, "*cell"] = parameter(0.059, unit="kPa", bounds=(0.001, 10.0), cite=CITE)
    b: Float[Array, "*cell"] = parameter(8.023, unit="1", bounds=(0.1, 50.0), cite=CITE)
    a_f: Float[Array, "*cell"] = parameter(18.472, unit="kPa", bounds=(0.0, 200.0), cite=CITE)
    b_f: Float[Array, "*cell"] = parameter(16.026, unit="1", bounds=(0.1, 100.0), cite=CITE)
    a_s: Float[Array, "*cell"] = parameter(2.481, unit="kPa", bounds=(0.0, 200.0), cite=CITE)
    b_s: Float[Array, "*cell"] = parameter(11.120, unit="1", bounds=(0.1, 100.0), cite=CITE)
    a_fs: Float[Array, "*cell"] = parameter(0.216, unit="kPa", bounds=(0.0, 50.0), cite=CITE)
    b_fs: Float[Array, "*cell"] = parameter(11.436, unit="1", bounds=(0.1, 100.0), cite=CITE)
    kappa_f: Float[Array, "*cell"] = parameter(0.0, unit="1", bounds=(0.0, 1 / 3), cite=DISPERSION)
    kappa_s: Float[Array, "*cell"] = parameter(0.0, unit="1", bounds=(0.0, 1 / 3), cite=DISPERSION)
    sharpness: float = eqx.field(default=100.0, static=True)

    def density(self, strain: Strain) -> Any:
        e = strain
        matrix = e.squared_volume() ** (-1 / 3) * e.first_invariant() - 3
        total = self.a / (2 * self.b) * jnp.expm1(self.b * matrix)
        trace = e.ff + e.ss + e.nn
        fibre = 2 * (self.kappa_f * trace + (1 - 3 * self.kappa_f) * e.ff)
        sheet = 2 * (self.kappa_s * trace + (1 - 3 * self.kappa_s) * e.ss)
        for a, b, stretch in ((self.a_f, self.b_f, fibre), (self.a_s, self.b_s, sheet)):
            tension = jax.nn.sigmoid(self.sharpness * stretch)
            total = total + a / (2 * b) * tension * jnp.expm1(b * stretch**2)
        return total + self.a_fs / (2 * self.b_fs) * jnp.expm1(self.b_fs * 4 * e.fs**2)
