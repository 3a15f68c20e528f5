"""A kill in the middle of `twinjax trial` costs nothing that was done and doubles nothing."""

import h5py
import numpy as np
import pytest

from tests._kill import kill_while
from training import trials
from training._parts import Parts
from training.cli import main
from training.study import load_study
from training.trials import run_trial

TABLE = """drug,cmax_free_nM,tdp_category,INa_IC50,Isi_IC50
first,100,2,1000,800
second,50,0,400,2000
"""
STUDY = """[cell]
model = "luo-rudy-1991"
cycle_length = 400
[cohort]
size = 6
[drugs]
table = "drugs.csv"
[arms]
doses = [1, 3]
"""


def write(folder):
    folder.mkdir()
    (folder / "drugs.csv").write_text(TABLE)
    (folder / "study.toml").write_text(STUDY)
    return folder / "study.toml"


def content(path):
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}


@pytest.mark.slow  # a minute; an interruption is tested with the other trials
def test_a_killed_trial_goes_on_to_the_same_digit(tmp_path, monkeypatch):
    study, out = write(tmp_path / "killed"), tmp_path / "killed" / "trial.h5"
    parts = out.parent / ".trial.h5.parts"
    kill_while(["trial", study, "-o", out], parts, whole=3, module="trials", part=2)
    assert not out.exists()

    monkeypatch.setattr(trials, "_PART", 2)
    written = []
    save = Parts.save

    def counting(self, number, arrays):
        written.append(number)
        save(self, number, arrays)

    monkeypatch.setattr(Parts, "save", counting)
    with pytest.raises(SystemExit) as ended:
        main(["trial", str(study), "-o", str(out)])
    assert ended.value.code == 0
    # Three of control, three of each drug: those of control were there.
    assert written == [3, 4, 5, 6, 7, 8]
    assert not parts.exists()
    whole = tmp_path / "whole.h5"
    run_trial(load_study(study), whole)
    expected, found = content(whole), content(out)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
