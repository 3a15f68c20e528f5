"""Training a surrogate: an ensemble by cross-validation, its intervals, baselines, the file."""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.stats import qmc

from surrogates.emulator import Network, SideTable, Surrogate, ensemble, save_surrogate
from surrogates.gaussian_process import GaussianProcess
from surrogates.pod_ridge import PodRidge
from surrogates.registration import ORDER, even_table
from training._network import Settings, train_network
from training._parts import Parts
from training.conformal import LEVEL, quantile, shrinkage
from training.datasets import Dataset, open_dataset, versions
from training.targets import LANDMARK_WEIGHT, Targets, make_targets
from training.twin import fixed_parameters

LATENTS = 100
_POINTS = 512
# What single precision leaves of a number: heart rate, say, is learnt to the last digit.
_FINEST = 1e-5


@dataclasses.dataclass(frozen=True)
class Progress:
    """What training is at: a stage in words, and how much of it is done."""

    stage: str
    done: int
    total: int


def train_surrogate(
    data: str | Path,
    path: str | Path,
    *,
    members: int = 3,
    width: int = 256,
    steps: int = 4000,
    samples: int = 100,
    seed: int = 0,
    baselines: bool = True,
    resume: bool = True,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Surrogate:
    """Trains an emulator on a dataset and writes it to `path`.

    The runs are dealt into `members` folds, and each member learns from all but one of them; its
    residuals on that one give the intervals. After a kill the same call goes on where it was.

    **Arguments:** `samples` of each predicted waveform, a divisor of the dataset's; `baselines`
    are trained on the first member's runs and compared on its fold.

    Raises `ValueError` for a damaged dataset, too few runs, or parts of another training.
    """
    path = Path(path)
    dataset = open_dataset(data)
    stored = dataset.waveforms.shape[2]
    if stored % samples:
        raise ValueError(f"{samples} samples a beat do not divide the dataset's {stored}")
    if members < 2:
        raise ValueError(f"an ensemble needs at least two members, not {members}")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"there is no folder {path.absolute().parent} to write {path.name} in")
    block = min(Settings().block, steps)
    settings = Settings(width=width, steps=math.ceil(steps / block) * block, block=block)
    plan = {
        "dataset": dataset.sha256,
        "members": members,
        "seed": seed,
        "latents": LATENTS,
        **dataclasses.asdict(settings),
    }
    targets = make_targets(dataset, progress=lambda a, b: progress(Progress("registration", a, b)))
    parts = Parts(path, plan, resume=resume)
    coding = _coding(targets)
    latents = coding.encode(targets)
    folds = _folds(len(targets.rows), members, seed)
    networks = []
    for number in range(members):
        learn, test = folds != number, folds == number

        def told(step: int, error: float, number: int = number) -> None:
            stage = f"member {number + 1} of {members}, error {error:.3g}"
            progress(Progress(stage, step, settings.steps))

        networks.append(
            train_network(
                targets.x[learn],
                latents.y[learn],
                None if latents.slopes is None else latents.slopes[learn],
                (targets.x[test], latents.y[test]),
                settings,
                seed=1000 * seed + number,
                parts=parts,
                number=number,
                on_block=told,
            )
        )
    progress(Progress("intervals", 0, 1))
    plain = _surrogate(dataset, targets, coding, networks, samples)
    surrogate, card = _calibrated(plain, dataset, targets, folds, seed)
    if baselines:
        progress(Progress("baselines", 0, 1))
        card["baselines"] = compare_baselines(dataset, targets, folds, samples)
    card |= {
        "case": dataset.case.text,
        "dataset_sha256": dataset.sha256,
        "box": [[float(low), float(high)] for low, high in dataset.case.box],
        "fixed": fixed_parameters(dataset.case.model, dataset.case.space),
        "defaults": [float(v) for v in dataset.case.space.read(dataset.case.model)],
        "versions": versions(),
        "training": {**plan, "slopes": dataset.has_sensitivities},
        "runs": {
            "usable": len(targets.rows),
            "failed": len(dataset.theta) - len(targets.rows),
            "reasons": dataset.failures,
        },
    }
    surrogate = dataclasses.replace(surrogate, card_text=json.dumps(card))
    save_surrogate(surrogate, path)
    parts.remove()
    return surrogate


