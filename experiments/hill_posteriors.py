"""Hill curves of the 28 CiPA drugs: our posteriors against those of the FDA.

Data: block of single cells, seven currents of 12 drugs and four of 16, recorded automatically
(HTS) and by hand. Reference: 2,000 draws of IC50 and h for each drug and current, and their
quantiles, published by the FDA with its calibration of 2020 (site "chantest"); model and priors
of Chang et al. 2017, Front Physiol 8:917. They were drawn from the automatic recordings, hERG
included: no other file that we have is compatible with them. Spec:

- the share of our draws below each published quantile (5, 50 and 95 % of the IC50, 50 % of h, and
  2.5 and 97.5 % of the published draws of both) is that level, within four standard errors. These
  are Monte-Carlo errors alone: each level's, from the effective numbers of their draws and ours;
- R-hat at most 1.02 and at least 200 effective draws.

Verapamil on ICaL is told, not judged: for 2020 its recordings were replaced, and the new ones are
not among our references. So is the second site (Nanion), whose recordings we do not have: the
ratio of its IC50s to ours is one of laboratories. Told as well: how many pairs have no IC50, and
the manual recordings' medians.

With --quick: four drugs.
"""

import csv
import gzip
import time
from collections import defaultdict

import numpy as np
from blackjax.diagnostics import effective_sample_size

from training.hill import HillFit, HillPosterior, fit_hill, read_blocks

from ._report import Report, main
from ._shared import shared_path

FOLDER = "references/cipa"
AUTOMATIC = ("cipa_raw_HTS_trainingdrug_block.csv", "cipa_raw_HTS_validationdrug_block.csv")
MANUAL = ("cipa_raw_manual_trainingdrug_block.csv", "cipa_raw_manual_validationdrug_block.csv")
QUICK = ("quinidine", "verapamil", "chlorpromazine", "ibutilide")
THEIR_NAMES = {"IKr": "hERG"}
REPLACED = ("verapamil", "ICaL")
SITE = "chantest"
ERRORS = 4.0  # standard errors: of a thousand comparisons 0.06 would be farther apart by chance


def run(quick: bool, report: Report) -> None:
    """All pairs in one batch a file; a row for each pair and quantity."""
    summary = published_summary()
    drugs = [drug for drug, site in summary if site == SITE and (not quick or drug in QUICK)]
    data = read_blocks(*(shared_path(f"{FOLDER}/{name}") for name in AUTOMATIC)).select(drugs)
    start = time.perf_counter()
    posterior = fit_hill(data)
    took = time.perf_counter() - start
    draws = published_draws()
    distances = []
    for (drug, current), fit in posterior.fits.items():
        theirs = THEIR_NAMES.get(current, current)
        levels = quantiles(summary[drug, SITE], draws[drug], theirs)
        found = worst(fit, levels, {name: draws[drug][f"{theirs}_{name}"] for name in SHORT})
        title, distance, source = found
        if (drug, current) == REPLACED:
            report.information(
                f"{title}, {drug} {current}", distance, unit="1", source="other recordings"
            )
            continue
        distances.append(distance)
        report.at_most(f"{title}, {drug} {current}", distance, ERRORS, unit="1", source=source)
    report.information(
        "distance, root mean square of the worst",
        float(np.sqrt(np.mean(np.square(distances)))),
        unit="1",
        source=f"{len(distances)} pairs, the worst of eight quantiles each",
    )
    diagnostics(report, posterior, took)
    manual(report, drugs, posterior)
    nanion(report, summary, posterior)


SHORT = {"IC50": "ic50", "h": "h"}  # their column, our field


def quantiles(
    row: dict[str, str], draws: dict[str, np.ndarray], current: str
) -> list[tuple[str, float, float]]:
    """(quantity, level, published value): of the summary, and of the draws the 95 % interval."""
    levels = [
        ("IC50", level, float(row[f"{current}_IC50_{name}"]))
        for level, name in ((0.05, "q05"), (0.5, "median"), (0.95, "q95"))
    ]
    levels.append(("h", 0.5, float(row[f"{current}_h_median"])))
    for name in SHORT:
        for level in (0.025, 0.975):
            levels.append((name, level, float(np.quantile(draws[f"{current}_{name}"], level))))
    return levels


