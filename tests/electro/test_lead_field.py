"""Lead fields: integrals in closed form, exact fields of spheres, reciprocity, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments._spheres import ball, homogeneous_field, refined, two_sphere_gradient
from twinjax.electro import (
    ActionPotential,
    Conductivities,
    LeadField,
    Torso,
    VoxelGrid,
    bounded_lead_field,
    fibre_tensor,
    transfer_lead_field,
    unbounded_lead_field,
    voxel_lead_field,
)
from twinjax.electro._point_source import mean_gradient
from twinjax.fem import P1, solve_neumann
from twinjax.geometry import Mesh, locate, slab, volumes
from twinjax.geometry._mesh import FACES

CELL = np.array([[[0.0, 0.0, 0.0], [3.0, 0.2, -0.1], [0.4, 2.5, 0.3], [0.1, 0.6, 2.8]]])
NAMES = ("A", "B", "C")
_mean = jax.jit(mean_gradient)


def _by_cones(place, side=150):
    """The mean of ∇(1/r) over the cell, as four cones with their tip at the place.

    In a cone dΩ = h dS / r³ of the base at the height h, so it holds -h ∫ (y - x) / r³ dS.
    """
    cell = CELL[0]
    i, j = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    upward, downward = i + j < side, i + j < side - 1
    u = np.concatenate([(i[upward] + 1 / 3), (i[downward] + 2 / 3)]) / side
    v = np.concatenate([(j[upward] + 1 / 3), (j[downward] + 2 / 3)]) / side
    total = np.zeros(3)
    for face in FACES[4]:
        a, b, c = cell[face]
        across = np.cross(b - a, c - a)
        height = (a - place) @ across / np.linalg.norm(across)
        away = a + u[:, None] * (b - a) + v[:, None] * (c - a) - place
        inverse = (away / np.linalg.norm(away, axis=1)[:, None] ** 3).mean(axis=0)
        total -= height * np.linalg.norm(across) / 2 * inverse
    return total / (abs(np.linalg.det(cell[1:] - cell[0])) / 6)


@pytest.mark.parametrize(
    "place", [(9.0, 1.0, 2.0), (2.0, 2.0, 2.0), (0.9, 0.7, 0.8), (-0.5, 0.3, 0.1)]
)
def test_the_mean_of_the_field_over_a_cell(place):
    """From outside, near a face, and within."""
    found = np.asarray(_mean(jnp.asarray(CELL), jnp.array(place)))[0]
    exact = _by_cones(np.array(place))
    np.testing.assert_allclose(found, exact, atol=1e-3 * np.linalg.norm(exact))


def test_far_cells_by_points_meet_the_closed_form():
    """The two formulas agree where they meet, and the far one tends to the field at the centre."""
    way = np.array([0.48, -0.6, 0.64])
    centre = CELL[0].mean(axis=0)
    radius = np.linalg.norm(CELL[0] - centre, axis=1).max()
    near, far = (
        np.asarray(_mean(jnp.asarray(CELL), jnp.asarray(centre + k * radius * way)))[0] * k**2
        for k in (9.999, 10.001)
    )
    np.testing.assert_allclose(near, far, rtol=5e-4)
    place = centre + 1e3 * radius * way
    found = np.asarray(_mean(jnp.asarray(CELL), jnp.asarray(place)))[0]
    np.testing.assert_allclose(found, way / (1e3 * radius) ** 2, rtol=1e-5)


def test_derivative_of_the_mean_field_by_the_place():
    def field(x):
        return mean_gradient(jnp.asarray(CELL), x)[0]

    places = jnp.array([(9.0, 1.0, 2.0), (0.9, 0.7, 0.8), (40.0, 3.0, 5.0)])
    forward = jax.jit(jax.vmap(jax.jacfwd(field)))(places)
    reverse = jax.jit(jax.vmap(jax.jacrev(field)))(places)
    steps = 1e-5 * np.eye(3)[:, None]
    at = jax.jit(jax.vmap(field))
    finite = np.stack([(at(places + s) - at(places - s)) / 2e-5 for s in steps], axis=2)
    np.testing.assert_allclose(forward, finite, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(reverse, forward, rtol=1e-10, atol=1e-12)


def _tissue(centre, level=2, radius=25.0):
    heart = ball(level, radius)
    return Mesh(np.asarray(heart.points) + np.array(centre), heart.cells)


def _isotropic(mesh, sigma):
    return jnp.broadcast_to(sigma * jnp.eye(3), (len(mesh.cells), 3, 3))


ELECTRODES = 100.0 * np.array([(0.0, 0.0, 1.0), (0.6, 0.8, 0.0), (-0.48, 0.6, -0.64)])


def test_a_ball_with_a_linear_potential_is_a_dipole():
    heart = _tissue((3.0, -5.0, 8.0))
    field = unbounded_lead_field(
        heart.points, heart.cells, _isotropic(heart, 0.2), ELECTRODES, medium=0.5, names=NAMES
    )
    away = ELECTRODES - np.array((3.0, -5.0, 8.0))
    exact = -0.2 * volumes(heart).sum() * away / (4 * np.pi * 0.5)
    exact = exact / np.linalg.norm(away, axis=1)[:, None] ** 3
    np.testing.assert_allclose(field.matrix @ heart.points, exact, atol=2e-3 * np.abs(exact).max())
    np.testing.assert_allclose(field.matrix.sum(axis=1), 0, atol=1e-12)


def test_the_pseudo_ecg_needs_no_finer_mesh_for_a_linear_potential():
    """V linear in the cells is integrated in closed form: the refined mesh has the same leads."""
    mesh = slab((10.0, 8.0, 6.0), 2.0)
    fibres = np.tile([0.6, 0.0, 0.8], (len(mesh.cells), 1))
    sigma = fibre_tensor(jnp.asarray(fibres), 0.3, 0.05)
    v = np.random.default_rng(0).normal(size=len(mesh.points))
    points, v_fine, cells = refined(np.asarray(mesh.points), v, mesh.cells)
    electrodes = np.array([(5.0, 4.0, 7.0), (5.3, 4.1, 3.2), (60.0, 9.0, -30.0)])
    coarse = unbounded_lead_field(mesh.points, mesh.cells, sigma, electrodes, names=NAMES)
    fine = unbounded_lead_field(
        points, cells, jnp.repeat(sigma, 8, axis=0), electrodes, names=NAMES
    )
    np.testing.assert_allclose(coarse.matrix @ v, fine.matrix @ v_fine, rtol=2e-4)
    single = unbounded_lead_field(
        mesh.points.astype(np.float32),
        mesh.cells,
        sigma.astype(np.float32),
        electrodes.astype(np.float32),
        names=NAMES,
    )
    assert single.matrix.dtype == jnp.float32
    np.testing.assert_allclose(
        single.matrix, coarse.matrix, atol=2e-4 * np.abs(coarse.matrix).max()
    )


def test_voxels_and_tetrahedra_agree():
    grid = VoxelGrid(np.ones((10, 8, 6), int), 1.0)
    mesh = slab((10.0, 8.0, 6.0), 1.0)
    tensor = fibre_tensor(jnp.array([[0.6, 0.0, 0.8]]), 0.3, 0.05)[0]
    electrodes = np.array([(5.0, 4.0, 30.0), (-20.0, 3.0, 3.0), (60.0, 9.0, -30.0)])

    def potential(x):
        return np.sin(0.3 * x[:, 0]) * np.cos(0.2 * x[:, 1]) + 0.05 * x[:, 2]

    voxels = voxel_lead_field(grid, tensor, electrodes, names=NAMES)
    sigma = jnp.broadcast_to(tensor, (len(mesh.cells), 3, 3))
    tets = unbounded_lead_field(mesh.points, mesh.cells, sigma, electrodes, names=NAMES)
    expected = tets.matrix @ potential(np.asarray(mesh.points))
    found = voxels.matrix @ potential(grid.points)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    each = voxel_lead_field(
        grid, jnp.broadcast_to(tensor, (10, 8, 6, 3, 3)), electrodes, names=NAMES
    )
    np.testing.assert_allclose(each.matrix, voxels.matrix, atol=1e-12)
    with pytest.raises(ValueError, match="three dimensions"):
        voxel_lead_field(VoxelGrid(np.ones((2, 2), int), 1.0), tensor, electrodes, names=NAMES)


def test_the_two_exact_fields_agree():
    """The series of two spheres that conduct alike is the closed form of one."""
    places = 20.0 * np.random.default_rng(1).normal(size=(5, 3))
    electrode, step = np.array([0.0, 60.0, 80.0]), 1e-4
    series = two_sphere_gradient(places, electrode, 0.3, 0.3, 50.0, 100.0)
    shifts = step * np.eye(3)
    closed = np.stack(
        [
            homogeneous_field(places + s, electrode, 0.3, 100.0)
            - homogeneous_field(places - s, electrode, 0.3, 100.0)
            for s in shifts
        ],
        axis=1,
    ) / (2 * step)
    np.testing.assert_allclose(series, closed, rtol=1e-5, atol=1e-9)


def test_fields_of_a_sphere_converge():
    """Order 2 in the nodes, away from the electrodes; the full leads: `ecgsim_forward`."""
    errors = []
    for level in (2, 3):
        body = ball(level, 100.0)
        z = np.asarray(Torso(body, np.full(len(body.cells), 0.2)).fields(ELECTRODES, names=NAMES))
        inner = np.linalg.norm(np.asarray(body.points), axis=1) < 51
        places = np.asarray(body.points)[inner]
        exact = np.stack([homogeneous_field(places, e, 0.2, 100.0) for e in ELECTRODES], axis=1)
        exact = exact - exact.mean(axis=1, keepdims=True)
        off = z[inner] - exact
        off = off - off.mean(axis=0)
        errors.append(np.sqrt(np.mean(off**2) / np.mean(exact**2)))
    assert errors[1] < 0.04, errors
    assert np.log2(errors[0] / errors[1]) > 1.6, errors


@pytest.fixture(scope="module")
def sphere():
    """A torso of two conductivities, and a heart that is not a part of its mesh."""
    body = ball(2, 100.0)
    far = np.linalg.norm(np.asarray(body.points), axis=1)[body.cells].max(axis=1)
    return body, far < 51, _tissue((8.0, 5.0, -9.0), level=1)


def test_reciprocity_is_exact(sphere):
    """The leads are those of the potential that the same elements give to the same sources."""
    body, _, _ = sphere
    rng = np.random.default_rng(2)
    sigma = jnp.asarray(0.2 * np.exp(0.5 * rng.normal(size=len(body.cells))))
    torso = Torso(body, sigma)
    inside = np.linalg.norm(body.centres(), axis=1) < 40
    used = np.unique(body.cells[inside])
    number = np.full(len(body.points), -1)
    number[used] = np.arange(len(used))
    heart = Mesh(np.asarray(body.points)[used], number[body.cells[inside]])
    fibres = rng.normal(size=(len(heart.cells), 3))
    tensor = fibre_tensor(jnp.asarray(fibres), 0.2, 0.03)
    v = rng.normal(size=len(used))
    field = bounded_lead_field(torso, heart, tensor, ELECTRODES, names=NAMES)
    load = np.zeros(len(body.points))
    load[used] = -np.asarray(P1(heart.points, heart.cells).stiffness(tensor).apply(jnp.asarray(v)))
    direct = torso.loads(ELECTRODES).T @ solve_neumann(torso.stiffness(), load[:, None])[:, 0]
    np.testing.assert_allclose(field.matrix @ v, direct - direct.mean(), rtol=1e-6)


def test_electrodes_are_moved_to_the_surface(sphere):
    body, _, _ = sphere
    torso = Torso(body, np.full(len(body.cells), 0.2))
    loads = np.asarray(torso.loads(1.2 * ELECTRODES))
    np.testing.assert_allclose(loads.sum(axis=0), 1, rtol=1e-12)
    places = loads.T @ np.asarray(body.points)
    assert np.all(np.linalg.norm(places - ELECTRODES, axis=1) < 6)
    assert np.all((loads > 0).sum(axis=0) <= 3)


def test_derivatives_of_leads_three_ways(sphere):
    """By conductivities of the regions, of the heart, and by the place of an electrode."""
    body, inner, heart = sphere
    v = jnp.asarray(np.asarray(heart.points)[:, 2] ** 2 / 10)
    place = locate(body, np.asarray(heart.points))
    weights = jnp.array([1.0, -0.4, 0.3])

    @jax.jit
    def lead(theta):
        sigma = jnp.where(jnp.asarray(inner), theta[0], theta[1])
        electrodes = jnp.asarray(ELECTRODES).at[1, 0].add(theta[3])
        tensor = fibre_tensor(jnp.broadcast_to(jnp.array([0.0, 0.6, 0.8]), (len(heart.cells), 3)),
                              theta[2], 0.05)  # fmt: skip
        field = bounded_lead_field(
            Torso(body, sigma), heart, tensor, electrodes, names=NAMES, place=place
        )
        return weights @ field.matrix @ v

    theta = jnp.array([0.6, 0.2, 0.3, 1.0])
    steps = 1e-4 * jnp.eye(4)
    finite = np.array([(lead(theta + s) - lead(theta - s)) / 2e-4 for s in steps])
    assert np.all(np.abs(finite) > 1e-4)
    np.testing.assert_allclose(jax.jacfwd(lead)(theta), finite, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(lead)(theta), finite, rtol=1e-5)


def test_derivatives_of_the_pseudo_ecg_three_ways():
    heart = _tissue((8.0, 5.0, -9.0), level=1)
    v = jnp.asarray(np.asarray(heart.points)[:, 2] ** 2)

    @jax.jit
    def lead(theta):
        conductivities = Conductivities(intracellular_along=theta[0], intracellular_across=theta[1])
        fibres = jnp.broadcast_to(jnp.array([0.0, 0.6, 0.8]), (len(heart.cells), 3))
        electrodes = jnp.asarray(ELECTRODES).at[1, 0].add(theta[2])
        field = unbounded_lead_field(
            heart.points, heart.cells, conductivities.intracellular(fibres), electrodes, names=NAMES
        )
        return jnp.array([1.0, -0.4, 0.3]) @ field.matrix @ v

    theta = jnp.array([0.3, 0.04, 1.0])
    steps = 1e-4 * jnp.eye(3)
    finite = np.array([(lead(theta + s) - lead(theta - s)) / 2e-4 for s in steps])
    np.testing.assert_allclose(jax.jacfwd(lead)(theta), finite, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(lead)(theta), finite, rtol=1e-5)


def test_single_precision(sphere):
    body, inner, heart = sphere
    conductivity = np.where(inner, 0.6, 0.2)
    double = bounded_lead_field(
        Torso(body, conductivity), heart, _isotropic(heart, 0.2), ELECTRODES, names=NAMES
    )
    small = Mesh(jnp.asarray(body.points, jnp.float32), body.cells)
    single = bounded_lead_field(
        Torso(small, conductivity), heart, _isotropic(heart, 0.2), ELECTRODES, names=NAMES
    )
    assert single.matrix.dtype == jnp.float32
    size = np.abs(double.matrix).max()
    np.testing.assert_allclose(single.matrix, double.matrix, atol=2e-3 * size)


def test_a_current_that_stays_has_no_solution(sphere):
    body, _, _ = sphere
    stiffness = P1(body.points, body.cells).stiffness()
    load = np.zeros((len(body.points), 1))
    load[3] = 1.0
    with pytest.raises(Exception, match="add up to 0"):
        solve_neumann(stiffness, load)


def test_mistakes_are_named(sphere):
    body, _, heart = sphere
    sigma = _isotropic(heart, 0.2)
    torso = Torso(body, np.full(len(body.cells), 0.2))
    far = Mesh(np.asarray(heart.points) + 95.0, heart.cells)
    with pytest.raises(ValueError, match="lie outside of the torso's mesh"):
        bounded_lead_field(torso, far, sigma, ELECTRODES, names=NAMES)
    with pytest.raises(ValueError, match="1280 cells have 7 conductivities"):
        Torso(body, np.full(7, 0.2))
    with pytest.raises(ValueError, match="3 electrodes have 9 names"):
        unbounded_lead_field(heart.points, heart.cells, sigma, ELECTRODES)
    cells = heart.cells.copy()
    cells[0] = cells[0][[1, 0, 2, 3]]
    with pytest.raises(ValueError, match="1 cells have no positive volume"):
        unbounded_lead_field(heart.points, cells, sigma, ELECTRODES, names=NAMES)
    with pytest.raises(ValueError, match="not finite"):
        transfer_lead_field(np.array([[1.0, np.nan]]), names=["A"])
    with pytest.raises(ValueError, match="2 rows has 1 names"):
        LeadField(jnp.zeros((2, 3)), ("A",))


def test_a_lead_field_is_applied_in_parts(monkeypatch):
    """Whatever is held at once: values and gradients stay the same."""
    rng = np.random.default_rng(3)
    field = transfer_lead_field(rng.normal(size=(2, 30)), names=("A", "B"))
    activation = jnp.asarray(rng.uniform(5, 40, 30))
    times = jnp.linspace(0.0, 60.0, 23)
    whole = field.of_times(times, activation)
    expected = field(ActionPotential()(times, activation))
    np.testing.assert_allclose(whole, expected, rtol=1e-12)

    def size(a):
        return jnp.sum(field.of_times(times, a) ** 2)

    gradient = jax.grad(size)(activation)
    monkeypatch.setattr("twinjax.electro._lead_field._CHUNK", 150)
    np.testing.assert_allclose(field.of_times(times, activation), whole, rtol=1e-10)
    np.testing.assert_allclose(jax.grad(size)(activation), gradient, rtol=1e-8)


def test_conductivities_of_regions():
    """The heart conducts with σ_i + σ_e along its fibres, the rest alike in all directions."""
    conductivities = Conductivities()
    regions = np.array([7, 2, 3, 5, 2])
    names = {7: "heart", 2: "torso", 3: "lungs", 5: "blood"}
    fibres = np.zeros((5, 3))
    fibres[0] = (0.0, 3.0, 4.0)
    found = np.asarray(conductivities.of_regions(regions, names, fibres))
    for row, sigma in zip(found[1:], (0.22, 0.06, 0.7, 0.22), strict=True):
        np.testing.assert_allclose(row, sigma * np.eye(3), atol=1e-15)
    along, across = np.array([0.0, 0.6, 0.8]), np.array([1.0, 0.0, 0.0])
    assert along @ found[0] @ along == pytest.approx(0.17 + 0.62)
    assert across @ found[0] @ across == pytest.approx(0.019 + 0.24)
    plain = np.asarray(conductivities.of_regions(regions, names))
    np.testing.assert_allclose(plain[0], (0.79 + 2 * 0.259) / 3 * np.eye(3), rtol=1e-12)
    with pytest.raises(ValueError, match="region 5 has no name"):
        conductivities.of_regions(regions, {7: "heart", 2: "torso", 3: "lungs"})
    with pytest.raises(ValueError, match="did you mean 'lungs'"):
        conductivities.of_regions(regions, names | {3: "lung"})
