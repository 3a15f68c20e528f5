"""The sceptic's page of a trial: what needs no simulation, and what the verdict hangs on."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from training._html import table
from training.sensitivity import CELL, Sensitivity, score_name
from training.study import Study
from training.torsade import (
    Verdicts,
    class_changes,
    herg_margin,
    leave_one_drug_out,
    net_block,
    performance,
    variance_shares,
)
from training.trials import Trial

CLASSES = ("low", "intermediate", "high")
# Outward current first: IKr against ICaL and INaL, as in Mistry 2018, PeerJ 6:e4352.
_NET = ("IKr", "ICaL", "INaL")


def judged(
    scores: Float[np.ndarray, "drugs samples"], categories: Int[np.ndarray, " drugs"]
) -> Verdicts | str:
    """Each drug judged by all others; or why that cannot be."""
    counts = [np.sum(categories == k) for k in range(3)]
    if sum(counts) < len(categories) or min(counts) < 2:
        return "two drugs of each known risk are needed, and no other drug"
    try:
        return leave_one_drug_out(scores, categories)
    except ValueError as error:
        return str(error)


def baselines(study: Study) -> dict[str, Float[np.ndarray, "drugs samples"]]:
    """Scores without simulation, at the therapeutic maximum; none where some IKr is not known."""
    sample = np.arange(study.members)
    herg, net = [], []
    for drug in study.drugs:
        if "IKr" not in drug.ic50:
            return {}
        row = sample % drug.samples
        herg.append(herg_margin(drug.ic50["IKr"][row], np.full(len(row), drug.peak)))
        known = [name for name in _NET if name in drug.ic50]
        net.append(
            net_block(
                np.full(len(row), drug.peak),
                {name: np.nan_to_num(drug.ic50[name][row], nan=np.inf) for name in known},
                {name: drug.hill[name][row] for name in known},
            )
        )
    found = {"hERG safety margin": np.stack(herg), "net block of IKr, ICaL, INaL": np.stack(net)}
    return {name: scores for name, scores in found.items() if np.isfinite(scores).all()}


def sceptic(trial: Trial, study: Study, found: Sequence[Sensitivity]) -> list[str]:
    """Parts of the report, as HTML."""
    parts = [_beside(trial, study)]
    if found:
        parts += [_gradients(trial, found), _measurements(trial, found)]
    return [part for part in parts if part]


def _beside(trial: Trial, study: Study) -> str:
    if (trial.categories < 0).all():
        return ""
    scores = baselines(study)
    if "qnet" in trial.end_points:
        scores = {"simulated: mean qNet": trial.score()} | scores
    lines = []
    for name, values in scores.items():
        verdicts = judged(values, trial.categories)
        if isinstance(verdicts, str):
            lines.append([name, f"none: {verdicts}", *[""] * 4])
            continue
        measures = performance(verdicts)
        right = int(np.sum(verdicts.majority == trial.categories))
        lines.append(
            [name, f"{right} of {len(trial.drugs)}"]
            + [
                f"{measures[m].value:.3g} ({measures[m].low:.3g} to {measures[m].high:.3g})"
                for m in ("mean_error", "auc_1", "auc_2", "pairwise_correct_rate")
            ]
        )
    heads = ["score", "right by majority", "mean error", "AUC, low or not", "AUC, high or not"]
    title = "<h2>For the sceptic: beside scores that need no simulation</h2>"
    note = (
        '<p class="note">Each drug judged by all others, with the same regression. Intervals are '
        "those of the samples; that the drugs are few is not in them.</p>"
    )
    return title + table([*heads, "pairs in order"], lines) + note


def _gradients(trial: Trial, found: Sequence[Sensitivity]) -> str:
    unit, scale = ("mC/F", 1000.0) if score_name(trial) == "qnet" else ("ms", 1.0)
    inputs = list(dict.fromkeys(name for one in found for name in one.ic50))
    currents = list(found[0].conductance)

    def told(value: float | None) -> str:
        if value is None:
            return ""
        # Of a change by 10 %, for a person to read.
        return "none" if not np.isfinite(value) else f"{0.1 * scale * value:+.2g}"

    blocks = table(
        ["drug", *(f"IC50 of {name}" for name in inputs)],
        [[one.drug, *(told(one.ic50.get(name)) for name in inputs)] for one in found],
    )
    cells = table(
        ["drug", *currents],
        [[one.drug, *(told(one.conductance[name]) for name in currents)] for one in found],
    )
    return (
        f"<h2>For the sceptic: what the score hangs on</h2><p>Change of the score [{unit}] if an "
        "input grows by 10 %: gradients through the periodic beat, at each drug's median inputs, "
        "averaged over the doses. IC50s of the drug:</p>"
        f"{blocks}<p>Conductances of the patient's cell:</p>{cells}"
    )


def next_measurements(
    trial: Trial, found: Sequence[Sensitivity]
) -> list[tuple[str, str, float, float]]:
    """Drug, input, chance that to know it changes the class, its share of the variance.

    The likeliest first; none where drugs cannot be judged.
    """
    verdicts = judged(trial.score(), trial.categories)
    if isinstance(verdicts, str) or trial.result.shape[2] < 2:
        return []
    inputs = list(dict.fromkeys(name for one in found for name in one.contributions))
    zero = np.zeros(trial.result.shape[2])
    parts = np.array([[one.contributions.get(name, zero) for name in inputs] for one in found])
    thresholds = np.array([model.thresholds for model in verdicts.models])
    usable = np.isfinite(parts).all(axis=(1, 2))
    changes = class_changes(trial.score().mean(axis=1), np.nan_to_num(parts), thresholds)
    shares = variance_shares(np.nan_to_num(parts))
    rows = []
    for flat in np.argsort(-changes, axis=None, kind="stable"):
        i, j = np.unravel_index(flat, changes.shape)
        if usable[i] and changes[i, j] >= 0.005:
            name = "its cell" if inputs[j] == CELL else f"block of {inputs[j]}"
            rows.append((found[i].drug, name, float(changes[i, j]), float(shares[i, j])))
    return rows


def _measurements(trial: Trial, found: Sequence[Sensitivity]) -> str:
    """Which input of which drug, were it known, might change a verdict."""
    if score_name(trial) != "qnet" or isinstance(judged(trial.score(), trial.categories), str):
        return ""
    title = "<h2>For the sceptic: which drug would change class with one more measurement</h2>"
    rows = next_measurements(trial, found)
    if not rows:
        return title + "<p>None: no input moves a mean score across a threshold.</p>"
    lines = [[drug, name, f"{100 * p:.0f} %", f"{100 * v:.0f} %"] for drug, name, p, v in rows[:12]]
    heads = ["drug", "measured exactly", "chance of another class", "share of the variance"]
    note = (
        '<p class="note">Of the mean score, to first order in the blocks; binding to hERG has what '
        "the other inputs leave.</p>"
    )
    return title + table(heads, lines) + note
