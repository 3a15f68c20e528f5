"""The report of a trial, made from numbers that are given: nothing is simulated here."""

import dataclasses
import json
import re

import numpy as np
import pytest

from training._trial_report import summary, write_report
from training._trial_sceptic import baselines, judged
from training.cli._trial import _plain
from training.sensitivity import CELL, Sensitivity
from training.study import load_study
from training.torsade import Verdicts
from training.trials import Trial

DRUGS = ("a", "b", "c", "d", "e", "f")
CATEGORIES = np.array([0, 0, 1, 1, 2, 2])
NAMES = ("apd90", "early_afterdepolarisation", "qnet", "repolarised", "triangulation")
MEMBERS = 40


@pytest.fixture
def study(tmp_path):
    rows = ["drug,cmax_free_nM,tdp_category,hERG_IC50,hERG_h,ICaL_IC50,ICaL_h"]
    for i, (drug, category) in enumerate(zip(DRUGS, CATEGORIES, strict=True)):
        rows.append(f"{drug},10,{category},{10 ** (3 - category) * (1 + 0.3 * i)},1,5000,1")
    (tmp_path / "drugs.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "study.toml").write_text(
        f'[drugs]\ntable = "drugs.csv"\n[cohort]\nsize = {MEMBERS}\nwomen = 0.5\n'
    )
    return load_study(tmp_path / "study.toml")


@pytest.fixture
def trial(tmp_path):
    random = np.random.default_rng(0)
    means = np.array([0.08, 0.067, 0.069, 0.0515, 0.0525, 0.04])
    values = np.zeros((6, 2, MEMBERS, len(NAMES)))
    values[..., 2] = means[:, None, None] + 0.002 * random.normal(size=(6, 1, MEMBERS))
    values[..., 0], values[..., 3], values[..., 4] = 320.0, 1.0, 90.0
    control = np.tile([300.0, -1.0, 0.07, 1.0, 80.0], (MEMBERS, 1))
    women = np.arange(MEMBERS) % 2 == 1
    values[:, :, women, 0] += 10.0
    result = np.zeros((6, 2, MEMBERS), int)
    result[5, 1, :4] = 3
    return Trial(
        tmp_path / "x<y.h5",
        DRUGS,
        CATEGORIES,
        np.array([1.0, 4.0]),
        NAMES,
        values,
        result,
        control,
        women,
        {"notes": ["b: <not> measured"]},
    )


@pytest.fixture
def found(trial):
    score = trial.score()
    flat = np.zeros(MEMBERS)
    return tuple(
        Sensitivity(
            drug,
            {"IKr": 0.01, "ICaL": -0.002},
            {"IKr": 0.02, "INa": np.nan},
            # Drug d lies at the threshold of high risk.
            {"ICaL": np.linspace(-0.01, 0.01, MEMBERS) if drug == "d" else flat, CELL: score[i]},
            0.0,
        )
        for i, drug in enumerate(DRUGS)
    )


def test_the_summary_counts_and_tells_the_sexes_apart(trial):
    rows = summary(trial)
    assert rows[5]["without_orbit"] == pytest.approx(4 / (2 * MEMBERS))
    assert rows[0]["afterdepolarisations"] == 0
    assert rows[0]["apd90_change_women"][0] == pytest.approx(30)
    assert rows[0]["apd90_change_men"][0] == pytest.approx(20)
    assert rows[0]["triangulation_change"][0] == pytest.approx(10)
    assert rows[0]["score"][1] < rows[0]["score"][0] < rows[0]["score"][2]


def test_the_page_has_every_part_and_no_markup_of_others(trial, study, found):
    page = write_report(trial, study, found)
    for heading in (
        "each drug judged by all others",
        "beside scores that need no simulation",
        "what the score hangs on",
        "would change class with one more measurement",
        "ΔAPD90, women",
    ):
        assert heading in page
    assert "hERG safety margin" in page
    assert "x&lt;y" in page
    assert "x<y" not in page
    assert "b: &lt;not&gt; measured" in page
    # 10 % more of a derivative of 0.01 C/F is 1 mC/F.
    assert "<td>+1</td>" in page
    assert "<td>-0.2</td>" in page
    assert "<td>none</td>" in page
    measured = page[page.index("one more measurement") :]
    chance = re.search(r"<td>d</td><td>block of ICaL</td><td>(\d+) %</td>", measured)
    model = judged(trial.score(), CATEGORIES).models[3]
    present = np.array([trial.score()[3].mean()])
    foreseen = present + np.linspace(-0.01, 0.01, MEMBERS)
    changed = model.classify(foreseen) != model.classify(present)
    assert 0 < changed.mean() < 1
    assert int(chance[1]) == round(100 * changed.mean())
    assert measured.count("block of ICaL") == 1


def test_a_trial_without_known_risks_is_described_and_not_judged(trial, study, found):
    unknown = dataclasses.replace(trial, categories=np.full(6, -1))
    page = write_report(unknown, study, found)
    assert "judged by all others" not in page
    assert "unknown" in page
    assert "what the score hangs on" in page


def test_baselines_need_the_ic50_of_herg(study):
    assert {name: scores.shape for name, scores in baselines(study).items()} == {
        "hERG safety margin": (6, MEMBERS),
        "net block of IKr, ICaL, INaL": (6, MEMBERS),
    }
    first = study.drugs[0]
    margin = baselines(study)["hERG safety margin"][0]
    np.testing.assert_allclose(margin, np.log10(first.ic50["IKr"][0] / 10))
    first.ic50.pop("IKr")
    assert baselines(study) == {}


def test_why_there_is_no_verdict_is_told(trial, study):
    scores = trial.score()
    assert isinstance(judged(scores, CATEGORIES), Verdicts)
    assert judged(scores[1:], CATEGORIES[1:]).startswith("two drugs of each known risk")
    # The margins of these drugs leave no drug on the wrong side.
    assert "separates the categories completely" in write_report(trial, study)
    trial.values[0, 0, 0, 2] = np.nan
    assert judged(trial.score(), CATEGORIES) == "a score is not a finite number"
    assert "Not judged: a score is not a finite number." in write_report(trial, study)


def test_the_summary_becomes_json(trial):
    text = json.dumps([_plain(row) for row in summary(trial)])
    assert json.loads(text)[0]["drug"] == "a"
