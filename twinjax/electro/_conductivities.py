"""Conductivities of the heart and of what is around it."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from twinjax._names import unknown_name
from twinjax._parameters import parameter
from twinjax.fem._rows import batched_norm

_HEART = "Clerc 1976, J Physiol 255:335, as in Niederer et al. 2011, Phil Trans R Soc A 369:4331"
_TORSO = "Keller et al. 2010, IEEE Trans Biomed Eng 57:1568; Gabriel et al. 1996, 10 Hz to 1 kHz"


class Conductivities(eqx.Module):
    """The bidomain conductivities of myocardium, and those of blood, lungs and the other tissue.

    Along fibres and across them σ_i is that inside of cells, σ_e that between them; the bulk of
    the heart conducts with σ_i + σ_e.
    """

    intracellular_along: Float[Array, ""] = parameter(
        0.17, unit="S/m", bounds=(0.0, 2.0), cite=_HEART
    )
    intracellular_across: Float[Array, ""] = parameter(
        0.019, unit="S/m", bounds=(0.0, 2.0), cite=_HEART
    )
    extracellular_along: Float[Array, ""] = parameter(
        0.62, unit="S/m", bounds=(1e-3, 2.0), cite=_HEART
    )
    extracellular_across: Float[Array, ""] = parameter(
        0.24, unit="S/m", bounds=(1e-3, 2.0), cite=_HEART
    )
    torso: Float[Array, ""] = parameter(0.22, unit="S/m", bounds=(1e-3, 2.0), cite=_TORSO)
    lungs: Float[Array, ""] = parameter(0.06, unit="S/m", bounds=(1e-3, 2.0), cite=_TORSO)
    blood: Float[Array, ""] = parameter(0.7, unit="S/m", bounds=(1e-3, 2.0), cite=_TORSO)

    def intracellular(
        self, fibres: Float[np.ndarray | Array, "cell 3 *more"] | None, count: int | None = None
    ) -> Float[Array, "cell 3 3"]:
        """σ_i in each cell [S/m]: see `fibre_tensor`."""
        return fibre_tensor(fibres, self.intracellular_along, self.intracellular_across, count)

    def bulk(
        self, fibres: Float[np.ndarray | Array, "cell 3 *more"] | None, count: int | None = None
    ) -> Float[Array, "cell 3 3"]:
        """σ_i + σ_e in each cell [S/m]: see `fibre_tensor`."""
        return fibre_tensor(
            fibres,
            self.intracellular_along + self.extracellular_along,
            self.intracellular_across + self.extracellular_across,
            count,
        )

    def of_regions(
        self,
        regions: Integer[np.ndarray, " cell"],
        names: Mapping[int, str],
        fibres: Float[np.ndarray | Array, "cell 3 *more"] | None = None,
    ) -> Float[Array, "cell 3 3"]:
        """What a torso's cells conduct with [S/m], by the tags of its regions.

        **Arguments:** `names` of the tags, each `torso`, `lungs`, `blood` or `heart`; `fibres` as
        in `fibre_tensor`, of all cells, of which those of the heart are used. Without fibres the
        heart is isotropic.
        Raises `ValueError` for a tag without a name, or an unknown name.
        """
        kinds = ("torso", "lungs", "blood", "heart")
        for tag in np.unique(regions):
            if int(tag) not in names:
                given = ", ".join(str(t) for t in names) or "none"
                raise ValueError(f"region {tag} has no name: names are given for {given}")
        for name in names.values():
            if name not in kinds:
                raise ValueError(unknown_name("kind of tissue", name, kinds))
        plain = jnp.stack([jnp.asarray(x, float) for x in (self.torso, self.lungs, self.blood, 0)])
        index = {int(tag): kinds.index(name) for tag, name in names.items()}
        kind = np.array([index[int(tag)] for tag in regions], int)
        found = plain[kind][:, None, None] * jnp.eye(3)[None]
        heart = jnp.asarray(kind == kinds.index("heart"))
        return jnp.where(heart[:, None, None], self.bulk(fibres, len(regions)), found)


def fibre_tensor(
    fibres: Float[np.ndarray | Array, "cell 3 *more"] | None,
    along: Float[Array, ""] | float,
    across: Float[Array, ""] | float,
    count: int | None = None,
) -> Float[Array, "cell 3 3"]:
    """across 1 + (along - across) f ⊗ f in each cell, in the unit of its arguments.

    **Arguments:** `fibres` are frames of a mesh (cell, 3, 3), whose first column is the fibre, or
    directions (cell, 3) of any length; a cell whose direction is 0 conducts with `across` alone.
    With `None` there are `count` isotropic cells, that conduct
    with (along + 2 across) / 3.
    """
    one = jnp.eye(3)
    if fibres is None:
        return jnp.tile((along + 2 * across) / 3 * one, (count or 1, 1, 1))
    f = jnp.asarray(fibres)
    f = f[:, :, 0] if f.ndim == 3 else f
    length = batched_norm(f)[:, None]  # 0 where a cell has no fibre: there it is isotropic across
    f = f / jnp.where(length > 0, length, 1.0)
    one = one.astype(f.dtype)[None]
    return across * one + (along - across) * f[:, :, None] * f[:, None, :]
