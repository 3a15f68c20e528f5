"""Calibration: from measurements to the most probable parameters, and what the data can tell."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Float

from training._waves import Wave, align
from twinjax import RESULTS, AbstractSimulator, population
from twinjax.io import Measurements

# A lumped model is not the person: beside the error of measurement, each quantity is allowed an
# independent error of this fraction of its value. An assumption, recorded in every twin.
DISCREPANCY = 0.03


class Problem(eqx.Module):
    """A person's measurements beside a simulator: a least-squares problem in standard normal z.

    With prior z ~ N(centre, (RᵀR)⁻¹) and data y with SDs s, the negative log posterior is, up to
    a constant, half the sum of the squares of

        (y - y(z)) / s    and    R (z - centre).

    A quantity that was not measured has an infinite SD, so that persons with different gaps have
    problems of one shape.
    """

    simulator: AbstractSimulator
    names: tuple[str, ...] = eqx.field(static=True)
    values: Float[Array, " q"]
    sds: Float[Array, " q"]
    waves: tuple[Wave, ...]
    centre: Float[Array, " n"]
    root: Float[Array, "n n"]

    def theta(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        """Physical parameters."""
        return self.simulator.space.from_unconstrained(z)

    def predict(self, z: Float[Array, " n"]) -> tuple[Float[Array, " d"], Any]:
        """What would be measured without error, and the observations; NaN where the model fails.

        Waveforms follow the scalars, shifted in time to where they meet their measurement best.
        """
        seen = self.simulator(self.theta(z))
        scalars = [seen.scalars[name] for name in self.names]
        waves = [align(seen.waveforms[wave.name], wave) for wave in self.waves]
        predicted = jnp.concatenate([jnp.array(scalars), *waves])
        return jnp.where(seen.result == RESULTS.successful, predicted, jnp.nan), seen

    @property
    def data(self) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        """Values and SDs, waveforms after the scalars."""
        return (
            jnp.concatenate([self.values, *(wave.values for wave in self.waves)]),
            jnp.concatenate([self.sds, *(wave.sds for wave in self.waves)]),
        )

    def misfits(self, predicted: Float[Array, " d"]) -> Float[Array, " d"]:
        """(y(z) - y) / s; zero where nothing was measured."""
        values, sds = self.data
        measured = jnp.isfinite(sds)
        return jnp.where(measured, (predicted - jnp.where(measured, values, 0.0)) / sds, 0.0)

    def residuals(self, z: Float[Array, " n"]) -> Float[Array, " r"]:
        """Of the data, then of the prior."""
        predicted, _ = self.predict(z)
        return jnp.concatenate([self.misfits(predicted), self.root @ (z - self.centre)])

    def log_density(self, z: Float[Array, " n"]) -> Float[Array, ""]:
        """Log posterior up to a constant; -inf where the model fails."""
        value = -0.5 * jnp.sum(self.residuals(z) ** 2)
        return jnp.where(jnp.isfinite(value), value, -jnp.inf)

    def with_prior(self, centre: Array, covariance: Array) -> "Problem":
        """The same data under the prior N(centre, covariance) of z."""
        root = jnp.linalg.inv(jnp.linalg.cholesky(jnp.asarray(covariance)))
        return eqx.tree_at(lambda p: (p.centre, p.root), self, (jnp.asarray(centre), root))


def problem_of(
    simulator: AbstractSimulator,
    measurements: Measurements,
    *,
    names: Sequence[str] | None = None,
    discrepancy: float = DISCREPANCY,
) -> Problem:
    """The problem of one person, under the literature's prior (z standard normal).

    **Arguments:** `names` of the scalars, in order (default: those measured); `discrepancy`, the
    model's own relative error, is added to each SD in quadrature. Derived measurements are
    compared with the fit, not fitted. Raises `ValueError` if nothing is left to fit.
    """
    fitted = measurements.fitted
    names = tuple(fitted) if names is None else tuple(names)
    if not any(name in fitted for name in names) and not measurements.waveforms:
        raise ValueError("there is no measurement to fit: give at least one value, with its unit")
    values = np.array([fitted[n].value if n in fitted else np.nan for n in names], dtype=float)
    sds = np.array([fitted[n].sd if n in fitted else np.inf for n in names], dtype=float)
    total = np.where(np.isfinite(sds), np.hypot(sds, discrepancy * np.abs(values)), np.inf)
    samples = getattr(simulator, "samples", 100)
    waves = tuple(Wave.of(measured, samples, discrepancy) for measured in measurements.waveforms)
    n = len(simulator.space)
    return Problem(
        simulator,
        names,
        jnp.asarray(values),
        jnp.asarray(total),
        waves,
        jnp.zeros(n),
        jnp.eye(n),
    )


class Mode(eqx.Module):
    """The most probable parameters, with the normal approximation around them.

    `information` is JᵀJ of the scaled data alone, in z; `covariance` that of the Laplace
    approximation, (JᵀJ + RᵀR)⁻¹; `jacobian` d predicted / dz, shape (d, n).
    """

    z: Float[Array, " n"]
    predicted: Float[Array, " d"]
    jacobian: Float[Array, "d n"]
    information: Float[Array, "n n"]
    covariance: Float[Array, "n n"]
    cost: Float[Array, ""]
    converged: Array


class Descent(eqx.Module):
    """Levenberg-Marquardt on one problem: `start -> (end, cost, converged)`.

    Jacobians are exact, by forward mode through the periodic beat. A step into a region where
    the model fails is rejected; a start in such a region ends with an infinite cost.
    """

    problem: Problem
    max_steps: int = eqx.field(static=True, default=40)

    def __call__(self, start: Float[Array, " n"]) -> tuple[Array, Array, Array]:
        def residuals(z: Array, _: Any) -> tuple[Array, Array]:
            r = self.problem.residuals(z)
            return r, 0.5 * jnp.sum(r**2)

        solution: Any = optx.least_squares(
            residuals,
            optx.LevenbergMarquardt(rtol=1e-4, atol=1e-4),
            start,
            has_aux=True,
            options={"jac": "fwd"},
            max_steps=self.max_steps,
            throw=False,
        )
        cost = jnp.where(jnp.isfinite(solution.aux), solution.aux, jnp.inf)
        return solution.value, cost, jnp.asarray(solution.result == optx.RESULTS.successful)


def find_mode(problem: Problem, starts: Float[Array, "starts n"]) -> Mode:
    """The best end of `Descent` from several starts. Raises `ValueError` where all of them fail."""
    ends, costs, converged = population(Descent(problem), starts)
    best = int(np.argmin(costs))
    if not np.isfinite(costs[best]):
        raise ValueError(
            "the model fails at every starting point of the fit; check the measurements and their "
            "units, or fix fewer parameters"
        )
    return jax.tree.map(np.asarray, eqx.filter_jit(around)(problem, ends[best], converged[best]))


def around(problem: Problem, z: Array, converged: Array | bool = True) -> Mode:
    """The normal approximation at z."""

    def twice(z: Array) -> tuple[Array, Array]:
        predicted, _ = problem.predict(z)
        return predicted, predicted

    z = jnp.asarray(z)
    jacobian, predicted = jax.jacfwd(twice, has_aux=True)(z)
    _, sds = problem.data
    scaled = jacobian / sds[:, None]
    information = scaled.T @ scaled
    covariance = jnp.linalg.inv(information + problem.root.T @ problem.root)
    residual = jnp.concatenate([problem.misfits(predicted), problem.root @ (z - problem.centre)])
    return Mode(
        z,
        predicted,
        jacobian,
        information,
        covariance,
        0.5 * jnp.sum(residual**2),
        jnp.asarray(converged),
    )


def starting_points(key: Array, n: int, count: int) -> Float[Array, "count n"]:
    """The centre of the prior, then draws nearer to it than the prior's."""
    return jnp.concatenate([jnp.zeros((1, n)), 0.7 * jax.random.normal(key, (count - 1, n))])


