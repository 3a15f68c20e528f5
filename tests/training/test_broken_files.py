"""Broken, foreign and mistaken files: one clear sentence, and nothing lost."""

import io
import json
import shutil
import zipfile

import h5py
import numpy as np
import pytest

from surrogates import _archive
from tests.training.test_interruptions import CASE, PART, TRAINING, run, succeed
from training import datasets

TOLD = "twinjax: "


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a case, a dataset of its box and a surrogate of the dataset."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "case.toml").write_text(CASE, encoding="utf-8")
    # The same sizes as in the other module, so that the compiled programs are the same.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "_PART", PART)
        succeed("dataset", folder / "case.toml", "-o", folder / "data.h5")
    succeed("train", folder / "data.h5", "-o", folder / "heart.surrogate", *TRAINING)
    return folder


def truncated(source, path, part=0.5):
    content = source.read_bytes()
    path.write_bytes(content[: int(part * len(content))])


def foreign_hdf5(path, kind=None):
    with h5py.File(path, "w") as file:
        file["theta"] = np.zeros((3, 2))
        if kind:
            file.attrs["twinjax_kind"] = kind
            file.attrs["format"] = 1


def foreign_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("card.json", json.dumps({"format": "another"}))


def break_file(how, made, path):
    """Writes a broken file of some kind to `path`, or none."""
    match how:
        case "truncated dataset":
            truncated(made / "data.h5", path)
        case "head of a dataset":
            truncated(made / "data.h5", path, 0.001)
        case "truncated surrogate":
            truncated(made / "heart.surrogate", path)
        case "damaged surrogate":
            content = bytearray((made / "heart.surrogate").read_bytes())
            # One bit of the weights, which follow the card.
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        case "foreign HDF5":
            foreign_hdf5(path)
        case "twin":
            foreign_hdf5(path, "twin")
        case "half a dataset":
            foreign_hdf5(path, "dataset")
        case "foreign zip":
            foreign_zip(path)
        case "NumPy archive":
            np.savez(path.with_suffix(".npz"), theta=np.zeros(3))
            path.with_suffix(".npz").rename(path)
        case "pickle in a zip":
            stream = io.BytesIO()
            np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("card.json", json.dumps({"format": _archive.FORMAT}))
                archive.writestr("half.npy", stream.getvalue())
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("heart rate 72, blood pressure 120 over 80\n" * 100)
        case "dataset":
            shutil.copy(made / "data.h5", path)
        case "surrogate":
            shutil.copy(made / "heart.surrogate", path)
        case "missing":
            pass


DATASETS = {
    "truncated dataset": "truncated or not a dataset",
    "head of a dataset": "truncated or not a dataset",
    "foreign HDF5": "HDF5 file of another program, not a dataset",
    "twin": "a file of kind 'twin', not a dataset",
    "half a dataset": "truncated or not a dataset",
    "surrogate": "not a dataset",
    "empty": "is empty",
    "text": "not a dataset",
    "missing": "there is no file",
}
SURROGATES = {
    "truncated surrogate": "truncated or not a surrogate",
    "damaged surrogate": "truncated or not a surrogate",
    "foreign zip": "not a surrogate",
    "NumPy archive": "not a surrogate",
    "pickle in a zip": "not a surrogate",
    "dataset": "not a surrogate",
    "empty": "is empty",
    "text": "not a surrogate",
    "missing": "there is no file",
}
INFO = {
    "truncated dataset": "truncated",
    "foreign HDF5": "another program",
    "half a dataset": "truncated",
    "truncated surrogate": "truncated",
    "damaged surrogate": "truncated or not a surrogate",
    "foreign zip": "not a surrogate",
    "empty": "is empty",
    "text": "not a file of twinjax",
    "missing": "there is no file",
}


def refuse(capsys, *arguments, told=()):
    """Asserts that a command ends with one sentence that has all of `told`; returns it."""
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    assert lines[0].startswith(TOLD)
    for part in told:
        assert part in lines[0]
    return lines[0]


@pytest.mark.parametrize("how", DATASETS)
def test_train_refuses_what_is_not_a_dataset(how, made, tmp_path, capsys):
    path, output = tmp_path / "broken.h5", tmp_path / "old.surrogate"
    break_file(how, made, path)
    output.write_bytes(b"an older surrogate")
    before = path.read_bytes() if path.exists() else None
    refuse(capsys, "train", path, "-o", output, told=(str(path), DATASETS[how]))
    assert output.read_bytes() == b"an older surrogate"
    assert before == (path.read_bytes() if path.exists() else None)
    assert {p.name for p in tmp_path.iterdir()} <= {path.name, output.name}


