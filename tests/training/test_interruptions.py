"""A kill at any moment of `twinjax dataset` and `twinjax train` costs nothing that was done."""

import json
import shutil

import h5py
import numpy as np
import pytest

from surrogates import _archive
from tests._kill import kill_while
from training import datasets
from training._parts import Parts
from training.cli import main
from training.datasets import open_dataset
from twinjax import RESULTS

# With 250 steps a beat the solver refuses a mitral valve of less than about 0.0037 mmHg·s/mL.
CASE = """
[model]
steps_per_beat = 250
samples = 100

[dataset]
runs = 40
seed = 1

[box]
heart_rate = {low = 60, high = 80, unit = "bpm"}
"systemic_arteries.resistance" = {low = 0.7, high = 1.1, unit = "mmHg·s/mL"}
"mitral.open_resistance" = {low = 0.002, high = 0.01, unit = "mmHg·s/mL"}
"""
RUNS, PART = 40, 8
TRAINING = ("--members", 2, "--width", 8, "--steps", 400, "--no-baselines", "--json")


def run(capsys, *arguments):
    """Exit code, stdout and stderr of one command."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return stopped.value.code, told.out, told.err


def succeed(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert stopped.value.code == 0


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of the size that the killed program has."""
    monkeypatch.setattr(datasets, "_PART", PART)


@pytest.fixture
def simulated(monkeypatch):
    """All parameter sets that are simulated from here on."""
    seen = []
    original = datasets._run

    def counting(text, theta, *rest):
        seen.extend(map(tuple, theta))
        return original(text, theta, *rest)

    monkeypatch.setattr(datasets, "_run", counting)
    return seen


@pytest.fixture
def saved(monkeypatch):
    """The numbers of all parts that are written from here on."""
    numbers = []
    original = Parts.save

    def counting(self, number, arrays):
        original(self, number, arrays)
        numbers.append(number)

    monkeypatch.setattr(Parts, "save", counting)
    return numbers


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a case and the dataset that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "case.toml").write_text(CASE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "_PART", PART)
        succeed("dataset", folder / "case.toml", "-o", folder / "data.h5")
    return folder


@pytest.fixture(scope="module")
def killed_dataset(tmp_path_factory):
    """A folder in which `twinjax dataset` was killed when it had two parts of five."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "case.toml").write_text(CASE, encoding="utf-8")
    command = ("dataset", folder / "case.toml", "-o", folder / "data.h5")
    kill_while(command, folder / ".data.h5.parts", whole=2, module="datasets", part=PART)
    return folder


@pytest.fixture
def killed(killed_dataset, tmp_path):
    """A copy of it of one's own."""
    return shutil.copytree(killed_dataset, tmp_path / "killed")


