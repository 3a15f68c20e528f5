"""How the left bundle, its block and pacing activate the experiments' ventricle, and what it does.

With a block the front comes from the right side of the septum and goes on from cell to cell; a lead
in the lateral wall starts another one at the same time.
"""

import numpy as np
from jaxtyping import Array, Float

from twinjax.electro import Eikonal, RootNodes, activation_times
from twinjax.geometry import Surface
from twinjax.heart import WholeHeart

from ._ventricle import ACTIVATED, BUNDLE, nearest, tissue_of

SEPTUM, LATERAL = (-33.0, 0.0, -10.0), (33.0, 0.0, -10.0)  # mm, on the outer side
KINDS = ("bundle", "block", "paced")


def activation(heart: WholeHeart, spacing: float, kind: str) -> Float[Array, "cell q"]:
    """Times [ms] of one of `KINDS`, of a heart as `ventricle(spacing)` makes it."""
    mesh = tissue_of(heart, spacing)
    layers, surface, places = {
        "bundle": ((Surface.LV_ENDO,), Surface.LV_ENDO, BUNDLE),
        "block": ((), Surface.EPI, (SEPTUM,)),
        "paced": ((), Surface.EPI, (SEPTUM, LATERAL)),
    }[kind]
    roots = RootNodes(nearest(mesh, surface, places), ACTIVATED[0])
    times = activation_times(Eikonal(mesh, fast_layers=layers), roots)
    elements = heart.wall.elements
    return times[elements.cells[:, :4]] @ elements.linear_values().T


def stretched_within(
    stretch: Float[np.ndarray, "time cell q"], measure: Float[np.ndarray, "cell q"]
) -> float:
    """The internal stretch fraction [%]: what fibres are stretched by, of what they shorten by.

    Kirn et al. 2008, Am J Physiol Heart 295:H640: over systole; 0 where all shorten all the time.
    """
    steps = np.diff(stretch, axis=0)
    longer, shorter = (np.sum(measure * np.maximum(s * steps, 0)) for s in (1, -1))
    return float(100 * longer / shorter)
