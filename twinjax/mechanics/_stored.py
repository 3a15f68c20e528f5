"""The energy that a deformed wall has stored."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax.mechanics._cells import Cells, _nine, _strain
from twinjax.mechanics._wall import Deformation, Wall

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(4)


@eqx.filter_jit
def stored_energy(wall: Wall, at: Deformation) -> Float[Array, ""]:
    """What the tissue and the springs give back when the load goes [µJ], 0 at rest:

        ∫ W(E) + U(J) dV + ½ ∫ k u² dA,   U = p J - ∫₀ᵖ J*(p') dp'

    Tension and viscosity have no part in it.
    """
    cells = Cells(wall)
    gradient = jnp.einsum("cai,cqaA->cqiA", at.displacement[wall.elements.cells], cells.slopes)
    strain, volume = _strain(_nine(gradient), _nine(wall.frames))
    pressure = jnp.einsum("cqm,cm->cq", cells.modes, at.pressure)
    # The integral from 0 to p by Gauss and Legendre's rule: the law may be any.
    between = sum(
        w / 2 * pressure * wall.volume.volume((1 + x) / 2 * pressure)
        for x, w in zip(_POINTS, _WEIGHTS, strict=True)
    )
    squared = strain.squared_volume()
    own = wall.volume.local / 4 * (squared - 1 - jnp.log(squared))
    density = wall.energy.along(1).density(strain) + own + pressure * volume - between
    total = jnp.sum(cells.measure * density)
    for spring in wall.springs:
        u = at.displacement[spring.facets]
        shares = spring.shares(wall.elements.points)
        total = total + spring.stiffness / 2 * jnp.einsum("fai,faibk,fbk->", u, shares, u)
    return total