def content(path):
    """All arrays and attributes of an HDF5 file."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]
        found.update({f"{name}@{key}": value for key, value in item.attrs.items()})

    with h5py.File(path, "r") as file:
        visit("", file)
        file.visititems(visit)
    return found


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert np.asarray(one[name]).dtype == np.asarray(other[name]).dtype, name
        assert np.array_equal(one[name], other[name]), name


def test_a_killed_dataset_goes_on_to_the_same_digit(whole, killed, small_parts, simulated, capsys):
    parts = killed / ".data.h5.parts"
    assert sorted(p.name for p in parts.glob("0*.npz")) == ["000000.npz", "000001.npz"]
    assert not (killed / "data.h5").exists()
    code, out, _ = run(capsys, "dataset", killed / "case.toml", "-o", killed / "data.h5", "--json")
    assert code == 0
    made = open_dataset(killed / "data.h5")
    assert simulated == [tuple(theta) for theta in made.theta[2 * PART :]]
    assert json.loads(out)["sha256"] == open_dataset(whole / "data.h5").sha256
    expected = content(whole / "data.h5")
    assert expected["sensitivities/waveforms"].shape == (RUNS, 20, 100, 3)
    assert_equal(content(killed / "data.h5"), expected)
    assert sorted(p.name for p in killed.iterdir()) == ["case.toml", "data.h5"]


def test_what_a_kill_left_is_used_and_not_only_recognised(whole, killed, small_parts, capsys):
    # A part that says something else: it must come back in the file.
    marked = dict(np.load(killed / ".data.h5.parts" / "000001.npz"))
    marked["waveforms"] = marked["waveforms"] + 1000.0
    np.savez(killed / ".data.h5.parts" / "000001.npz", **marked)
    code, _, _ = run(capsys, "dataset", killed / "case.toml", "-o", killed / "data.h5")
    assert code == 0
    expected = open_dataset(whole / "data.h5").waveforms.copy()
    expected[PART : 2 * PART] += 1000.0
    assert np.array_equal(open_dataset(killed / "data.h5").waveforms, expected)


def test_the_parts_of_another_run_are_refused_and_kept(killed, small_parts, simulated, capsys):
    before = {p.name: p.read_bytes() for p in (killed / ".data.h5.parts").iterdir()}
    command = ("dataset", killed / "case.toml", "-o", killed / "data.h5", "--seed", 2)
    code, out, err = run(capsys, *command)
    assert code == 2
    assert out == ""
    assert "parts of another run" in err
    assert "Traceback" not in err
    assert {p.name: p.read_bytes() for p in (killed / ".data.h5.parts").iterdir()} == before
    code, _, _ = run(capsys, *command, "--no-resume")
    assert code == 0
    assert len(simulated) == RUNS


def test_a_finished_dataset_is_not_made_again(whole, small_parts, simulated, capsys):
    before = (whole / "data.h5").read_bytes()
    command = ("dataset", whole / "case.toml", "-o", whole / "data.h5")
    assert run(capsys, *command)[0] == 0
    code, _, err = run(capsys, *command, "--seed", 2)
    assert code == 2
    assert "another case, seed" in err
    assert simulated == []
    assert (whole / "data.h5").read_bytes() == before


def test_a_killed_training_goes_on_to_the_same_digit(whole, tmp_path, saved, capsys):
    command = ("train", whole / "data.h5", *TRAINING, "-o")
    code, out, _ = run(capsys, *command, tmp_path / "whole.surrogate")
    assert code == 0
    uninterrupted = list(saved)
    assert len(uninterrupted) == 4  # two members of two blocks
    # Killed in the second block of the second member.
    path = tmp_path / "killed.surrogate"
    kill_while(
        (*command, path),
        tmp_path / ".killed.surrogate.parts",
        whole=3,
        module="datasets",
        part=PART,
    )
    assert not path.exists()
    saved.clear()
    code, again, _ = run(capsys, *command, path)
    assert code == 0
    assert saved == uninterrupted[3:]
    expected, arrays = _archive.read(tmp_path / "whole.surrogate")
    card, resumed = _archive.read(path)
    assert card == expected
    assert_equal(resumed, arrays)
    first, second = json.loads(out), json.loads(again)
    assert first.pop("file") != second.pop("file")
    assert first == second
    assert sorted(p.name for p in tmp_path.iterdir()) == ["killed.surrogate", "whole.surrogate"]
    # Failed runs are left out of the training, and the card says so.
    reason = RESULTS.step_too_long.message
    data = open_dataset(whole / "data.h5")
    assert card["runs"] == {"usable": 32, "failed": 8, "reasons": {reason: 8}}
    assert card["dataset_sha256"] == data.sha256


def test_a_refused_run_is_recorded_and_the_others_go_on(whole, capsys):
    data = open_dataset(whole / "data.h5")
    refused = data.result == int(RESULTS.step_too_long)
    assert 0 < refused.sum() < RUNS
    assert data.failures == {RESULTS.step_too_long.message: int(refused.sum())}
    # The reason is the right one: it is the stiff valves that were refused.
    valve = data.theta[:, data.case.space.names.index("mitral.open_resistance")]
    assert valve[refused].max() < 0.004
    assert valve[~refused].min() > 0.0035
    assert np.array_equal(data.usable, np.flatnonzero(~refused))
    code, out, _ = run(capsys, "dataset", whole / "case.toml", "-o", whole / "data.h5", "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["runs"], told["failed"]) == (RUNS, refused.sum())
    assert told["reasons"] == data.failures


def test_a_run_that_became_nan_is_recorded_and_skipped(
    whole, tmp_path, small_parts, monkeypatch, capsys
):
    original = datasets._run
    clean = open_dataset(whole / "data.h5")
    ill = int(clean.usable[5])

    def poisoned(text, theta, *rest):
        arrays = original(text, theta, *rest)
        for row in np.flatnonzero((theta == clean.theta[ill]).all(1)):
            arrays["result"][row] = int(RESULTS.nonfinite)
            for name in ("scalars", "waveforms", "scalars_by_theta", "waveforms_by_theta"):
                arrays[name] = np.array(arrays[name])
                arrays[name][row] = np.nan
        return arrays

    monkeypatch.setattr(datasets, "_run", poisoned)
    path = tmp_path / "data.h5"
    code, out, _ = run(capsys, "dataset", whole / "case.toml", "-o", path, "--json")
    assert code == 0
    assert json.loads(out)["reasons"][RESULTS.nonfinite.message] == 1
    data = open_dataset(path)
    assert np.array_equal(data.theta, clean.theta)
    assert data.result[ill] == int(RESULTS.nonfinite)
    assert np.array_equal(data.usable, clean.usable[clean.usable != ill])
    assert np.isnan(data.waveforms[ill]).all()
