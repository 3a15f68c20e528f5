"""Lead fields: the ECG as a linear function of the transmembrane potential."""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twinjax.electro._action_potential import ActionPotential
from twinjax.electro._point_source import mean_gradient
from twinjax.electro._twelve_leads import ELECTRODES, LEADS, lead_matrix
from twinjax.fem import gradients

_CHUNK = 4_000_000  # entries of V that are held at a time


class LeadField(eqx.Module):
    """Potentials [mV] of electrodes or leads as `matrix` (lead, node) times V (node) [mV].

    Rows add up to 0, where the leads are differences of potentials and where the heart is in an
    unbounded medium: tissue at one potential has no ECG.
    """

    matrix: Float[Array, "lead node"]
    names: tuple[str, ...] = eqx.field(static=True)

    def __check_init__(self) -> None:
        if len(self.names) != self.matrix.shape[0]:
            raise ValueError(
                f"a lead field of {self.matrix.shape[0]} rows has {len(self.names)} names"
            )

    def __call__(self, v: Float[Array, "time node"]) -> Float[Array, "lead time"]:
        """The potentials for V at some times [mV]."""
        return self.matrix @ v.T

    def twelve_leads(self) -> "LeadField":
        """The field of the leads `LEADS`, from that of electrodes that have their names."""
        matrix = jnp.asarray(lead_matrix(self.names), self.matrix.dtype)
        return LeadField(matrix @ self.matrix, LEADS)

    def of_times(
        self,
        times: Float[Array, " time"],
        activation: Float[Array, " node"],
        repolarisation: Float[Array, " node"] | None = None,
        shape: ActionPotential | None = None,
    ) -> Float[Array, "lead time"]:
        """The potentials at `times` [ms] for V by a formula from activation times (node) [ms].

        V is `shape`, an `ActionPotential` by default, with the given repolarisation times, or with
        none for a QRS complex alone. It is held for some times at once, and made again in the
        backward pass of a gradient.
        """
        shape = ActionPotential() if shape is None else shape

        def part(some: Array) -> Array:
            return self(shape(some, activation, repolarisation))

        count = len(times)
        width = max(1, _CHUNK // len(activation))
        if width >= count:
            return jax.checkpoint(part)(times)
        chunks = math.ceil(count / width)
        padded = jnp.pad(times, (0, chunks * width - count), mode="edge")
        parts = jax.lax.map(jax.checkpoint(part), padded.reshape(chunks, width))
        return jnp.moveaxis(parts, 0, 1).reshape(len(self.names), -1)[:, :count]


def unbounded_lead_field(
    points: Float[np.ndarray | Array, "node 3"],
    cells: Int[np.ndarray | Array, "cell 4"],
    conductivity: Float[Array, "cell 3 3"],
    electrodes: Float[np.ndarray | Array, "electrode 3"],
    *,
    medium: Float[Array, ""] | float = 0.22,
    names: Sequence[str] = ELECTRODES,
) -> LeadField:
    """The pseudo-ECG: potentials of electrodes in an unbounded homogeneous medium,

        φ_e = -1 / (4π σ_b) ∫ σ_i ∇V · ∇(1/r) dΩ,

    r being the distance from the electrode (Gima and Rudy 2002, Circ Res 90:889). Exact for a V
    that is linear in every tetrahedron: the mean of ∇(1/r) over a cell is in closed form, also for
    an electrode within the tissue; in cells farther than ten of their radii it is that of four
    points.

    **Arguments:** `conductivity` σ_i of each cell [S/m]
    ([`Conductivities.intracellular`][twinjax.electro.Conductivities]), `electrodes` in mm, `medium`
    σ_b [S/m], `names` of the electrodes. Differentiable in all numbers.
    Raises `ValueError` for cells without positive volume, or another number of names.
    """
    matrix = _unbounded(points, cells, conductivity, electrodes, medium)
    if not isinstance(matrix, jax.core.Tracer):
        corners = np.asarray(points)[np.asarray(cells)]
        bad = int(np.sum(~(np.asarray(gradients(jnp.asarray(corners))[1]) > 0)))
        if bad:
            raise ValueError(
                f"{bad} cells have no positive volume: flip_inverted turns inverted ones"
            )
    return LeadField(matrix, _names(names, len(electrodes)))


@eqx.filter_jit
def _unbounded(points: Any, cells: Any, conductivity: Array, electrodes: Any, medium: Any) -> Array:
    dtype = jnp.result_type(points, conductivity, electrodes)
    points, electrodes = jnp.asarray(points, dtype), jnp.asarray(electrodes, dtype)
    corners = points[jnp.asarray(cells)]
    slope, volume = gradients(corners)
    source = volume[:, None, None] * jnp.einsum("cij,caj->cai", conductivity, slope)

    def row(place: Array) -> Array:
        local = jnp.einsum("cai,ci->ca", source, mean_gradient(corners, place))
        return jax.ops.segment_sum(local.ravel(), jnp.ravel(cells), len(points))

    return -jax.lax.map(row, electrodes) / (4 * jnp.pi * jnp.asarray(medium, dtype))


def transfer_lead_field(
    matrix: Float[np.ndarray | Array, "electrode node"],
    *,
    names: Sequence[str],
) -> LeadField:
    """A field from the matrix of another program, such as one of boundary elements.

    Its columns are nodes of the heart's surface (endo- and epicardium of a closed surface) or of
    its wall, its rows places on the thorax.
    Raises `ValueError` for a number of names that is not that of rows, or a matrix with a number
    that is not finite.
    """
    array = jnp.asarray(matrix, jnp.result_type(matrix, float))
    if not isinstance(array, jax.core.Tracer) and not bool(jnp.all(jnp.isfinite(array))):
        raise ValueError("the transfer matrix has entries that are not finite")
    return LeadField(array, _names(names, len(array)))


def _names(names: Sequence[str], count: int) -> tuple[str, ...]:
    if len(names) != count:
        raise ValueError(f"{count} electrodes have {len(names)} names: {', '.join(names)}")
    return tuple(names)
