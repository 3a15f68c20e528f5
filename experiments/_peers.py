"""Other programs for the circulation, run beside ours: one beat of each, in seconds."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._timing import least

__all__ = ["PEERS", "circulation_beat", "circulation_shifted_labels", "svzerod_beat"]

PEERS = ("svzerod", "circulation")

_HEART = {"Tsa": 0.4, "tpwave": 9.0, "Erv_s": 2.1, "Elv_s": 3.1, "iml": 0.5, "imr": 0.8}
_HEART |= {"Lrv_a": 2e-4, "Rrv_a": 0.035, "Lra_v": 2e-4, "Rra_v": 0.008}
_HEART |= {"Lla_v": 3.5e-4, "Rla_v": 0.005, "Llv_a": 1e-4, "Rlv_ao": 0.034}
_HEART |= {"Vrv_u": 9.0, "Vlv_u": 6.0, "Rpd": 0.1, "Cp": 1.1, "Cpa": 0.55}
_HEART |= {"Kxp_ra": 9.2, "Kxv_ra": 0.005, "Emax_ra": 0.2, "Vaso_ra": 5.0}
_HEART |= {"Kxp_la": 9.2, "Kxv_la": 0.008, "Emax_la": 0.3, "Vaso_la": 9.0}
_START = {"V_RA:CLH": 38.0, "V_RV:CLH": 96.0, "V_LA:CLH": 38.0, "V_LV:CLH": 96.0, "P_pul:CLH": 8.0}

# A closed loop of the size of ours: two atria, two ventricles, lungs, one aorta with inductance
# and an outlet of two resistances and a compliance. Rounded values in svZeroDSolver's units.
SVZERODSOLVER_CASE: dict[str, Any] = {
    "simulation_parameters": {
        "number_of_cardiac_cycles": 10,
        "number_of_time_pts_per_cardiac_cycle": 100,
        "absolute_tolerance": 1e-8,
        "steady_initial": False,
    },
    "boundary_conditions": [
        {
            "bc_name": "outlet",
            "bc_type": "ClosedLoopRCR",
            "bc_values": {"Rp": 0.13, "Rd": 1.3, "C": 0.25, "closed_loop_outlet": True},
        }
    ],
    "vessels": [
        {
            "vessel_name": "branch0_seg0",
            "boundary_conditions": {"outlet": "outlet"},
            "vessel_id": 0,
            "vessel_length": 10.0,
            "zero_d_element_type": "BloodVessel",
            "zero_d_element_values": {"R_poiseuille": 0.003, "L": 0.004},
        }
    ],
    "closed_loop_blocks": [
        {
            "outlet_blocks": ["branch0_seg0"],
            "closed_loop_type": "ClosedLoopHeartAndPulmonary",
            "cardiac_cycle_period": 1.0,
            "parameters": _HEART,
        }
    ],
    "initial_condition": _START,
}


def svzerod_beat(repeats: int) -> float:
    """Seconds a beat of svZeroDSolver (C++): 10 cycles of 100 steps, implicit."""
    import svzerod

    cycles = SVZERODSOLVER_CASE["simulation_parameters"]["number_of_cardiac_cycles"]
    return least(lambda: svzerod.simulate(SVZERODSOLVER_CASE), repeats) / cycles


def circulation_beat(repeats: int, beats: int) -> float:
    """Seconds a beat of PyPI's `circulation`: the same model, forward Euler at 1 ms."""
    with _quiet_model() as model:
        return least(lambda: model.solve(num_beats=beats, dt=1e-3), repeats) / beats


def circulation_shifted_labels(beats: int) -> tuple[float, float]:
    """Peak aortic flow [mL/s] of `circulation`, forward Euler at 0.1 ms stored every 1 ms.

    The package stores the state after the first of each ten steps, under a time that is 0.9 ms
    later.

    **Returns:** the flow that it records, and the flow computed again from the stored states at
    the times it gives them.
    """
    with _quiet_model() as model:
        history = model.solve(num_beats=beats, dt=1e-4, dt_eval=1e-3)
        recorded = history["Q_AV"][-800:].max()
        states = zip(*(history[name][-801:] for name in model.state_names()), strict=True)
        again = max(
            model.update_static_variables(t, state)[5]
            for t, state in zip(history["time"][-801:], states, strict=True)
        )
    return float(recorded), float(again)


@contextlib.contextmanager
def _quiet_model() -> Iterator[Any]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with tempfile.TemporaryDirectory() as folder:
            from circulation.regazzoni2020 import Regazzoni2020

            yield Regazzoni2020(outdir=Path(folder))
    finally:
        logging.disable(before)
