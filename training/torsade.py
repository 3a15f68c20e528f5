"""Risk of torsade de pointes: the categories of drugs from scores, and how well they are told."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from training._ordinal import CATEGORIES, OrdinalLogistic
from twinjax._names import unknown_name

__all__ = [
    "CATEGORIES",
    "Measure",
    "OrdinalLogistic",
    "Verdicts",
    "class_changes",
    "classify",
    "herg_margin",
    "leave_one_drug_out",
    "margins",
    "net_block",
    "performance",
    "variance_shares",
]

# Block of an outward current delays repolarisation, that of an inward current hastens it.
_DIRECTIONS = {"IKr": 1, "IKs": 1, "IK1": 1, "Ito": 1, "ICaL": -1, "INaL": -1, "INa": -1}


class Measure(NamedTuple):
    """A value with its interval."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Verdicts:
    """What an ordinal regression says of every sample of every drug.

    `scores` has shape (drugs, samples), `categories` (the true ones) shape (drugs,), and `models`
    holds the regression that judged each drug: the same for all, or each its own where it was left
    out.
    """

    scores: Float[np.ndarray, "drugs samples"]
    categories: Int[np.ndarray, " drugs"]
    models: tuple[OrdinalLogistic, ...]

    @property
    def probabilities(self) -> Float[np.ndarray, "drugs samples 3"]:
        """Of the three categories."""
        pairs = zip(self.models, self.scores, strict=True)
        return np.stack([model.probabilities(scores) for model, scores in pairs])

    @property
    def predicted(self) -> Int[np.ndarray, "drugs samples"]:
        """The most probable category."""
        return np.argmax(self.probabilities, axis=2)

    @property
    def counts(self) -> Int[np.ndarray, "drugs 3"]:
        """How many samples of a drug are predicted to be of each category."""
        predicted = self.predicted
        return np.stack([np.sum(predicted == k, axis=1) for k in range(3)], axis=1)

    @property
    def majority(self) -> Int[np.ndarray, " drugs"]:
        """The category of most samples; of two that tie, the lower."""
        return np.argmax(self.counts, axis=1)

    @property
    def errors(self) -> Float[np.ndarray, " drugs"]:
        """Mean of |predicted - true| over the samples of a drug: low for high counts twice."""
        return np.mean(np.abs(self.predicted - self.categories[:, None]), axis=1)

    @property
    def error(self) -> float:
        """Mean of |predicted - true| over all samples of all drugs.

        The FDA's `error` is this mean: its counts of samples by category give its 0.185375 for 28
        drugs, where no sample is two categories off, and its 0.0375625 for eight drugs, where one
        is and the share of wrong samples would be 0.0375.
        """
        return float(np.mean(self.errors))

    def intervals(self, share: float = 0.95) -> Float[np.ndarray, "drugs 3 2"]:
        """Central intervals of the probabilities with a share of a drug's samples."""
        levels = ((1 - share) / 2, (1 + share) / 2)
        return np.moveaxis(np.quantile(self.probabilities, levels, axis=1), 0, -1)


def classify(
    scores: Float[np.ndarray, "drugs samples"], categories: Int[np.ndarray, " drugs"]
) -> Verdicts:
    """One ordinal regression, fitted to all samples of all drugs, judges them all.

    Its `error` is the training error. In the study of the FDA the score is qNet [C/F], averaged
    over one to four times the free Cmax; any score does that rises or falls with the risk. Raises
    `ValueError` as `OrdinalLogistic.fit` does.
    """
    model = _fit(scores, categories, np.ones(len(categories), bool))
    return Verdicts(scores, categories, (model,) * len(categories))


def leave_one_drug_out(
    scores: Float[np.ndarray, "drugs samples"], categories: Int[np.ndarray, " drugs"]
) -> Verdicts:
    """Every drug judged by a regression that was fitted to all samples of all others."""
    drugs = np.arange(len(categories))
    return Verdicts(
        scores, categories, tuple(_fit(scores, categories, drugs != drug) for drug in drugs)
    )


def _fit(scores: np.ndarray, categories: np.ndarray, kept: np.ndarray) -> OrdinalLogistic:
    rows = np.repeat(categories[kept], scores.shape[1])
    return OrdinalLogistic.fit(np.ravel(scores[kept]), rows)


