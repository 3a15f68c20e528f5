"""Body-surface potentials from activation times, by other programs' data and by exact fields.

ECGSIM (van Oosterom and Oostendorp 2004, Heart 90:165): of a normal male the transfer matrix from
the ventricular surface (257 nodes) to the thorax (300 nodes), by boundary elements with blood and
lungs, activation times, and potentials of the thorax. Spec: the matrix times our action potentials
of the activation times correlates with the potentials of QRS by 0.98 at least, with the default
upstroke of 2 /ms; with 0.55 /ms, which was chosen to fit, their relative error is 0.05 at most. The
potentials are not those of a patient: a step that rises over some 8 ms makes them.

Wang et al. 2013, J Comput Phys 250:403: tetrahedra of a torso (12,786 nodes) and of the ventricles
in it, a transmembrane potential of an ischaemic region and the potentials that it makes at 771
nodes of the skin. Conductivities do not come with the data. Of those that were tried, isotropic
σ_i = σ_e = σ_torso / 2 makes the same potentials; the row holds our lead fields of 40 of the nodes
to 1e-6. Others differ in size and by some percent in shape, which is told.

Spheres (Frank 1952, J Appl Phys 23:1225; Rush and Driscoll 1969, IEEE Trans Biomed Eng 16:15): a
potential that rises linearly across a ball of tissue is a dipole at its centre, if the medium
around it and in it conducts alike. Over four balls and three directions the leads of three
electrodes on a homogeneous sphere lie within 1 % with 82,000 tetrahedra, on one with a sphere of
blood in it within 2 %, and converge with an order of 1.6 at least; the pseudo-ECG lies within
1e-5.

Told: what the pseudo-ECG gets wrong on that torso; and, if Gmsh is there, our lead fields of
ECGSIM's surfaces, filled with tetrahedra. ECGSIM's lungs are not in the data and the cavities have
to be guessed, so its matrix cannot be reproduced. With --quick: spheres of at most 10,000
tetrahedra without limits on the error, and nothing of what is told here.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.io import loadmat

from twinjax.electro import (
    ActionPotential,
    LeadField,
    Torso,
    bounded_lead_field,
    ecg_agreement,
    electrodes_on_torso,
    transfer_lead_field,
    unbounded_lead_field,
)
from twinjax.geometry import Mesh, boundary, locate, tetrahedralise, volumes

from ._report import Report, main
from ._shared import shared_path
from ._spheres import ball, homogeneous_field, two_sphere_gradient

ECGSIM = "ECGSIM, normal male"
WANG = "Wang et al. 2013"
QRS = 100  # ms
SPHERE = 100.0  # radius [mm]
INNER = 50.0
HEART = 25.0
CENTRES = ((1.0, 2.0, -3.0), (10.0, -8.0, 14.0), (-12.0, 15.0, -3.0), (5.0, 11.0, -16.0))
SIGMA_I, OUTSIDE, INSIDE = 0.2, 0.22, 0.7  # [S/m]
ELECTRODES = np.array([(0.0, 0.0, 1.0), (0.6, 0.8, 0.0), (-0.48, 0.6, -0.64)]) * SPHERE
NAMES = ("A", "B", "C")


def run(quick: bool, report: Report) -> None:
    """The exact problems, then the data."""
    unbounded(report)
    levels = (2, 3) if quick else (2, 3, 4)
    spheres(report, levels, quick)
    transfer(report)
    if not quick:
        own_transfer(report)
        pseudo_or_torso(report)
    torso(report, quick)


def tissue(centre: tuple[float, float, float]) -> tuple[Mesh, float]:
    """A ball of tissue, and its volume [mm³], that of its mesh."""
    heart = ball(3, HEART)
    moved = Mesh(np.asarray(heart.points) + np.array(centre), heart.cells)
    return moved, float(volumes(moved).sum())


def leads_of_dipoles(field: LeadField, heart: Mesh) -> np.ndarray:
    """The leads (lead, direction) for a V that rises along x, y or z by 1 mV/mm."""
    return np.asarray(field.matrix @ jnp.asarray(heart.points))


def unbounded(report: Report) -> None:
    """The pseudo-ECG of dipoles."""
    heart, volume = tissue((0.0, 0.0, 0.0))
    sigma = jnp.broadcast_to(SIGMA_I * jnp.eye(3), (len(heart.cells), 3, 3))
    field = unbounded_lead_field(
        heart.points, heart.cells, sigma, ELECTRODES, medium=OUTSIDE, names=NAMES
    )
    exact = -SIGMA_I * volume * ELECTRODES / (4 * np.pi * OUTSIDE * SPHERE**3)
    error = np.linalg.norm(leads_of_dipoles(field, heart) - exact) / np.linalg.norm(exact)
    report.at_most(
        "pseudo-ECG of a ball: relative error", error, 1e-5, unit="1", source="dipole, exact"
    )


def spheres(report: Report, levels: tuple[int, ...], quick: bool) -> None:
    """Leads of dipoles in a sphere, by refinement."""
    for kind in ("homogeneous sphere", "two concentric spheres"):
        errors = []
        for level in levels:
            errors.append(_error(kind, level))
            title = f"{kind}, {20 * 8**level} tetrahedra: relative error"
            if quick or level < levels[-1]:
                report.information(title, errors[-1], unit="1", source="closed form or series")
            else:
                limit = 0.01 if kind == "homogeneous sphere" else 0.02
                report.at_most(title, errors[-1], limit, unit="1", source="closed form or series")
        order = float(np.log2(errors[-2] / errors[-1]))
        title = f"{kind}: order of convergence"
        source = "linear elements: 2"
        report.at_least(title, order, 1.6, unit="1", source=source, reference=2.0)


def _error(kind: str, level: int) -> float:
    """Root mean square over hearts and directions, relative to that of the exact leads."""
    body = ball(level, SPHERE)
    conductivity = np.full(len(body.cells), OUTSIDE)
    if kind != "homogeneous sphere":
        far = np.linalg.norm(np.asarray(body.points), axis=1)[body.cells].max(axis=1)
        conductivity = np.where(far < INNER * (1 + 1e-9), INSIDE, OUTSIDE)
    conductor = Torso(body, conductivity)
    wrong, right = 0.0, 0.0
    for centre in CENTRES:
        heart, volume = tissue(centre)
        sigma = jnp.broadcast_to(SIGMA_I * jnp.eye(3), (len(heart.cells), 3, 3))
        field = bounded_lead_field(conductor, heart, sigma, ELECTRODES, names=NAMES)
        exact = -SIGMA_I * volume * _slopes(kind, np.array(centre))
        exact = exact - exact.mean(axis=0)
        wrong += float(np.sum((leads_of_dipoles(field, heart) - exact) ** 2))
        right += float(np.sum(exact**2))
    return (wrong / right) ** 0.5


def _slopes(kind: str, place: np.ndarray) -> np.ndarray:
    """∇Z (electrode, direction) by the exact fields [kΩ/mm]."""
    if kind != "homogeneous sphere":
        args = (INSIDE, OUTSIDE, INNER, SPHERE)
        return np.concatenate([two_sphere_gradient(place[None], e, *args) for e in ELECTRODES])
    step = 1e-3
    shifted = place + step * np.concatenate([np.eye(3), -np.eye(3)])
    fields = [homogeneous_field(shifted, e, OUTSIDE, SPHERE) for e in ELECTRODES]
    return np.stack([(z[:3] - z[3:]) / (2 * step) for z in fields])


def transfer(report: Report) -> None:
    """QRS potentials by ECGSIM's matrix."""
    folder = shared_path("data/torso/gauss_newton_act_inv")
    matrix = loadmat(folder / "wct.mat")["A"]
    potentials = loadmat(folder / "bsp.mat")["bsp"][:, :QRS]
    activation = jnp.asarray(loadmat(folder / "depol.mat")["depol"].ravel())
    field = transfer_lead_field(matrix, names=[f"thorax {i}" for i in range(len(matrix))])
    times = jnp.arange(float(QRS))
    for upstroke, limit in ((2.0, 0.2), (0.55, 0.05)):
        # The matrix is for a step of 1.
        shape = ActionPotential(rest=jnp.array(0.0), amplitude=jnp.array(1.0), upstroke=upstroke)
        alike = ecg_agreement(field.of_times(times, activation, shape=shape), potentials)
        what = f"QRS by ECGSIM's matrix, upstroke {upstroke} /ms"
        report.at_least(f"{what}: correlation", alike.correlation, 0.98, unit="1", source=ECGSIM)
        report.at_most(
            f"{what}: relative error", alike.relative_error, limit, unit="1", source=ECGSIM
        )


