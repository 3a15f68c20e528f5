"""From a cell to the clinic: ΔQTc of a thorough-QT study by Bayesian linear regression."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from twinjax._names import unknown_name

LEVEL = 0.9
# Precisions of the prior that the evidence is compared at, relative to one measurement.
_PRECISIONS = np.logspace(-3, 4, 71)

SHRINKAGES = ("none", "evidence")
Rows = Float[np.ndarray, "n k"] | Float[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True)
class Interval:
    """Predicted ΔQTc [ms] of n drugs: the mean, and the ends of the predictive interval."""

    mean: Float[np.ndarray, " n"]
    low: Float[np.ndarray, " n"]
    high: Float[np.ndarray, " n"]

    def covers(self, measured: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Which measurements [ms] lie within."""
        return (self.low <= measured) & (measured <= self.high)

    def rmse(self, measured: Float[np.ndarray, " n"]) -> float:
        """Root mean square error [ms] of the means."""
        return float(np.sqrt(np.mean((self.mean - measured) ** 2)))


@dataclasses.dataclass(frozen=True)
class QTMap:
    """ΔQTc = a + bᵀx + ε of a drug, ε ~ N(0, σ²), after the drugs that it was fitted to.

    - `intercept` a [ms] and `slopes` b (k,) [ms per unit of the feature]: posterior means;
    - `sd` [ms]: the posterior scale of σ, and `freedom` its degrees of freedom;
    - `precision`: that of the prior of the slopes, 0 if flat;
    - `centre` (k,): means of the features; `root` (k, k): covariance of b in units of σ² is
      root rootᵀ; `drugs`: their number.
    """

    intercept: float
    slopes: Float[np.ndarray, " k"]
    sd: float
    freedom: int
    precision: float
    centre: Float[np.ndarray, " k"]
    root: Float[np.ndarray, "k k"]
    drugs: int

    def predict(self, features: Rows, level: float = LEVEL) -> Interval:
        """ΔQTc of drugs that were not in the fit, from their features (n, k), or (n,) if k = 1.

        Student's t with `freedom`, mean a + bᵀx and scale

            sd √(1 + 1/drugs + |rootᵀ (x - centre)|²).

        Raises `ValueError` for a level outside (0, 1), for another number of features, and for
        features that are not finite.
        """
        if not 0 < level < 1:
            raise ValueError(f"the level of an interval lies between 0 and 1, not at {level}")
        x = _columns(features)
        if x.shape[1] != len(self.slopes):
            raise ValueError(f"this map has {len(self.slopes)} features a drug, not {x.shape[1]}")
        _check_finite("features", x)
        mean = self.intercept + x @ self.slopes
        apart = np.sum(((x - self.centre) @ self.root) ** 2, axis=1)
        scale = self.sd * np.sqrt(1 + 1 / self.drugs + apart)
        half = scale * stats.t.ppf((1 + level) / 2, self.freedom)
        return Interval(mean, mean - half, mean + half)