def _folds(runs: int, members: int, seed: int) -> np.ndarray:
    """Which member holds out each run; every stretch of the design is dealt to all of them."""
    shuffled = np.random.default_rng(seed).permutation(runs)
    folds = np.empty(runs, dtype=int)
    folds[shuffled] = np.arange(runs) % members
    return folds


@dataclasses.dataclass(frozen=True)
class _Latents:
    y: Float[np.ndarray, "m latents"]
    slopes: Float[np.ndarray, "m n latents"] | None


@dataclasses.dataclass(frozen=True)
class _Coding:
    """parts = constant + linear x + latents axes: what is linear is not left to the networks."""

    constant: Float[np.ndarray, " parts"]
    linear: Float[np.ndarray, "n parts"]
    axes: Float[np.ndarray, "latents parts"]
    scale: float

    def encode(self, targets: Targets) -> _Latents:
        y = (targets.y - self.constant - targets.x @ self.linear) @ self.axes.T / self.scale
        if targets.slopes is None:
            return _Latents(y, None)
        slopes = targets.slopes.transpose(0, 2, 1) - self.linear
        return _Latents(y, slopes @ self.axes.T / self.scale)

    @property
    def matrix(self) -> Float[np.ndarray, "parts_in parts"]:
        return np.concatenate([self.constant[None], self.linear, self.axes * self.scale])


def _coding(targets: Targets) -> _Coding:
    """Least squares for the linear part, principal axes of what is left."""
    m, n = targets.x.shape
    design = np.concatenate([np.ones((m, 1)), targets.x], axis=1)
    known = targets.y
    if targets.slopes is not None:
        of_slopes = np.tile(np.concatenate([np.zeros((n, 1)), np.eye(n)], axis=1), (m, 1))
        design = np.concatenate([design, of_slopes])
        known = np.concatenate([known, targets.slopes.transpose(0, 2, 1).reshape(m * n, -1)])
    gram = design.T @ design + 1e-6 * m * np.eye(n + 1)
    solution = np.linalg.solve(gram, design.T @ known)
    rest = known - design @ solution
    # Slopes count less: they are larger than the values by about the dimension of the box.
    rest[m:] *= 0.3
    _, axes = np.linalg.eigh(rest.T @ rest)
    axes = axes[:, ::-1][:, : min(LATENTS, len(rest), axes.shape[1])].T
    scale = np.sqrt(np.mean((rest[:m] @ axes.T) ** 2, axis=0).max())
    return _Coding(solution[0], solution[1:], axes, float(scale))


def _surrogate(
    dataset: Dataset, targets: Targets, coding: _Coding, networks: Sequence[Network], samples: int
) -> Surrogate:
    sides = [
        SideTable(
            b.fixed,
            jnp.asarray(even_table(*(np.asarray(a) for a in (b.reference, b.nodes, b.table)))),
        )
        for b in targets.bases
    ]
    members = ensemble(networks)
    return Surrogate(
        space=dataset.case.space,
        samples=samples,
        logarithmic=jnp.asarray(targets.box.logarithmic),
        centre=jnp.asarray(targets.box.centre),
        half=jnp.asarray(targets.box.half),
        members=members,
        decode=jnp.asarray(coding.matrix),
        left=sides[0],
        right=sides[1],
        landmark_weight=LANDMARK_WEIGHT,
        log_scalars=jnp.asarray(targets.log_scalars),
        scalar_scale=jnp.asarray(targets.scalar_scale),
        wave_band=jnp.zeros((len(ORDER), samples)),
        scalar_band=jnp.zeros(len(targets.log_scalars)),
        card_text="{}",
    )


def true_outputs(
    dataset: Dataset, rows: np.ndarray, samples: int
) -> tuple[Float[np.ndarray, "m 20 samples"], Float[np.ndarray, "m scalars"]]:
    """Waveforms in the order of a surrogate, at its samples, and scalars."""
    index = [dataset.waveform_names.index(name) for name in ORDER]
    step = dataset.waveforms.shape[2] // samples
    return dataset.waveforms[rows][:, index, ::step], dataset.scalars[rows]