def torso(report: Report, quick: bool) -> None:
    """Potentials of the skin by our lead fields."""
    folder = shared_path("data/torso/Total_Variation")
    body = Mesh(np.loadtxt(folder / "body.pts"), np.loadtxt(folder / "body.tet", dtype=int) - 1)
    heart = Mesh(np.loadtxt(folder / "heart.pts"), np.loadtxt(folder / "heart.tet", dtype=int))
    v = jnp.asarray(loadmat(folder / "tmp_solution.mat")["vTMP0"].ravel().astype(float))
    potentials = loadmat(folder / "torso_potentials.mat")["uT"].ravel()
    chosen = np.unique(np.linspace(0, len(potentials) - 1, 40).astype(int))
    published = potentials[chosen] - potentials[chosen].mean()
    inside = locate(heart, body.centres()).cells >= 0
    place = locate(body, np.asarray(heart.points))

    @jax.jit
    def leads(sigma_i: jax.Array, sigma_e: jax.Array) -> jax.Array:
        conductivity = jnp.where(jnp.asarray(inside), sigma_i + sigma_e, 0.2)
        conductor = Torso(body, conductivity)
        tensor = jnp.broadcast_to(sigma_i * jnp.eye(3), (len(heart.cells), 3, 3))
        names = [str(i) for i in chosen]
        electrodes = np.asarray(body.points)[chosen]
        field = bounded_lead_field(conductor, heart, tensor, electrodes, names=names, place=place)
        return field.matrix @ v

    others = ((0.17, 0.62),) if quick else ((0.2, 0.2), (0.2, 0.4), (0.17, 0.62))
    for sigma_i, sigma_e in ((0.1, 0.1), *others):
        found = np.asarray(leads(jnp.array(sigma_i), jnp.array(sigma_e)))
        what = f"skin of a torso, σ_i {sigma_i}, σ_e {sigma_e}, around 0.2 S/m: relative error"
        error = np.linalg.norm(found - published) / np.linalg.norm(published)
        if sigma_i == sigma_e == 0.1:
            report.at_most(what, error, 1e-6, unit="1", source=WANG)
        else:
            report.information(what, error, unit="1", source=WANG)
            size = found @ published / (found @ found)
            shape = np.linalg.norm(size * found - published) / np.linalg.norm(published)
            report.information(f"{what} in shape", shape, unit="1", source=WANG)