@dataclasses.dataclass(frozen=True)
class Direction:
    """A combination of parameters and what the data say of it.

    `shrinkage` is the posterior over the prior SD along it (1: the data are silent); `weights`
    are those of the largest contributions, by parameter.
    """

    shrinkage: float
    weights: dict[str, float]

    @property
    def fixed(self) -> bool:
        """Whether the data halve the prior's SD."""
        return self.shrinkage < 0.5


def identifiability(
    problem: Problem, mode: Mode, names: Sequence[str], largest: int = 4
) -> list[Direction]:
    """The spectrum of the Fisher information, best-known combinations first.

    In coordinates in which the prior is standard normal, an eigenvalue λ of the information
    leaves a posterior SD of 1 / √(1 + λ) of the prior's. With logarithmic priors a combination
    is a product of powers of parameters.
    """
    inverse = np.linalg.inv(np.asarray(problem.root))
    information = inverse.T @ np.asarray(mode.information) @ inverse
    eigenvalues, vectors = np.linalg.eigh(information)
    directions = []
    for i in np.argsort(eigenvalues)[::-1]:
        v = vectors[:, i] * np.sign(vectors[np.argmax(np.abs(vectors[:, i])), i])
        top = np.argsort(np.abs(v))[::-1][:largest]
        weights = {names[j]: float(v[j]) for j in top if abs(v[j]) > 0.2}
        directions.append(Direction(float(1 / np.sqrt(1 + max(eigenvalues[i], 0.0))), weights))
    return directions


