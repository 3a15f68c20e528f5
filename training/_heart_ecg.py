"""The front that excites a beating heart's wall, and the twelve leads of the beat."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from training._mechanics_wall import Made
from training.activation.model import APD, Pattern, VentricularEcg
from training.anatomy import Anatomy, load_anatomy, read_electrodes
from training.heart_case import HeartCase
from training.mechanics_case import ShapeTable
from twinjax.electro import ecg_features, electrodes_of_heart, heart_frame
from twinjax.geometry import Mesh, Surface, coordinates, left_ventricle, locate, replace
from twinjax.mechanics import Ellipsoid

_LEFT_OVER = 0.25  # of the amplitude at the time of repolarisation, by `ActionPotential`


@dataclasses.dataclass(frozen=True, eq=False)
class Excited:
    """When the wall is activated, and the ECG of a beat.

    `activation` (cell, q) of the points of quadrature and `nodal` (node) of the wall's nodes, and
    `times` (time), all in ms after the beat's start; `leads` (12, time) [mV] of
    [`LEADS`][twinjax.electro.LEADS]; `electrodes` (9, 3) [mm]; `apd` (5) [ms] of `APD`; the
    duration `qrs` [ms]; `note` on the electrodes.
    """

    activation: Float[np.ndarray, "cell q"]
    nodal: Float[np.ndarray, " node"]
    times: Float[np.ndarray, " time"]
    leads: Float[np.ndarray, "12 time"]
    electrodes: Float[np.ndarray, "9 3"]
    apd: Float[np.ndarray, "5"]
    qrs: float
    note: str

    def arrays(self) -> dict[str, np.ndarray]:
        """For a part of a run."""
        return {f.name: np.asarray(getattr(self, f.name)) for f in dataclasses.fields(self)}


def excited_of(arrays: dict[str, np.ndarray]) -> Excited:
    """What `arrays` kept."""
    kept: dict[str, Any] = dict(arrays)
    return Excited(**kept | {"qrs": float(arrays["qrs"]), "note": str(arrays["note"])})


def front_mesh(case: HeartCase) -> Mesh | None:
    """Tetrahedra of the wall for the front, with the wall's fibres; nothing where there is none.

    A mesh from a file is in the shape that the file has. Raises `ValueError` for a point of
    excitation outside the wall.
    """
    plan, shape = case.excitation, case.wall.geometry
    if plan is None:
        return None
    mesh = _from_file(case, plan.spacing) if shape is None else _ellipsoid(shape, plan.spacing)
    for point in plan.points:
        away = np.linalg.norm(np.asarray(mesh.points) - point, axis=1)
        nearest = int(np.argmin(away))
        # A point within the wall is no farther from a node than an edge is long.
        if away[nearest] > plan.spacing:
            raise ValueError(
                f"excitation.at: {_told(point)} mm lies outside the wall, {away[nearest]:.3g} mm "
                f"from its nearest node {_told(np.asarray(mesh.points)[nearest])}"
            )
    return mesh


def _ellipsoid(shape: ShapeTable, spacing: float) -> Mesh:
    mesh = left_ventricle(spacing, endo=shape.endo, epi=shape.epi, base=shape.base)
    ellipsoid = Ellipsoid(shape.endo, shape.epi, shape.base)
    elements = ellipsoid.tetrahedra(spacing, degree=2)
    mean = np.asarray(ellipsoid.frames(elements, *shape.helix)).mean(axis=1)
    left, _, right = np.linalg.svd(mean)  # the nearest axes
    return replace(mesh, frames=left @ right)


def _from_file(case: HeartCase, spacing: float) -> Mesh:
    table = case.wall.anatomy
    assert table is not None
    finer = table.model_copy(update={"spacing": spacing})
    return load_anatomy(finer, case.wall.folder).mesh


def excite(case: HeartCase, made: Made, duration: float | None) -> Excited | None:
    """The front and its ECG; nothing for a wall that is activated at once.

    `duration` [ms] of the cell's action potential is the mean where the case gives none. The
    medium is unbounded, the heart stays where `made` is, at rest or as imaged, and what adds up to
    its potentials is told by [`VentricularEcg`][training.activation.VentricularEcg]. Raises
    `ValueError` for a front or action potentials that last beyond the beat.
    """
    plan, mesh = case.excitation, front_mesh(case)
    if plan is None or mesh is None:
        return None
    electrodes, note = plan.electrodes, "electrodes: those of the case"
    anatomy = case.wall.anatomy
    if electrodes is None and anatomy is not None and anatomy.electrodes is not None:
        electrodes = read_electrodes(case.wall.folder / anatomy.electrodes)
        note = f"electrodes: those of {anatomy.electrodes}"
    if electrodes is None:
        electrodes = _typical(mesh, case.wall.septum)
        note = "electrodes: where they are on a normal man, by the heart's own axes"
    model = VentricularEcg(Anatomy(mesh, coordinates(mesh), electrodes, ()), electrodes)
    fibre, sheet, endocardium = plan.velocities
    velocities = np.array([fibre, sheet, endocardium, endocardium])
    pattern = Pattern(*(jnp.asarray(x, float) for x in (velocities, plan.points, plan.onsets, 1.0)))
    activation = model.activation(pattern)
    apd = np.array([plan.apd.get(name, 0.0) for name in APD])
    if "mean" not in plan.apd:
        if duration is None:
            raise ValueError(
                f"{case.name}: ecg.apd: the cell does not repolarise within a beat: give the mean"
            )
        apd[0] = duration
    late = activation + model.basis @ jnp.asarray(apd)
    if float(late.min()) <= float(activation.min()) or float(late.max()) >= case.period:
        raise ValueError(
            f"{case.name}: ecg.apd: the wall is activated from {float(activation.min()):.0f} to "
            f"{float(activation.max()):.0f} ms and repolarises from {float(late.min()):.0f} to "
            f"{float(late.max()):.0f} ms, which is not within a beat of {case.period:.0f} ms"
        )
    times = np.arange(0.0, np.floor(case.period) + 0.5)
    leads = np.asarray(model.depolarisation(times, activation) + model.repolarisation(times, late))
    elements = made.wall.elements
    places = np.asarray(elements.at_quadrature(elements.points))
    inside = np.asarray(locate(mesh, places.reshape(-1, 3))(activation)).reshape(places.shape[:2])
    nodal = np.asarray(locate(mesh, np.asarray(elements.points))(activation))
    qrs = ecg_features(times, leads).qrs_duration
    return Excited(inside, nodal, times, leads, electrodes, apd, qrs, note)


def _typical(mesh: Mesh, septum: tuple[float, float, float] | None) -> Float[np.ndarray, "9 3"]:
    """Electrodes [mm] of a normal man about ventricles, or about one whose long axis is z.

    Where it is said where the `septum` of one is, the right ventricle would be on that side;
    `heart_frame` takes that of the x axis.
    """
    if len(mesh.nodes(Surface.RV_ENDO)):
        return electrodes_of_heart(*heart_frame(mesh))
    angle = 0.0 if septum is None else np.arctan2(septum[1], septum[0])
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])  # to the x axis
    turned = replace(mesh, points=np.asarray(mesh.points) @ turn.T)
    return electrodes_of_heart(*heart_frame(turned)) @ turn


def duration_of(times: np.ndarray, v: np.ndarray) -> float | None:
    """From a beat (n) of a cell [ms], [mV]: how long V stays above a quarter of its amplitude.

    That is when `ActionPotential` repolarises, counted from its steepest rise. Nothing for a beat
    that does not come back.
    """
    level = v[0] + _LEFT_OVER * (v.max() - v[0])
    above = np.flatnonzero(v > level)
    if not len(above) or above[-1] + 1 >= len(v):
        return None
    last = int(above[-1])
    share = (v[last] - level) / (v[last] - v[last + 1])
    end = times[last] + share * (times[last + 1] - times[last])
    return float(end - times[int(np.argmax(np.diff(v) / np.diff(times)))])


def _told(place: np.ndarray) -> str:
    return "(" + ", ".join(f"{x:.4g}" for x in place) + ")"
