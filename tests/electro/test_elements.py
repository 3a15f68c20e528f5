"""Tissue on meshes: order of nodes, operators against dense algebra, steps, gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from twinjax.cells import LuoRudy1991, MitchellSchaeffer2003
from twinjax.electro import Stimulus, Tissue, TissueMesh, VoxelGrid, propagate
from twinjax.electro import slab as voxels
from twinjax.geometry import Mesh, replace, slab

FIBRE = np.array([0.7, 0.5, -0.4])
KINDS = ("tetrahedra", "hexahedra")


def _mesh(kind, size=(1.5, 1.0, 1.0), spacing=0.5):
    """A bent block in two regions, with a node that belongs to nothing."""
    mesh = slab(size, spacing, cells=kind)
    x, y, z = mesh.points.T
    bent = np.stack([x + 0.1 * np.sin(y + z), y + 0.1 * np.sin(x), z + 0.05 * x * y], axis=1)
    regions = np.where(mesh.centres()[:, 0] > size[0] / 2, 7, 3)
    lone = np.concatenate([[[9.0, 9.0, 9.0]], bent])
    return Mesh(lone, mesh.cells + 1, regions=regions)


def _tissue(mesh, **options):
    cells = (MitchellSchaeffer2003(),) * 2
    return Tissue(mesh, *cells, **{"fibres": FIBRE} | options)


def _matrix(tissue):
    operator, n = tissue.conduction(), sum(tissue.counts)
    return np.array(jax.vmap(operator, out_axes=1)(jnp.eye(n)))


@pytest.mark.parametrize("kind", KINDS)
def test_nodes_of_regions_follow_each_other_and_results_find_back(kind):
    mesh = _mesh(kind)
    grid = TissueMesh(mesh)
    assert sum(grid.counts) == len(mesh.points) - 1
    in_seven = np.isin(grid.nodes, mesh.cells[mesh.regions == 7])
    assert not in_seven[: grid.counts[0]].any()
    assert in_seven[grid.counts[0] :].all()
    np.testing.assert_array_equal(np.asarray(grid.points), np.asarray(mesh.points)[grid.nodes])
    back = grid.on_mesh(jnp.asarray(grid.points)[:, 1])
    np.testing.assert_array_equal(back[1:], np.asarray(mesh.points)[1:, 1])
    assert np.isnan(back[0])
    one = TissueMesh(mesh, [(3, 7)])
    assert one.counts == (sum(grid.counts),)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mass", ["lumped", "blended", "consistent", 0.3])
def test_operators_are_symmetric_conserve_and_raise_no_energy(kind, mass):
    mesh = _mesh(kind)
    scale = np.random.default_rng(1).uniform(0.2, 1, len(mesh.cells))
    tissue = _tissue(mesh, mass=mass, scale=scale)
    elements = tissue.grid.elements
    lumped = np.diag(elements.lumped_mass())
    whole = elements.mass().to_scipy().toarray()
    np.testing.assert_allclose(whole.sum(axis=1), np.diag(lumped), rtol=1e-12)
    matrix = _matrix(tissue)
    size = np.abs(lumped @ matrix).max()
    weight = {"lumped": 0.0, "consistent": 1.0}.get(mass, mass)
    if mass != "blended":
        force = ((1 - weight) * lumped + weight * whole) @ matrix
        assert np.abs(force - force.T).max() < 1e-8 * size
        assert np.linalg.eigvalsh((force + force.T) / 2).max() < 1e-8 * size
    volumes = np.asarray(tissue.grid.volumes)
    assert np.abs(volumes @ matrix).max() < 1e-8 * size
    assert np.abs(matrix.sum(axis=1)).max() < 1e-8 * np.abs(matrix).max()
    rates = np.linalg.eigvals(matrix)
    assert np.abs(rates.imag).max() < 1e-6 * np.abs(rates).max()
    assert rates.real.max() < 1e-6 * np.abs(rates).max()
    limit = float(tissue.conduction().longest_step())
    # Bounds multiply: those of the mass and the stiffness of hexahedra are reached by other waves.
    least = 0.05 if kind == "hexahedra" else 0.1
    assert least < limit / (2 / np.abs(rates).max()) <= 1 + 1e-9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("stepping", "second_order", "order"),
    [("explicit", False, 1), ("explicit", True, 2), ("implicit", False, 1), ("implicit", True, 2)],
)
def test_steps_approach_the_exponential(kind, stepping, second_order, order):
    tissue = _tissue(_mesh(kind), mass=0.5, stepping=stepping)
    v = np.cos(np.asarray(tissue.grid.points) @ np.array([1.0, 2.0, 0.5]))
    exact = expm(0.4 * _matrix(tissue)) @ v
    operator = tissue.conduction()
    errors = [
        np.abs(operator.advance(jnp.asarray(v), 0.4, n, second_order=second_order) - exact).max()
        for n in (8, 16)
    ]
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.15, errors


def test_implicit_steps_damp_what_they_do_not_resolve():
    """A sliver: explicit steps would have to be 10⁴ times as short."""
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.3, 0.3, 1e-2], [0.3, 0.3, -1.0]])
    mesh = Mesh(points, [[0, 1, 2, 3], [0, 2, 1, 4]])
    tissue = Tissue(mesh, MitchellSchaeffer2003(), fibres=0, stepping="implicit")
    explicit = Tissue(mesh, MitchellSchaeffer2003(), fibres=0)
    v = jnp.asarray([1.0, -2.0, 3.0, 40.0, 0.0])
    volumes = tissue.grid.volumes
    assert float(explicit.conduction().longest_step()) < 1e-2
    for second_order in (False, True):
        after = tissue.conduction().advance(v, 10.0, 1, second_order=second_order)
        assert float(volumes @ after) == pytest.approx(float(volumes @ v), rel=1e-8)
        assert np.ptp(np.asarray(after)) < np.ptp(np.asarray(v))


def test_boxes_of_hexahedra_conduct_as_voxels_do_along_an_axis():
    cell, size = MitchellSchaeffer2003(), (4.0, 0.5, 0.5)
    times = []
    for grid in (voxels(size, 0.25), TissueMesh(slab(size, 0.25, cells="hexahedra"))):
        tissue = Tissue(grid, cell, fibres=0)
        stimulus = Stimulus(np.asarray(grid.points)[:, 0] < 1.1, -40.0)
        seen = propagate(tissue, [stimulus], duration=16.0, step=0.05).observations
        times.append([float(seen.activation[grid.nearest((x, 0.25, 0.25))]) for x in (2.0, 4.0)])
    np.testing.assert_allclose(times[0], times[1], rtol=1e-9)


@pytest.mark.parametrize(
    ("mass", "stepping"), [("blended", "explicit"), ("consistent", "implicit")]
)
def test_activation_by_conductivities_three_ways(mass, stepping):
    mesh = slab((2.0, 0.5, 0.5), 0.25)
    tissue = Tissue(mesh, LuoRudy1991(), fibres=FIBRE, mass=mass, stepping=stepping)
    stimulus = Stimulus(np.asarray(tissue.grid.points)[:, 0] < 0.6, -50.0)
    last = tissue.grid.nearest((2.0, 0.5, 0.5))

    @jax.jit
    def seen(values):
        t = eqx.tree_at(
            lambda t: [t.conductivity_along, t.conductivity_across], tissue, list(values)
        )
        done = propagate(t, [stimulus], duration=12.0, step=0.1, substeps=4)
        return done.observations.activation[last]

    values = jnp.stack([tissue.conductivity_along, tissue.conductivity_across])
    assert 2 < seen(values) < 12
    forward, reverse = jax.jacfwd(seen)(values), jax.grad(seen)(values)
    np.testing.assert_allclose(reverse, forward, rtol=1e-6)
    steps = 1e-6 * jnp.diag(values)
    finite = [(seen(values + s) - seen(values - s)) / (2 * s.sum()) for s in steps]
    np.testing.assert_allclose(finite, forward, rtol=1e-4)
    assert np.all(np.asarray(forward) < -1)


def test_frames_are_the_fibres_and_cells_may_differ_from_node_to_node():
    mesh = slab((2.0, 0.5, 0.5), 0.25)
    turned = np.tile(np.eye(3)[:, [1, 0, 2]], (len(mesh.cells), 1, 1))
    framed = Tissue(replace(mesh, frames=turned), MitchellSchaeffer2003())
    given = Tissue(mesh, MitchellSchaeffer2003(), fibres=1)
    v = jnp.sin(framed.grid.points[:, 0] * 2 + framed.grid.points[:, 1])
    np.testing.assert_allclose(framed.conduction()(v), given.conduction()(v), atol=1e-12)
    depth = np.asarray(given.grid.points)[:, 0] / 2
    graded = eqx.tree_at(lambda t: t.cells[0].tau_close, given, jnp.asarray(150 - 60 * depth))
    stimulus = Stimulus(depth < 0.3, -40.0)
    seen = propagate(graded, [stimulus], duration=400.0, step=0.1).observations
    durations = np.asarray(seen.repolarisation - seen.activation)
    assert durations[depth == 0].min() > durations[depth == 1].max() + 20


def test_single_precision_stays_single():
    mesh = slab((1.0, 0.5, 0.5), 0.25)
    tissue = Tissue(mesh, MitchellSchaeffer2003(), fibres=FIBRE, mass=0.5).astype("float32")
    done = propagate(tissue, [], duration=1.0, step=0.1)
    assert done.state[0].v.dtype == jnp.float32


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda m: TissueMesh(m, [(3,)]), r"the groups name the region tags \[3\], but the mesh"),
        (lambda m: Tissue(m, MitchellSchaeffer2003()), "2 regions needs as many cell models"),
        (lambda m: _tissue(m, fibres=None), "the mesh has no frames: give fibres"),
        (lambda m: _tissue(m, fibres=np.zeros(3)), "1 fibres have no length"),
        (lambda m: _tissue(m, mass=1.5), "lies between 0 and 1, not at 1.5"),
        (lambda m: _tissue(m, mass="consistant"), "did you mean 'consistent'"),
        (lambda m: _tissue(m, stepping="implict"), "did you mean 'implicit'"),
        (lambda m: _tissue(m, mass="blended", stepping="implicit"), "implicit steps need a mass"),
        (lambda m: _tissue(m, scale=np.ones(2)), "a scale has the shape"),
        (
            lambda m: Tissue(voxels((1.0,), 0.5), MitchellSchaeffer2003(), mass=0.5),
            "weights are for meshes",
        ),
        (
            lambda m: Tissue(voxels((1.0,), 0.5), MitchellSchaeffer2003(), stepping="implicit"),
            "implicit steps are for meshes",
        ),
    ],
)
def test_mistakes_are_refused_in_one_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(_mesh("tetrahedra"))


def test_links_that_no_longer_fit_are_refused():
    grid = VoxelGrid(np.ones((6, 6), bool), 0.3)
    tissue = Tissue(grid, MitchellSchaeffer2003(), fibres=np.array([0.9, 0.35]), mass="blended")
    near = eqx.tree_at(lambda t: t.conductivity_along, tissue, jnp.asarray(0.12))
    near.conduction()
    far = eqx.tree_at(lambda t: t.conductivity_along, tissue, jnp.asarray(0.02))
    with pytest.raises(eqx.EquinoxRuntimeError, match="make the tissue anew"):
        far.conduction()
