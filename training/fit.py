"""`fit`: measurements in, a twin out."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from training.calibrate import (
    DISCREPANCY,
    find_mode,
    identifiability,
    problem_of,
    starting_points,
)
from training.hierarchy import Population, estimate_population, shrink
from training.infer import Sampler, check_sampler, sample_posterior
from training.twin import Twin, fixed_parameters, provenance
from twinjax import BeatSimulator, ParameterSpace, parameters_of
from twinjax.heart import ClosedLoop
from twinjax.io import Measurements


def fitted_names(model: ClosedLoop) -> tuple[str, ...]:
    """The parameters that a fit frees by default: those in which the literature gives a spread."""
    return tuple(name for name, info in parameters_of(model).items() if info.prior is not None)


def fit(
    measurements: Measurements,
    *,
    model: ClosedLoop | None = None,
    free: Sequence[str] | None = None,
    cohort: Sequence[Measurements] | None = None,
    sampler: Sampler = "emulator",
    draws: int = 400,
    chains: int = 4,
    starts: int = 4,
    discrepancy: float = DISCREPANCY,
    seed: int = 0,
    progress: Callable[[str], None] = lambda stage: None,
) -> Twin:
    """Fits a heart to one person's measurements.

    First the mode, by Levenberg-Marquardt from several starts, and what the data can tell there;
    then the posterior by `sampler` (see `training.infer.sample_posterior`). With `cohort`, the
    measurements of other people, the prior is the one that they imply (`training.hierarchy`), not
    the literature's. `progress` is told the stage at hand. Raises `ValueError` for unknown names,
    nothing to fit, or a model that fails everywhere.
    """
    check_sampler(sampler)  # before the search for the mode, which takes most of the time
    model = ClosedLoop() if model is None else model
    space = ParameterSpace(model, fitted_names(model) if free is None else tuple(free))
    simulator = BeatSimulator(model, space)
    problem = problem_of(simulator, measurements, discrepancy=discrepancy)
    if cohort is not None:
        progress("population")
        problem = shrink(problem, population_of(simulator, cohort, discrepancy))
    progress("mode")
    mode = find_mode(problem, starting_points(jax.random.key(seed), len(space), starts))
    posterior = sample_posterior(
        problem, mode, sampler=sampler, draws=draws, chains=chains, seed=seed, progress=progress
    )
    to_theta = jax.jit(jax.vmap(space.from_unconstrained))
    directions = [
        {"shrinkage": d.shrinkage, "weights": d.weights, "fixed": bool(d.fixed)}
        for d in identifiability(problem, mode, space.names)
    ]
    seen = posterior.observations
    usable = seen.result == 0
    return Twin(
        names=space.names,
        units=space.units,
        draws=np.asarray(to_theta(jnp.asarray(posterior.z)))[usable],
        mode=np.asarray(space.from_unconstrained(jnp.asarray(mode.z))),
        shrinkage=np.std(posterior.z[usable], axis=0),
        fixed=fixed_parameters(model, space),
        scalars={name: values[usable] for name, values in seen.scalars.items()},
        waveforms={name: values[usable] for name, values in seen.waveforms.items()},
        measurements=measurements,
        directions=directions,
        diagnostics={
            "sampler": sampler,
            "converged": bool(mode.converged),
            "failed_simulations": int(np.sum(~usable)),
            **posterior.diagnostics,
            "warnings": list(posterior.warnings),
        },
        provenance=provenance(
            seed,
            chains=chains,
            starts=starts,
            discrepancy=discrepancy,
            prior="literature" if cohort is None else f"population of {len(cohort)} people",
        ),
    )


def population_of(
    simulator: BeatSimulator, cohort: Sequence[Measurements], discrepancy: float
) -> Population:
    """The prior that a cohort implies. Raises `ValueError` for fewer than ten people with data."""
    people = [person for person in cohort if person.fitted]
    if len(people) < 10:
        raise ValueError(
            f"the cohort has {len(people)} people with measurements; a prior needs at least 10"
        )
    names = sorted({name for person in people for name in person.fitted})
    return estimate_population(
        [problem_of(simulator, person, names=names, discrepancy=discrepancy) for person in people]
    )
