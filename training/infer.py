"""The posterior of a person's parameters: chains on an emulator, corrected by the solver."""

import dataclasses
from collections.abc import Callable
from typing import Any

import blackjax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.diagnostics import effective_sample_size, potential_scale_reduction
from jaxtyping import Array, Float
from scipy.stats import genpareto, norm, qmc

from training._emulate import LocalEmulator, feature_count, fit_emulator
from training.calibrate import Mode, Problem
from twinjax import RESULTS, population

Sampler = str
SAMPLERS: tuple[Sampler, ...] = ("emulator", "solver", "laplace")
# The design reaches beyond the Laplace approximation: tails are interpolated, not extrapolated.
_REACH = 1.25
# Beyond this many SDs of the approximation in one direction the design has no points, and a
# quadratic that bends back there can feign a second mode: chains are kept from it.
_TRUSTED, _FENCE = 4.0, 2.0
# Compiled, as a batch of posteriors asks for them once each.
_rhat, _ess = jax.jit(potential_scale_reduction), jax.jit(effective_sample_size)


@dataclasses.dataclass(frozen=True)
class Posterior:
    """Draws of the posterior, equally weighted, with what the solver says of each.

    `z` has shape (draws, n); `observations` those of the simulator at the draws. `diagnostics`:
    `rhat` and `ess` of the chains (worst parameter), `divergences`; for the emulator also
    `importance_ess` (effective number of corrected draws), `pareto_k` (above 0.7 the correction
    cannot be trusted) and `emulator_error` (its largest error in SDs of the data).
    """

    sampler: Sampler
    z: np.ndarray
    observations: Any
    diagnostics: dict[str, float]
    warnings: tuple[str, ...]


