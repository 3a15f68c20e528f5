"""ΔQTc in thorough-QT studies from ion-channel screens: 34 drugs of Mirams et al. 2014.

Data: mean ΔQTc and free peak concentration of thorough-QT studies, Mirams et al. 2014, J Pharmacol
Toxicol Methods 70:246; half-maximal concentrations of hERG, CaV1.2, NaV1.5, KCNQ1 and Kv4.3 in that
paper's three screens, in `_tqt_drugs.csv`. Each drug blocks IKr, ICaL, INa, IKs and Ito of the
O'Hara-Rudy cell by Hill's equation with h = 1 at that concentration; ΔAPD90 is that of the periodic
orbit at 1 Hz. Each drug's ΔQTc is predicted by Bayesian linear regression on all other drugs, with
90 % intervals, from

- ΔAPD90 of the cell;
- the share of hERG that is blocked, alone;
- the shares of all five channels, slopes shrunk (ridge regression by evidence);
- nothing: the mean of the other drugs.

Spec, set before the first run:

- of the screen with most drugs (hERG by hand, the others by AstraZeneca), the intervals from ΔAPD90
  cover 90 %, within the central 99 % of chance for as many drugs;
- ΔAPD90 within 5 % of that of the paper's own simulations with O'Hara-Rudy (Chaste, CVODE, paced
  from the orbit without drug) for a blocker of hERG, one of ICaL and one of all five currents.

Told, not judged: root mean square errors, as no predictor is expected to win, and the other two
screens. With --quick: the first screen alone; without, also the ToR-ORd cell on it.

What the data say: little. Resampling does not tell the cell from hERG alone or from the mean on the
first screen (errors of 6.1, 6.3 and 6.9 ms); five channels without a cell do as well (6.0). On the
second the cell is better than hERG, but neither is better than the mean; on the third none is. The
slope is far below 1, and intervals are 20 ms wide where a study's threshold is 5 ms.
"""

import csv
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import binom, spearmanr

from training.qt import Interval, fit_qt, leave_one_out
from twinjax.cells import (
    AbstractCell,
    Block,
    Drug,
    OHaraRudy2011,
    ToRORd,
    biomarkers,
    periodic,
    with_drug,
)

from ._report import Report, main
from ._shared import shared_path

CLINICAL = "references/cipa/mirams2014_TQT_clinical_36drugs.csv"
BLOCKS = Path(__file__).with_name("_tqt_drugs.csv")
CURRENTS = {"hERG": "IKr", "CaV1.2": "ICaL", "NaV1.5": "INa", "KCNQ1": "IKs", "Kv4.3": "Ito"}
# Columns of the table that make a screen, as in the paper; GlaxoSmithKline did not measure Kv4.3.
SCREENS = {
    "M&Q": ("hERG_M", "CaV1.2_Q", "NaV1.5_Q", "KCNQ1_Q", "Kv4.3_Q"),
    "Q": ("hERG_Q", "CaV1.2_Q", "NaV1.5_Q", "KCNQ1_Q", "Kv4.3_Q"),
    "B&Q2": ("hERG_B", "CaV1.2_B", "NaV1.5_Q2", "KCNQ1_Q2"),
}
FIRST = "M&Q"
LEVEL = 0.9
# (drug, concentration [nM], APD90 [ms]) in the paper's results for the first screen.
PUBLISHED = (
    ("Dofetilide", 10.0, 381.885),
    ("Doripenem", 1000.0, 243.913),
    ("Duloxetine", 1000.0, 300.269),
)
PUBLISHED_CONTROL = 268.93
RESAMPLES = 10_000


class Trials(NamedTuple):
    """Drugs of one screen: names, free peaks [nM], ΔQTc [ms], IC50s [nM] by channel."""

    names: list[str]
    peaks: np.ndarray
    delta_qtc: np.ndarray
    ic50: list[dict[str, float]]

    def blocked(self) -> np.ndarray:
        """The share of each channel that is blocked at the peak, (drugs, channels)."""
        rows = zip(self.peaks, self.ic50, strict=True)
        return np.array(
            [[c / (c + one.get(channel, np.inf)) for channel in CURRENTS] for c, one in rows]
        )


def run(quick: bool, report: Report) -> None:
    """The orbits of all screens in one batch, as most of the time is compilation."""
    screens = {name: trials(name) for name in SCREENS if not quick or name == FIRST}
    first = screens[FIRST]
    doses = [
        (first.ic50[first.names.index(name)], concentration) for name, concentration, _ in PUBLISHED
    ]
    for drugs in screens.values():
        doses += zip(drugs.ic50, drugs.peaks, strict=True)
    delta = prolongation(OHaraRudy2011(), doses)
    against_published(report, delta[: len(PUBLISHED)])
    start = len(PUBLISHED)
    for name, drugs in screens.items():
        predictors(report, name, drugs, delta[start : start + len(drugs.names)])
        start += len(drugs.names)
    if not quick:
        delta = prolongation(ToRORd(), list(zip(first.ic50, first.peaks, strict=True)))
        tell(report, f"{FIRST}, ΔAPD90 of ToR-ORd", leave_one_out(delta, first.delta_qtc), first)


