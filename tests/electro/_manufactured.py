"""A reaction and diffusion with a known solution, on any tissue.

    V = g(t) P(x),  w = c(t) P(x),  P = Π_a sin²(π x_a / L_a),  g = 1 + ½ sin t,  c = cos t,

so that P and its gradient vanish at the edges of a box, whatever the direction of fibres. With

    dV/dt = ∇·(D∇V) - a V + b V w + S,    dw/dt = (w∞ - w) / τ,    w∞ = w + τ c' P + e (V - g P)

and S = g' P - g ∇·(D∇P) + a g P - b g c P². The cells know the time: their third state.
"""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from twinjax.cells import AbstractCell, Gate
from twinjax.cells._cell import About

DECAY, COUPLING, TAU, PULL = 0.3, 0.4, 2.0, 0.5


class State(NamedTuple):
    v: Any
    w: Any
    clock: Any


class Forced(AbstractCell):
    """The cell of the problem: `shape` is P at its nodes, `spread` is ∇·(D∇P) there."""

    about: ClassVar[About] = About("made up", "none", "none", "made up", "A/F")
    shape: Any
    spread: Any

    def initial_state(self):
        return State(0.0, 0.0, 0.0)

    def currents(self, state):
        return {}

    def conserved(self, state):
        return ()

    def rates(self, state, stimulus):
        v, w, t = state
        p, g, c = self.shape, 1 + 0.5 * jnp.sin(t), jnp.cos(t)
        source = 0.5 * jnp.cos(t) * p - g * self.spread + DECAY * g * p - COUPLING * g * c * p**2
        steady = c * p - TAU * jnp.sin(t) * p + PULL * (v - g * p)
        slope = -DECAY * v + COUPLING * v * w + source
        return State(slope, Gate(steady, TAU), jnp.ones_like(t))


def shape(points, size):
    """P at the points."""
    size = jnp.broadcast_to(jnp.asarray(size), points.shape)
    return jnp.prod(jnp.sin(jnp.pi * points / size) ** 2, axis=-1)


@jax.jit
def spread(points, size, tensor):
    """∇·(D∇P) at the points, D the same everywhere."""
    hessian = jax.vmap(jax.hessian(lambda x: shape(x, size)))(points)
    return jnp.einsum("nij,ij->n", hessian, jnp.asarray(tensor))


def tensor_of(tissue, fibre):
    """D of a tissue whose fibres have one direction."""
    f = np.asarray(fibre) / np.linalg.norm(fibre)
    along, across = float(tissue.conductivity_along), float(tissue.conductivity_across)
    return ((along - across) * np.outer(f, f) + across * np.eye(len(f))) / 1.4


def forced(tissue, size, fibre=None):
    """The tissue with the problem's cell; without a fibre, its own operator makes the source.

    Then V is exact at the nodes at every time, and what is left is the error in time.
    """
    points = jnp.asarray(tissue.grid.points)
    p = shape(points, size)
    if fibre is None:
        s = eqx.filter_jit(lambda t: t.conduction()(p))(tissue)
    else:
        s = spread(points, size, tensor_of(tissue, fibre))
    return eqx.tree_at(lambda t: t.cells, tissue, (Forced(p, s),))


def start(tissue):
    """The exact state at the time 0."""
    p = tissue.cells[0].shape
    return (State(p, p, jnp.zeros_like(p)),)


def error(tissue, found, time):
    """V - g P at the nodes."""
    return np.asarray(found[0].v) - (1 + 0.5 * np.sin(time)) * np.asarray(tissue.cells[0].shape)
