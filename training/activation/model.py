"""The forward model: where activation starts and how fast it spreads, to the leads of an ECG."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from training.anatomy import Anatomy
from twinjax.electro import (
    LEADS,
    ActionPotential,
    Conductivities,
    Eikonal,
    LeadField,
    RootPoints,
    activation_times,
    reattached,
    unbounded_lead_field,
)
from twinjax.geometry import Mesh, Surface, divided, long_axis

VELOCITIES = ("velocity_fibre", "velocity_sheet", "velocity_lv_endo", "velocity_rv_endo")
APD = ("mean", "transmural", "apicobasal", "left_right", "front_back")
_BIN = 0.5  # [ms]
_PAD = 24.0  # an upstroke this long before or after is over [ms]
_RADIUS = 1.25  # of a root, in mean edges
_COARSE = 3.0  # mean edge from which potentials need the divided mesh [mm]


class Pattern(NamedTuple):
    """What an activation is made of.

    `velocities` (4) [m/s] in the order of `VELOCITIES`; `points` (root, 3) [mm] with `onsets`
    (root) [ms]; `gain`, by which the leads are multiplied: nobody knows the conductivities of a
    person's torso.
    """

    velocities: Float[Array, "4"]
    points: Float[Array, "root 3"]
    onsets: Float[Array, " root"]
    gain: Float[Array, ""]


class VentricularEcg(eqx.Module):
    """The ECG of a pair of ventricles (or of a left one) in an unbounded medium.

    Activation follows the eikonal equation (`twinjax.electro.activation_times`) with fast
    endocardial layers; velocities across fibres are the same in all directions. Potentials are

        V(t) = rest + A (u(t - τ_a) + p(t - τ_r) - 1),

    the upstroke u and the plateau and repolarisation p of an `ActionPotential`: the sum in place
    of the product, which differs from it by less than 1 % where an action potential lasts 150 ms
    or more. The front is thinner than the cells of a mesh made for the eikonal equation, so that
    V is taken at the nodes of the divided mesh (`twinjax.geometry.divided`) with linear times
    between the former nodes: on 5 mm cells the QRS complex is then within 2 % of that of the exact
    integral, and 8 % off without. Times of a fine mesh are sorted into bins of 0.5 ms first.
    """

    tissue: Eikonal
    field: LeadField  # of the nodes of the mesh
    fine: LeadField  # of those of the divided one
    ends: Int[np.ndarray, "middle 2"] | None
    shape: ActionPotential
    basis: Float[Array, "node 5"]  # of action potential durations: `APD`
    radius: float = eqx.field(static=True)  # of a root [mm]

    def __init__(
        self,
        anatomy: Anatomy,
        electrodes: Float[np.ndarray, "9 3"],
        *,
        leads: tuple[str, ...] = LEADS,
        conductivities: Conductivities | None = None,
        shape: ActionPotential | None = None,
    ):
        mesh = anatomy.mesh
        conductivities = Conductivities() if conductivities is None else conductivities
        there = set(np.unique(mesh.facet_tags).tolist())
        layers = [s for s in (Surface.LV_ENDO, Surface.RV_ENDO) if int(s) in there]
        self.tissue = Eikonal(mesh, fast_layers=layers)
        self.shape = ActionPotential(upstroke=1.0) if shape is None else shape

        def field_of(made: Mesh) -> LeadField:
            inside = conductivities.intracellular(jnp.asarray(made.frames))
            torso = conductivities.torso
            found = unbounded_lead_field(made.points, made.cells, inside, electrodes, medium=torso)
            found = found.twelve_leads()
            rows = jnp.asarray([found.names.index(lead) for lead in leads])
            return LeadField(found.matrix[rows], leads)

        self.field = field_of(mesh)
        self.fine, self.ends = self.field, None
        corners = np.asarray(mesh.points)[mesh.cells]
        edge = float(np.mean(np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1)))
        # A root that reaches no more than one node stays there: it costs time to leave it.
        self.radius = _RADIUS * edge
        if edge > _COARSE:
            made, self.ends = divided(mesh)
            self.fine = field_of(made)
        self.basis = _basis(anatomy)

    def with_velocities(self, velocities: Float[Array | np.ndarray, "4"]) -> Eikonal:
        """The tissue with `VELOCITIES`; those across sheets are those across fibres in them."""
        fibre, sheet, left, right = velocities

        def parts(t: Eikonal) -> tuple:
            return (
                t.velocity_fibre,
                t.velocity_sheet,
                t.velocity_normal,
                t.velocity_lv_endo,
                t.velocity_rv_endo,
            )

        return eqx.tree_at(parts, self.tissue, (fibre, sheet, sheet, left, right))

    def activation(self, pattern: Pattern) -> Float[Array, " node"]:
        """Activation times of the nodes [ms]."""
        return activation_times(*self._problem(pattern))

    def differentiable(
        self, pattern: Pattern, activation: Float[Array, " node"]
    ) -> Float[Array, " node"]:
        """Times that `activation` found for this pattern, with derivatives: nothing is solved."""
        return reattached(activation, *self._problem(pattern))

    def _problem(self, pattern: Pattern) -> tuple[Eikonal, RootPoints]:
        roots = RootPoints(pattern.points, pattern.onsets, radius=self.radius)
        return self.with_velocities(pattern.velocities), roots

    def depolarisation(
        self, times: Float[np.ndarray, " time"], activation: Float[Array, " node"]
    ) -> Float[Array, "lead time"]:
        """The leads [mV] at some times [ms], without repolarisation."""
        weights = self.fine.matrix.T
        low, share = self._bins(times, self._fine(activation))
        steps = self._steps(times)
        sources = jnp.zeros((steps.shape[1], weights.shape[1]), weights.dtype)
        share = share[:, None]
        sources = sources.at[low].add((1 - share) * weights).at[low + 1].add(share * weights)
        return self.shape.amplitude * (steps @ sources).T

    def depolarisation_slopes(
        self,
        times: Float[np.ndarray, " time"],
        activation: Float[Array, " node"],
        columns: Float[Array, "node column"],
    ) -> Float[Array, "lead time column"]:
        """Derivatives of `depolarisation` along changes of the activation, one a column.

        Of each bin the products of weights and changes are summed first: much less is moved than
        by as many tangents.
        """
        weights = self.fine.matrix.T
        low, _ = self._bins(times, self._fine(activation))
        terms = weights[:, :, None] * self._fine(columns)[:, None, :]
        steps = self._steps(times)
        slopes = (steps[:, 1:] - steps[:, :-1]) / _BIN
        # Times beyond either end are in the last bin there, where the slope is nothing.
        sums = jnp.zeros((slopes.shape[1], terms[0].size), terms.dtype)
        sums = sums.at[low].add(terms.reshape(len(terms), -1))
        found = self.shape.amplitude * (slopes @ sums)
        return jnp.swapaxes(found.reshape(len(slopes), *terms.shape[1:]), 0, 1)

    def _fine(self, values: Float[Array, "node *column"]) -> Float[Array, "fine *column"]:
        """On the divided mesh, if there is one: means of both ends in the middles of edges."""
        if self.ends is None:
            return values
        middle = jnp.mean(values[jnp.asarray(self.ends)], axis=1)
        return jnp.concatenate([values, middle])

    def _bins(
        self, times: Float[np.ndarray, " time"], fine: Float[Array, " fine"]
    ) -> tuple[Int[Array, " fine"], Float[Array, " fine"]]:
        """The bin of each time, and how far it is into it: 0 to 1."""
        place = (fine - (float(times[0]) - _PAD)) / _BIN
        place = jnp.clip(place, 0.0, self._count(times) - 1.001)
        low = jnp.floor(place).astype(int)
        return low, place - low

    def _count(self, times: Float[np.ndarray, " time"]) -> int:
        return int(np.ceil((float(times[-1] - times[0]) + 2 * _PAD) / _BIN)) + 1

    def _steps(self, times: Float[np.ndarray, " time"]) -> Float[Array, "time bin"]:
        """The upstroke at each time of a node that is active at each bin's begin."""
        bins = float(times[0]) - _PAD + _BIN * jnp.arange(self._count(times))
        return jax.nn.sigmoid(self.shape.upstroke * (jnp.asarray(times)[:, None] - bins[None, :]))

    def repolarisation(
        self, times: Float[np.ndarray, " time"], repolarised: Float[Array, " node"]
    ) -> Float[Array, "lead time"]:
        """What plateau and repolarisation add to the leads [mV], for times of the latter [ms]."""

        def part(some: Array) -> Array:
            after = some[:, None] - repolarised[None, :]
            end = jax.nn.sigmoid(-self.shape.plateau_slope * after)
            end = end * jax.nn.sigmoid(-self.shape.repolarisation_slope * after)
            return self.shape.amplitude * (end - 1) @ self.field.matrix.T

        return jax.lax.map(jax.checkpoint(part), jnp.asarray(times)[:, None])[:, 0].T


def _basis(anatomy: Anatomy) -> Float[Array, "node 5"]:
    """1, then coordinates that go from about -½ to ½ through the ventricles.

    Left to right and front to back are across the long axis of the left ventricle, towards the
    right one and at right angles to that; transmural is that of `twinjax.geometry.coordinates`.
    """
    mesh, found = anatomy.mesh, anatomy.coordinates
    points = np.asarray(mesh.points)
    _, up = long_axis(mesh)
    right = mesh.nodes(Surface.RV_ENDO)
    left = mesh.nodes(Surface.LV_ENDO)
    across = points[right].mean(0) - points[left].mean(0) if len(right) else np.eye(3)[0]
    across = across - (across @ up) * up
    across = across / np.linalg.norm(across)
    columns = [np.ones(len(points)), np.asarray(found.transmural) - 0.5]
    columns.append(np.asarray(found.apicobasal) - 0.5)
    for axis in (across, np.cross(up, across)):
        along = points @ axis
        columns.append((along - np.mean(along)) / np.ptp(along))
    return jnp.asarray(np.stack(columns, axis=1))
