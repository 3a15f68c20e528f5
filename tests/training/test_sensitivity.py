"""Gradients of a drug's score, and what each of its uncertain inputs does to it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training import sensitivity
from training.sensitivity import CELL, sensitivities
from training.study import load_study
from training.trials import run_trial

TABLE = """drug,cmax_free_nM,tdp_category,INa_IC50,INa_h,Isi_IC50,Isi_h,IK_IC50,IK_h
blocker,100,2,2000,1.0,900,1.2,600,0.9
"""
STUDY = """[cell]
model = "luo-rudy-1991"
cycle_length = 500
[drugs]
table = "drugs.csv"
"""
INPUTS = ("INa", "Isi", "IK")


def study_of(folder, table=TABLE, samples=None, more=""):
    (folder / "drugs.csv").write_text(table)
    text = STUDY
    if samples is not None:
        (folder / "samples.csv").write_text(samples)
        text += 'samples = "samples.csv"\n'
    path = folder / "study.toml"
    path.write_text(text + "[arms]\ndoses = [1, 3]\n" + more)
    return load_study(path)


def score(study):
    """Of the only member: APD90, averaged over the doses."""
    simulator = study.simulator
    theta = study.parameters(study.drugs[0], [0])[:, 0]
    return np.mean([float(simulator(jnp.asarray(x)).scalars["apd90"]) for x in theta])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def found(folder):
    study = study_of(folder)
    return sensitivities(study, run_trial(study, folder / "trial.h5"))[0]


@pytest.mark.parametrize("current", INPUTS)
def test_the_gradient_by_an_ic50_is_that_of_differences(folder, found, current):
    value = TABLE.splitlines()[1].split(",")[TABLE.split(",").index(f"{current}_IC50")]
    step, scores = 0.01, []
    for sign in (1, -1):
        changed = TABLE.replace(f",{value},", f",{float(value) * np.exp(sign * step)},")
        assert changed != TABLE
        scores.append(score(study_of(folder, changed)))
    difference = (scores[0] - scores[1]) / (2 * step)
    assert found.ic50[current] == pytest.approx(difference, rel=2e-3)


@pytest.mark.slow  # compiles both for a minute; differences are checked above
def test_forward_and_reverse_mode_agree(folder):
    study = study_of(folder)
    simulator = study.simulator_of(tuple(study.cell.about.conductances.values()))
    theta = jnp.asarray([float(x) for x in simulator.space.read(simulator.cell)])
    forward = sensitivity._slopes(simulator, theta[None], "apd90")[0]
    reverse = jax.jit(jax.jacrev(lambda x: simulator(x).scalars["apd90"]))(theta)
    np.testing.assert_allclose(forward, reverse, rtol=1e-6, atol=1e-9)


def test_contributions_of_small_uncertainties_add_up_to_the_score(folder, tmp_path):
    random = np.random.default_rng(0)
    usual = dict(zip(TABLE.split("\n")[0].split(","), TABLE.split("\n")[1].split(","), strict=True))
    columns = [name for name in usual if name.endswith(("_IC50", "_h"))]
    rows = [
        ["blocker", *(str(float(usual[c]) * np.exp(0.1 * random.normal())) for c in columns)]
        for _ in range(40)
    ]
    samples = "\n".join(",".join(row) for row in [["drug", *columns], *rows]) + "\n"
    cohort = "[cohort]\nsize = 40\nspread = 0.05\n"
    study = study_of(tmp_path, samples=samples, more=cohort)
    found = sensitivities(study, run_trial(study, tmp_path / "trial.h5"))[0]
    assert set(found.contributions) == {*INPUTS, CELL}
    assert found.left_over < 0.01
    assert all(len(part) == 40 for part in found.contributions.values())
    # Each matters: leaving one out would show.
    spreads = {name: np.std(part) for name, part in found.contributions.items()}
    assert spreads["Isi"] > spreads["INa"] > 0
    assert spreads[CELL] > 0.5  # [ms]