def trials(screen: str) -> Trials:
    """The drugs that a screen measured."""
    with shared_path(CLINICAL).open(newline="") as file:
        clinical = {row["drug"]: row for row in csv.DictReader(file)}
    with BLOCKS.open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(line for line in file if not line.startswith("#")))
    columns = SCREENS[screen]
    rows = [row for row in table if all(row[column] for column in columns)]
    names = [row["drug"] for row in rows]
    return Trials(
        names,
        np.array([float(clinical[name]["free_Cmax_nM"]) for name in names]),
        np.array([float(clinical[name]["TQT_deltaQTc_ms"]) for name in names]),
        [
            {
                column.split("_")[0]: 1000 * float(row[column])
                for column in columns
                if row[column] != "none"
            }
            for row in rows
        ],
    )


def prolongation(cell: AbstractCell, doses: list[tuple[dict[str, float], float]]) -> np.ndarray:
    """ΔAPD90 [ms] at each dose, IC50s by channel and a concentration [nM], in one batch."""
    cells = [cell]
    for ic50, concentration in doses:
        block = Block({CURRENTS[channel]: value for channel, value in ic50.items()})
        cells.append(with_drug(cell, Drug("one of a screen", block), float(concentration)))
    durations = np.asarray(apd90(jax.tree.map(lambda *leaves: jnp.stack(leaves), *cells)))
    return durations[1:] - durations[0]


@eqx.filter_jit
def apd90(cells: Any) -> Any:
    """APD90 [ms] of the orbit at 1 Hz, which is the default, of each cell of a batch."""
    return eqx.filter_vmap(lambda cell: biomarkers(periodic(cell, rtol=1e-7))["apd90"])(cells)


def against_published(report: Report, delta: np.ndarray) -> None:
    """ΔAPD90 beside that of the paper's simulations, at concentrations of its results."""
    for (name, concentration, duration), found in zip(PUBLISHED, delta, strict=True):
        report.relative(
            f"ΔAPD90, {name.lower()} at {concentration:g} nM",
            found,
            duration - PUBLISHED_CONTROL,
            0.05,
            unit="ms",
            source="simulations of Mirams et al. 2014",
        )


def predictors(report: Report, screen: str, drugs: Trials, delta: np.ndarray) -> None:
    """All predictors of one screen, each drug held out in turn."""
    y, blocked = drugs.delta_qtc, drugs.blocked()
    from_cell = leave_one_out(delta, y, level=LEVEL)
    from_herg = leave_one_out(blocked[:, 0], y, level=LEVEL)
    tell(report, f"{screen}, ΔAPD90", from_cell, drugs, judged=screen == FIRST)
    tell(report, f"{screen}, hERG", from_herg, drugs)
    shrunk = leave_one_out(blocked, y, "evidence", LEVEL)
    tell(report, f"{screen}, five channels", shrunk, drugs)
    mean = leave_one_out(np.zeros((len(y), 0)), y, level=LEVEL)
    tell(report, f"{screen}, mean", mean, drugs)
    for title, other in (("hERG", from_herg), ("mean", mean)):
        low, high = resampled(other, from_cell, y)
        report.information(
            f"{screen}, RMSE of {title} less that of ΔAPD90",
            other.rmse(y) - from_cell.rmse(y),
            unit="ms",
            source=f"90 % of resampled drugs: {low:.2f} to {high:.2f}; above 0 the cell wins",
        )
    line = fit_qt(delta, y)
    error = line.sd * float(np.abs(line.root[0, 0]))
    report.information(
        f"{screen}, slope of ΔQTc on ΔAPD90",
        float(line.slopes[0]),
        unit="1",
        source=f"posterior scale {error:.2g}; intercept {line.intercept:.2g} ms, "
        f"rank correlation {spearmanr(delta, y).statistic:.2f}, "
        f"of hERG block {spearmanr(blocked[:, 0], y).statistic:.2f}",
    )


def tell(
    report: Report, title: str, held_out: Interval, drugs: Trials, *, judged: bool = False
) -> None:
    """Error and coverage on held-out drugs."""
    y, n = drugs.delta_qtc, len(drugs.names)
    worst = int(np.argmax(np.abs(held_out.mean - y)))
    report.information(
        f"RMSE, {title}",
        held_out.rmse(y),
        unit="ms",
        source=f"{n} drugs; worst {drugs.names[worst].lower()}: "
        f"{held_out.mean[worst]:.1f} for {y[worst]:.1f}",
    )
    coverage = 100 * float(np.mean(held_out.covers(y)))
    width = float(np.median(held_out.high - held_out.low))
    source = f"90 % intervals, median width {width:.1f} ms"
    name = f"coverage, {title}"
    if judged:
        low, high = (100 * float(k) / n for k in binom.interval(0.99, n, LEVEL))
        report.interval(name, coverage, low, high, reference=100 * LEVEL, unit="%", source=source)
    else:
        report.information(name, coverage, reference=100 * LEVEL, unit="%", source=source)


def resampled(other: Interval, ours: Interval, y: np.ndarray) -> tuple[float, float]:
    """5 and 95 % of the difference of two RMSEs, over resampled drugs."""
    drawn = np.random.default_rng(0).integers(len(y), size=(RESAMPLES, len(y)))
    roots = [np.sqrt(np.mean(((x.mean - y) ** 2)[drawn], axis=1)) for x in (other, ours)]
    low, high = np.quantile(roots[0] - roots[1], (0.05, 0.95))
    return float(low), float(high)


if __name__ == "__main__":
    main(run, name="qt_clinical")