def pseudo_or_torso(report: Report) -> None:
    """What an unbounded medium gets wrong, with fronts from six points of the heart."""
    folder = shared_path("data/torso/Total_Variation")
    body = Mesh(np.loadtxt(folder / "body.pts"), np.loadtxt(folder / "body.tet", dtype=int) - 1)
    heart = Mesh(np.loadtxt(folder / "heart.pts"), np.loadtxt(folder / "heart.tet", dtype=int))
    points = np.asarray(heart.points)
    electrodes = electrodes_on_torso(
        np.asarray(body.points), boundary(body)[0], points.mean(axis=0)
    )
    tensor = jnp.broadcast_to(0.1 * jnp.eye(3), (len(heart.cells), 3, 3))
    place, inside = locate(body, points), locate(heart, body.centres()).cells >= 0
    starts = points[np.random.default_rng(0).choice(len(points), 6)]
    activation = np.linalg.norm(points[:, None] - starts[None], axis=2).min(axis=1) / 0.6
    shape, times = ActionPotential(upstroke=jnp.array(0.5)), jnp.arange(float(QRS))

    def ecg(field: LeadField) -> jax.Array:
        return field.twelve_leads().of_times(times, jnp.asarray(activation), shape=shape)

    pseudo = ecg(unbounded_lead_field(points, heart.cells, tensor, electrodes, medium=OUTSIDE))
    for what, sigma in (("homogeneous", OUTSIDE), ("heart conducts with 0.8 S/m", 0.8)):
        conductor = Torso(body, np.where(inside, sigma, OUTSIDE))
        bounded = ecg(bounded_lead_field(conductor, heart, tensor, electrodes, place=place))
        alike = ecg_agreement(pseudo, bounded)
        size = jnp.sum(pseudo * bounded) / jnp.sum(pseudo**2)
        title = f"pseudo-ECG against a torso, {what}"
        source = "torso of Wang et al. 2013"
        report.information(f"{title}: correlation", alike.correlation, unit="1", source=source)
        least = jnp.min(alike.correlations)
        report.information(f"{title}: least of a lead", least, unit="1", source=source)
        report.information(f"{title}: size of the torso's", size, unit="1", source=source)


