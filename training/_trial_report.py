"""What a person is shown of a trial: one HTML file with its figures inside."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from training._html import page, picture, table
from training._trial_sceptic import CLASSES, judged, sceptic
from training.sensitivity import Sensitivity
from training.study import Study
from training.torsade import Verdicts
from training.trials import Trial

_COLOURS = ("#2c7fb8", "#969696", "#b3202c", "#333333")


def summary(trial: Trial) -> list[dict[str, Any]]:
    """A row a drug: score or duration with 95 % intervals, and what went wrong."""
    rows = []
    changes = {name: trial.change(name)[:, -1] for name in ("apd90", *_more(trial))}
    for i, drug in enumerate(trial.drugs):
        row: dict[str, Any] = {
            "drug": drug,
            "category": trial.categories[i],
            "afterdepolarisations": float(np.mean(trial.of("early_afterdepolarisation")[i] > 0)),
            "not_repolarised": float(np.mean(trial.of("repolarised")[i] == 0)),
            "without_orbit": float(np.mean(trial.result[i] != 0)),
        }
        row |= {f"{name}_change": _interval(change[i]) for name, change in changes.items()}
        if "qnet" in trial.end_points:
            row["score"] = _interval(trial.score()[i])
        if 0 < trial.women.mean() < 1:
            hers = trial.women[np.arange(trial.result.shape[2]) % len(trial.women)]
            row["apd90_change_women"] = _interval(changes["apd90"][i, hers])
            row["apd90_change_men"] = _interval(changes["apd90"][i, ~hers])
        rows.append(row)
    return rows


def _more(trial: Trial) -> list[str]:
    names = ("triangulation", "calcium_amplitude", "peak_tension")
    return [name for name in names if name in trial.end_points]


def write_report(trial: Trial, study: Study, found: Sequence[Sensitivity] = ()) -> str:
    """The report as HTML; it needs no other file and no network."""
    rows = summary(trial)
    doses = ", ".join(f"{dose:g}" for dose in trial.doses)
    parts = [
        f"<h1>Virtual trial {html.escape(trial.path.stem)}</h1>",
        f"<p>{len(trial.drugs)} drugs at {doses} times their free therapeutic maximum, "
        f"{trial.values.shape[2]} virtual patients an arm. Intervals hold 95 % of them. "
        "<b>Research use only.</b></p>",
        picture(score_figure(trial), "the score of every drug with its interval"),
        _risk_table(rows),
        _changes_table(trial, rows),
    ]
    if "qnet" in trial.end_points and (trial.categories >= 0).any():
        parts.append(_classes(trial, judged(trial.score(), trial.categories)))
    parts += sceptic(trial, study, found)
    notes = trial.provenance.get("notes", [])
    if notes:
        items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
        parts.append(f'<h2>Noticed in the tables</h2><ul class="note">{items}</ul>')
    return page(trial.path.stem, parts)


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    if not np.isfinite(values).any():
        return (np.nan,) * 3
    low, middle, high = np.nanquantile(values, [0.025, 0.5, 0.975])
    return float(middle), float(low), float(high)


def _told(interval: tuple[float, float, float], scale: float = 1.0) -> str:
    if not np.isfinite(interval[0]):
        return "none"
    middle, low, high = (scale * x for x in interval)
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def _risk_table(rows: list[dict[str, Any]]) -> str:
    heads = ["drug", "known risk", "score: mean qNet [mC/F]", "ΔAPD90, highest dose [ms]"]
    heads += ["early afterdepolarisation", "not repolarised", "without periodic beat"]
    lines = []
    for row in rows:
        category = row["category"]
        lines.append(
            [
                row["drug"],
                CLASSES[category] if 0 <= category < 3 else "unknown",
                _told(row["score"], 1000.0) if "score" in row else "none",
                _told(row["apd90_change"]),
                *(
                    f"{100 * row[name]:.1f} %"
                    for name in ("afterdepolarisations", "not_repolarised", "without_orbit")
                ),
            ]
        )
    return table(heads, lines)


def _changes_table(trial: Trial, rows: list[dict[str, Any]]) -> str:
    """Of the other end points from control, at the highest dose."""
    columns = {
        "triangulation_change": ("Δ(APD90 - APD30) [ms]", 1.0),
        "calcium_amplitude_change": ("Δ calcium transient [nM]", 1e6),
        "peak_tension_change": ("Δ peak tension [kPa]", 1.0),
        "apd90_change_women": ("ΔAPD90, women [ms]", 1.0),
        "apd90_change_men": ("ΔAPD90, men [ms]", 1.0),
    }
    known = {name: column for name, column in columns.items() if name in rows[0]}
    lines = [
        [row["drug"], *(_told(row[name], scale) for name, (_, scale) in known.items())]
        for row in rows
    ]
    title = f"<h2>From control, at {trial.doses[-1]:g} times the therapeutic maximum</h2>"
    return title + table(["drug", *(head for head, _ in known.values())], lines)


def _classes(trial: Trial, left_out: Verdicts | str) -> str:
    title = "<h2>Risk of torsade de pointes, each drug judged by all others</h2>"
    if isinstance(left_out, str):
        return f"{title}<p>Not judged: {html.escape(left_out)}.</p>"
    lines = []
    for drug, known, counts, verdict in zip(
        trial.drugs, trial.categories, left_out.counts, left_out.majority, strict=True
    ):
        shares = [f"{100 * count / counts.sum():.0f} %" for count in counts]
        said = CLASSES[verdict] if verdict == known else f"**{CLASSES[verdict]}**"
        lines.append([drug, CLASSES[known], *shares, said])
    right = int(np.sum(left_out.majority == trial.categories))
    told = (
        f"<p>{right} of {len(trial.drugs)} right by majority; mean error {left_out.error:.3f}, "
        "categories counted from 0 to 2.</p>"
    )
    return title + table(("drug", "known risk", *CLASSES, "verdict"), lines) + told


def score_figure(trial: Trial) -> Figure:
    """Scores of all drugs with their intervals, the most dangerous on top."""
    rows = summary(trial)
    name = "score" if "score" in rows[0] else "apd90_change"
    scale, label = (1000.0, "mean qNet [mC/F]") if name == "score" else (1.0, "ΔAPD90 [ms]")
    order = np.argsort([row[name][0] for row in rows])[::-1]
    figure = Figure(figsize=(7, 0.6 + 0.24 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, i in enumerate(order):
        middle, low, high = (scale * x for x in rows[i][name])
        colour = _COLOURS[trial.categories[i]] if 0 <= trial.categories[i] < 3 else _COLOURS[3]
        axes.plot([low, high], [place, place], color=colour, lw=2)
        axes.plot(middle, place, "o", color=colour, ms=5)
    axes.set_yticks(range(len(rows)), [rows[i]["drug"] for i in order])
    axes.set_xlabel(f"{label}; blue: low, grey: intermediate, red: high known risk")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
