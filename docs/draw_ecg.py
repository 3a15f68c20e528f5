"""Draws an ECG of idealised ventricles for the documentation: `python -m docs.draw_ecg`.

Activation from five points of the endocardia by the eikonal equation, with fast layers; the
pseudo-ECG of electrodes about the heart, as it is and with a late right side.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from training._ecg_figure import draw_ecg
from training.cli._output import replacing
from twinjax.electro import (
    LEADS,
    ActionPotential,
    Conductivities,
    Eikonal,
    RootNodes,
    activation_times,
    electrodes_of_heart,
    heart_frame,
    unbounded_lead_field,
)
from twinjax.geometry import Surface, biventricle, with_fibres
from twinjax.io import EcgRecord

DOCS = Path(__file__).resolve().parent


def draw() -> None:
    """The beat as it is, and with the right ventricle's point 64 ms late."""
    jax.config.update("jax_enable_x64", True)
    heart = with_fibres(biventricle(3.0))
    points = np.asarray(heart.points)
    left, right = heart.nodes(Surface.LV_ENDO), heart.nodes(Surface.RV_ENDO)
    middle = points[left].mean(axis=0)
    ways = np.array([(1.0, 0.3, -0.2), (0.2, 1.0, -0.4), (-0.3, -1.0, -0.2), (-1.0, 0.0, -0.5)])
    starts = [int(left[np.argmax((points[left] - middle) @ way)]) for way in ways]
    inner = points[right].mean(axis=0)
    starts += [int(right[np.argmax((points[right] - inner) @ way)]) for way in ((0.5, 0.0, -1.0),)]
    field = unbounded_lead_field(
        heart.points,
        heart.cells,
        Conductivities().intracellular(heart.frames),
        electrodes_of_heart(*heart_frame(heart)),
    ).twelve_leads()
    times = jnp.arange(-60.0, 480.0)
    records = []
    for onsets in ([0.0, 2.0, 2.0, 0.0, 6.0], [0.0, 2.0, 2.0, 0.0, 70.0]):
        tissue = Eikonal(heart, fast_layers=(Surface.LV_ENDO, Surface.RV_ENDO))
        found = activation_times(tissue, RootNodes(starts, onsets))
        activation = jnp.asarray(getattr(found, "times", found))
        repolarisation = 310.0 + 0.6 * activation
        shape = ActionPotential(upstroke=jnp.array(0.5))
        values = np.asarray(field.of_times(times, activation, repolarisation, shape))
        records.append(EcgRecord(np.asarray(times), values, LEADS))
    with replacing(DOCS / "images" / "ecg.png") as temporary:
        draw_ecg(records, temporary, labels=("normal", "right side late"), period=800.0)


if __name__ == "__main__":
    draw()