def _calibrated(
    plain: Surrogate, dataset: Dataset, targets: Targets, folds: np.ndarray, seed: int
) -> tuple[Surrogate, dict[str, Any]]:
    """The surrogate with bands, and what the card says of its accuracy."""
    waves, scalars = true_outputs(dataset, targets.rows, plain.samples)

    @eqx.filter_jit
    def run(x: Any) -> Any:
        def one(x: Any) -> Any:
            parts = plain.parts(x)
            return jax.vmap(plain.assemble)(parts), plain.assemble(parts.mean(0))

        return jax.vmap(one)(x)

    (each, amplitude, each_scalars), _ = jax.tree.map(np.asarray, run(jnp.asarray(targets.x)))
    unseen = np.arange(len(folds)), folds
    size = np.where(targets.log_scalars, np.abs(scalars), targets.scalar_scale)
    wave_residual = (waves - each[unseen]) / amplitude[unseen][:, :, None]
    error = np.linalg.norm(waves - each[unseen], axis=2) / np.linalg.norm(waves, axis=2)
    scalar_residual = (scalars - each_scalars[unseen]) / size
    u = qmc.Sobol(targets.x.shape[1], seed=seed).random(_POINTS)
    (each, amplitude, each_scalars), (mean, mean_amplitude, mean_scalars) = jax.tree.map(
        np.asarray, run(jnp.asarray(_at_random(targets.x, u)))
    )
    wave_spread = (each - mean[:, None]) / mean_amplitude[:, None, :, None]
    mean_size = np.where(targets.log_scalars, np.abs(mean_scalars), targets.scalar_scale)
    scalar_spread = (each_scalars - mean_scalars[:, None]) / mean_size[:, None]
    wave_shrink = shrinkage(_rms(wave_residual, 2), _rms(wave_spread, (1, 3)))
    scalar_shrink = shrinkage(np.abs(scalar_residual), _rms(scalar_spread, 1))
    surrogate = dataclasses.replace(
        plain,
        wave_band=jnp.asarray(quantile(wave_residual) * wave_shrink),
        scalar_band=jnp.asarray(np.maximum(quantile(scalar_residual) * scalar_shrink, _FINEST)),
    )
    card = {
        "level": LEVEL,
        "errors": {
            "what": "relative L2 error over a beat of one member on the runs it has not seen",
            "waveforms": {
                name: {"mean": float(e.mean()), "p95": float(np.percentile(e, 95))}
                for name, e in zip(ORDER, error.T, strict=True)
            },
            "scalars": {
                name: {"mean": float(e)}
                for name, e in zip(
                    dataset.scalar_names, np.abs(scalar_residual).mean(0), strict=True
                )
            },
            "ensemble_over_member": {"waveforms": wave_shrink, "scalars": scalar_shrink},
        },
    }
    return surrogate, card


def _at_random(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Points with the margins of the runs, in new combinations."""
    order = np.sort(x, axis=0)
    at = u * (len(x) - 1)
    ranks = np.arange(len(x))
    columns = [np.interp(a, ranks, values) for a, values in zip(at.T, order.T, strict=True)]
    return np.stack(columns, axis=1)


def _rms(a: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    return np.sqrt(np.mean(a**2, axis=axis))


def compare_baselines(
    dataset: Dataset, targets: Targets, folds: np.ndarray, samples: int
) -> dict[str, dict[str, float]]:
    """Mean relative L2 error of each waveform on the first fold, of models fitted to the rest.

    The baselines know no sensitivities and no registration: they are what is usual.
    """
    waves, _ = true_outputs(dataset, targets.rows, samples)
    learn, test = folds != 0, folds == 0
    errors = {}
    for name, kind in (("POD and ridge", PodRidge), ("POD and Gaussian process", GaussianProcess)):
        model = kind.fit(targets.x[learn], waves[learn])
        miss = np.linalg.norm(model(targets.x[test]) - waves[test], axis=2)
        mean = (miss / np.linalg.norm(waves[test], axis=2)).mean(0)
        errors[name] = {wave: float(e) for wave, e in zip(ORDER, mean, strict=True)}
    return errors
