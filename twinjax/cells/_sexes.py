"""Ventricular cells of women, from published ratios of what is expressed to that of men."""

from typing import TypeVar

import equinox as eqx

from twinjax.cells._cell import AbstractCell
from twinjax.cells._cipa_v1 import CipaV1
from twinjax.cells._ohara_rudy_2011 import OHaraRudy2011

C = TypeVar("C", bound=AbstractCell)

# Of endocardial cells, women to men.
_FACTORS = {
    "g_kr": 0.79,
    "g_ks": 0.83,
    "g_k1": 0.86,
    "g_naca": 1.15,
    "g_pca": 1.6,
    "calmodulin": 1.21,
}


def female(cell: C) -> C:
    """An endocardial O'Hara-Rudy cell with the conductances of a woman's; as published, a man's.

    IKr, IKs, IK1, IpCa and calmodulin: Yang and Clancy 2012, Front Physiol 3:360, after the
    expression that Gaborit et al. 2010 found in the human heart; INaCa, and no difference in the
    pumps SERCA and Na/K, after Fogli Iseppe et al. 2021, Clin Pharmacol Ther, doi
    10.1002/cpt.2240. Changes of the kinetics of IKs and of the slow part of Ito are left out.

    Raises `ValueError` for any other cell: no ratios are known for it.
    """
    endocardial = isinstance(cell, CipaV1) or (
        isinstance(cell, OHaraRudy2011) and cell.region == "endo"
    )
    if not endocardial:
        raise ValueError(
            f"differences between the sexes are known for endocardial O'Hara-Rudy cells, not for "
            f"{cell.about.title}"
        )
    fields = tuple(_FACTORS)
    values = tuple(_FACTORS[name] * getattr(cell, name) for name in fields)
    return eqx.tree_at(lambda c: tuple(getattr(c, name) for name in fields), cell, values)
