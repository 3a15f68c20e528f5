"""What a drug's score hangs on: its gradient, and what each uncertain input does to it."""

import dataclasses
from collections.abc import Callable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from training._drug_tables import Inputs
from training.study import BINDING_FIELDS, Study
from training.trials import Trial
from twinjax import RESULTS
from twinjax.cells import CellSimulator

# The group of inputs that a cell brings, beside those of the drug.
CELL = "cell"


@dataclasses.dataclass(frozen=True)
class Sensitivity:
    """How the score of one drug, an end point averaged over the doses, depends on all inputs.

    Derivatives are those at the median parameters of its members, NaN where these have no orbit.

    - `ic50`: ∂score/∂ln IC50 by current. For binding to hERG (`IKr`) that of its potency as a
      whole: -∂score/∂ln concentration, the concentration at the other currents held.
    - `conductance`: ∂score/∂ln g by current of the cell.
    - `contributions`: by input, what its draws alone do to the score of each member, to first
      order: the block of a current, and the `cell`. Binding to hERG has what the others leave.
    - `left_over`: the share of the score's variance that no input explains; 0 with binding.
    """

    drug: str
    ic50: Mapping[str, float]
    conductance: Mapping[str, float]
    contributions: Mapping[str, Float[np.ndarray, " members"]]
    left_over: float


def score_name(trial: Trial) -> str:
    """The end point that judges: qNet where the cell has its currents, or else APD90."""
    return "qnet" if "qnet" in trial.end_points else "apd90"


def sensitivities(
    study: Study, trial: Trial, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Sensitivity, ...]:
    """Of every drug of a trial: gradients through the periodic orbit, one orbit a dose and drug."""
    known = study.cell.about.conductances
    # Not all that the study changes is a conductance: binding, or calmodulin of women.
    fields = tuple(dict.fromkeys((*known.values(), *study.fields)))
    simulator = dataclasses.replace(study.simulator_of(fields), rtol=1e-7)
    place = [fields.index(name) for name in study.fields]
    usual = np.array([float(getattr(study.cell, name)) for name in fields])
    found: list[Sensitivity] = []
    for drug in study.drugs:
        progress(len(found), len(study.drugs))
        typical = np.median(study.parameters(drug, np.arange(study.members)), axis=1)
        theta = np.tile(usual, (len(typical), 1))
        theta[:, place] = typical
        slopes = np.asarray(_slopes(simulator, jnp.asarray(theta), score_name(trial)))
        at = {name: (slopes[:, i], theta[:, i]) for i, name in enumerate(fields)}
        found.append(_of(study, trial, drug, at))
    progress(len(found), len(study.drugs))
    return tuple(found)


@eqx.filter_jit
def _slopes(
    simulator: CellSimulator, theta: Float[Array, "doses n"], end_point: str
) -> Float[Array, "doses n"]:
    def one(x: Array) -> Array:
        def told(x: Array) -> tuple[Array, Array]:
            seen = simulator(x)
            return seen.scalars[end_point], seen.result

        slope, result = jax.jacfwd(told, has_aux=True)(x)
        return jnp.where(result == RESULTS.successful, slope, jnp.nan)

    return jax.vmap(one)(theta)


def _of(
    study: Study,
    trial: Trial,
    drug: Inputs,
    at: Mapping[str, tuple[Float[np.ndarray, " doses"], Float[np.ndarray, " doses"]]],
) -> Sensitivity:
    """From slopes and values of the fields at each dose."""
    known = study.cell.about.conductances
    rows = np.arange(study.members)
    levels = np.asarray(study.table.arms.doses) * drug.peak
    per_log = {name: slope * value for name, (slope, value) in at.items()}
    ic50, contributions = {}, {}
    for current in study.blocked(drug):
        name = known[current]
        left = drug.left(current, levels, rows % drug.samples)
        usual = float(getattr(study.cell, name))
        contributions[current] = np.mean(at[name][0][:, None] * usual * left, axis=0)
        # ∂left/∂ln IC50 = h left (1 - left)
        ic50[current] = float(
            np.mean(
                per_log[name] * np.nanmedian(drug.hill[current]) * (1 - np.median(left, axis=1))
            )
        )
    if len(study.scales) > 1:
        cells = study.parameters(None, rows)[0]
        contributions[CELL] = sum(
            np.mean(per_log[name]) * cells[:, i] / np.median(cells[:, i])
            for i, name in enumerate(study.fields)
            if name not in BINDING_FIELDS
        )
    score = trial.of(score_name(trial))[trial.drugs.index(drug.name)].mean(axis=0)
    rest = score - sum(contributions.values(), np.zeros(len(rows)))
    left_over = 0.0
    if study.binds(drug):
        ic50["IKr"] = -float(np.mean(per_log["concentration"]))
        contributions["IKr"] = rest
    elif np.var(score) > 0:
        left_over = float(np.var(rest) / np.var(score))
    conductance = {current: float(np.mean(per_log[name])) for current, name in known.items()}
    return Sensitivity(drug.name, ic50, conductance, contributions, left_over)
