"""What the scores of the CiPA study say: rows of `cipa_trial`."""

import csv

import numpy as np

from training._trial_sceptic import baselines, next_measurements
from training.cli._output import progress_bar
from training.sensitivity import sensitivities
from training.study import Study
from training.torsade import classify, leave_one_drug_out, performance
from training.trials import Trial

from ._report import Report
from ._shared import shared_path

FOLDER = "references/cipa"


def compare_classes(report: Report, trial: Trial) -> None:
    """Thresholds, errors and counts of classes against the FDA's."""
    scores, categories = trial.score(), trial.categories
    verdicts = classify(scores, categories)
    with shared_path(f"{FOLDER}/cipa28_chantest_train_thresholds.csv").open() as file:
        known = next(csv.DictReader(file))
    model = verdicts.models[0]
    for name, value in zip(
        ("intercept1", "intercept2", "slope"), (*model.intercepts, model.slope), strict=True
    ):
        report.relative(name, value, float(known[name]), 0.02, unit="1", source="FDA")
    report.absolute(
        "training error", verdicts.error, float(known["error"]), 0.005, unit="1", source="FDA"
    )
    left_out = leave_one_drug_out(scores, categories)
    for title, found, file_name in (
        ("training", verdicts, "cipa28_chantest_train_class_counts.csv"),
        ("left out", left_out, "cipa28_chantest_LOOCV_class_counts.csv"),
    ):
        counts = _counts(file_name)
        theirs = np.array([counts[name] for name in trial.drugs])
        wrong = {
            n for n, m, c in zip(trial.drugs, found.majority, categories, strict=True) if m != c
        }
        expected = {
            n
            for n, row, c in zip(trial.drugs, theirs, categories, strict=True)
            if row.argmax() != c
        }
        report.absolute(
            f"{title}: drugs right by majority",
            float(len(trial.drugs) - len(wrong)),
            float(len(trial.drugs) - len(expected)),
            0,
            unit="1",
            source=f"wrong: {', '.join(sorted(wrong))}",
        )
        report.absolute(
            f"{title}: drugs wrong in one study only",
            float(len(wrong ^ expected)),
            0.0,
            0,
            unit="1",
            source=", ".join(sorted(wrong ^ expected)) or "FDA",
        )
        moved = np.abs(found.counts - theirs).max(axis=1)
        for i in np.argsort(-moved)[:5]:
            report.information(
                f"{title}: most samples in another class, {trial.drugs[i]}",
                float(moved[i]),
                unit="1",
                source=f"ours {found.counts[i].tolist()}, FDA {theirs[i].tolist()}",
            )
    report.information(
        "left out: mean error",
        left_out.error,
        reference=float(np.mean(_errors())),
        unit="1",
        source="FDA",
    )


def compare_baselines(report: Report, study: Study, trial: Trial) -> None:
    """The sceptic's rows: the same regression on scores without simulation, sample by sample."""
    for title, score in ({"qNet": trial.score()} | baselines(study)).items():
        verdicts = leave_one_drug_out(score, trial.categories)
        report.information(
            f"left out, {title}: drugs right by majority",
            float(np.sum(verdicts.majority == trial.categories)),
            unit="1",
        )
        for name, measure in performance(verdicts).items():
            report.information(
                f"left out, {title}: {name.replace('_', ' ')}",
                measure.value,
                unit="1",
                source=f"95 %: {measure.low:.3g} to {measure.high:.3g}",
            )


def compare_inputs(report: Report, study: Study, trial: Trial) -> None:
    """What the verdicts hang on: gradients, and which measurement might change a class."""
    with progress_bar() as update:
        found = sensitivities(study, trial, lambda done, total: update("gradients", done, total))
    named = []
    for one in found:
        greatest = max((abs(slope), name) for name, slope in one.ic50.items())[1]
        if greatest != "IKr":
            named.append(f"{one.drug}: {greatest}")
    report.information(
        "drugs whose score hangs most on binding to hERG",
        float(len(found) - len(named)),
        unit="1",
        source="others " + ", ".join(named),
    )
    for drug, name, chance, share in next_measurements(trial, found)[:8]:
        report.information(
            f"chance of another class: {drug}, {name}",
            100 * chance,
            unit="%",
            source=f"measured exactly; {100 * share:.0f} % of the variance of its score",
        )


def _counts(name: str) -> dict[str, np.ndarray]:
    with shared_path(f"{FOLDER}/{name}").open() as file:
        return {
            row["drug"]: np.array([int(row[f"predict_{k}"]) for k in range(3)])
            for row in csv.DictReader(file)
        }


def _errors() -> list[float]:
    path = shared_path(f"{FOLDER}/cipa28_chantest_LOOCV_thresholds_errors.csv")
    with path.open() as file:
        return [float(row["error"]) for row in csv.DictReader(file)]