def performance(verdicts: Verdicts, share: float = 0.95) -> dict[str, Measure]:
    """The FDA's measures of how well the categories are told, each with its interval.

    Sample i of all drugs is one virtual trial: the value of a measure is its median over the trials
    and the interval holds a share of them, as in Li et al. 2019, Clin Pharmacol Ther 105:466, and
    Han et al. 2020, J Pharmacol Toxicol Methods 105:106890; samples of different drugs must
    therefore be independent draws. The interval tells of the samples only, not of how few the drugs
    are.

    - `auc_1`, `auc_2`: area under the ROC curve of the score, for category 1 or 2 against 0, and
      for 2 against 0 or 1: the share of pairs of drugs in the right order;
    - `pairwise_correct_rate`: the share of pairs of drugs of different categories whose scores are
      in the right order; a tie counts half in all three;
    - `lr_plus_1`, `lr_minus_1`, `lr_plus_2`, `lr_minus_2`: the likelihood ratios
      sensitivity / (1 - specificity) and (1 - sensitivity) / specificity of predicting category 1
      or 2, and category 2. Infinite and zero where no drug is on the wrong side (the FDA's table
      has 1e-6 for such a share), and 1, which tells nothing, where both shares are zero;
    - `mean_error`: mean of |predicted - true|. Its value is the mean of the trials, `error`. The
      FDA gives it the interval of the mean of all samples, 1.96 standard errors, which is narrower.

    The order of the scores is that of the slopes, summed over the models.
    """
    risk = verdicts.scores * np.sign(sum(model.slope for model in verdicts.models))
    truth, predicted = verdicts.categories, verdicts.predicted
    levels = ((1 - share) / 2, 0.5, (1 + share) / 2)
    trials = {
        "auc_1": _ordered(risk, (truth >= 1)[:, None] & (truth < 1)[None, :]),
        "auc_2": _ordered(risk, (truth >= 2)[:, None] & (truth < 2)[None, :]),
        "pairwise_correct_rate": _ordered(risk, truth[:, None] > truth[None, :]),
    }
    for k in (1, 2):
        found, false = (np.mean(predicted[group] >= k, axis=0) for group in (truth >= k, truth < k))
        trials[f"lr_plus_{k}"] = _ratio(found, false)
        trials[f"lr_minus_{k}"] = _ratio(1 - found, 1 - false)
    trials["mean_error"] = np.mean(np.abs(predicted - truth[:, None]), axis=0)
    measures = {}
    for name, values in trials.items():
        # No interpolation: a ratio may be infinite.
        low, middle, high = np.quantile(values, levels, method="inverted_cdf")
        measures[name] = Measure(float(middle), float(low), float(high))
    return measures | {"mean_error": measures["mean_error"]._replace(value=verdicts.error)}


def _ordered(
    risk: Float[np.ndarray, "drugs samples"], pairs: Bool[np.ndarray, "drugs drugs"]
) -> Float[np.ndarray, " samples"]:
    more, less = np.nonzero(pairs)
    return np.mean(0.5 + 0.5 * np.sign(risk[more] - risk[less]), axis=0)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((above == 0) & (below == 0), 1.0, above / below)


def herg_margin(
    ic50: Float[np.ndarray, "*shape"], cmax: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """The hERG safety margin log₁₀(IC50 / Cmax): Redfern et al. 2003, Cardiovasc Res 58:32.

    IC50 of IKr and free Cmax in the same unit. It falls with the risk.
    """
    return np.log10(ic50 / cmax)


def net_block(
    concentration: Float[np.ndarray, "*shape"],
    ic50: Mapping[str, Float[np.ndarray, "*shape"]],
    h: Mapping[str, Float[np.ndarray, "*shape"]],
) -> Float[np.ndarray, "*shape"]:
    """Block of the outward currents less that of the inward ones, as shares: it rises with risk.

        Bnet = Σ outward b - Σ inward b,   b = 1 / (1 + (IC50 / concentration)ʰ)

    after Mistry 2018, PeerJ 6:e4352, over the currents of `ic50`: IKr against ICaL and INaL, for
    example. Concentrations in one unit. Raises `ValueError` for a current of unknown direction.
    """
    total = np.zeros_like(concentration)
    for current, half in ic50.items():
        if current not in _DIRECTIONS:
            raise ValueError(unknown_name("current", current, _DIRECTIONS))
        total = total + _DIRECTIONS[current] / (1 + (half / concentration) ** h[current])
    return total


def variance_shares(
    contributions: Float[np.ndarray, "drugs inputs samples"],
) -> Float[np.ndarray, "drugs inputs"]:
    """Share of the variance of a drug's score that each of its independent inputs brings.

    `contributions` are what the draws of each input alone do to the score:

        shareⱼ = var(contributionⱼ) / Σᵢ var(contributionᵢ)

    Zero for a drug whose score has no variance.
    """
    parts = np.var(contributions, axis=2)
    total = np.sum(parts, axis=1, keepdims=True)
    return np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)


def class_changes(
    scores: Float[np.ndarray, " drugs"],
    contributions: Float[np.ndarray, "drugs inputs samples"],
    thresholds: Float[np.ndarray, "drugs 2"],
) -> Float[np.ndarray, "drugs inputs"]:
    """Probability that an exact measurement of one input moves a drug to another category.

    Before input j is measured, the mean score is foreseen to become the present one and the
    contribution of a draw of j, less the mean contribution; the probability is the share of draws
    with which it lies beyond one of the `thresholds` (of each drug's model) that the present
    `scores` does not. The greatest entry is the measurement to make next.
    """
    departures = contributions - np.mean(contributions, axis=2, keepdims=True)
    foreseen = scores[:, None, None] + departures
    edges = thresholds[:, None, None, :]
    changed = (foreseen[..., None] > edges) != (scores[:, None] > thresholds)[:, None, None, :]
    return np.mean(changed.any(axis=3), axis=2)


def margins(probabilities: Float[np.ndarray, "drugs 3"]) -> Float[np.ndarray, " drugs"]:
    """By how much the most probable category leads: 0 at a tie, whose drug is the least certain.

    Give the mean over the samples of `Verdicts.probabilities`, or `counts` as shares.
    """
    ordered = np.sort(probabilities, axis=1)
    return ordered[:, 2] - ordered[:, 1]