@pytest.mark.parametrize("how", [how for how in DATASETS if how != "missing"])
def test_dataset_never_writes_over_another_file(how, made, tmp_path, capsys):
    path = tmp_path / "broken.h5"
    break_file(how, made, path)
    before = path.read_bytes()
    command = ("dataset", made / "case.toml", "-o", path)
    refuse(capsys, *command, told=(str(path), DATASETS[how]))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("how", SURROGATES)
def test_predict_refuses_what_is_not_a_surrogate(how, made, tmp_path, capsys):
    path, output = tmp_path / "broken.surrogate", tmp_path / "beat.json"
    break_file(how, made, path)
    output.write_text("an older beat")
    refuse(capsys, "predict", path, "-o", output, told=(str(path), SURROGATES[how]))
    assert output.read_text() == "an older beat"


@pytest.mark.parametrize("how", INFO)
def test_info_refuses_what_it_does_not_know(how, made, tmp_path, capsys):
    path = tmp_path / "broken"
    break_file(how, made, path)
    refuse(capsys, "info", path, told=(str(path), INFO[how]))


def test_a_dataset_cut_anywhere_is_refused(made, tmp_path, capsys):
    path = tmp_path / "cut.h5"
    for part in np.linspace(0.01, 0.99, 15):
        truncated(made / "data.h5", path, part)
        refuse(capsys, "train", path, "-o", tmp_path / "a.surrogate", told=("truncated",))
        refuse(capsys, "info", path, told=("truncated",))
    assert list(tmp_path.iterdir()) == [path]


def test_a_surrogate_cut_anywhere_is_refused(made, tmp_path, capsys):
    path = tmp_path / "cut.surrogate"
    for part in np.linspace(0.01, 0.99, 15):
        truncated(made / "heart.surrogate", path, part)
        refuse(capsys, "predict", path, told=("truncated",))


def test_the_whole_files_are_accepted(made, capsys):
    assert json.loads(run(capsys, "info", made / "data.h5", "--json")[1])["kind"] == "dataset"
    told = json.loads(run(capsys, "info", made / "heart.surrogate", "--json")[1])
    assert told["kind"] == "surrogate"
    assert run(capsys, "predict", made / "heart.surrogate")[0] == 0


HEART_RATE = 'heart_rate = {low = 60, high = 80, unit = "bpm"}'
CASES = {
    "misspelt in [box]": (
        CASE.replace("heart_rate", "hart_rate"),
        "unknown parameter 'hart_rate'; did you mean 'heart_rate'?",
    ),
    "misspelt path in [box]": (
        CASE.replace("mitral.open_resistance", "mitral.open_resistence"),
        "unknown parameter 'mitral.open_resistence'; did you mean 'mitral.open_resistance'?",
    ),
    "misspelt in [parameters]": (
        CASE + '\n[parameters]\n"aortic.sharpnes" = {value = 100, unit = "1/mmHg"}\n',
        "did you mean 'aortic.sharpness'?",
    ),
    "wrong unit": (CASE.replace('"bpm"', '"mL"'), "heart_rate"),
    "unknown unit": (CASE.replace('"bpm"', '"bpn"'), "bpn"),
    "no unit": (CASE.replace(', unit = "bpm"', ""), "heart_rate needs low, high and unit"),
    "outside bounds": (CASE.replace("high = 80", "high = 800"), "heart_rate = 800 bpm is outside"),
    "upside down": (CASE.replace("low = 60", "low = 90"), "low = 90 is not below 80"),
    "misspelt key": (CASE.replace("low = 60", "lo = 60"), "did you mean 'low'?"),
    "misspelt table": (CASE.replace("[box]", "[bix]"), "did you mean 'box'?"),
    "misspelt setting": (CASE.replace("runs = 40", "run = 40"), "did you mean 'runs'?"),
    "unknown model": (CASE.replace("[model]", '[model]\nname = "regazoni2022"'), "regazzoni2022"),
    "no number": (CASE.replace("runs = 40", 'runs = "many"'), "dataset.runs"),
    "fixed and varied": (
        CASE + '\n[parameters]\nheart_rate = {value = 70, unit = "bpm"}\n',
        "'heart_rate' is both fixed",
    ),
    "not TOML": ("heart rate 60 to 80", "TOML"),
    "empty": ("", "is empty"),
    "blank": (" \n\n", "is empty"),
}


@pytest.mark.parametrize("mistake", CASES)
@pytest.mark.parametrize("verb", ["dataset", "simulate"])
def test_a_mistake_in_the_case_is_one_sentence(verb, mistake, tmp_path, capsys):
    text, culprit = CASES[mistake]
    path, output = tmp_path / "case.toml", tmp_path / "old.h5"
    path.write_text(text, encoding="utf-8")
    output.write_bytes(b"an older file")
    refuse(capsys, verb, path, "-o", output, told=(str(path), culprit))
    assert output.read_bytes() == b"an older file"
    assert sorted(tmp_path.iterdir()) == [path, output]


