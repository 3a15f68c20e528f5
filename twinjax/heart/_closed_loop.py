"""The four chambers, four valves and two circulations as one closed loop."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax import units
from twinjax._evolution import AbstractPeriodicModel
from twinjax._parameters import Prior, component, parameter
from twinjax.flow import (
    AbstractChamber,
    AbstractValve,
    AbstractVessel,
    CompliantVessel,
    ElastanceChamber,
    SmoothValve,
)
from twinjax.heart._bank import Bank
from twinjax.observables import CHAMBERS, VALVES, VESSELS

_MAGDER = "Magder 2016, Crit Care 20:271: stressed volume is 20-30 % of blood volume"
_TIMING = "Weissler et al. 1968, Circulation 37:149: systolic time intervals; SD of ejection time"
_ATRIA = "Blanco and Feijoo 2010, Mecanica Computacional 29:5835: atrial elastance and timing"


class CirculationState(NamedTuple):
    """Volumes of `CHAMBERS` [mL], inlet pressures [mmHg] and outlet flows [mL/s] of `VESSELS`."""

    volume: Float[Array, "4"]
    pressure: Float[Array, "4"]
    flow: Float[Array, "4"]


class Prepared(NamedTuple):
    """Components grouped by role; see `Bank`."""

    chambers: Bank
    valves: Bank
    vessels: Bank


class ClosedLoop(AbstractPeriodicModel):
    """Closed-loop circulation of Regazzoni et al. 2022 (J Comput Phys 457:111083, section 2.2).

    Chambers     dV/dt = Q_in - Q_out,  p = p(V, φ)
    Valves       Q = Q(p_upstream - p_downstream)
    Compartments C dp/dt = Q_in - Q,  L dQ/dt = p - p_out - R Q

    Blood runs: left ventricle, systemic arteries, systemic veins, right atrium, right ventricle,
    pulmonary arteries, pulmonary veins, left atrium. The equations conserve the volume of blood;
    `stressed_volume` says how much there is. The beat starts with ventricular contraction.

    Defaults are a healthy adult at rest; `regazzoni2022()` gives the published set. Each
    `AbstractChamber`, `AbstractValve` and `AbstractVessel` may be replaced.
    """

    heart_rate: Float[Array, ""] = parameter(
        72.0,
        unit="bpm",
        bounds=(25.0, 200.0),
        prior=Prior.lognormal(72.0, 0.2),
        cite="Mason et al. 2007, J Electrocardiol 40:228: resting heart rate in 79,743 adults",
    )
    stressed_volume: Float[Array, ""] = parameter(
        1250.0,
        unit="mL",
        bounds=(300.0, 5000.0),
        prior=Prior.lognormal(1250.0, 0.2),
        cite=_MAGDER,
    )
    left_atrium: AbstractChamber = component(
        ElastanceChamber,
        active_elastance=parameter(
            0.24,
            unit="mmHg/mL",
            bounds=(0.01, 2.0),
            prior=Prior.lognormal(0.24, 0.4),
            cite=_ATRIA,
        ),
        passive_elastance=parameter(
            0.16,
            unit="mmHg/mL",
            bounds=(0.02, 2.0),
            prior=Prior.lognormal(0.16, 0.35),
            cite=_ATRIA,
        ),
        unstressed_volume=parameter(4.0, unit="mL", bounds=(-20.0, 100.0), cite=_ATRIA),
        onset=parameter(0.83, unit="1", bounds=(0.5, 1.0), cite=_ATRIA),
        contraction=parameter(0.11, unit="1", bounds=(0.05, 0.3), cite=_ATRIA),
        relaxation=parameter(0.11, unit="1", bounds=(0.05, 0.3), cite=_ATRIA),
    )
    left_ventricle: AbstractChamber = component(
        ElastanceChamber,
        active_elastance=parameter(
            2.4,
            unit="mmHg/mL",
            bounds=(0.2, 15.0),
            prior=Prior.lognormal(2.4, 0.4),
            cite="Chen et al. 2001, J Am Coll Cardiol 38:2028: end-systolic elastance in adults",
        ),
        passive_elastance=parameter(
            0.07,
            unit="mmHg/mL",
            bounds=(0.01, 0.6),
            prior=Prior.lognormal(0.07, 0.4),
            cite="Burkhoff et al. 2005, Am J Physiol Heart 289:H501: end-diastolic relation",
        ),
        unstressed_volume=parameter(
            12.0,
            unit="mL",
            bounds=(-60.0, 250.0),
            prior=Prior.normal(12.0, 12.0),
            cite="Burkhoff et al. 2005, Am J Physiol Heart 289:H501",
        ),
        onset=parameter(0.0, unit="1", bounds=(-0.2, 0.2), cite=_TIMING),
        contraction=parameter(
            0.34, unit="1", bounds=(0.2, 0.45), prior=Prior.lognormal(0.34, 0.07), cite=_TIMING
        ),
        relaxation=parameter(0.17, unit="1", bounds=(0.08, 0.5), cite=_TIMING),
    )
    right_atrium: AbstractChamber = component(
        ElastanceChamber,
        active_elastance=parameter(
            0.1,
            unit="mmHg/mL",
            bounds=(0.01, 2.0),
            prior=Prior.lognormal(0.1, 0.4),
            cite=_ATRIA,
        ),
        passive_elastance=parameter(
            0.07,
            unit="mmHg/mL",
            bounds=(0.01, 2.0),
            prior=Prior.lognormal(0.07, 0.35),
            cite=_ATRIA,
        ),
        unstressed_volume=parameter(4.0, unit="mL", bounds=(-20.0, 100.0), cite=_ATRIA),
        onset=parameter(0.83, unit="1", bounds=(0.5, 1.0), cite=_ATRIA),
        contraction=parameter(0.11, unit="1", bounds=(0.05, 0.3), cite=_ATRIA),
        relaxation=parameter(0.11, unit="1", bounds=(0.05, 0.3), cite=_ATRIA),
    )
    right_ventricle: AbstractChamber = component(
        ElastanceChamber,
        active_elastance=parameter(
            0.45,
            unit="mmHg/mL",
            bounds=(0.05, 5.0),
            prior=Prior.lognormal(0.45, 0.4),
            cite="Kuehne et al. 2004, Circulation 110:2010: right-ventricular elastance by MRI",
        ),
        passive_elastance=parameter(
            0.035,
            unit="mmHg/mL",
            bounds=(0.005, 0.6),
            prior=Prior.lognormal(0.035, 0.4),
            cite="Kuehne et al. 2004, Circulation 110:2010",
        ),
        unstressed_volume=parameter(
            20.0,
            unit="mL",
            bounds=(-60.0, 250.0),
            prior=Prior.normal(20.0, 15.0),
            cite="Kuehne et al. 2004, Circulation 110:2010",
        ),
        onset=parameter(0.0, unit="1", bounds=(-0.2, 0.2), cite=_TIMING),
        contraction=parameter(
            0.34, unit="1", bounds=(0.2, 0.45), prior=Prior.lognormal(0.34, 0.07), cite=_TIMING
        ),
        relaxation=parameter(0.17, unit="1", bounds=(0.08, 0.5), cite=_TIMING),
    )
    mitral: AbstractValve = component(SmoothValve)
    aortic: AbstractValve = component(SmoothValve)
    tricuspid: AbstractValve = component(SmoothValve)
    pulmonary: AbstractValve = component(SmoothValve)
    systemic_arteries: AbstractVessel = component(
        CompliantVessel,
        resistance=parameter(
            0.9,
            unit="mmHg·s/mL",
            bounds=(0.1, 6.0),
            prior=Prior.lognormal(0.9, 0.3),
            cite="Chemla et al. 1998, Am J Physiol Heart 274:H500: resistance in adults",
        ),
        compliance=parameter(
            1.5,
            unit="mL/mmHg",
            bounds=(0.1, 10.0),
            prior=Prior.lognormal(1.5, 0.35),
            cite="Chemla et al. 1998, Am J Physiol Heart 274:H500: total arterial compliance",
        ),
        inertance=parameter(0.005, unit="mmHg·s²/mL", bounds=(1e-4, 0.1), cite="Regazzoni 2022"),
    )
    systemic_veins: AbstractVessel = component(
        CompliantVessel,
        resistance=parameter(0.06, unit="mmHg·s/mL", bounds=(0.005, 1.0), cite=_MAGDER),
        compliance=parameter(60.0, unit="mL/mmHg", bounds=(5.0, 300.0), cite=_MAGDER),
        inertance=parameter(5e-4, unit="mmHg·s²/mL", bounds=(1e-5, 0.1), cite="Regazzoni 2022"),
    )
    pulmonary_arteries: AbstractVessel = component(
        CompliantVessel,
        resistance=parameter(
            0.06,
            unit="mmHg·s/mL",
            bounds=(0.005, 2.0),
            prior=Prior.lognormal(0.06, 0.5),
            cite="Kovacs et al. 2009, Eur Respir J 34:888: pulmonary pressures at rest, n=1,187",
        ),
        compliance=parameter(
            4.5,
            unit="mL/mmHg",
            bounds=(0.3, 30.0),
            prior=Prior.lognormal(4.5, 0.4),
            cite="Lankhaar et al. 2006, Am J Physiol Heart 291:H1731: pulmonary compliance",
        ),
        inertance=parameter(5e-4, unit="mmHg·s²/mL", bounds=(1e-5, 0.1), cite="Regazzoni 2022"),
    )
    pulmonary_veins: AbstractVessel = component(
        CompliantVessel,
        resistance=parameter(0.01, unit="mmHg·s/mL", bounds=(5e-4, 0.5), cite="Kovacs et al. 2009"),
        compliance=parameter(12.0, unit="mL/mmHg", bounds=(1.0, 100.0), cite="Regazzoni 2022"),
        inertance=parameter(5e-4, unit="mmHg·s²/mL", bounds=(1e-5, 0.1), cite="Regazzoni 2022"),
    )

    def period(self) -> Float[Array, ""]:
        return 1 / units.convert(self.heart_rate, "bpm", "Hz")

    def initial_state(self) -> CirculationState:
        state = CirculationState(
            volume=jnp.array([60.0, 130.0, 65.0, 150.0]),
            pressure=jnp.array([80.0, 9.0, 12.0, 9.0]),
            flow=jnp.array([80.0, 80.0, 80.0, 80.0]),
        )
        return self.restore(state)

    def prepare(self) -> Prepared:
        return Prepared(
            *(
                Bank([getattr(self, name) for name in names])
                for names in (CHAMBERS, VALVES, VESSELS)
            )
        )

    def drive(self, prepared: Prepared, phases: Float[Array, " n"]) -> Float[Array, "n 4"]:
        stiffness = jax.vmap(
            lambda phase: prepared.chambers(lambda c: c.stiffness(phase)), out_axes=0
        )
        return stiffness(phases)

    def _flows(
        self, prepared: Prepared, state: CirculationState, stiffness: Float[Array, "4"]
    ) -> tuple[Float[Array, "4"], Float[Array, "4"]]:
        cavity = prepared.chambers(lambda c, v, e: c.pressure(v, e), state.volume, stiffness)
        systemic, _, pulmonary, _ = state.pressure
        beyond = jnp.stack([cavity[1], systemic, cavity[3], pulmonary])
        return cavity, prepared.valves(lambda v, drop: v.flow(drop), cavity - beyond)

    def rates(
        self, prepared: Prepared, state: CirculationState, drive: Float[Array, "4"]
    ) -> CirculationState:
        cavity, valve = self._flows(prepared, state, drive)
        flow = state.flow
        filling = jnp.stack([flow[3], valve[0], flow[1], valve[2]])
        inflow = jnp.stack([valve[1], flow[0], valve[3], flow[2]])
        outlet = jnp.stack([state.pressure[1], cavity[2], state.pressure[3], cavity[0]])
        pressure_rate, flow_rate = prepared.vessels(
            lambda v, *row: v.rates(*row), state.pressure, flow, inflow, outlet
        )
        return CirculationState(filling - valve, pressure_rate, flow_rate)

    def total_volume(self, state: CirculationState) -> Float[Array, ""]:
        """Blood in chambers and stressed blood in vessels [mL]."""
        vessels = self.prepare().vessels
        return jnp.sum(state.volume) + jnp.sum(vessels(lambda v, p: v.volume(p), state.pressure))

    def restore(self, state: CirculationState) -> CirculationState:
        """The systemic veins take up what is missing to the stressed volume."""
        veins = self.systemic_veins
        missing = self.stressed_volume - self.total_volume(state)
        venous = veins.pressure(veins.volume(state.pressure[1]) + missing)
        return state._replace(pressure=state.pressure.at[1].set(venous))

    def fastest_rate(self, prepared: Prepared, drive: Float[Array, "n 4"]) -> Float[Array, ""]:
        inlet = prepared.vessels(lambda v: v.inlet_stiffness())
        chamber = jnp.max(drive, axis=0)
        beyond = jnp.stack([chamber[1], inlet[0], chamber[3], inlet[2]])
        valves = (chamber + beyond) * prepared.valves(lambda v: v.conductance())
        return jnp.maximum(
            jnp.max(valves), jnp.max(prepared.vessels(lambda v: v.relaxation_rate()))
        )

    def observe(
        self, prepared: Prepared, state: CirculationState, drive: Float[Array, "4"]
    ) -> dict[str, Float[Array, ""]]:
        cavity, valve = self._flows(prepared, state, drive)
        return {
            **{f"{name}.pressure": cavity[i] for i, name in enumerate(CHAMBERS)},
            **{f"{name}.volume": state.volume[i] for i, name in enumerate(CHAMBERS)},
            **{f"{name}.flow": valve[i] for i, name in enumerate(VALVES)},
            **{f"{name}.pressure": state.pressure[i] for i, name in enumerate(VESSELS)},
            **{f"{name}.flow": state.flow[i] for i, name in enumerate(VESSELS)},
        }


def regazzoni2022() -> ClosedLoop:
    """The published parameter set, as run by independent programs at 75 beats a minute.

    Its times are given in seconds for a period of 0.8 s, and all four chambers start to contract
    0.1 s into the beat.
    """

    def chamber(
        active: float, passive: float, unstressed: float, contraction: float, relaxation: float
    ) -> ElastanceChamber:
        return ElastanceChamber(
            active, passive, unstressed, 0.125, contraction / 0.8, relaxation / 0.8
        )

    return ClosedLoop(
        heart_rate=75.0,
        stressed_volume=1617.876074,
        left_atrium=chamber(0.07, 0.18, 4.0, 0.17, 0.17),
        left_ventricle=chamber(4.482, 0.17, 42.0, 0.25, 0.4),
        right_atrium=chamber(0.06, 0.07, 4.0, 0.17, 0.17),
        right_ventricle=chamber(0.2, 0.029, 16.0, 0.25, 0.4),
        systemic_arteries=CompliantVessel(0.733, 1.372, 0.005),
        systemic_veins=CompliantVessel(0.32, 11.363, 0.0005),
        pulmonary_arteries=CompliantVessel(0.046, 20.0, 0.0005),
        pulmonary_veins=CompliantVessel(0.0015, 16.0, 0.0005),
    )
