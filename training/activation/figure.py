"""Pictures of a fit: the maps on the heart, and the ECG that they draw over the measured one."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from training._ecg_figure import draw_ecg
from training._surface_figure import draw_times
from training.activation.personal import PersonalMaps
from twinjax.electro import ecg_agreement
from twinjax.io import EcgRecord, with_derived_leads


def draw_maps(found: PersonalMaps, path: Path) -> None:
    """Activation of the best fit, how far maps that explain the ECG differ, repolarisation."""
    best = found.fit.best
    panels = [("activation", best.activation - best.activation.min())]
    if len(found.fit.accepted) > 1:
        spread = found.fit.activations().std(axis=0, ddof=1)
        panels.append(("SD of the maps that explain the ECG", spread))
    if found.best_durations is not None:
        panels.append(("repolarisation", found.best_durations.repolarisation))
    draw_times(found.anatomy.mesh, panels, path)


def draw_leads(found: PersonalMaps, path: Path) -> None:
    """The measured beat and that of the best fit, on paper."""
    fitted = fitted_record(found)
    qrs = float(ecg_agreement(found.fit.best.leads, found.beat.qrs).correlation)
    draw_ecg(
        [found.beat.record, fitted],
        path,
        labels=["measured", f"fitted (QRS correlation {qrs:.3f})"],
        rhythm=None,
    )


def fitted_record(found: PersonalMaps) -> EcgRecord:
    """The leads of the best fit from the QRS complex to the end of the T wave."""
    beat, fit, late = found.beat, found.fit, found.best_durations
    end = (beat.qrs_times if beat.t_wave is None else beat.t_wave.times)[-1]
    times = np.arange(beat.qrs_times[0], end, 2.0)
    found_leads = found.model.depolarisation(times, jnp.asarray(fit.best.activation))
    if late is not None:
        late_leads = found.model.repolarisation(times, jnp.asarray(late.repolarisation))
        found_leads = found_leads + late_leads
    values = float(fit.best.pattern.gain) * np.asarray(found_leads)
    rows = dict(zip(beat.leads, values, strict=True))
    rows = with_derived_leads(rows)
    return EcgRecord(times, np.stack(list(rows.values())), tuple(rows), "fitted")