def fit_qt(
    features: Rows, delta_qtc: Float[np.ndarray, " values"], shrinkage: str = "none"
) -> QTMap:
    """Bayesian linear regression of ΔQTc [ms] on features of drugs, such as ΔAPD90 [ms].

    The prior is flat in the intercept and in log σ. With `shrinkage` "none" it is flat in the
    slopes too: means are those of least squares, predictive intervals those of Student (Gelman
    et al. 2013, Bayesian Data Analysis, 3rd ed., §14.2). With "evidence" slopes of standardised
    features are N(0, σ²/λ), ridge regression, with the λ of greatest marginal likelihood (MacKay
    1992, Neural Comput 4:415), intercept and σ integrated out: for centred Z (n, k) and y,

        A = ZᵀZ + λ,   S = yᵀ(y - Z A⁻¹Zᵀy),   p(y | λ) ∝ λ^(k/2) |A|^(-1/2) S^(-(n-1)/2).

    The freedom is then n - 1, else n - 1 - k. Predictions do not depend on units of features.

    **Arguments:** `features` (n, k), or (n,) for one; k may be 0, which leaves the mean;
    `delta_qtc` (n,).

    Raises `ValueError` for fewer drugs than leave one degree of freedom, numbers that are not
    finite, unequal numbers of rows, collinear features without shrinkage, and an unknown
    shrinkage.
    """
    if shrinkage not in SHRINKAGES:
        raise ValueError(unknown_name("shrinkage", shrinkage, SHRINKAGES))
    x, y = _columns(features), np.asarray(delta_qtc, float)
    _check(x, y, shrinkage)
    n, k = x.shape
    centre = x.mean(axis=0)
    spread = x.std(axis=0)
    # A current that no drug blocks has no spread: its column is 0, and so is its slope.
    width = np.where(spread > 0, spread, 1.0)
    u, s, vt = np.linalg.svd((x - centre) / width, full_matrices=False)
    along = u.T @ (y - y.mean())
    total = float(np.sum((y - y.mean()) ** 2))
    if shrinkage == "none":
        if k and s[-1] <= 1e-10 * s[0]:
            raise ValueError(
                "features are collinear: leave one out, or fit with shrinkage 'evidence'"
            )
        precision, freedom = 0.0, n - 1 - k
    else:
        evidence = [_log_evidence(s, along, total, n, k, p) for p in _PRECISIONS]
        precision, freedom = float(_PRECISIONS[int(np.argmax(evidence))]), n - 1
    shrunk = s**2 + precision
    slopes = (vt.T @ (s * along / shrunk)) / width
    left = total - float(np.sum((s * along) ** 2 / shrunk))
    # The span that the singular vectors leave out, if n < k, keeps its prior: root is square.
    root = _root(vt, shrunk, precision, k) / width[:, None]
    return QTMap(
        intercept=float(y.mean() - centre @ slopes),
        slopes=slopes,
        sd=float(np.sqrt(max(left, 0.0) / freedom)),
        freedom=freedom,
        precision=precision,
        centre=centre,
        root=root,
        drugs=n,
    )


def leave_one_out(
    features: Rows,
    delta_qtc: Float[np.ndarray, " values"],
    shrinkage: str = "none",
    level: float = LEVEL,
) -> Interval:
    """Each drug's ΔQTc [ms] as the others predict it; the prior too is chosen without it.

    Arguments and errors are those of `fit_qt`, which here has one drug fewer.
    """
    x, y = _columns(features), np.asarray(delta_qtc, float)
    _check(x, y, shrinkage, left_out=1)
    found = []
    for i in range(len(y)):
        others = np.arange(len(y)) != i
        found.append(fit_qt(x[others], y[others], shrinkage).predict(x[i : i + 1], level))
    return Interval(
        np.concatenate([one.mean for one in found]),
        np.concatenate([one.low for one in found]),
        np.concatenate([one.high for one in found]),
    )


def _columns(features: Rows) -> Float[np.ndarray, "n k"]:
    x = np.asarray(features, float)
    return x[:, None] if x.ndim == 1 else x


def _check(x: np.ndarray, y: np.ndarray, shrinkage: str, left_out: int = 0) -> None:
    if len(x) != len(y):
        raise ValueError(f"every drug needs a ΔQTc: there are {len(x)} drugs and {len(y)} values")
    flat = x.shape[1] if shrinkage == "none" else 0
    least = flat + 2 + left_out
    if len(y) < least:
        raise ValueError(
            f"a map of {x.shape[1]} features needs at least {least} drugs, not {len(y)}"
        )
    _check_finite("features", x)
    _check_finite("ΔQTc", y[:, None])


def _check_finite(what: str, rows: np.ndarray) -> None:
    wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(wrong):
        places = ", ".join(map(str, wrong))
        raise ValueError(f"{what} must be finite, which they are not in row {places}")


def _log_evidence(
    s: np.ndarray, along: np.ndarray, total: float, n: int, k: int, precision: float
) -> float:
    left = total - float(np.sum((s * along) ** 2 / (s**2 + precision)))
    # Directions without data add as much to k log λ as to log |A|.
    volume = len(s) * np.log(precision) - np.sum(np.log(s**2 + precision))
    return float(volume - (n - 1) * np.log(max(left, np.finfo(float).tiny))) / 2


def _root(vt: np.ndarray, shrunk: np.ndarray, precision: float, k: int) -> np.ndarray:
    """A root of (ZᵀZ + λ)⁻¹."""
    if len(shrunk) == k:
        return vt.T / np.sqrt(shrunk)
    rest = np.eye(k) - vt.T @ vt  # a projection, so its own root
    return vt.T @ (vt / np.sqrt(shrunk)[:, None]) + rest / np.sqrt(precision)
