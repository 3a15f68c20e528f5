"""The CiPA study as a virtual trial: 28 drugs, 4 doses, 2,000 samples of each drug's inputs.

Model: CiPA v1 at a cycle of 2 s (see `cipa_qnet`, whose rows come first). A sample is a joint draw
of a drug's binding to hERG and of its Hill curves of INa, INaL and ICaL; the torsade metric score
is qNet averaged over 1 to 4 times the free therapeutic maximum; ordinal logistic regression of the
drug's category on the score of every sample. Reference: the FDA's results with the same draws
(branch Lab_Specific_Validation_Calibration_2020 of github.com/FDA/CiPA): thresholds and error of
the training, class counts in training and with one drug left out. Spec:

- intercepts and slope within 2 %, training error within 0.005;
- the same drugs have the wrong class by majority, in training and left out;
- at most 1 % of the runs have no orbit;
- two samples of each drug at the least and the greatest dose after 1,000 beats, as the FDA ran
  them: qNet within 0.1 % of that of the orbit.

The grid of a trial gets qNet 0.1 % too high, alike for all drugs: told by the thresholds.

Besides: the mean and SD of qNet of eight drugs with the Hill curves of the second laboratory
(Nanion), of which only quantiles are published: draws are made from these, so that rows are told,
and only the azimilide's mean is judged, which hERG determines; the verdicts with Hill curves of our
own inference (`hill_posteriors`) from the recordings; scores that need no simulation.

With --quick: 3 drugs, 50 samples; no row about classes. Results of the full run are kept in the
user's cache folder, where an interrupted run goes on.
"""

import csv
import gzip
import json
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from training._trial_sceptic import baselines, next_measurements
from training.cli._output import progress_bar
from training.sensitivity import sensitivities
from training.study import Study, load_study
from training.torsade import Verdicts, classify, leave_one_drug_out, performance
from training.trials import Trial, run_trial
from twinjax.cells import CellSimulator

from . import cipa_qnet
from ._report import Report, main
from ._shared import shared_path

FOLDER = "references/cipa"
SAMPLES = "cipa28_uncertainty_samples_chantest.csv.gz"
RECORDINGS = ("cipa_raw_HTS_trainingdrug_block.csv", "cipa_raw_HTS_validationdrug_block.csv")
BLOCKED = ("INa", "INaL", "ICaL")
QUICK = ("azimilide", "ranolazine", "verapamil")
CVODE = 13.6  # [ms] a beat, measured by `cells_speed` on the machine of experiments/README.md
OWN_DRAWS, SECOND_DRAWS = 200, 200


def run(quick: bool, report: Report) -> None:
    """The trial, its classes, and the baselines on the same drugs."""
    cipa_qnet.run(quick, report)
    if not quick:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twinjax"
        whole(report, cache)
        return
    with tempfile.TemporaryDirectory() as folder:
        trials(report, Path(folder), 50, QUICK)


def whole(report: Report, folder: Path) -> None:
    """All drugs and samples, and what their scores say."""
    study, trial = trials(report, folder, None, ())
    compare_paced(report, study, trial)
    compare_classes(report, trial)
    compare_own(report, folder, trial)
    compare_baselines(report, study, trial)
    compare_inputs(report, study, trial)


def trials(
    report: Report, folder: Path, draws: int | None, drugs: Sequence[str]
) -> tuple[Study, Trial]:
    """The published samples, and the second laboratory's curves."""
    start = time.perf_counter()
    study, trial = simulate(folder / f"cipa-trial-{draws or 'all'}", drugs=drugs, draws=draws)
    seconds = time.perf_counter() - start
    report.information(
        "wall time of this call",
        seconds / 60,
        unit="min",
        source=f"{trial.result.size} orbits, if none was kept; {processes()} processes",
    )
    report.information(
        "core-hours of 1,000 beats each by CVODE",
        trial.result.size * 1000 * CVODE / 3.6e6,
        unit="h",
        source=f"estimate from {CVODE:g} ms a beat of O'Hara-Rudy: `cells_speed`",
    )
    report.at_most(
        "share of runs without an orbit",
        float(np.mean(trial.result != 0)),
        0.01,
        unit="1",
        source="they have the values of the last of 100 beats",
    )
    compare_second(report, folder, draws or SECOND_DRAWS, trial.drugs)
    return study, trial


