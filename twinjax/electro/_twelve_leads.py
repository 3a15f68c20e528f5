"""The standard electrodes and the twelve leads that are made of their potentials."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax._names import unknown_name

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_LIMBS = {
    "I": {"LA": 1.0, "RA": -1.0},
    "II": {"LL": 1.0, "RA": -1.0},
    "III": {"LL": 1.0, "LA": -1.0},
    "aVR": {"RA": 1.0, "LA": -0.5, "LL": -0.5},
    "aVL": {"LA": 1.0, "RA": -0.5, "LL": -0.5},
    "aVF": {"LL": 1.0, "RA": -0.5, "LA": -0.5},
}


def lead_matrix(
    names: Sequence[str] = ELECTRODES, leads: Sequence[str] = LEADS
) -> Float[np.ndarray, "lead electrode"]:
    """What the potentials of the electrodes `names` are multiplied by to be the leads.

    I = LA - RA, II = LL - RA, III = LL - LA; aVR = RA - (LA + LL) / 2 and so on (Goldberger);
    V1 to V6 against Wilson's central terminal (RA + LA + LL) / 3. Every row adds up to 0: a
    potential that all electrodes have in common shows in no lead (Kligfield et al. 2007,
    Circulation 115:1306).

    Raises `ValueError` for an unknown lead, or one whose electrodes are not all there.
    """
    matrix = np.zeros((len(leads), len(names)))
    for row, lead in zip(matrix, leads, strict=True):
        if lead not in LEADS:
            raise ValueError(unknown_name("lead", lead, LEADS))
        parts = _LIMBS.get(lead) or {lead: 1.0} | dict.fromkeys(("RA", "LA", "LL"), -1 / 3)
        for electrode, weight in parts.items():
            if electrode not in names:
                there = ", ".join(names)
                raise ValueError(f"lead {lead} needs the electrode {electrode}; there are: {there}")
            row[list(names).index(electrode)] = weight
    return matrix


def twelve_leads(
    potentials: Float[Array, "electrode *more"], names: Sequence[str] = ELECTRODES
) -> Float[Array, "12 *more"]:
    """The leads `LEADS`, in the unit of the potentials of the electrodes `names`."""
    matrix = jnp.asarray(lead_matrix(names), potentials.dtype)
    return jnp.tensordot(matrix, potentials, axes=1)
