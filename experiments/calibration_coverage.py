"""Whether intervals can be trusted: 200 synthetic patients, fitted like real ones.

Spec. Parameters are drawn from the prior, the periodic beat is simulated, each quantity gets an
error of the SD of its usual method together with the model's own discrepancy, and 30 % of the
quantities are withheld. SDs are those at the prior's median patient, so that they carry no
information on the truth. Every patient is then fitted by the sampler that `twinjax fit` uses.

If inference is right, (1) 90 % intervals cover the truth in 90 % of cases, and (2) the rank of
the truth among independent draws is uniform (simulation-based calibration, Talts et al. 2018,
arXiv:1804.06788). Recovery errors are printed for the parameters that the data identify.
"""

import jax
import jax.numpy as jnp
import numpy as np
from rich.progress import track
from scipy.stats import binom, kstest

from experiments._report import Report, main
from training.calibrate import DISCREPANCY, Descent, Mode, Problem, around, each_person
from training.infer import sample_posterior
from twinjax import BeatSimulator, ParameterSpace, parameters_of, population
from twinjax.heart import ClosedLoop
from twinjax.io import DEFAULT_METHODS, find_default

QUANTITIES = (
    "heart_rate",
    "systolic_blood_pressure",
    "diastolic_blood_pressure",
    "cardiac_output",
    "right_atrial_pressure",
    "pulmonary_wedge_pressure",
    "pulmonary_systolic_pressure",
    "pulmonary_diastolic_pressure",
    "right_ventricular_systolic_pressure",
    "lv_end_diastolic_volume",
    "lv_ejection_fraction",
    "rv_end_diastolic_volume",
    "rv_ejection_fraction",
    "left_atrial_maximum_volume",
    "mitral_e_to_a_ratio",
)
MISSING = 0.3
DRAWS = 400
# Rank among this many of the draws; as they are nearly independent after resampling.
RANKS = 99
SOURCE = "synthetic patients from the prior"


def run(quick: bool, report: Report) -> None:
    """Fits the synthetic patients and reports coverage, ranks and recovery."""
    patients = 10 if quick else 200
    model = ClosedLoop()
    names = [name for name, info in parameters_of(model).items() if info.prior is not None]
    simulator = BeatSimulator(model, ParameterSpace(model, names))
    truth, problems = synthetic(simulator, patients, seed=2026)
    modes = each_person(_fit, problems)
    draws, told = np.empty((patients, DRAWS, len(names))), []
    for i in track(range(patients), description="sampling"):
        posterior = sample_posterior(problems[i], modes[i], draws=DRAWS, seed=i)
        draws[i] = posterior.z
        told.append(posterior.diagnostics)
    _coverage(report, draws, truth, names, quick)
    _ranks(report, draws, truth, names)
    _recovery(report, draws, truth, names)
    for key, what, worst in (
        ("rhat", "largest R-hat", np.max),
        ("ess", "smallest effective draws of the chains", np.min),
        ("importance_ess", "smallest effective draws after correction", np.min),
        ("pareto_k", "largest Pareto k of the correction", np.max),
    ):
        report.information(
            what, worst([one[key] for one in told]), unit="1", source=f"{DRAWS} draws each"
        )


def synthetic(
    simulator: BeatSimulator, patients: int, seed: int
) -> tuple[np.ndarray, list[Problem]]:
    """True z (patients, n), and the problem of each patient with gaps and errors."""
    rng = np.random.default_rng(seed)
    n = len(simulator.space)
    z = rng.normal(size=(patients + patients // 10 + 2, n))
    seen = population(simulator, np.asarray(jax.vmap(simulator.space.from_unconstrained)(z)))
    usable = np.flatnonzero(seen.result == 0)[:patients]
    exact = np.stack([seen.scalars[name] for name in QUANTITIES], axis=1)[usable]
    median = simulator(simulator.space.from_unconstrained(jnp.zeros(n))).scalars
    sds = np.array([_sd(name, float(median[name])) for name in QUANTITIES])
    values = exact + sds * rng.normal(size=exact.shape)
    absent = rng.random(exact.shape) < MISSING
    problems = [
        Problem(
            simulator,
            QUANTITIES,
            jnp.where(gone, jnp.nan, y),
            jnp.where(gone, jnp.inf, sds),
            (),
            jnp.zeros(n),
            jnp.eye(n),
        )
        for y, gone in zip(values, absent, strict=True)
    ]
    return z[usable], problems


def _sd(name: str, value: float) -> float:
    measured = find_default(name, DEFAULT_METHODS[name]).sd(value)
    return float(np.hypot(measured, DISCREPANCY * value))


def _fit(problem: Problem) -> Mode:
    end, _, converged = Descent(problem)(problem.centre)
    return around(problem, end, converged)


def _coverage(
    report: Report, draws: np.ndarray, truth: np.ndarray, names: list[str], quick: bool
) -> None:
    low, high = np.quantile(draws, [0.05, 0.95], axis=1)
    inside = (truth >= low) & (truth <= high)
    told = _identified(draws)
    for what, share in (
        ("coverage of 90 % intervals, all parameters", inside),
        ("coverage of 90 % intervals, identified parameters", inside[:, told]),
    ):
        # A quick run has too few patients for 3 %: what chance allows them, parameters of one
        # patient counted as one.
        spread = binom(len(truth), 0.9).interval(0.99) if quick else None
        bounds = (0.87, 0.93) if spread is None else tuple(s / len(truth) for s in spread)
        report.interval(what, np.mean(share), *bounds, reference=0.9, unit="1", source=SOURCE)
    for name, share in zip(names, np.mean(inside, axis=0), strict=True):
        report.information(f"coverage of {name}", share, reference=0.9, unit="1", source=SOURCE)


def _ranks(report: Report, draws: np.ndarray, truth: np.ndarray, names: list[str]) -> None:
    thinned = draws[:, np.linspace(0, draws.shape[1] - 1, RANKS).astype(int)]
    ranks = np.sum(thinned < truth[:, None], axis=1)
    # Ranks are discrete: a uniform number within each makes the test exact.
    level = (ranks + np.random.default_rng(0).random(ranks.shape)) / (RANKS + 1)
    p = [kstest(level[:, i], "uniform").pvalue for i in range(len(names))]
    report.at_least(
        "smallest Kolmogorov-Smirnov p of rank uniformity",
        min(p),
        0.05 / len(names),
        unit="1",
        source=f"{len(names)} parameters, 5 % level with Bonferroni's correction",
    )
    report.at_least(
        "Kolmogorov-Smirnov p of the p values themselves",
        kstest(p, "uniform").pvalue,
        0.01,
        unit="1",
        source="uniform if every rank is",
    )


def _recovery(report: Report, draws: np.ndarray, truth: np.ndarray, names: list[str]) -> None:
    error = np.sqrt(np.mean((np.mean(draws, axis=1) - truth) ** 2, axis=0))
    for i in np.flatnonzero(_identified(draws)):
        report.information(
            f"recovery error of {names[i]}",
            error[i],
            unit="1",
            source="RMSE of the posterior mean in prior SDs",
        )


def _identified(draws: np.ndarray) -> np.ndarray:
    """Parameters whose posterior SD is, on average, less than 0.7 of the prior's."""
    return np.mean(np.std(draws, axis=1), axis=0) < 0.7


if __name__ == "__main__":
    main(run, name="calibration_coverage")
