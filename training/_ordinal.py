"""Proportional-odds logistic regression of three ordered categories on one score."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, log_expit

CATEGORIES = ("low", "intermediate", "high")

_STEPS = 100
# Newton converges quadratically: after a step of this size the error is that of rounding.
_SMALL_STEP = 1e-8


@dataclasses.dataclass(frozen=True)
class OrdinalLogistic:
    """The probabilities of categories 0 (low), 1 (intermediate), 2 (high), given a score x.

        logit P(y ≥ 1 | x) = intercept₁ + slope·x,   logit P(y ≥ 2 | x) = intercept₂ + slope·x

    with intercept₁ > intercept₂, the proportional odds of McCullagh 1980, J R Stat Soc B 42:109.
    The predicted category is the most probable one.

    The FDA's model has the intercepts 20.012 and 15.665 and the slope -292.54 for qNet in C/F (Li
    et al. 2019, Clin Pharmacol Ther 105:466; numbers of 2020). That these are the logits of
    exceeding a category, and not those of staying below, follows from their order: the intercepts
    fall, so that the probabilities P(y ≥ 1) ≥ P(y ≥ 2) are in order, and the slope is negative as
    little qNet is dangerous. Their equal odds lie at 0.0684 and 0.0536 C/F, within the range of
    qNet. The published counts leave open whether a category is told by the greatest probability or
    by P(y ≥ k) > 1/2; here, these differ by 0.00009 C/F.
    """

    intercepts: tuple[float, float]
    slope: float

    def __post_init__(self) -> None:
        if not self.intercepts[0] > self.intercepts[1]:
            raise ValueError(f"the intercepts must fall, not be {self.intercepts}")
        if self.slope == 0 or not np.all(np.isfinite((*self.intercepts, self.slope))):
            raise ValueError("the intercepts must be finite, and the slope also not zero")

    @classmethod
    def fit(
        cls, scores: Float[np.ndarray, " rows"], categories: Int[np.ndarray, " rows"]
    ) -> "OrdinalLogistic":
        """The model of maximum likelihood, all rows weighted equally, by Newton's method.

        The log-likelihood is concave (Pratt 1981, J Am Stat Assoc 76:103), so its maximum is the
        only one; computed in float64, on standardised scores. No standard errors are given: the
        samples of a drug are not independent observations of its category, and the inverse of the
        Hessian would call the fit far too sure.

        Raises `ValueError` for scores that are not finite or all equal, for a category without
        rows, where the score separates the categories (the slope would be infinite), and where
        there is no convergence.
        """
        x = np.asarray(scores, np.float64)
        _check(x, categories)
        mean, sd = float(np.mean(x)), float(np.std(x))
        z = (x - mean) / sd
        # Exact without a slope.
        shares = [np.mean(categories >= k) for k in (1, 2)]
        w = np.array([*(np.log(shares) - np.log1p(np.negative(shares))), 0.0])
        value, gradient, hessian = log_likelihood(w, z, categories)
        for _ in range(_STEPS):
            try:
                step = -np.linalg.solve(hessian, gradient)
            except np.linalg.LinAlgError:
                break
            size = np.max(np.abs(step) / (1 + np.abs(w)))
            for halvings in range(40):
                trial = log_likelihood(w + 0.5**halvings * step, z, categories)
                # Near the maximum a right step may seem to lose what is rounding.
                if trial[0] >= value - 1e-12 * abs(value):
                    break
            else:
                break
            w, (value, gradient, hessian) = w + 0.5**halvings * step, trial
            if size <= _SMALL_STEP:
                slope = float(w[2]) / sd
                return cls((float(w[0]) - slope * mean, float(w[1]) - slope * mean), slope)
        raise ValueError(
            f"the ordinal regression did not converge within {_STEPS} steps; do the scores "
            "separate the categories but for a few rows?"
        )

    def exceedance(self, scores: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape 2"]:
        """P(y ≥ 1) and P(y ≥ 2)."""
        return expit(self._logits(scores))

    def probabilities(self, scores: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape 3"]:
        """The probabilities of the three categories."""
        logits = self._logits(scores)
        above, below = expit(logits), expit(-logits)
        # σ(a) - σ(b) = σ(a)·σ(-b)·(1 - exp(b - a)), without cancellation.
        middle = above[..., 0] * below[..., 1] * -np.expm1(self.intercepts[1] - self.intercepts[0])
        return np.stack((below[..., 0], middle, above[..., 1]), axis=-1)

    def classify(self, scores: Float[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
        """The most probable category."""
        return np.argmax(self.probabilities(scores), axis=-1)

    @property
    def thresholds(self) -> tuple[float, float]:
        """The scores at which the predicted category changes, from 0 to 1 and from 1 to 2.

        With the intercepts a₁, a₂ and d = log(1 - 2·exp(a₂ - a₁)), P(y = 0) = P(y = 1) where
        a₁ + slope·x = -d, and P(y = 1) = P(y = 2) where a₂ + slope·x = d. If a₁ - a₂ ≤ log 4,
        category 1 is never the most probable, and both are where P(y = 0) = P(y = 2).
        """
        a1, a2 = self.intercepts
        if a1 - a2 <= np.log(4):
            both = -(a1 + a2) / (2 * self.slope)
            return both, both
        d = float(np.log1p(-2 * np.exp(a2 - a1)))
        return -(a1 + d) / self.slope, (d - a2) / self.slope

    def _logits(self, scores: np.ndarray) -> np.ndarray:
        x = np.asarray(scores, np.float64)
        return np.stack([a + self.slope * x for a in self.intercepts], axis=-1)


def log_likelihood(
    parameters: Float[np.ndarray, " 3"],
    scores: Float[np.ndarray, " rows"],
    categories: Int[np.ndarray, " rows"],
) -> tuple[float, Float[np.ndarray, " 3"], Float[np.ndarray, "3 3"]]:
    """Log-likelihood of (intercept₁, intercept₂, slope), its gradient and its Hessian.

    With the logits e₁, e₂ and g = intercept₁ - intercept₂, a row of category 0 adds log σ(-e₁), one
    of category 1 log σ(e₁) + log σ(-e₂) + log(1 - exp(-g)) and one of category 2 log σ(e₂), so that
    nothing cancels or overflows. Minus infinity where g ≤ 0. NumPy rather than JAX: these three are
    a line each, and in float64 whatever precision an application sets.
    """
    a1, a2, slope = parameters
    gap = a1 - a2
    if gap <= 0:
        return -np.inf, np.full(3, np.nan), np.full((3, 3), np.nan)
    low, middle, high = (categories == k for k in range(3))
    count = np.sum(middle)
    # A row of category 0 or 1 has a term of e₁, one of 1 or 2 a term of e₂; for the higher of the
    # two categories it is log σ(e), for the lower log σ(-e).
    tables = ((a1, middle, ~high), (a2, high, ~low))
    value = count * np.log(-np.expm1(-gap))
    gradient, hessian = np.zeros(3), np.zeros((3, 3))
    for k, (intercept, yes, either) in enumerate(tables):
        x, sign = scores[either], np.where(yes, 1.0, -1.0)[either]
        logit = intercept + slope * x
        value = value + np.sum(log_expit(sign * logit))
        residual, weight = sign * expit(-sign * logit), expit(logit) * expit(-logit)
        columns = np.zeros((3, len(x)))
        columns[k], columns[2] = 1.0, x
        gradient += columns @ residual
        hessian -= (columns * weight) @ columns.T
    along, ratio = np.array([1.0, -1.0, 0.0]), np.exp(-gap) / np.expm1(-gap)
    gradient -= along * (count * ratio)
    hessian += np.outer(along, along) * (count * ratio / -np.expm1(-gap))
    return float(value), gradient, hessian


def _check(scores: np.ndarray, categories: np.ndarray) -> None:
    if not np.all(np.isfinite(scores)):
        raise ValueError("a score is not a finite number")
    if not np.all(np.isin(categories, range(3))):
        raise ValueError("the categories must be 0 (low), 1 (intermediate) or 2 (high)")
    groups = [scores[categories == k] for k in range(3)]
    for name, group in zip(CATEGORIES, groups, strict=True):
        if len(group) == 0:
            raise ValueError(f"no row is of the category {name}; the regression needs all three")
    if np.ptp(scores) == 0:
        raise ValueError("all scores are equal, so that they tell no category")
    for low, middle, high in (groups, groups[::-1]):
        if max(low) <= min(middle) and max(middle) <= min(high):
            raise ValueError(
                "the score separates the categories completely, so that no finite slope is the "
                "most likely"
            )
