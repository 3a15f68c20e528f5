"""The inverse problem: patterns of activation that draw a person's QRS complex."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from training.activation.model import Pattern, VentricularEcg
from training.activation.search import Search, in_threads, make_sites
from training.activation.surface import HeartSurface

# Medians and standard deviations of the logarithms of velocities [m/s] (fibre, sheet, left and
# right endocardium): Taggart et al. 2000, J Mol Cell Cardiol 32:621 (0.65 and 0.5 m/s along and
# across fibres on human epicardium); Caldwell et al. 2009, Circ Arrhythm Electrophysiol 2:433;
# Cardone-Noott et al. 2016, Europace 18:iv4 (endocardium 1.8 m/s, from Durrer et al. 1970).
PRIOR_VELOCITIES = (0.65, 0.40, 1.80, 1.80)
PRIOR_SPREAD = (0.20, 0.25, 0.35, 0.35)
PRIOR_ONSET = (5.0, 15.0)  # after the QRS onset: mean and standard deviation [ms]
PRIOR_GAIN = 2.0  # standard deviation of the logarithm
_STEP = np.array([0.15, 0.15, 0.2, 0.2])  # largest change of the logarithms in one iteration
_AS_WELL = 1.5  # a member's residual, as a multiple of the noise, to be one of the maps
_MOVE, _DELAY = 8.0, 10.0  # the same of points [mm] and onsets [ms]

Progress = Callable[[str, float], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """A QRS complex: `times` [ms] from its onset at equal intervals, `values` (lead, time) [mV].

    `sd` [mV] is that of noise and of the model's error together; neighbouring samples share it
    for about `memory` samples, so that they count for less.
    """

    times: Float[np.ndarray, " time"]
    values: Float[np.ndarray, "lead time"]
    sd: float
    memory: float

    @property
    def weight(self) -> float:
        """What a residual is multiplied by [1/mV]."""
        return 1 / (self.sd * np.sqrt(self.memory))


@dataclasses.dataclass(frozen=True, eq=False)
class Solution:
    """A pattern (host arrays), the surface of each root, its times and leads, and the cost."""

    pattern: Pattern
    surface: np.ndarray
    activation: Float[np.ndarray, " node"]
    leads: Float[np.ndarray, "lead time"]
    cost: float


class Fitter:
    """Levenberg and Marquardt's method on patterns of a fixed number of roots.

    Unknowns: logarithms of the velocities and of the gain, the onsets, and two moves of each
    root along the endocardium, from where it is now. Written here since the roots have to be put
    back on the surface in every iteration, which changes what the unknowns mean.
    """

    def __init__(
        self,
        model: VentricularEcg,
        surfaces: tuple[HeartSurface, ...],
        roots: int,
        times: Float[np.ndarray, " time"],
    ):
        self.model, self.surfaces, self.roots = model, surfaces, roots

        def leads(model: VentricularEcg, pattern: Pattern) -> tuple[Array, Array]:
            activation = model.activation(pattern)
            return pattern.gain * model.depolarisation(times, activation), activation

        def slopes(
            model: VentricularEcg, pattern: Pattern, along: Array, activation: Array
        ) -> tuple[Array, Array]:
            # Forward mode: there are fewer unknowns than samples. Velocities change all cells,
            # roots only the nodes around them: apart, the many columns of roots cost little.
            def moved(logs: Array, moves: Array) -> Array:
                x = jnp.concatenate([logs, jnp.zeros(1), moves])
                return model.differentiable(_moved(pattern, along, x), activation)

            none, still = jnp.zeros(4), jnp.zeros(3 * roots)
            by_velocities = jax.jacfwd(lambda x: moved(x, still))(none)
            by_roots = jax.jacfwd(lambda x: moved(none, x))(still)
            columns = jnp.concatenate([by_velocities, by_roots], axis=1)
            found = pattern.gain * model.depolarisation(times, activation)
            moves = pattern.gain * model.depolarisation_slopes(times, activation, columns)
            parts = [moves[..., :4], found[..., None], moves[..., 4:]]
            return found, jnp.concatenate(parts, axis=-1)

        self._leads, self._slopes = eqx.filter_jit(leads), eqx.filter_jit(slopes)
        self.centre = np.concatenate(
            [np.log(PRIOR_VELOCITIES), [0.0], np.full(roots, PRIOR_ONSET[0])]
        )
        self.spread = np.concatenate([PRIOR_SPREAD, [PRIOR_GAIN], np.full(roots, PRIOR_ONSET[1])])

    def solve(
        self,
        data: Data,
        pattern: Pattern,
        surface: np.ndarray,
        *,
        iterations: int = 25,
        centre: np.ndarray | None = None,
        tolerance: float = 2e-3,
    ) -> Solution:
        """From a pattern to the nearest least cost; `centre` is that of the prior.

        It ends after two iterations in a row that gain less than the share `tolerance` of the
        cost, since times have kinks where fronts meet, at which one iteration gains little.
        """
        centre = self.centre if centre is None else centre
        k, damping = self.roots, 0.1
        points, along = self._project(np.asarray(pattern.points), surface)
        pattern = pattern._replace(points=points)
        leads, activation = self._host(self._leads(self.model, _device(pattern)))
        cost = self._cost(data, pattern, leads, centre)
        slow = 0
        for _ in range(iterations):
            leads, slopes = self._host(
                self._slopes(
                    self.model, _device(pattern), jnp.asarray(along), jnp.asarray(activation)
                )
            )
            a = np.concatenate(
                [
                    data.weight * slopes.reshape(-1, 5 + 3 * k),
                    np.concatenate([np.diag(1 / self.spread), np.zeros((5 + k, 2 * k))], axis=1),
                ]
            )
            b = self._residual(data, pattern, leads, centre)
            cost = float(b @ b)
            hessian, slope = a.T @ a, a.T @ b
            # A root that is late everywhere has no slope: it stays where it is.
            scale = np.diag(hessian) + 1e-6 * np.max(np.diag(hessian))
            better = None
            for _ in range(6):
                move = -np.linalg.solve(hessian + damping * np.diag(scale), slope)
                trial = self._moved(pattern, surface, along, move)
                found = self._host(self._leads(self.model, _device(trial)))
                lower = self._cost(data, trial, found[0], centre)
                if lower < cost:
                    better = trial, found, lower
                    break
                damping *= 5
            if better is None:
                break
            gained = cost - better[2]
            pattern, (leads, activation), cost = better
            _, along = self._project(np.asarray(pattern.points), surface)
            damping = max(damping / 5, 1e-4)
            slow = slow + 1 if gained < tolerance * cost else 0
            if slow == 2:
                break
        return Solution(pattern, surface, activation, leads, cost)

    def _project(self, points: np.ndarray, surface: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        near, along = np.empty_like(points), np.empty((len(points), 2, 3))
        for number, endocardium in enumerate(self.surfaces):
            mine = surface == number
            if mine.any():
                near[mine], along[mine] = endocardium.project(points[mine])
        return near, along

    def _moved(
        self, pattern: Pattern, surface: np.ndarray, along: np.ndarray, move: np.ndarray
    ) -> Pattern:
        k = self.roots
        logs, gain, onsets = move[:4], move[4], move[5 : 5 + k]
        step = np.einsum("ka,kai->ki", move[5 + k :].reshape(k, 2), along)
        length = np.linalg.norm(step, axis=1, keepdims=True)
        step = step * np.minimum(1, _MOVE / np.maximum(length, 1e-9))
        points, _ = self._project(np.asarray(pattern.points) + step, surface)
        return Pattern(
            np.asarray(pattern.velocities) * np.exp(np.clip(logs, -_STEP, _STEP)),
            points,
            np.asarray(pattern.onsets) + np.clip(onsets, -_DELAY, _DELAY),
            np.asarray(pattern.gain) * np.exp(np.clip(gain, -0.3, 0.3)),
        )

    def _residual(
        self, data: Data, pattern: Pattern, leads: np.ndarray, centre: np.ndarray
    ) -> np.ndarray:
        x = np.concatenate([np.log(pattern.velocities), [np.log(pattern.gain)], pattern.onsets])
        return np.concatenate(
            [data.weight * (leads - data.values).ravel(), (x - centre) / self.spread]
        )

    def _cost(self, data: Data, pattern: Pattern, leads: np.ndarray, centre: np.ndarray) -> float:
        residual = self._residual(data, pattern, leads, centre)
        cost = float(residual @ residual)
        return cost if np.isfinite(cost) else np.inf

    @staticmethod
    def _host(arrays: tuple[Array, ...]) -> tuple[np.ndarray, ...]:
        return tuple(np.asarray(a) for a in arrays)


def _device(pattern: Pattern) -> Pattern:
    return Pattern(*(jnp.asarray(part, float) for part in pattern))


def _moved(pattern: Pattern, along: Array, x: Array) -> Pattern:
    k = len(pattern.onsets)
    moves = jnp.einsum("ka,kai->ki", x[5 + k :].reshape(k, 2), along)
    return Pattern(
        pattern.velocities * jnp.exp(x[:4]),
        pattern.points + moves,
        pattern.onsets + x[5 : 5 + k],
        pattern.gain * jnp.exp(x[4]),
    )


class Member(NamedTuple):
    """One of the maps that explain the ECG."""

    solution: Solution
    accepted: bool


@dataclasses.dataclass(frozen=True, eq=False)
class ActivationFit:
    """The best pattern, and a set of patterns that draw the same QRS complex within its noise.

    `best` is the maximum a posteriori of all starts; `members` are draws: each is fitted to the
    ECG with other noise, from another guess and with another centre of the prior (randomised
    maximum likelihood: Oliver et al. 1996, Math Geol 28:1). `data` has the noise that was used.
    """

    data: Data
    best: Solution
    members: tuple[Member, ...]

    @property
    def accepted(self) -> tuple[Solution, ...]:
        """The members that draw the measured ECG about as well as the best map.

        A member is fitted to the ECG with twice the noise: its residual to the measured one is up
        to √2 times the noise's standard deviation where the fit is perfect. The limit is 1.5.
        """
        return tuple(m.solution for m in self.members if m.accepted)

    def activations(self) -> Float[np.ndarray, "member node"]:
        """Times of the accepted members, each from its own first node [ms]."""
        maps = np.stack([s.activation for s in self.accepted])
        return maps - maps.min(axis=1, keepdims=True)


def fit_activation(
    model: VentricularEcg,
    surfaces: tuple[HeartSurface, ...],
    data: Data,
    *,
    roots: int = 8,
    starts: int = 4,
    members: int = 12,
    spacing: float = 14.0,
    seed: int = 0,
    progress: Progress = lambda stage, share: None,
) -> ActivationFit:
    """Fits activation to a QRS complex, from several starts, and draws what else explains it.

    **Arguments:** `roots`, how many there are at most; `starts` of the search for the best one;
    `members` to draw; `spacing` [mm] of the sites that guesses are made of; `data.sd` is the
    least noise: the best pattern's own residual takes its place where that is larger.
    `progress` is told the stage (sites, starts, members) and how much of it is done.
    """
    sites = make_sites(model, surfaces, np.array(PRIOR_VELOCITIES), spacing, progress)
    search = Search(model, sites, data.times, np.arange(0.0, 41.0, 4.0))
    fitter = Fitter(model, surfaces, roots, data.times)

    def start(
        target: np.ndarray, factor: float, rng: np.random.Generator, looseness: float
    ) -> tuple[Pattern, np.ndarray]:
        guess = search.guess(target, roots, factor, rng, looseness)
        pattern = Pattern(
            factor * np.array(PRIOR_VELOCITIES),
            sites.points[guess.sites],
            np.array(guess.onsets),
            np.array(guess.gain),
        )
        return pattern, sites.surface[guess.sites]

    # A first idea of the noise: a tenth of the signal, so that no start is trapped by details.
    rough = dataclasses.replace(data, sd=max(data.sd, 0.1 * float(np.std(data.values))))

    def one_start(i: int) -> Solution:
        rng = np.random.default_rng([seed, 0, i])
        factor = 1.0 if i == 0 else float(rng.uniform(0.75, 1.25))
        pattern, surface = start(data.values, factor, rng, 0.0 if i == 0 else 0.1)
        one = fitter.solve(rough, pattern, surface, iterations=15)
        return fitter.solve(_noise_of(data, one), one.pattern, one.surface)

    found = in_threads(one_start, starts, lambda share: progress("starts", share))
    best = min(found, key=lambda s: float(np.sum((s.leads - data.values) ** 2)))
    data = _noise_of(data, best)
    best = fitter.solve(data, best.pattern, best.surface, tolerance=1e-4)

    def one_member(i: int) -> Member:
        rng = np.random.default_rng([seed, 1, i])
        noise = data.sd * _smooth_noise(rng, data.values.shape, data.memory)
        other = dataclasses.replace(data, values=data.values + noise)
        centre = fitter.centre + fitter.spread * rng.standard_normal(len(fitter.centre))
        # The gain is known to nobody: its prior is there for numerical reasons.
        centre[4] = 0.0
        factor = float(np.exp(0.15 * rng.standard_normal()))
        pattern, surface = start(other.values, factor, rng, 0.1)
        one = fitter.solve(other, pattern, surface, centre=centre)
        left = float(np.sqrt(np.mean((one.leads - data.values) ** 2)))
        return Member(one, left <= _AS_WELL * data.sd)

    drawn = in_threads(one_member, members, lambda share: progress("members", share))
    return ActivationFit(data, best, tuple(drawn))


def _noise_of(data: Data, solution: Solution) -> Data:
    """The noise that a solution leaves, or that of the data if it is larger; and its memory."""
    left = solution.leads - data.values
    sd = max(data.sd, float(np.sqrt(np.mean(left**2))))
    return dataclasses.replace(data, sd=sd, memory=_memory(left))


def _memory(left: Float[np.ndarray, "lead time"]) -> float:
    """Samples that count for one: 1 + 2 Σ of the autocorrelation up to its first zero."""
    centred = left - left.mean(axis=1, keepdims=True)
    total = np.sum(centred**2)
    if not total > 0:
        return 1.0
    memory = 1.0
    for lag in range(1, left.shape[1] // 2):
        share = float(np.sum(centred[:, lag:] * centred[:, :-lag]) / total)
        if share <= 0:
            break
        memory += 2 * share
    return memory


def _smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], memory: float
) -> Float[np.ndarray, "lead time"]:
    """Of unit standard deviation, correlated over `memory` samples (a Gaussian filter)."""
    width = memory / np.sqrt(4 * np.pi)
    reach = int(np.ceil(4 * width))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(width, 1e-6)) ** 2)
    kernel /= np.linalg.norm(kernel)
    white = rng.standard_normal((shape[0], shape[1] + 2 * reach))
    return np.stack([np.convolve(row, kernel, "valid") for row in white])
