"""The CiPA study as a virtual trial: 28 drugs, 4 doses, 2,000 samples of each drug's inputs.

Model: CiPA v1 at a cycle of 2 s (see `cipa_qnet`). A sample is a joint draw of a drug's binding to
hERG and of its Hill curves of INa, INaL and ICaL; the torsade metric score is qNet averaged over 1
to 4 times the free therapeutic maximum; ordinal logistic regression of the drug's category on the
score of every sample. Reference: the FDA's results with the same draws (branch
Lab_Specific_Validation_Calibration_2020 of github.com/FDA/CiPA): thresholds and error of the
training, class counts in training and with one drug left out. Spec:

- intercepts and slope within 2 %, training error within 0.005;
- the same drugs have the wrong class by majority;
- at most 1 % of the runs have no orbit.

The periodic orbit stands for the last of 1,000 beats, on a grid that gets qNet 0.1 % too high. With
--quick: 3 drugs, 50 samples; there are no published means of these draws, so that means and SDs are
told beside the FDA's with the Hill curves of another laboratory.
Results are kept in the user's cache folder, where an interrupted run goes on.
"""

import csv
import os
import time
from pathlib import Path

import numpy as np

from training.cli._output import progress_bar
from training.study import load_study
from training.torsade import classify, herg_margin, leave_one_drug_out, net_block, performance
from training.trials import Trial, run_trial

from ._report import Report, main
from ._shared import shared_path

FOLDER = "references/cipa"
SAMPLES = "cipa28_uncertainty_samples_chantest.csv.gz"
QUICK = ("azimilide", "ranolazine", "verapamil")


def run(quick: bool, report: Report) -> None:
    """The trial, its classes, and the baselines on the same drugs."""
    start = time.perf_counter()
    trial = simulate(50 if quick else None, QUICK if quick else ())
    seconds = time.perf_counter() - start
    runs = trial.result.size
    report.information(
        "wall time of this call",
        seconds / 60,
        unit="min",
        source=f"{runs} orbits, if none was kept",
    )
    report.at_most(
        "share of runs without an orbit",
        float(np.mean(trial.result != 0)),
        0.01,
        unit="1",
        source="they have the values of the last of 100 beats",
    )
    if quick:
        compare_summary(report, trial)
    else:
        compare_classes(report, trial)
        compare_baselines(report, trial)


def simulate(draws: int | None, drugs: tuple[str, ...]) -> Trial:
    """The trial of some drugs; from the cache folder if it was run before."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twinjax"
    folder = cache / f"cipa-trial-{draws or 'all'}"
    folder.mkdir(parents=True, exist_ok=True)
    with shared_path(f"{FOLDER}/cipa28_drug_parameters.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "drugs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("drug", "cmax_free_nM", "tdp_category"))
        for row in rows:
            writer.writerow((row["drug"], row["cmax_free_nM"], row["tdp_category_0low_1int_2high"]))
    lines = [
        "[drugs]",
        'table = "drugs.csv"',
        f'samples = "{shared_path(f"{FOLDER}/{SAMPLES}")}"',
        'currents = ["INa", "INaL", "ICaL", "IKr"]',
        *([f"draws = {draws}"] if draws else []),
        *(
            [f"select = [{', '.join(f'{chr(34)}{drug}{chr(34)}' for drug in drugs)}]"]
            if drugs
            else []
        ),
    ]
    (folder / "study.toml").write_text("\n".join(lines) + "\n")
    study = load_study(folder / "study.toml")
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    with progress_bar() as update:
        return run_trial(
            study,
            folder / "trial.h5",
            workers=workers,
            progress=lambda done, total: update("orbits", done, total),
        )


def compare_summary(report: Report, trial: Trial) -> None:
    """Mean and SD of qNet, beside the FDA's with the Hill curves of another laboratory."""
    with shared_path(f"{FOLDER}/cipa8_FDA_simulated_metrics_summary_nanion.csv").open() as file:
        known = {(row["drug"], float(row["dose"])): row for row in csv.DictReader(file)}
    qnet = trial.of("qnet")
    for i, drug in enumerate(trial.drugs):
        for j, dose in enumerate(trial.doses):
            row = known.get((drug, float(dose)))
            report.information(
                f"qNet, {drug} at {dose:g} Cmax",
                float(qnet[i, j].mean()),
                reference=float(row["qNet_mean"]) if row else None,
                unit="C/F",
                source=f"SD {qnet[i, j].std(ddof=1):.2g}"
                + (f"; another laboratory's curves: {float(row['qNet_sd']):.2g}" if row else ""),
            )


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


def compare_baselines(report: Report, trial: Trial) -> None:
    """The sceptic's rows: the same regression on hERG's safety margin, and on net block."""
    with shared_path(f"{FOLDER}/cipa28_drug_parameters.csv").open(newline="") as file:
        table = {row["drug"]: row for row in csv.DictReader(file)}
    rows = [table[name] for name in trial.drugs]
    peak = np.array([float(row["cmax_free_nM"]) for row in rows])
    currents = {"IKr": "hERG", "ICaL": "ICaL", "INaL": "INaL"}
    ic50 = {
        ours: np.array([float(row[f"chantest_{theirs}_IC50"]) for row in rows])
        for ours, theirs in currents.items()
    }
    hill = {
        ours: np.array([float(row[f"chantest_{theirs}_h"]) for row in rows])
        for ours, theirs in currents.items()
    }
    for title, score in (
        ("qNet", trial.score()),
        ("hERG safety margin", herg_margin(ic50["IKr"], peak)[:, None]),
        ("net block of IKr, ICaL, INaL", net_block(peak, ic50, hill)[:, None]),
    ):
        measures = performance(leave_one_drug_out(score, trial.categories))
        for name, measure in measures.items():
            report.information(
                f"left out, {title}: {name.replace('_', ' ')}",
                measure.value,
                unit="1",
                source=f"95 %: {measure.low:.3g} to {measure.high:.3g}",
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


if __name__ == "__main__":
    main(run, name="cipa_trial")
