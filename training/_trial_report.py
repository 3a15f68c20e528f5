"""What a person is shown of a trial: one HTML file with its figures inside."""

import base64
import html
import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from training.torsade import Verdicts, leave_one_drug_out
from training.trials import Trial

_CLASSES = ("low", "intermediate", "high")
_COLOURS = ("#2c7fb8", "#969696", "#b3202c", "#333333")
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.2rem .7rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:100%}.note{color:#555}"""


def summary(trial: Trial) -> list[dict[str, Any]]:
    """A row a drug: score or duration with 95 % intervals, and what went wrong."""
    rows = []
    change = trial.change("apd90")[:, -1]
    has_score = "qnet" in trial.end_points
    for i, drug in enumerate(trial.drugs):
        row: dict[str, Any] = {
            "drug": drug,
            "category": trial.categories[i],
            "apd90_change": _interval(change[i]),
            "afterdepolarisations": float(np.mean(trial.of("early_afterdepolarisation")[i] > 0)),
            "not_repolarised": float(np.mean(trial.of("repolarised")[i] == 0)),
            "without_orbit": float(np.mean(trial.result[i] != 0)),
        }
        if has_score:
            row["score"] = _interval(trial.score()[i])
        rows.append(row)
    return rows


def verdicts(trial: Trial) -> Verdicts | None:
    """Each drug judged by all others; None unless every category has two drugs."""
    known = set(trial.categories.tolist())
    counts = [np.sum(trial.categories == k) for k in range(3)]
    finite = "qnet" in trial.end_points and np.isfinite(trial.score()).all()
    if known != {0, 1, 2} or min(counts) < 2 or not finite:
        return None
    return leave_one_drug_out(trial.score(), trial.categories)


def write_report(trial: Trial) -> str:
    """The report as HTML; it needs no other file and no network."""
    rows = summary(trial)
    doses = ", ".join(f"{dose:g}" for dose in trial.doses)
    parts = [
        f"<title>{html.escape(trial.path.stem)}</title><style>{_STYLE}</style>",
        f"<h1>Virtual trial {html.escape(trial.path.stem)}</h1>",
        f"<p>{len(trial.drugs)} drugs at {doses} times their free therapeutic maximum, "
        f"{trial.values.shape[2]} virtual patients an arm. Intervals hold 95 % of them. "
        "<b>Research use only.</b></p>",
        _picture(_score_figure(trial, rows)),
        _table(rows),
    ]
    judged = verdicts(trial)
    if judged is not None:
        parts.append(_classes(trial, judged))
    notes = trial.provenance.get("notes", [])
    if notes:
        items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
        parts.append(f'<h2>Noticed in the tables</h2><ul class="note">{items}</ul>')
    return '<!doctype html><meta charset="utf-8">' + "\n".join(parts)


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    if not np.isfinite(values).any():
        return (np.nan,) * 3
    low, middle, high = np.nanquantile(values, [0.025, 0.5, 0.975])
    return float(middle), float(low), float(high)


def _told(interval: tuple[float, float, float], unit: str, scale: float = 1.0) -> str:
    if not np.isfinite(interval[0]):
        return "none"
    middle, low, high = (scale * x for x in interval)
    return f"{middle:.3g} ({low:.3g} to {high:.3g}) {unit}"


def _table(rows: list[dict[str, Any]]) -> str:
    heads = ["drug", "known risk", "score: mean qNet", "change of APD90 at the highest dose"]
    heads += ["early afterdepolarisation", "not repolarised", "without periodic beat"]
    lines = ["<table><tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"]
    for row in rows:
        category = row["category"]
        cells = [
            html.escape(row["drug"]),
            _CLASSES[category] if 0 <= category < 3 else "unknown",
            _told(row["score"], "mC/F", 1000.0) if "score" in row else "none",
            _told(row["apd90_change"], "ms"),
            *(
                f"{100 * row[name]:.1f} %"
                for name in ("afterdepolarisations", "not_repolarised", "without_orbit")
            ),
        ]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "\n".join([*lines, "</table>"])


def _classes(trial: Trial, left_out: Verdicts) -> str:
    heads = ("drug", "known risk", *_CLASSES, "verdict")
    lines = ["<table><tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"]
    for drug, known, counts, verdict in zip(
        trial.drugs, trial.categories, left_out.counts, left_out.majority, strict=True
    ):
        shares = [f"{100 * count / counts.sum():.0f} %" for count in counts]
        said = _CLASSES[verdict] if verdict == known else f"<b>{_CLASSES[verdict]}</b>"
        cells = [html.escape(drug), _CLASSES[known], *shares, said]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    told = f"<p>Mean error {left_out.error:.3f}, categories counted from 0 to 2.</p>"
    title = "<h2>Risk of torsade de pointes, each drug judged by all others</h2>"
    return "\n".join([title, *lines, "</table>", told])


def _score_figure(trial: Trial, rows: list[dict[str, Any]]) -> Figure:
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


def _picture(figure: Figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'