def published_samples() -> list[dict[str, str]]:
    """Joint draws of every drug's inputs, those of hERG and of the first laboratory's curves."""
    with gzip.open(shared_path(f"{FOLDER}/{SAMPLES}"), "rt", newline="") as file:
        return list(csv.DictReader(file))


def kept(rows: Iterable[dict[str, str]], drugs: Sequence[str], draws: int) -> list[dict[str, str]]:
    """The first draws of some drugs."""
    return [row for row in rows if row["drug"] in drugs and int(row["sample"]) <= draws]


def processes() -> int:
    """As many as there are cores for this program."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def simulate(
    folder: Path,
    samples: list[dict[str, str]] | None = None,
    *,
    drugs: Sequence[str] = (),
    draws: int | None = None,
    doses: Sequence[float] = (),
    recordings: Sequence[Path] = (),
) -> tuple[Study, Trial]:
    """A trial with the published samples, or others; as the folder has it if it was run there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "drugs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("drug", "cmax_free_nM", "tdp_category"))
        for drug, row in cipa_qnet.table().items():
            writer.writerow((drug, row["cmax_free_nM"], row["tdp_category_0low_1int_2high"]))
    source = shared_path(f"{FOLDER}/{SAMPLES}")
    if samples is not None:
        source = folder / "samples.csv"
        with source.open("w", newline="") as file:
            table = csv.DictWriter(file, list(samples[0]))
            table.writeheader()
            table.writerows(samples)
    lines = ["[drugs]", 'table = "drugs.csv"', f"samples = {json.dumps(str(source))}"]
    lines.append('currents = ["INa", "INaL", "ICaL", "IKr"]')
    if recordings:
        lines.append(f"recordings = {json.dumps([str(path) for path in recordings])}")
    if draws is not None:
        lines.append(f"draws = {draws}")
    if drugs:
        lines.append(f"select = {json.dumps(list(drugs))}")
    if doses:
        lines.append(f"[arms]\ndoses = {list(doses)}")
    (folder / "study.toml").write_text("\n".join(lines) + "\n")
    study = load_study(folder / "study.toml")
    with progress_bar() as update:
        trial = run_trial(
            study,
            folder / "trial.h5",
            workers=processes(),
            progress=lambda done, total: update("orbits", done, total),
        )
    return study, trial


def compare_paced(report: Report, study: Study, trial: Trial) -> None:
    """Two samples of each drug after 1,000 beats from the cell's initial state, if on an orbit."""
    doses, samples = [0, len(trial.doses) - 1], np.array([0, 1])
    theta = np.concatenate(
        [study.parameters(drug, samples)[doses].reshape(4, -1) for drug in study.drugs]
    )
    orbit = trial.of("qnet")[:, doses][:, :, samples].ravel()
    paced = np.asarray(_paced(study.simulator, theta))
    periodic = trial.result[:, doses][:, :, samples].ravel() == 0
    apart = np.where(periodic, np.abs(paced / orbit - 1), 0.0)
    order = np.argsort(-apart)
    names = [
        f"{drug} at {trial.doses[dose]:g} Cmax"
        for drug in trial.drugs
        for dose in doses
        for _ in samples
    ]
    report.at_most(
        "qNet of the orbit from 1,000 beats, worst",
        100 * float(apart[order[0]]),
        0.1,
        unit="%",
        source=f"{periodic.sum()} runs; " + ", ".join(names[i] for i in order[:3]),
    )
    report.information(
        "qNet of the orbit from 1,000 beats, median",
        100 * float(np.median(apart[periodic])),
        unit="%",
    )


@eqx.filter_jit
def _paced(simulator: CellSimulator, theta: Float[Array, "members n"]) -> Float[Array, " members"]:
    return jax.vmap(lambda x: simulator.paced(x, 1000)[0].scalars["qnet"])(theta)


