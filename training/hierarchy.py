"""Empirical Bayes: the prior that a cohort implies, and what it says of one more person."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from training.calibrate import DISCREPANCY, Mode, Problem, around, each_person
from twinjax._names import unknown_name

# A decrement of half the squared step in posterior SDs: the mode is known to 1.4 % of one.
_DECREMENT = 1e-4
# Peaks and valve events leave kinks, at which no decrement vanishes: so many steps in a row that
# gain less than this in log density are an arrival too.
_SLOW, _GAIN = 8, 1e-3
# No parameter moves further in one step, in SDs of the literature's prior.
_REACH = 1.5
# Small chunks are as fast a person as large ones, since a Jacobian is itself a batch.
_CHUNK = 8


class Population(eqx.Module):
    """How persons are spread: z ~ N(centre, covariance), z being standard normal in the literature.

    The covariance is full: that parameters go together is what lets one quantity tell of another.
    """

    centre: Float[Array, " n"]
    covariance: Float[Array, "n n"]

    @staticmethod
    def literature(n: int) -> "Population":
        """The prior of the parameters themselves."""
        return Population(jnp.zeros(n), jnp.eye(n))


def shrink(problem: Problem, population: Population) -> Problem:
    """The same data under the population's prior."""
    return problem.with_prior(population.centre, population.covariance)


