"""Walls in motion: inertia and viscosity, by the generalised-α method."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax._results import RESULTS
from twinjax._solve import Solution, _finish
from twinjax.mechanics._deform import _equilibrium, _volumes
from twinjax.mechanics._search import options_for
from twinjax.mechanics._wall import Deformation, Load, Motion, Wall


class Moving(eqx.Module):
    """A wall in motion: where it is [mm], its velocity [mm/ms] and acceleration [mm/ms²]."""

    deformation: Deformation
    velocity: Float[Array, "node 3"]
    acceleration: Float[Array, "node 3"]

    @staticmethod
    def at_rest(wall: Wall) -> "Moving":
        rest = wall.at_rest()
        return Moving(rest, jnp.zeros_like(rest.displacement), jnp.zeros_like(rest.displacement))


class _Scheme(NamedTuple):
    """Chung and Hulbert 1993, J Appl Mech 60:371: second order, high frequencies damped by ρ."""

    step: float
    α_m: float
    α_f: float
    β: float
    γ: float

    @staticmethod
    def of(step: float, radius: float) -> "_Scheme":
        α_m, α_f = (2 * radius - 1) / (radius + 1), radius / (radius + 1)
        return _Scheme(step, α_m, α_f, (1 - α_m + α_f) ** 2 / 4, 0.5 - α_m + α_f)

    def after(self, before: Moving, middle: Array) -> tuple[Array, Array, Array]:
        """Displacement, velocity and acceleration at the end, from u at the weighted time."""
        u, v, a = before.deformation.displacement, before.velocity, before.acceleration
        h, β, γ = self.step, self.β, self.γ
        new = (middle - self.α_f * u) / (1 - self.α_f)
        acceleration = (new - u) / (β * h**2) - v / (β * h) - (1 / (2 * β) - 1) * a
        return new, v + h * ((1 - γ) * a + γ * acceleration), acceleration

    def weighted(self, before: Moving, middle: Array) -> tuple[Array, Array]:
        """Velocity and acceleration at their weighted times: affine functions of u."""
        _, v, a = self.after(before, middle)
        velocity = (1 - self.α_f) * v + self.α_f * before.velocity
        return velocity, (1 - self.α_m) * a + self.α_m * before.acceleration


def move(
    wall: Wall,
    load: Callable[[float], Load],
    *,
    step: float,
    steps: int,
    start: Moving | None = None,
    begin: float = 0.0,
    damping_radius: float = 0.5,
    observe: Callable[[Moving], Any] | None = None,
    max_corrections: int = 40,
    rtol: float = 1e-9,
    throw: bool = True,
) -> Solution:
    """Steps a wall through time under a load that depends on it:

        ρ d²u/dt² + internal forces(u, du/dt) = load(t)

    with the viscous stress η dE/dt (second Piola-Kirchhoff) and the damping of springs. Pressure
    that follows, tension and prescribed displacements are those of `load` at the time at which the
    generalised-α method balances forces.

    **Arguments:** `load(t)` with t in ms; `step` [ms] and how many; `start`, a
    [`Moving`][twinjax.mechanics.Moving] wall at the time `begin` (default: at rest);
    `damping_radius` in [0, 1], the factor by which a step multiplies the highest frequencies;
    `observe(moving)` is what is kept of every step, by default the volumes of cavities [mm³].

    **Returns:** `Solution` with times (steps + 1) [ms], observations stacked along them, and the
    last `Moving` state. A run that fails ends there. Derivatives as for `deform`: every step has
    the implicit-function rule, and reverse mode keeps what each step's linear solve needs.
    Raises `ValueError` for steps or a radius that make no sense.
    """
    if not (step > 0 and steps > 0 and 0 <= damping_radius <= 1):
        raise ValueError(
            f"a motion needs a step and steps above 0 and a radius in [0, 1], not {step}, {steps} "
            f"and {damping_radius}"
        )
    observe = (lambda m: _volumes(wall, m.deformation.displacement)) if observe is None else observe
    scheme = _Scheme.of(step, damping_radius)
    options = options_for(wall, 1.0, 0.5, max_corrections, rtol)
    moving = Moving.at_rest(wall) if start is None else start
    seen, code, times = [observe(moving)], jnp.array(0), [begin]
    counts = {"corrections": jnp.array(0), "factorisations": jnp.array(0)}
    for number in range(steps):
        balance_at = begin + (number + 1 - scheme.α_f) * step
        asked = _with_motion(wall, load(balance_at).on(wall), scheme, moving)
        guess = _guess(wall, asked, moving, scheme)
        state, stats, code = _equilibrium((wall, asked), (guess, asked), options)
        counts = {name: count + stats[name] for name, count in counts.items()}
        if not isinstance(code, jax.core.Tracer) and code != RESULTS.successful:
            break
        moving = _after(scheme, moving, state)
        seen.append(observe(moving))
        times.append(begin + (number + 1) * step)
    observations = jax.tree.map(lambda *each: jnp.stack(each), *seen)
    when = jnp.asarray(np.array(times))
    return _finish(Solution(when, observations, moving, counts, code), throw)


@eqx.filter_jit
def _with_motion(wall: Wall, load: Load, scheme: _Scheme, before: Moving) -> Load:
    """The load of a step, with velocity and acceleration as functions of its unknown."""
    zero = jnp.zeros_like(before.velocity)
    drift, rest = scheme.weighted(before, zero)
    inertia = (1 - scheme.α_m) / (scheme.β * scheme.step**2 * (1 - scheme.α_f))
    motion = Motion(jnp.asarray(scheme.γ / (scheme.β * scheme.step)), drift, jnp.asarray(inertia))
    elements = wall.elements
    dead = load.force - wall.density * elements.load(elements.at_quadrature(rest))
    return Load(
        load.pressure,
        load.tension,
        force=dead,
        displacement=load.displacement,
        contraction=load.contraction,
        motion=motion,
    )


@eqx.filter_jit
def _after(scheme: _Scheme, before: Moving, middle: Deformation) -> Moving:
    u, v, a = scheme.after(before, middle.displacement)
    return Moving(Deformation(u, middle.pressure), v, a)


@eqx.filter_jit
def _guess(wall: Wall, load: Load, before: Moving, scheme: _Scheme) -> Deformation:
    u = before.deformation.displacement + (1 - scheme.α_f) * scheme.step * before.velocity
    held = jnp.where(wall.fixed, load.displacement, u)
    return jax.lax.stop_gradient(Deformation(held, before.deformation.pressure))