def compare_second(report: Report, folder: Path, draws: int, drugs: Sequence[str]) -> None:
    """Mean and SD of qNet at the therapeutic maximum with the second laboratory's Hill curves.

    Their draws are not published. Ours: ln IC50 normal on either side of the published median, by
    the published 5 and 95 %; the published median of h.
    """
    with shared_path(f"{FOLDER}/cipa8_FDA_simulated_metrics_summary_nanion.csv").open() as file:
        known = {row["drug"]: row for row in csv.DictReader(file)}
    with shared_path(f"{FOLDER}/cipa28_hill_posterior_summary_by_site.csv").open() as file:
        hill = {row["drug"]: row for row in csv.DictReader(file) if row["site"] == "nanion"}
    random = np.random.default_rng(0)
    samples = kept(published_samples(), [drug for drug in known if drug in drugs], draws)
    for row in samples:
        for current in BLOCKED:
            published = hill[row["drug"]]
            low, middle, high = (
                np.log(float(published[f"{current}_IC50_{name}"]))
                for name in ("q05", "median", "q95")
            )
            z = random.normal()
            spread = (high - middle if z > 0 else middle - low) / 1.645
            row[f"{current}_IC50"] = f"{np.exp(middle + z * spread):.6g}"
            row[f"{current}_h"] = published[f"{current}_h_median"]
    shown = list(dict.fromkeys(row["drug"] for row in samples))
    _, trial = simulate(folder / f"cipa-trial-second-{draws}", samples, drugs=shown, doses=(1.0,))
    for i, drug in enumerate(trial.drugs):
        qnet = trial.of("qnet")[i, 0]
        row = known[drug]
        error = float(row["qNet_sd"]) / np.sqrt(len(qnet))
        title, source = f"qNet, {drug}, second laboratory", "FDA; their SD is the SD's reference"
        mean = float(qnet.mean())
        if drug == "azimilide":
            # Three standard errors of a mean, and 0.1 % of the grid.
            near = 3 * error + 1e-3 * float(row["qNet_mean"])
            report.absolute(
                f"{title}: mean", mean, float(row["qNet_mean"]), near, unit="C/F", source="FDA"
            )
        else:
            report.information(
                f"{title}: mean",
                mean,
                reference=float(row["qNet_mean"]),
                unit="C/F",
                source=f"apart by {(mean - float(row['qNet_mean'])) / error:.1f} standard errors",
            )
        report.information(
            f"{title}: SD",
            float(qnet.std(ddof=1)),
            reference=float(row["qNet_sd"]),
            unit="C/F",
            source=source,
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


def compare_own(report: Report, folder: Path, published: Trial) -> None:
    """The verdicts with Hill curves that were fitted here to the recordings of the laboratory."""
    files = [shared_path(f"{FOLDER}/{name}") for name in RECORDINGS]
    _, trial = simulate(folder / "cipa-trial-own", draws=OWN_DRAWS, recordings=files)
    ours, theirs = (leave_one_drug_out(one.score(), one.categories) for one in (trial, published))
    report.information(
        "own Hill curves, left out: drugs right by majority",
        float(np.sum(ours.majority == trial.categories)),
        reference=float(np.sum(theirs.majority == trial.categories)),
        unit="1",
        source="published draws; other verdict: " + (other(ours, theirs, trial.drugs) or "none"),
    )
    report.information(
        "own Hill curves, left out: mean error", ours.error, reference=theirs.error, unit="1"
    )
    shift = trial.score().mean(axis=1) - published.score()[:, :OWN_DRAWS].mean(axis=1)
    spread = published.score().std(axis=1)
    for i in np.argsort(-np.abs(shift))[:5]:
        report.information(
            f"own Hill curves: mean score, {trial.drugs[i]}",
            float(trial.score()[i].mean()),
            reference=float(published.score()[i].mean()),
            unit="C/F",
            source=f"published draws, SD {spread[i]:.2g}",
        )


def other(ours: Verdicts, theirs: Verdicts, drugs: Sequence[str]) -> str:
    """Drugs that two studies judge differently."""
    pairs = zip(drugs, ours.majority, theirs.majority, strict=True)
    return ", ".join(drug for drug, a, b in pairs if a != b)


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


if __name__ == "__main__":
    main(run, name="cipa_trial")