def worst(
    fit: HillFit, levels: list[tuple[str, float, float]], theirs: dict[str, np.ndarray]
) -> tuple[str, float, str]:
    """The quantile that is farthest apart: title, distance in standard errors, and both values."""
    found = []
    for name, level, value in levels:
        ours = getattr(fit, SHORT[name])
        share = float(np.mean(ours < value))
        # Whether a draw is below a quantile is what is counted, so its own correlation counts.
        error = np.sqrt(
            level
            * (1 - level)
            * (1 / effective(theirs[name] < value, 1) + 1 / effective(ours < value, CHAINS))
        )
        text = f"ours {np.quantile(ours, level):.4g}, published {value:.4g}"
        title = f"{name} {100 * level:g} %"
        found.append((title, abs(share - level) / error, text))
    return max(found, key=lambda row: row[1])


CHAINS = 4


def effective(draws: np.ndarray, chains: int) -> float:
    """Effective number of draws; one chain counts as its two halves."""
    parts = np.asarray(draws, float).reshape(max(chains, 2), -1)
    return float(effective_sample_size(parts))


def diagnostics(report: Report, posterior: HillPosterior, took: float) -> None:
    """The chains, and what the recordings do not tell."""
    fits = list(posterior.fits.values())
    report.at_most(
        "R-hat, worst",
        max(fit.diagnostics["rhat"] for fit in fits),
        1.02,
        unit="1",
        source="chains",
    )
    report.at_least(
        "effective draws, least",
        min(fit.diagnostics["ess"] for fit in fits),
        200,
        unit="1",
        source="of 4,000 states",
    )
    report.information("pairs", len(fits), unit="1", source="drug and current")
    report.information(
        "pairs without an IC50",
        sum(not fit.identified for fit in fits),
        unit="1",
        source="the 95 % interval reaches ten times beyond the concentrations, or no block",
    )
    report.information("all pairs", took, unit="s", source="with compilation")


def manual(report: Report, drugs: list[str], automatic: HillPosterior) -> None:
    """The same currents recorded by hand, where both recordings tell an IC50."""
    data = read_blocks(*(shared_path(f"{FOLDER}/{name}") for name in MANUAL))
    posterior = fit_hill(data.select([drug for drug in drugs if drug in data.drugs]))
    ratios = [
        fit.median()["ic50"] / automatic.fits[pair].median()["ic50"]
        for pair, fit in posterior.fits.items()
        if pair in automatic.fits and fit.identified and automatic.fits[pair].identified
    ]
    tell(report, ratios, "IC50 by hand over automatic")


def nanion(
    report: Report, summary: dict[tuple[str, str], dict[str, str]], automatic: HillPosterior
) -> None:
    """The other laboratory's published medians, where ours tell an IC50."""
    ratios = []
    for (drug, current), fit in automatic.fits.items():
        text = summary.get((drug, "nanion"), {}).get(f"{current}_IC50_median")
        if text and fit.identified:
            ratios.append(float(text) / fit.median()["ic50"])
    tell(report, ratios, "IC50 of the second site over the first")


def tell(report: Report, ratios: list[float], title: str) -> None:
    """Median and spread of ratios of IC50."""
    source = f"{len(ratios)} pairs; 5 to 95 %: " + " to ".join(
        f"{x:.2g}" for x in np.quantile(ratios, (0.05, 0.95))
    )
    report.information(f"{title}, median", float(np.median(ratios)), unit="1", source=source)


def published_summary() -> dict[tuple[str, str], dict[str, str]]:
    """Rows of quantiles, by drug and site."""
    path = shared_path(f"{FOLDER}/cipa28_hill_posterior_summary_by_site.csv")
    with path.open(newline="") as file:
        return {(row["drug"], row["site"]): row for row in csv.DictReader(file)}


def published_draws() -> dict[str, dict[str, np.ndarray]]:
    """Draws by drug and column, in the order of their chain."""
    path = shared_path(f"{FOLDER}/cipa28_uncertainty_samples_chantest.csv.gz")
    rows = defaultdict(list)
    with gzip.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file):
            rows[row["drug"]].append(row)
    return {
        drug: {
            name: np.array([float(row[name]) for row in found])
            for name in found[0]
            if name.endswith(("_IC50", "_h")) and found[0][name]
        }
        for drug, found in rows.items()
    }


if __name__ == "__main__":
    main(run, name="hill_posteriors")
