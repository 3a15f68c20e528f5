"""From an anatomy and an ECG to maps: the whole fit, what it found, and its file."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float

from training.activation.ecg import Beat, TWave
from training.activation.fit import (
    ActivationFit,
    Data,
    Progress,
    Solution,
    fit_activation,
    in_threads,
)
from training.activation.model import APD, VELOCITIES, VentricularEcg
from training.activation.repolarise import Durations, Repolariser, usual_durations
from training.activation.surface import endocardia
from training.anatomy import Anatomy
from training.twin import provenance
from twinjax.electro import ecg_agreement, electrodes_of_heart, heart_frame

KIND = "activation"
FORMAT = 1


@dataclasses.dataclass(frozen=True, eq=False)
class PersonalMaps:
    """The fit of activation, and durations for the best map and each accepted member.

    `best_durations` and `durations` are empty where the ECG has no T wave.
    """

    anatomy: Anatomy
    electrodes: Float[np.ndarray, "9 3"]
    model: VentricularEcg
    beat: Beat
    fit: ActivationFit
    best_durations: Durations | None
    durations: tuple[Durations, ...]
    notes: tuple[str, ...]
    seed: int


def personalise(
    anatomy: Anatomy,
    beat: Beat,
    *,
    roots: int = 8,
    starts: int = 4,
    members: int = 12,
    seed: int = 0,
    progress: Progress = lambda stage, share: None,
) -> PersonalMaps:
    """Activation from the QRS complex, then durations of action potentials from the T wave.

    Where the anatomy has no electrodes, they are placed by the heart's own axes
    (`twinjax.electro.heart_frame`), and the notes say so.
    """
    notes = list(anatomy.notes)
    electrodes = anatomy.electrodes
    if electrodes is None:
        electrodes = electrodes_of_heart(*heart_frame(anatomy.mesh))
        notes.append("electrodes: standard places by the axes of the heart, no one's own")
    model = VentricularEcg(anatomy, electrodes, leads=beat.leads)
    data = Data(beat.qrs_times, beat.qrs, beat.noise, 4.0)
    fit = fit_activation(
        model,
        endocardia(anatomy.mesh),
        data,
        roots=roots,
        starts=starts,
        members=members,
        seed=seed,
        progress=progress,
    )
    if not fit.accepted:
        notes.append("no other map draws the ECG about as well: there are no intervals")
    best: Durations | None = None
    others: tuple[Durations, ...] = ()
    if beat.t_wave is not None:
        best, others = _durations(model, beat.t_wave, beat.noise, fit, seed, progress)
    else:
        notes.append("the ECG has no T wave: repolarisation was not looked for")
    return PersonalMaps(anatomy, electrodes, model, beat, fit, best, others, tuple(notes), seed)


def _durations(
    model: VentricularEcg,
    t_wave: TWave,
    noise: float,
    fit: ActivationFit,
    seed: int,
    progress: Progress,
) -> tuple[Durations, tuple[Durations, ...]]:
    repolariser = Repolariser(model, t_wave.times)
    # Neighbouring samples of a T wave hardly differ: one counts in about 40 ms.
    memory = max(1.0, 40.0 / float(t_wave.times[1] - t_wave.times[0]))

    def of(solution: Solution, values: np.ndarray, weight: float, shift: np.ndarray) -> Durations:
        centre = usual_durations(t_wave.peak, solution.activation) + shift
        gain = float(solution.pattern.gain)
        return repolariser.solve(values, weight, solution.activation, gain, centre)

    none = np.zeros(len(APD))
    rough = 1 / (0.1 * float(np.std(t_wave.values)) * np.sqrt(memory))
    best = of(fit.best, t_wave.values, rough, none)
    sd = max(noise, float(np.sqrt(np.mean((best.leads - t_wave.values) ** 2))))
    weight = 1 / (sd * np.sqrt(memory))
    best = of(fit.best, t_wave.values, weight, none)

    def member(i: int) -> Durations:
        rng = np.random.default_rng([seed, 2, i])
        slow = sd * rng.standard_normal((len(t_wave.values), 1))
        shift = rng.standard_normal(len(APD)) * np.array((0.0, 25.0, 40.0, 40.0, 40.0))
        return of(fit.accepted[i], t_wave.values + slow, weight, shift)

    count = len(fit.accepted)
    found = in_threads(member, count, lambda share: progress("repolarisation", share))
    return best, tuple(found)


def interval(values: Any) -> dict[str, float]:
    """Mean, standard deviation, and the 90 % interval of the normal distribution with these."""
    values = np.asarray(values, float)
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    return {"mean": mean, "sd": sd, "low": mean - 1.645 * sd, "high": mean + 1.645 * sd}


def summary(found: PersonalMaps) -> dict[str, Any]:
    """Figures of a fit: how well it draws the ECG, and what it says of the heart."""
    fit, beat = found.fit, found.beat
    agreement = ecg_agreement(fit.best.leads, beat.qrs)
    told: dict[str, Any] = {
        "qrs_correlation": float(agreement.correlation),
        "qrs_rms_error_mV": float(agreement.rmse),
        "qrs_duration_ms": beat.features.qrs_duration,
        "members": len(fit.members),
        "accepted": len(fit.accepted),
        "gain": float(fit.best.pattern.gain),
        "velocities_m_per_s": {},
    }
    best = np.asarray(fit.best.pattern.velocities)
    drawn = np.array([s.pattern.velocities for s in fit.accepted]).reshape(-1, len(VELOCITIES))
    for i, name in enumerate(VELOCITIES):
        entry = {"best": float(best[i])}
        if len(drawn) > 1:
            logs = interval(np.log(drawn[:, i]))
            entry |= {"low": float(np.exp(logs["low"])), "high": float(np.exp(logs["high"]))}
        told["velocities_m_per_s"][name] = entry
    if len(fit.accepted) > 1:
        maps = fit.activations()
        told["activation_sd_ms"] = float(maps.std(axis=0, ddof=1).mean())
        told["total_activation_ms"] = interval(np.ptp(maps, axis=1))
    else:
        told["total_activation_ms"] = {"mean": float(np.ptp(fit.best.activation))}
    if found.best_durations is not None and beat.t_wave is not None:
        late = ecg_agreement(found.best_durations.leads, beat.t_wave.values)
        told["t_correlation"] = float(late.correlation)
        told["durations_ms"] = {}
        for i, name in enumerate(APD):
            entry = {"best": float(found.best_durations.coefficients[i])}
            if len(found.durations) > 1:
                drawn = np.array([d.coefficients[i] for d in found.durations])
                entry |= {k: v for k, v in interval(drawn).items() if k in ("low", "high")}
            told["durations_ms"][name] = entry
    told["notes"] = list(found.notes)
    return told


def save_maps(found: PersonalMaps, path: Path, sources: dict[str, Path]) -> None:
    """The HDF5 file: mesh, maps of the best fit and of each member, patterns, ECG, provenance.

    Of the files it was made of, `sources` by their role, only the hashes are kept.
    """
    hashes = {role: hashlib.sha256(p.read_bytes()).hexdigest() for role, p in sources.items()}
    made = provenance(found.seed, members=len(found.fit.members))
    mesh, fit = found.anatomy.mesh, found.fit
    with h5py.File(path, "w") as file:
        file.attrs["twinjax_kind"], file.attrs["format"] = KIND, FORMAT
        file.attrs["provenance"] = json.dumps(made | {"sha256": hashes})
        file.attrs["summary"] = json.dumps(summary(found))

        def put(name: str, values: Any, unit: str) -> None:
            file[name] = np.asarray(values)
            file[name].attrs["unit"] = unit

        put("mesh/points", mesh.points, "mm")
        for name in ("cells", "facets", "facet_tags"):
            put(f"mesh/{name}", getattr(mesh, name), "1")
        put("electrodes", found.electrodes, "mm")
        for name, solution in [("best", fit.best)] + [
            (f"members/{i}", s) for i, s in enumerate(fit.accepted)
        ]:
            put(f"{name}/activation", solution.activation, "ms")
            put(f"{name}/roots/points", solution.pattern.points, "mm")
            put(f"{name}/roots/onsets", solution.pattern.onsets, "ms")
            put(f"{name}/velocities", solution.pattern.velocities, "m/s")
            file[f"{name}/velocities"].attrs["names"] = list(VELOCITIES)
            put(f"{name}/gain", solution.pattern.gain, "1")
            put(f"{name}/qrs", solution.leads, "mV")
        late = [("best", found.best_durations)] + [
            (f"members/{i}", d) for i, d in enumerate(found.durations)
        ]
        for name, durations in late:
            if durations is not None:
                put(f"{name}/repolarisation", durations.repolarisation, "ms")
                put(f"{name}/durations", durations.coefficients, "ms")
                file[f"{name}/durations"].attrs["names"] = list(APD)
                put(f"{name}/late", durations.leads, "mV")
        beat = found.beat
        put("ecg/qrs_times", beat.qrs_times, "ms")
        put("ecg/qrs", beat.qrs, "mV")
        file["ecg"].attrs["leads"] = list(beat.leads)
        if beat.t_wave is not None:
            put("ecg/late_times", beat.t_wave.times, "ms")
            put("ecg/late", beat.t_wave.values, "mV")
