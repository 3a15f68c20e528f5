"""Virtual drug trials: studies as they are written, arms, interruption, and orbits near orbits."""

import jax.numpy as jnp
import numpy as np
import pytest

from training import trials
from training.study import load_study
from training.trials import open_trial, run_trial
from twinjax import RESULTS, ParameterSpace
from twinjax.cells import (
    CellSimulator,
    CipaV1,
    LuoRudy1991,
    Near,
    beat_grid,
    biomarkers,
    pace,
    periodic,
)

TABLE = """drug,cmax_free_nM,tdp_category,INa_IC50,INa_h,hERG_IC50,Isi_IC50,Isi_h
first,100,2,1000,1.0,,800,
second,50,0,200,1.5,NA,0,0
"""
SAMPLES = """drug,sample,INa_IC50,INa_h,Isi_IC50,Isi_h
first,1,1000,1.0,800,1
first,2,2000,1.2,900,1
first,3,500,1.0,700,0
second,1,200,1.5,,
second,2,300,1.5,,
second,3,250,1.5,,
"""
STUDY = """[cell]
model = "luo-rudy-1991"
cycle_length = 500
[drugs]
table = "drugs.csv"
samples = "samples.csv"
[arms]
doses = [1, 4]
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "drugs.csv").write_text(TABLE)
    (tmp_path / "samples.csv").write_text(SAMPLES)
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(LuoRudy1991(), id="no charge kept"),
        pytest.param(CipaV1(), id="charge kept", marks=pytest.mark.slow),
    ],
)
def test_an_orbit_near_another_is_the_orbit(cell):
    field = cell.about.conductances["IK" if hasattr(cell, "g_k") else "IKr"]
    space = ParameterSpace(cell, (field,))
    simulator = CellSimulator(cell, space, beat_grid(600.0, cell.about.stimulus[1]), rtol=1e-9)
    theta = space.read(cell)
    _, near = simulator.beside(theta, None)
    if hasattr(near.state, "ki"):  # what is conserved is that of the cell, not of its neighbour
        near = near._replace(state=near.state._replace(ki=near.state.ki * 1.001))
    found, after = simulator.beside(0.9 * theta, near)
    alone = simulator(0.9 * theta)
    assert int(found.result) == int(alone.result) == RESULTS.successful
    assert float(found.scalars["apd90"]) == pytest.approx(float(alone.scalars["apd90"]), rel=1e-6)
    assert found.scalars["apd90"] > 1.01 * simulator(theta).scalars["apd90"]
    changed = space.write(cell, 0.9 * theta)
    kept = [np.array(changed.conserved(s)) for s in (cell.initial_state(), after.state)]
    np.testing.assert_allclose(*kept, rtol=1e-6)


def test_near_saves_the_jacobian():
    cell = LuoRudy1991()
    orbit = periodic(cell)
    again = periodic(cell, near=Near(orbit.state, orbit.stats["inverse"]))
    assert float(again.stats["beats"]) == 1


def test_a_trial_is_each_member_in_its_drug(study, tmp_path):
    trial = run_trial(load_study(study), tmp_path / "trial.h5")
    assert trial.drugs == ("first", "second")
    assert trial.categories.tolist() == [2, 0]
    assert trial.values.shape == (2, 2, 3, len(trial.end_points))
    assert not trial.result.any()
    cell = LuoRudy1991()
    usual = ParameterSpace(cell, ("g_na", "g_si"))
    theta = usual.read(cell) * jnp.array([1 / (1 + (400 / 2000) ** 1.2), 1 / (1 + 400 / 900)])
    grid = load_study(study).simulator.grid
    late = biomarkers(pace(usual.write(cell, theta), beats=60, grid=grid))
    assert trial.of("apd90")[0, 1, 1] == pytest.approx(float(late["apd90"]), abs=0.01)
    free = biomarkers(pace(cell, beats=60, grid=grid))
    control = trial.control[0, trial.end_points.index("apd90")]
    assert control == pytest.approx(float(free["apd90"]), abs=0.01)


def test_what_was_not_measured_is_not_blocked_and_told(study):
    loaded = load_study(study)
    assert any(
        note.startswith("second: not measured, and taken as not blocked: Isi")
        for note in loaded.notes
    )
    assert "first: Isi is not blocked in 1 samples without data" in loaded.notes
    theta = loaded.parameters(loaded.drugs[0], [2])
    place = loaded.fields.index("g_si")
    assert np.all(theta[..., place] == float(LuoRudy1991().g_si))


def test_an_interrupted_trial_goes_on_and_is_the_same(study, tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "_PART", 2)
    loaded, whole, broken = load_study(study), tmp_path / "whole.h5", tmp_path / "broken.h5"
    expected = run_trial(loaded, whole)
    seen = []

    def stop(done, total):
        seen.append(done)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(loaded, broken, progress=stop)
    assert not broken.exists()
    again = []
    found = run_trial(loaded, broken, progress=lambda done, total: again.append(done))
    assert again[0] == seen[2] > 0
    assert np.array_equal(found.values, expected.values)
    assert np.array_equal(found.control, expected.control)


def test_a_dose_that_stops_the_heart_is_reported(study, tmp_path):
    study.write_text(STUDY.replace("[1, 4]", "[1, 1e6]"))
    trial = run_trial(load_study(study), tmp_path / "trial.h5")
    assert np.all(np.isnan(trial.of("apd90")[:, 1]) | (trial.result[:, 1] != 0))
    assert np.isfinite(trial.of("apd90")[:, 0]).all()


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        (("luo-rudy-1991", "luo-rudy-1992"), "did you mean 'luo-rudy-1991'"),
        (("[1, 4]", "[4, 1]"), "doses must be positive and increasing"),
        (("[1, 4]", "[]"), "doses must be positive and increasing"),
        (('"samples.csv"', '"sample.csv"'), "there is no file"),
        (("[arms]", "[arm]"), "did you mean 'arms'"),
        (('"drugs.csv"', '"drugs.csv"\nselect = ["frist"]'), "did you mean 'first'"),
        (('"drugs.csv"', '"drugs.csv"\ncurrents = ["INaa"]'), "did you mean 'INa'"),
    ],
)
def test_mistakes_in_a_study_are_told_in_a_sentence(study, what, sentence):
    study.write_text(STUDY.replace(*what))
    with pytest.raises(ValueError, match=sentence):
        load_study(study)


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        (("first,100", "first,-1"), "first needs a positive cmax_free_nM"),
        (("first,100", "first,x"), "cmax_free_nM is 'x', which is not a number"),
        (("second,50", "first,50"), "names a drug twice"),
        (("drug,", "name,"), "a column 'drug'"),
    ],
)
def test_mistakes_in_a_table_are_told_in_a_sentence(study, what, sentence):
    (study.parent / "drugs.csv").write_text(TABLE.replace(*what))
    with pytest.raises(ValueError, match=sentence):
        load_study(study)


def test_another_file_is_not_a_trial(study, tmp_path):
    other = tmp_path / "other.h5"
    other.write_text("no")
    with pytest.raises(ValueError, match="truncated or not a trial"):
        open_trial(other)


RECORDED = """drug,conc,units,channel,block
first,100,nM,INa,9
first,1000,nM,INa,52
first,1000,nM,INa,49
first,10000,nM,INa,91
second,100,nM,Isi,1
second,1000,nM,Isi,0
second,1000,nM,Isi,-1
third,1,nM,INa,50
"""


def test_recordings_become_draws_of_hill_curves(study):
    (study.parent / "blocks.csv").write_text(RECORDED)
    study.write_text(
        STUDY.replace('"samples.csv"', '"samples.csv"\nrecordings = ["blocks.csv"]\ndraws = 8')
    )
    loaded = load_study(study)
    first, second = loaded.drugs
    assert loaded.members == first.samples == second.samples == 8
    assert 700 < np.median(first.ic50["INa"]) < 1400
    assert len(set(first.ic50["INa"])) == 8
    np.testing.assert_array_equal(first.ic50["Isi"][:4], [800, 900, np.nan, 800])
    assert set(second.ic50) == {"INa", "Isi"}
    assert any(note.startswith("second, Isi: no block seen") for note in loaded.notes)
    study.write_text(
        STUDY.replace("[arms]", 'recordings = ["blocks.csv"]\nselect = ["first"]\n[arms]')
    )
    (study.parent / "blocks.csv").write_text(RECORDED.replace("first", "fourth"))
    with pytest.raises(ValueError, match="no recordings of the study's drugs"):
        load_study(study)


def test_women_are_every_other_cell_of_half_a_cohort(study):
    hers = 'model = "ohara-rudy-2011-endo"'
    study.write_text(
        STUDY.replace('model = "luo-rudy-1991"', hers)
        + "[cohort]\nsize = 4\nwomen = 0.5\nspread = 0.1\n"
    )
    loaded = load_study(study)
    assert loaded.women.tolist() == [False, True, False, True]
    theta = loaded.parameters(None, range(4))[0]
    scale = dict(zip(loaded.scaled, loaded.scales.T, strict=True))
    usual = loaded.cell
    for field, current in (("g_kr", "IKr"), ("g_pca", "IpCa")):
        ratio = theta[:, loaded.fields.index(field)] / float(getattr(usual, field)) / scale[current]
        factor = {"g_kr": 0.79, "g_pca": 1.6}[field]
        np.testing.assert_allclose(ratio, [1, factor, 1, factor])
    np.testing.assert_allclose(
        theta[:, loaded.fields.index("calmodulin")] / float(usual.calmodulin), [1, 1.21, 1, 1.21]
    )


@pytest.mark.parametrize(
    ("cohort", "sentence"),
    [
        ("women = 0.5", "a share of 0.5 women of 1 is none"),
        ("women = 1", "known for endocardial O'Hara-Rudy cells, not for"),
        ("women = 2", "women: input should be less than or equal to 1"),
    ],
)
def test_women_that_cannot_be_are_refused(study, cohort, sentence):
    study.write_text(STUDY + f"[cohort]\n{cohort}\n")
    with pytest.raises(ValueError, match=sentence):
        load_study(study)