def own_transfer(report: Report) -> None:
    """Our lead fields of ECGSIM's surfaces, for information."""
    folder = shared_path("data/torso/ecgsim")
    skin, triangles = surface(folder / "thorax.tri")
    wall, facets = surface(folder / "heart.tri")
    try:
        body = tetrahedralise(skin, triangles, spacing=15.0)
        heart = tetrahedralise(wall, facets, spacing=6.0)
    except ValueError:  # no Gmsh
        return
    from scipy.spatial import Delaunay

    other = shared_path("data/torso/gauss_newton_act_inv")
    published = loadmat(other / "bsp.mat")["bsp"][:, :QRS]
    published = published - published.mean(axis=0)
    activation = jnp.asarray(loadmat(other / "depol.mat")["depol"].ravel())
    centres = body.centres()
    cavity = (Delaunay(wall).find_simplex(centres) >= 0) & (locate(heart, centres).cells < 0)
    for name, blood in (("without blood", 0.2), ("blood in the convex hull", 0.6)):
        conductor = Torso(body, np.where(cavity, blood, 0.2))
        tensor = jnp.broadcast_to(jnp.eye(3), (len(heart.cells), 3, 3))
        names = [str(i) for i in range(len(skin))]
        field = bounded_lead_field(conductor, heart, tensor, skin, names=names, slack=3.0)
        times = jnp.arange(float(QRS))
        shape = ActionPotential(upstroke=jnp.array(0.55))
        potentials = field.of_times(times, _inner(heart, wall, activation), shape=shape)
        potentials = potentials - potentials.mean(axis=0)
        alike = ecg_agreement(potentials, published)
        what = f"QRS by our field of ECGSIM's surfaces, no lungs, {name}: correlation"
        report.information(what, alike.correlation, unit="1", source=ECGSIM)


def surface(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points [mm] and triangles of ECGSIM's format."""
    rows = [line.split() for line in path.read_text("utf-8").splitlines() if line.strip()]
    count = int(rows[0][0])
    points = 1000 * np.array([row[1:4] for row in rows[1 : count + 1]], float)
    first, facets = count + 2, int(rows[count + 1][0])  # comments can follow
    triangles = np.array([row[1:4] for row in rows[first : first + facets]], int) - 1
    return points, triangles


def _inner(heart: Mesh, wall: np.ndarray, activation: jax.Array) -> jax.Array:
    """Activation at all nodes of the filled wall: those of the surface come first."""
    if len(heart.points) == len(wall):
        return activation
    from scipy.spatial import cKDTree

    near, index = cKDTree(wall).query(np.asarray(heart.points)[len(wall) :], k=3)
    weights = 1 / np.maximum(near, 1e-6)
    weights = weights / weights.sum(axis=1, keepdims=True)
    return jnp.concatenate([activation, jnp.sum(weights * activation[index], axis=1)])


if __name__ == "__main__":
    main(run, name="ecgsim_forward")
