"""[excitation] and [ecg] of a case of a beating heart: where a front starts, and electrodes."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import Field, FiniteFloat

from training._toml import Strict
from training.activation.model import APD
from training.case import Quantity
from training.mechanics_case import Positive, quantities
from twinjax import ParameterInfo
from twinjax._names import unknown_name
from twinjax.electro import ELECTRODES, Eikonal

_OWN = {
    field.name: field.metadata["parameter"]
    for field in dataclasses.fields(Eikonal)
    if "parameter" in field.metadata
}
VELOCITIES: dict[str, ParameterInfo] = {
    name: _OWN[name] for name in ("velocity_fibre", "velocity_sheet", "velocity_lv_endo")
}


class ExcitationTable(Strict):
    """[excitation]: a front from points `at` [mm], `onsets` [ms] after `heart.activation`.

    The front runs on a mesh of tetrahedra of its own, with edges of about `spacing` [mm]. Across
    fibres its velocity is `velocity_sheet` in all directions; on the endocardium it spreads with
    `velocity_lv_endo`, as by Purkinje fibres. Velocities that are not given are the model's.
    """

    at: list[list[FiniteFloat]] = Field(min_length=1)
    onsets: FiniteFloat | list[FiniteFloat] = 0.0
    spacing: Positive = 5.0
    velocity_fibre: Quantity | None = None
    velocity_sheet: Quantity | None = None
    velocity_lv_endo: Quantity | None = None


class EcgTable(Strict):
    """[ecg]: `electrodes` [mm] in the axes of the geometry, and durations of action potentials.

    `apd` [ms] has the names of `training.activation.APD`: the `mean`, and by how much it differs
    from endo- to epicardium (`transmural`), from apex to base and across.
    """

    electrodes: dict[str, list[FiniteFloat]] | None = None
    apd: dict[str, FiniteFloat] = Field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Excitation:
    """What the tables say, checked.

    `points` (root, 3) [mm] with `onsets` (root) [ms] after the beat's start; `velocities` (3)
    [m/s] in the order of `VELOCITIES`; `electrodes` (9, 3) [mm], or nothing for typical places
    about the heart; `apd` [ms] by the names of `APD`, where a `mean` that is not there is the
    cell's own.
    """

    points: Float[np.ndarray, "root 3"]
    onsets: Float[np.ndarray, " root"]
    spacing: float
    velocities: Float[np.ndarray, "3"]
    electrodes: Float[np.ndarray, "9 3"] | None
    apd: dict[str, float]


def plan_excitation(
    front: ExcitationTable | None, ecg: EcgTable | None, activation: float, period: float
) -> Excitation | None:
    """The excitation of a case, or nothing where the wall is activated at once.

    `activation` and `period` of the heart [ms]. Raises `ValueError` for words, places and times
    that do not fit.
    """
    if front is None:
        if ecg is not None:
            raise ValueError(
                "[ecg] needs [excitation]: a wall that is activated at once has no QRS complex"
            )
        return None
    points = np.array([_place(f"excitation.at: point {i}", p) for i, p in enumerate(front.at, 1)])
    onsets: Any = front.onsets
    if isinstance(onsets, list) and len(onsets) != len(points):
        raise ValueError(
            f"excitation.onsets: {len(onsets)} onsets for {len(points)} points; valid: one number, "
            "or one for each point"
        )
    if np.min(onsets) < 0:
        raise ValueError(
            f"excitation.onsets: {np.min(onsets):g} ms; valid: 0 or more, after heart.activation"
        )
    times = activation + np.broadcast_to(np.asarray(onsets, float), (len(points),))
    if times.max() >= period:
        raise ValueError(
            f"excitation.onsets: {times.max():g} ms is after the beat's end at {period:g} ms"
        )
    given = {name: value for name in VELOCITIES if (value := getattr(front, name)) is not None}
    values = quantities("[excitation]", given, VELOCITIES)
    velocities = np.array([values.get(name, info.default) for name, info in VELOCITIES.items()])
    ecg = EcgTable() if ecg is None else ecg
    for name in ecg.apd:
        if name not in APD:
            raise ValueError(f"ecg.apd: {unknown_name('part of durations', name, APD)}")
    places = None if ecg.electrodes is None else _electrodes(ecg.electrodes)
    return Excitation(points, times, front.spacing, velocities, places, dict(ecg.apd))


def _electrodes(given: dict[str, list[float]]) -> Float[np.ndarray, "9 3"]:
    for name in given:
        if name not in ELECTRODES:
            raise ValueError(f"ecg.electrodes: {unknown_name('electrode', name, ELECTRODES)}")
    missing = [name for name in ELECTRODES if name not in given]
    if missing:
        raise ValueError(
            f"ecg.electrodes: no place of {', '.join(missing)}; the twelve leads need "
            f"{', '.join(ELECTRODES)}"
        )
    return np.array([_place(f"ecg.electrodes: {name}", given[name]) for name in ELECTRODES])


def _place(title: str, given: Sequence[float]) -> np.ndarray:
    if len(given) != 3:
        raise ValueError(f"{title} has {len(given)} coordinates; valid: three, x, y and z in mm")
    return np.array(given, float)