def each_person(
    run: Callable[..., Any], problems: Sequence[Problem], *inputs: Sequence[Any], chunk: int = 28
) -> list[Any]:
    """`run` on every problem of one shape: vectorised in chunks.

    **Arguments:** `run(problem, *inputs)` is best a function of a module: one that is defined
    anew at each call is compiled anew. Each of `inputs` has an entry a problem, an array or a
    pytree of arrays of one shape. One `chunk` needs one compiled program, however many problems
    there are, if not fewer than that.
    """
    people = list(zip(problems, *inputs, strict=True))
    if not people:
        raise ValueError("there is no problem to run: give at least one")
    varies = jax.tree.map(eqx.is_array, people[0])
    if _alike([person[0].simulator for person in people]):
        # What all share stays unvectorised.
        fixed = jax.tree.map(lambda _: False, people[0][0].simulator)
        varies = eqx.tree_at(lambda v: v[0].simulator, varies, fixed)
    mask = tuple(jax.tree.leaves(varies))
    rows = [
        np.concatenate([np.ravel(x) for x, own in zip(leaves, mask, strict=True) if own])
        for leaves in map(jax.tree.leaves, people)
    ]
    results = population(_OfRow(run, people[0], mask), np.stack(rows), chunk=chunk)
    return [jax.tree.map(lambda leaf, i=i: leaf[i], results) for i in range(len(people))]


class _OfRow(eqx.Module):
    """`run` on the person whose own numbers are `row`; the others are those of `template`."""

    run: Callable[..., Any]
    template: tuple[Any, ...]
    varies: tuple[bool, ...] = eqx.field(static=True)

    def __call__(self, row: Float[Array, " k"]) -> Any:
        leaves, structure = jax.tree.flatten(self.template)
        own = [leaf for leaf, varies in zip(leaves, self.varies, strict=True) if varies]
        parts = iter(jnp.split(row, np.cumsum([leaf.size for leaf in own])[:-1]))
        leaves = [
            next(parts).reshape(leaf.shape).astype(leaf.dtype) if varies else leaf
            for leaf, varies in zip(leaves, self.varies, strict=True)
        ]
        return self.run(*jax.tree.unflatten(structure, leaves))


def _alike(simulators: Sequence[AbstractSimulator]) -> bool:
    first = simulators[0]
    return all(one is first or bool(eqx.tree_equal(one, first)) for one in simulators)