@pytest.mark.parametrize("verb", ["dataset", "simulate"])
def test_a_missing_or_binary_case_is_one_sentence(verb, made, tmp_path, capsys):
    path, output = tmp_path / "case.toml", tmp_path / "new.h5"
    refuse(capsys, verb, path, "-o", output, told=("there is no file", str(path)))
    path.write_bytes(b"\xff\xfe\x00\x80")
    refuse(capsys, verb, path, "-o", output, told=("not text in UTF-8", str(path)))
    assert not output.exists()


def test_a_dataset_needs_a_box(tmp_path, capsys):
    path = tmp_path / "case.toml"
    path.write_text("[dataset]\nruns = 10\n")
    refuse(capsys, "dataset", path, "-o", tmp_path / "data.h5", told=("no [box]",))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("verb", "source"), [("dataset", "case.toml"), ("train", "data.h5")])
def test_a_missing_folder_is_one_sentence(verb, source, made, tmp_path, capsys):
    output = tmp_path / "absent" / "file"
    refuse(capsys, verb, made / source, "-o", output, told=("no folder", "absent"))


THETAS = {
    "misspelt": ("hart_rate=70", "unknown parameter 'hart_rate'; did you mean 'heart_rate'?"),
    "not varied": ("aortic.sharpness=100", "'aortic.sharpness' is fixed"),
    "wrong unit": ("heart_rate=70 mL", "heart_rate"),
    "unknown unit": ("heart_rate=70 bpn", "bpn"),
    "no number": ("heart_rate=fast", "heart_rate: 'fast' is not a number"),
    "no value": ("heart_rate=", "heart_rate: '' is not a number"),
    "no file": ("me.toml", "there is no file me.toml"),
}


@pytest.mark.parametrize("mistake", THETAS)
def test_a_mistake_in_the_parameters_is_one_sentence(mistake, made, tmp_path, capsys):
    given, culprit = THETAS[mistake]
    output = tmp_path / "beat.json"
    output.write_text("an older beat")
    refuse(capsys, "predict", made / "heart.surrogate", given, "-o", output, told=(culprit,))
    assert output.read_text() == "an older beat"


TABLES = {
    "misspelt": ('hart_rate = {value = 70, unit = "bpm"}', "did you mean 'heart_rate'?"),
    "wrong unit": ('heart_rate = {value = 70, unit = "mmHg"}', "heart_rate"),
    "no unit": ("heart_rate = {value = 70}", "heart_rate needs"),
    "not TOML": ("heart rate 70", "is not .toml"),
    "empty": ("", "is empty"),
}


@pytest.mark.parametrize("mistake", TABLES)
def test_a_mistake_in_a_table_of_parameters_is_one_sentence(mistake, made, tmp_path, capsys):
    text, culprit = TABLES[mistake]
    path = tmp_path / "me.toml"
    path.write_text(text)
    refuse(capsys, "predict", made / "heart.surrogate", path, told=(culprit,))


def test_predict_from_a_broken_twin(made, tmp_path, capsys):
    path = tmp_path / "twin.h5"
    for how in ("text", "empty", "foreign HDF5", "truncated dataset", "missing"):
        path.unlink(missing_ok=True)
        break_file(how, made, path)
        refuse(capsys, "predict", made / "heart.surrogate", path, told=(str(path),))
    break_file("dataset", made, path)
    refuse(capsys, "predict", made / "heart.surrogate", path, told=("'dataset', not a twin",))


def test_a_parameter_that_is_not_given_keeps_its_default(made, capsys):
    predict = ("predict", made / "heart.surrogate", "--json")
    card, _ = _archive.read(made / "heart.surrogate")
    given = [f"{n}={v!r}" for n, v in zip(card["names"], card["defaults"], strict=True)]
    _, every, _ = run(capsys, *predict, *given)
    code, some, _ = run(capsys, *predict, *given[1:])
    assert code == 0
    assert json.loads(some) == json.loads(every)


def test_outside_the_box_is_flagged_and_not_an_error(made, tmp_path, capsys):
    predict = ("predict", made / "heart.surrogate", "mitral.open_resistance=0.005")
    code, out, err = run(capsys, *predict, "heart_rate=70", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["inside"]
    assert json.loads(out)["outside"] == []
    code, out, err = run(capsys, *predict, "heart_rate=95", "--json")
    assert (code, err) == (0, "")
    assert not json.loads(out)["inside"]
    assert json.loads(out)["outside"] == ["heart_rate"]
    code, out, _ = run(capsys, *predict, "heart_rate=95")
    assert code == 0
    assert "outside the trained box: heart_rate" in out
    # The unit is converted before the box is asked.
    code, out, _ = run(capsys, *predict, "heart_rate=1.2 Hz", "--json")
    assert code == 0
    assert json.loads(out)["inside"]