def sample_posterior(
    problem: Problem,
    mode: Mode,
    *,
    sampler: Sampler = "emulator",
    draws: int = 400,
    chains: int = 4,
    warm_up: int = 300,
    seed: int = 0,
    progress: Callable[[str], None] = lambda stage: None,
) -> Posterior:
    """Draws from the posterior of one person.

    - `emulator` (default): a quadratic emulator of the predicted data around the mode; NUTS on
      it, with the emulator's variance added to the data's; then every kept draw is simulated and
      weighted by exact over emulated density (Ionides 2008 truncation), and resampled.
    - `solver`: NUTS with the solver's own gradients, no approximation; minutes.
    - `laplace`: draws of the normal approximation at the mode, uncorrected. Fast; label it.

    **Arguments:** `draws` in all, spread over `chains`. Raises `ValueError` for an unknown
    sampler.
    """
    check_sampler(sampler)
    key = jax.random.key(seed)
    centre, scale = np.asarray(mode.z), np.linalg.cholesky(np.asarray(mode.covariance))
    if sampler == "laplace":
        z = centre + np.asarray(jax.random.normal(key, (draws, len(centre)))) @ scale.T
        return Posterior(sampler, z, _observe(problem, z)[1], {}, ("normal approximation",))
    if sampler == "solver":
        target: Any = _SolverDensity(problem, jnp.asarray(centre), jnp.asarray(scale))
    else:
        progress("emulator")
        target = _EmulatedDensity(problem, _design(problem, centre, scale, seed))
    progress("chains")
    per_chain = -(-draws // chains)
    thinning = 4 if sampler == "emulator" else 1
    starts = jax.random.normal(jax.random.key(seed + 1), (chains, len(centre)))
    path, divergent = nuts(target, key, starts, warm_up, thinning * per_chain)
    diagnostics = diagnose(np.asarray(path), np.asarray(divergent))
    w = np.asarray(path)[:, ::thinning].reshape(-1, len(centre))[:draws]
    z = centre + w @ scale.T
    progress("predictions")
    density, observations = _observe(problem, z)
    if sampler == "emulator":
        emulated = np.asarray(jax.vmap(target)(jnp.asarray(w)))
        weights, pareto_k = importance(density - emulated)
        kept = _resample(weights, np.random.default_rng(seed), draws)
        z = z[kept]
        observations = jax.tree.map(lambda leaf: leaf[kept], observations)
        _, sds = problem.data
        error = np.max(np.sqrt(np.asarray(target.emulator.variance)) / np.asarray(sds))
        diagnostics |= {
            "importance_ess": float(1 / np.sum(weights**2)),
            "pareto_k": pareto_k,
            "emulator_error": float(error),
        }
    return Posterior(sampler, z, observations, diagnostics, warnings_of(diagnostics))


def check_sampler(name: str) -> None:
    """Raises `ValueError` for an unknown sampler."""
    if name not in SAMPLERS:
        raise ValueError(f"unknown sampler '{name}'; valid choices: {', '.join(SAMPLERS)}")


class _SolverDensity(eqx.Module):
    problem: Problem
    centre: Array
    scale: Array

    def __call__(self, w: Array) -> Array:
        return self.problem.log_density(self.centre + self.scale @ w)


class _EmulatedDensity(eqx.Module):
    problem: Problem
    emulator: LocalEmulator

    def __call__(self, w: Array) -> Array:
        values, sds = self.problem.data
        measured = jnp.isfinite(sds)
        total = jnp.where(measured, sds**2, 1.0) + self.emulator.variance
        misfit = jnp.where(measured, self.emulator(w) - jnp.where(measured, values, 0.0), 0.0)
        prior = self.problem.root @ (self.emulator.z(w) - self.problem.centre)
        beyond = _FENCE * jnp.maximum(jnp.abs(w) - _TRUSTED, 0.0)
        return -0.5 * (jnp.sum(misfit**2 / total) + jnp.sum(prior**2) + jnp.sum(beyond**2))


def _design(problem: Problem, centre: np.ndarray, scale: np.ndarray, seed: int) -> LocalEmulator:
    n = len(centre)
    runs = int(2 ** np.ceil(np.log2(2.2 * feature_count(n))))
    levels = qmc.Sobol(n, seed=seed).random(runs)
    w = _REACH * norm.ppf(np.clip(levels, 1e-6, 1 - 1e-6))
    predicted, _ = _evaluate(problem, centre + w @ scale.T)
    return fit_emulator(centre, scale, w, predicted)


class _Evaluation(eqx.Module):
    problem: Problem

    def __call__(self, z: Array) -> tuple[Array, Any]:
        return self.problem.predict(z)


def _evaluate(problem: Problem, z: np.ndarray) -> tuple[np.ndarray, Any]:
    return population(_Evaluation(problem), z, chunk=128)


def _observe(problem: Problem, z: np.ndarray) -> tuple[np.ndarray, Any]:
    """Log densities and observations at z (m, n)."""
    predicted, observations = _evaluate(problem, z)
    misfit = np.asarray(jax.vmap(problem.misfits)(predicted))
    prior = (z - np.asarray(problem.centre)) @ np.asarray(problem.root).T
    density = -0.5 * (np.sum(misfit**2, axis=1) + np.sum(prior**2, axis=1))
    failed = (observations.result != RESULTS.successful) | ~np.isfinite(density)
    return np.where(failed, -np.inf, density), observations


@eqx.filter_jit
def nuts(
    target: Callable[[Array], Array],
    key: Array,
    starts: Float[Array, "chains n"],
    warm_up: int,
    draws: int,
) -> tuple[Float[Array, "chains draws n"], Any]:
    """NUTS (Hoffman and Gelman 2014) with window adaptation, chains side by side.

    The scale of the target's coordinates should be about 1, as after whitening by the Laplace
    approximation. Returns the path of every chain after the warm-up, and where it diverged.
    """

    def one(key: Array, start: Array) -> tuple[Array, Array]:
        warm_key, run_key = jax.random.split(key)
        warm = blackjax.window_adaptation(blackjax.nuts, target, is_mass_matrix_diagonal=True)
        (state, parameters), _ = warm.run(warm_key, start, num_steps=warm_up)
        kernel = blackjax.nuts(target, **parameters)

        def step(state: Any, key: Array) -> tuple[Any, tuple[Array, Array]]:
            state, info = kernel.step(key, state)
            return state, (state.position, info.is_divergent)

        return jax.lax.scan(step, state, jax.random.split(run_key, draws))[1]

    return jax.vmap(one)(jax.random.split(key, len(starts)), starts)


def diagnose(w: Float[np.ndarray, "chains draws n"], divergent: np.ndarray) -> dict[str, float]:
    """R-hat and effective sample size of the worst coordinate, and the number of divergences."""
    return {
        "rhat": float(np.max(_rhat(w))),
        "ess": float(np.min(_ess(w))),
        "divergences": float(np.sum(divergent)),
    }


def importance(log_ratios: np.ndarray) -> tuple[np.ndarray, float]:
    """Normalised weights, truncated at √m times their mean (Ionides 2008), and the Pareto k.

    k is the shape of a generalised Pareto distribution of the largest fifth of the weights
    (Vehtari et al. 2024): below 0.7 the correction is reliable; 0 if all weights are equal.
    """
    ratios = np.exp(log_ratios - np.max(log_ratios))
    tail = np.sort(ratios)[-max(10, len(ratios) // 5) :]
    excess = tail[1:] - tail[0]
    spread = np.ptp(excess) > 1e-12
    pareto_k = float(genpareto.fit(excess, floc=0)[0]) if spread else 0.0
    truncated = np.minimum(ratios, np.sqrt(len(ratios)) * np.mean(ratios))
    return truncated / np.sum(truncated), pareto_k


def _resample(weights: np.ndarray, rng: np.random.Generator, draws: int) -> np.ndarray:
    """Systematic resampling: indices of equally weighted draws."""
    points = (rng.random() + np.arange(draws)) / draws
    return np.minimum(np.searchsorted(np.cumsum(weights), points), len(weights) - 1)


def warnings_of(diagnostics: dict[str, float]) -> tuple[str, ...]:
    """A sentence for each diagnostic that says that the draws are not to be trusted."""
    found = []
    if diagnostics["rhat"] > 1.02:
        found.append(f"R-hat is {diagnostics['rhat']:.3f}: the chains have not mixed; draw more")
    if diagnostics["ess"] < 200:
        found.append(f"only {diagnostics['ess']:.0f} effective draws of the chains; draw more")
    if diagnostics["divergences"] > 0:
        found.append(f"{diagnostics['divergences']:.0f} transitions diverged")
    if diagnostics.get("pareto_k", 0.0) > 0.7:
        found.append(
            f"the importance correction is unreliable (Pareto k {diagnostics['pareto_k']:.2f}); "
            "use the sampler 'solver'"
        )
    return tuple(found)
