"""Vessel compartments."""

import abc

import equinox as eqx
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.flow._chamber import REGAZZONI


class AbstractVessel(eqx.Module):
    """What the circulation needs of a compartment: an inlet pressure and an outlet flow."""

    @abc.abstractmethod
    def rates(
        self,
        pressure: Float[Array, ""],
        flow: Float[Array, ""],
        inflow: Float[Array, ""],
        outlet_pressure: Float[Array, ""],
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """dp/dt [mmHg/s] and dQ/dt [mL/s²]."""

    @abc.abstractmethod
    def volume(self, pressure: Float[Array, ""]) -> Float[Array, ""]:
        """Stressed volume [mL]."""

    @abc.abstractmethod
    def pressure(self, volume: Float[Array, ""]) -> Float[Array, ""]:
        """The inverse of `volume` [mmHg]."""

    @abc.abstractmethod
    def inlet_stiffness(self) -> Float[Array, ""]:
        """dp/dV at the inlet [mmHg/mL]."""

    @abc.abstractmethod
    def relaxation_rate(self) -> Float[Array, ""]:
        """The fastest rate of the compartment by itself [1/s]."""


class CompliantVessel(AbstractVessel):
    """Compliance at the inlet, then a resistance and an inertance in series.

    C dp/dt = Q_in - Q,   L dQ/dt = p - p_out - R Q.   Source: Regazzoni et al. 2022.
    """

    resistance: Float[Array, ""] = parameter(
        0.1, unit="mmHg·s/mL", bounds=(1e-4, 10.0), cite=REGAZZONI
    )
    compliance: Float[Array, ""] = parameter(
        10.0, unit="mL/mmHg", bounds=(0.05, 500.0), cite=REGAZZONI
    )
    inertance: Float[Array, ""] = parameter(
        5e-4, unit="mmHg·s²/mL", bounds=(1e-6, 0.1), cite=REGAZZONI
    )

    def rates(
        self,
        pressure: Float[Array, ""],
        flow: Float[Array, ""],
        inflow: Float[Array, ""],
        outlet_pressure: Float[Array, ""],
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        return (
            (inflow - flow) / self.compliance,
            (pressure - outlet_pressure - self.resistance * flow) / self.inertance,
        )

    def volume(self, pressure: Float[Array, ""]) -> Float[Array, ""]:
        return self.compliance * pressure

    def pressure(self, volume: Float[Array, ""]) -> Float[Array, ""]:
        return volume / self.compliance

    def inlet_stiffness(self) -> Float[Array, ""]:
        return 1 / self.compliance

    def relaxation_rate(self) -> Float[Array, ""]:
        return self.resistance / self.inertance
