"""Energies of the passive wall, as functions of Green's strain in the axes of the tissue."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp

from twinjax._parameters import parameters_of


class Strain(NamedTuple):
    """Green's strain E = (FᵀF - 1)/2 along fibre (f), sheet (s) and sheet normal (n).

    Each component is a number or an array of any shape, and so is all that is computed of it.
    """

    ff: Any
    ss: Any
    nn: Any
    fs: Any
    fn: Any
    sn: Any

    def seen(self, across: Any) -> Any:
        """The strain that an active tension works on, of which a share acts across the fibre."""
        return self.ff + across * (self.ss + self.nn)

    def first_invariant(self) -> Any:
        """tr C, with C = 1 + 2 E; 3 at rest."""
        return 3 + 2 * (self.ff + self.ss + self.nn)

    def second_invariant(self) -> Any:
        """½ ((tr C)² - tr C²); 3 at rest."""
        trace = self.ff + self.ss + self.nn
        squares = self.ff**2 + self.ss**2 + self.nn**2
        squares = squares + 2 * (self.fs**2 + self.fn**2 + self.sn**2)
        return 3 + 4 * trace + 2 * (trace**2 - squares)

    def squared_volume(self) -> Any:
        """det C = J²; 1 at rest."""
        f, s, n = 1 + 2 * self.ff, 1 + 2 * self.ss, 1 + 2 * self.nn
        fs, fn, sn = 2 * self.fs, 2 * self.fn, 2 * self.sn
        return f * (s * n - sn**2) - fs * (fs * n - sn * fn) + fn * (fs * sn - s * fn)


class AbstractEnergy(eqx.Module):
    """The energy of the passive wall per volume at rest.

    Stress and stiffness are derivatives of it, by automatic differentiation. As it is a function
    of Green's strain alone, it does not see rigid motions. A parameter is one number for the whole
    wall, or one a cell, as an array (cell).
    """

    @abc.abstractmethod
    def density(self, strain: Strain) -> Any:
        """W [kPa], 0 at rest, for strains of any shape."""

    def along(self, axes: int) -> "AbstractEnergy":
        """Parameters that are one a cell with further axes of length 1, to meet such strains."""
        names = [n for n in parameters_of(self) if jnp.ndim(getattr(self, n)) == 1]
        if not names:
            return self
        wide = [getattr(self, n).reshape(-1, *[1] * axes) for n in names]
        return eqx.tree_at(lambda e: [getattr(e, n) for n in names], self, wide)
