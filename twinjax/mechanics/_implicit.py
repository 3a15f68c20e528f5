"""The implicit-function rule: how what balances moves with everything that it depends on."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from twinjax.mechanics._wall import Deformation, Wall


def moved(
    wall: Wall,
    linear: Callable[[Deformation], Deformation],
    solve: Callable[[Deformation, bool], Deformation],
    push: Deformation,
) -> Deformation:
    """x of linear(x) = -push, in forward and in reverse mode.

    `solve(right, transpose)` solves it for components that are free and takes others for 0; at
    those `linear` is the identity.
    """

    def held(x: Array, like: Deformation) -> Deformation:
        return Deformation(jnp.where(wall.fixed, x, 0.0), jnp.zeros_like(like.pressure))

    def forward(linear: Any, right: Deformation) -> Deformation:
        known = held(right.displacement, right)
        left = jax.tree.map(jnp.subtract, right, linear(known))
        return jax.tree.map(jnp.add, known, solve(left, False))

    def backward(linear: Any, right: Deformation) -> Deformation:
        known = solve(right, True)
        left = jax.tree.map(jnp.subtract, right, linear(known))
        return jax.tree.map(jnp.add, known, held(left.displacement, right))

    right = jax.tree.map(jnp.negative, push)
    return jax.lax.custom_linear_solve(linear, right, forward, backward)


def tangent_of(
    balance: Callable[[Any], Deformation], problem: Any, tangent: Any, like: Deformation
) -> Deformation:
    """How a balance moves with its problem, whole where it does not move at all."""
    found = eqx.filter_jvp(balance, (problem,), (tangent,))[1]
    # What does not move at all comes back as None. Its 0 is made of what moves: the transpose of a
    # linear solve wants every part of the right side to be linear.
    leaves = jax.tree.leaves(found)
    nothing = 0.0 * sum(jnp.sum(leaf) for leaf in leaves)
    pairs = ((found.displacement, like.displacement), (found.pressure, like.pressure))
    return Deformation(*(jnp.zeros_like(b) + nothing if a is None else a for a, b in pairs))
