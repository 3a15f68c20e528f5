"""Several components at once."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp


class Bank(eqx.Module):
    """Components of one role, evaluated together.

    Where all are of one class they are stacked and one vectorised call serves them all, which on
    a CPU halves the time of a beat; otherwise each is called by itself.
    """

    members: tuple[Any, ...]
    stacked: bool = eqx.field(static=True)

    def __init__(self, components: Sequence[eqx.Module]):
        shapes = {jax.tree.structure(c) for c in components}
        self.stacked = len(shapes) == 1
        if self.stacked:
            self.members = (jax.tree.map(lambda *leaves: jnp.stack(leaves), *components),)
        else:
            self.members = tuple(components)

    def __call__(self, method: Callable[..., Any], *columns: Any) -> Any:
        """`method(component, *row)` for each component; results stacked on the leading axis."""
        if self.stacked:
            return jax.vmap(method)(self.members[0], *columns)
        rows = [
            method(member, *(jax.tree.map(lambda c, i=i: c[i], column) for column in columns))
            for i, member in enumerate(self.members)
        ]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
