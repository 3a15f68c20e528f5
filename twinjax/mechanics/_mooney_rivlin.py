"""Mooney and Rivlin's law, of which neo-Hooke's is the case of one constant: isotropic."""

from typing import Any

from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.mechanics._energy import AbstractEnergy, Strain

CITE = "Holzapfel 2000, Nonlinear Solid Mechanics, section 6.5"


class MooneyRivlin(AbstractEnergy):
    """Mooney 1940, J Appl Phys 11:582; Rivlin 1948, Phil Trans R Soc A 241:379.

        W = c_1 (J^{-2/3} I_1 - 3) + c_2 (J^{-4/3} I_2 - 3)

    with the invariants of C made free of volume. The shear modulus at rest is 2 (c_1 + c_2);
    c_2 = 0, the default, is the neo-Hookean law. No constants of the heart are published for it;
    the default of c_1 is a shear modulus of 1 kPa.
    """

    c_1: Float[Array, "*cell"] = parameter(0.5, unit="kPa", bounds=(0.0, 1e4), cite=CITE)
    c_2: Float[Array, "*cell"] = parameter(0.0, unit="kPa", bounds=(0.0, 1e4), cite=CITE)

    def density(self, strain: Strain) -> Any:
        share = strain.squared_volume() ** (-1 / 3)
        first = share * strain.first_invariant() - 3
        return self.c_1 * first + self.c_2 * (share**2 * strain.second_invariant() - 3)