@dataclasses.dataclass(frozen=True)
class _Expansion:
    """Persons' data y ≈ predicted + jacobian (z' - z), with their values and SDs, stacked."""

    values: np.ndarray
    sds: np.ndarray
    z: np.ndarray
    predicted: np.ndarray
    jacobian: np.ndarray

    def __getitem__(self, rows: Any) -> "_Expansion":
        fields = (getattr(self, field.name)[rows] for field in dataclasses.fields(self))
        return _Expansion(*fields)

    @property
    def usable(self) -> np.ndarray:
        told = np.isfinite(self.sds)
        return np.all(np.isfinite(self.predicted) | ~told, axis=1) & np.all(
            np.isfinite(self.jacobian) | ~told[..., None], axis=(1, 2)
        )

    def normal(self) -> tuple[np.ndarray, np.ndarray]:
        """JᵀJ (m, n, n) and Jᵀr (m, n) of the scaled data; r = (y - predicted) / s."""
        told = np.isfinite(self.sds)
        j = np.where(told[..., None], self.jacobian, 0.0) / self.sds[..., None]
        r = np.where(told, self.values - self.predicted, 0.0) / self.sds
        return np.einsum("mdi,mdj->mij", j, j), np.einsum("mdi,md->mi", j, r)

    def cost(self, centre: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """Negative log posteriors at z up to a constant, infinite where the model fails."""
        told = np.isfinite(self.sds)
        r = np.where(told, self.predicted - self.values, 0.0) / self.sds
        d = self.z - centre
        total = 0.5 * (np.sum(r**2, axis=1) + np.einsum("mi,mij,mj->m", d, precision, d))
        return np.where(self.usable & np.isfinite(total), total, np.inf)


def _expand(problems: Sequence[Problem], z: np.ndarray) -> _Expansion:
    # `each_person` cuts a smaller chunk, compiled anew, where there are few.
    extra = max(0, _CHUNK - len(problems))
    padded = [*problems, *[problems[-1]] * extra]
    points = [*z, *[z[-1]] * extra]
    seen = each_person(_predicted_and_jacobian, padded, points, chunk=_CHUNK)[: len(problems)]
    data = [_data(problem) for problem in problems]
    return _Expansion(
        np.array([values for values, _ in data]),
        np.array([sds for _, sds in data]),
        np.array(z),
        np.array([predicted for predicted, _ in seen]),
        np.array([jacobian for _, jacobian in seen]),
    )


def _predicted_and_jacobian(problem: Problem, z: Array) -> tuple[Array, Array]:
    mode = around(problem, z)
    return mode.predicted, mode.jacobian


def _data(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    values = [np.asarray(part) for part in (problem.values, *(w.values for w in problem.waves))]
    sds = [np.asarray(part) for part in (problem.sds, *(w.sds for w in problem.waves))]
    return np.concatenate(values), np.concatenate(sds)


def find_modes(
    problems: Sequence[Problem],
    starts: Float[np.ndarray, "m n"] | None = None,
    *,
    max_steps: int = 40,
    progress: Callable[[str], None] = lambda stage: None,
) -> list[Mode]:
    """The most probable parameters of each of many persons, by Levenberg-Marquardt.

    As `Descent` on each, but the loop is outside the compiled program: every call serves those
    who have not arrived, so that nobody waits for the slowest, and the Jacobian at the end is
    that of the Laplace approximation. With prior precision P the step from z is

        (JᵀJ + (1 + λ) P)⁻¹ (Jᵀ(y - y(z)) - P (z - centre)),

    λ growing where a step fails or ascends, and falling to zero where it succeeds.

    **Arguments:** `starts` defaults to the centres of the priors. A person whose simulation fails
    at the start has an infinite cost in the result and is not converged; nobody else is affected.
    """
    centre = np.array([problem.centre for problem in problems])
    roots = np.array([problem.root for problem in problems])
    precision = np.einsum("mki,mkj->mij", roots, roots)
    now = _expand(problems, np.array(centre if starts is None else starts))
    cost = now.cost(centre, precision)
    damping = np.zeros(len(cost))
    slow = np.zeros(len(cost), dtype=int)
    arrived = np.zeros(len(cost), dtype=bool)
    for step in range(max_steps):
        progress(f"step {step + 1}: {np.sum(arrived)} of {len(arrived)} fitted")
        information, force = now.normal()
        force -= np.einsum("mij,mj->mi", precision, now.z - centre)
        hessian = information + precision
        lost = ~np.isfinite(cost)
        hessian[lost], force[lost] = np.eye(len(centre[0])), 0.0
        decrement = 0.5 * np.sum(force * _solve(hessian, force), axis=1)
        arrived = lost | (decrement < _DECREMENT) | (slow >= _SLOW)
        going = np.flatnonzero(~arrived)
        if len(going) == 0:
            break
        damped = hessian[going] + damping[going, None, None] * precision[going]
        move = np.clip(_solve(damped, force[going]), -_REACH, _REACH)
        new = _expand([problems[int(i)] for i in going], now.z[going] + move)
        new_cost = new.cost(centre[going], precision[going])
        better = new_cost < cost[going]
        slow[going] = np.where(new_cost < cost[going] - _GAIN, 0, slow[going] + 1)
        now = _updated(now, going[better], new[better])
        cost[going[better]] = new_cost[better]
        eased = np.where(damping[going] < 0.2, 0.0, damping[going] / 8)
        damping[going] = np.where(better, eased, np.maximum(1.0, 4 * damping[going]))
    information = np.where(np.isfinite(cost)[:, None, None], now.normal()[0], 0.0)
    return [
        Mode(*map(jnp.asarray, fields))
        for fields in zip(
            now.z,
            now.predicted,
            now.jacobian,
            information,
            _inverse(information + precision),
            cost,
            arrived & np.isfinite(cost),
            strict=True,
        )
    ]


def estimate_population(
    problems: Sequence[Problem],
    *,
    modes: Sequence[Mode] | None = None,
    weight: float | None = None,
    rounds: int = 20,
    tolerance: float = 0.03,
    progress: Callable[[str], None] = lambda stage: None,
) -> Population:
    """The spread of the parameters in a cohort, by EM with Laplace approximations.

    E: with the current population as prior, the mode z_i and covariance C_i of each of N persons.
    M: with `weight` ν persons' worth of the literature's N(0, I), and z̄ the mean of the z_i,

        centre m = (N S⁻¹ + ν I)⁻¹ N S⁻¹ z̄,  S the latest covariance,
        covariance = (ν I + Σ (C_i + (z_i - m)(z_i - m)ᵀ)) / (ν + N),

    the mode under m ~ N(0, I / ν) and an inverse-Wishart distribution of the covariance. The pull
    on the centre matters as much as that on the covariance: where the data are silent on a
    direction, a whole cohort together would otherwise drift along it, to absurd values, for a
    slightly better fit.

    Between simulations some EM steps are taken on the model linearised at the latest estimates of
    the modes; then everyone is linearised anew. Where nothing changes any more, plain EM would not
    either.

    **Arguments:** `problems` under the literature's prior; `weight` defaults to the number of
    parameters, enough that a cohort of few persons cannot make the covariance singular;
    `tolerance` is for changes of centre and covariance, in SDs of the literature's prior.

    Persons whose simulation fails contribute nothing. Raises `ValueError` if that is everyone.
    """
    everyone = np.ones((1, len(problems)), dtype=bool)
    return _estimate(problems, everyone, modes, weight, rounds, tolerance, progress)[0]


def populations_without(
    problems: Sequence[Problem],
    groups: Sequence[int] | np.ndarray,
    *,
    modes: Sequence[Mode] | None = None,
    weight: float | None = None,
    rounds: int = 20,
    tolerance: float = 0.03,
    progress: Callable[[str], None] = lambda stage: None,
) -> dict[int, Population]:
    """For each group, the population estimated from the persons of all others.

    As `estimate_population` on each rest, simulated together. `modes` are those under the
    literature's prior, where known: they hang on nobody else's data.
    """
    groups = np.asarray(groups)
    if len(np.unique(groups)) < 2:
        raise ValueError("leaving a group out needs at least two groups")
    labels = [int(g) for g in np.unique(groups)]
    members = np.array([groups != label for label in labels])
    found = _estimate(problems, members, modes, weight, rounds, tolerance, progress)
    return dict(zip(labels, found, strict=True))


def _estimate(
    problems: Sequence[Problem],
    members: np.ndarray,
    modes: Sequence[Mode] | None,
    weight: float | None,
    rounds: int,
    tolerance: float,
    progress: Callable[[str], None],
) -> list[Population]:
    """One population for each row of `members` (folds, persons)."""
    modes = find_modes(problems, progress=progress) if modes is None else modes
    members = members & np.array([bool(np.isfinite(mode.cost)) for mode in modes])
    if not np.all(np.any(members, axis=1)):
        raise ValueError(
            "no simulation succeeds for anyone of whom a population is to be estimated; check the "
            "measurements and their units"
        )
    n = len(modes[0].z)
    weight = float(n) if weight is None else weight
    # One row for each person in each fold: linearised where that fold's population puts them.
    fold, person = np.nonzero(members)
    whose = [problems[int(i)] for i in person]
    data = [_data(problem) for problem in problems]
    at = _Expansion(
        np.array([values for values, _ in data]),
        np.array([sds for _, sds in data]),
        np.array([mode.z for mode in modes]),
        np.array([mode.predicted for mode in modes]),
        np.array([mode.jacobian for mode in modes]),
    )[person]
    folds = len(members)
    centre, covariance = np.zeros((folds, n)), np.tile(np.eye(n), (folds, 1, 1))
    reach, last = np.ones(len(fold)), np.zeros((len(fold), n))
    change = np.full(folds, np.inf)
    for number in range(rounds):
        for f in np.flatnonzero(change >= tolerance):
            mine = fold == f
            estimate = _linear_em(at[mine], reach[mine], centre[f], covariance[f], weight)
            change[f] = _difference((centre[f], covariance[f]), estimate)
            centre[f], covariance[f] = estimate
        progress(f"population, round {number + 1}: change {np.max(change):.3f}")
        if np.all(change < tolerance):
            break
        precision = _inverse(covariance)[fold]
        z, _ = _linear_posterior(at, reach, centre[fold], precision)
        move = z - at.z
        # Who turns back overshot: the model is more curved there than the step is short.
        reach = np.where(np.sum(move * last, axis=1) < 0, reach / 2, np.minimum(1.0, 1.5 * reach))
        going = np.flatnonzero(
            (change[fold] >= tolerance) & (np.max(np.abs(move), axis=1) > tolerance)
        )
        if len(going) == 0:
            break
        new = _expand([whose[i] for i in going], at.z[going] + move[going])
        under = centre[fold[going]], precision[going]
        better = new.cost(*under) <= at[going].cost(*under)
        at = _updated(at, going[better], new[better])
        reach[going[~better]] /= 3
        last[going[better]] = move[going[better]]
    return [Population(jnp.asarray(centre[f]), jnp.asarray(covariance[f])) for f in range(folds)]


def _linear_em(
    at: _Expansion,
    reach: np.ndarray,
    centre: np.ndarray,
    covariance: np.ndarray,
    weight: float,
    iterations: int = 10,
    tolerance: float = 1e-4,
) -> tuple[np.ndarray, np.ndarray]:
    """A few steps of EM, exact where the data are linear in z."""
    count, n = at.z.shape
    for _ in range(iterations):
        precision = _inverse(covariance)
        z, spread = _linear_posterior(at, reach, centre, precision)
        known = count * precision
        new = np.linalg.solve(known + weight * np.eye(n), known @ np.mean(z, axis=0))
        away = z - new
        total = weight * np.eye(n) + np.sum(spread, axis=0) + away.T @ away
        new_covariance = total / (weight + count)
        change = _difference((centre, covariance), (new, new_covariance))
        centre, covariance = new, new_covariance
        if change < tolerance:
            break
    return centre, covariance


def _linear_posterior(
    at: _Expansion, reach: np.ndarray, centre: np.ndarray, precision: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means (m, n) and covariances (m, n, n) of the persons' z, as near as linearity is trusted."""
    information, force = at.normal()
    pull = np.einsum("...ij,...j->...i", precision, centre - at.z)
    spread = _inverse(information + precision)
    move = np.einsum("mij,mj->mi", spread, force + pull)
    limit = _REACH * reach[:, None]
    return at.z + np.clip(move, -limit, limit), spread


def predict_quantity(
    problem: Problem, mode: Mode, name: str, discrepancy: float = DISCREPANCY
) -> tuple[float, float]:
    """Mean and SD of what a quantity truly is, whether or not it was measured.

    The mean is the prediction at the mode; with J its derivative there and C the covariance of
    the Laplace approximation, the variance is J C Jᵀ + (discrepancy · mean)². For what a
    measurement will show, add the square of its SD. Raises `ValueError` for a quantity that is
    not among the problem's names.
    """
    if name not in problem.names:
        raise ValueError(unknown_name("quantity", name, problem.names))
    i = problem.names.index(name)
    mean, slope = float(mode.predicted[i]), np.asarray(mode.jacobian[i])
    return mean, float(np.sqrt(slope @ mode.covariance @ slope + (discrepancy * mean) ** 2))


def _difference(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> float:
    return max(float(np.max(np.abs(a - b))) for a, b in zip(before, after, strict=True))


def _updated(at: _Expansion, rows: np.ndarray, new: _Expansion) -> _Expansion:
    def put(old: np.ndarray, values: np.ndarray) -> np.ndarray:
        result = old.copy()
        result[rows] = values
        return result

    names = [field.name for field in dataclasses.fields(at)]
    return _Expansion(*(put(getattr(at, name), getattr(new, name)) for name in names))


def _solve(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.linalg.solve(matrices, vectors[..., None])[..., 0]


def _inverse(matrices: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(matrices)
    return 0.5 * (inverse + np.swapaxes(inverse, -1, -2))
