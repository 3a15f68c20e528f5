"""The command line: each verb's files, one sentence and exit code 2 for a mistake."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from surrogates import runtime
from tests._small_surrogate import CASE, dataset_path, surrogate_path
from training.cli import VERBS, main
from training.cli._output import progress_bar

PROJECT = Path(__file__).resolve().parents[2]


def _run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_simulate_writes_a_beat(tmp_path, capsys):
    case = tmp_path / "case.toml"
    case.write_text('[parameters]\nheart_rate = {value = 1.0, unit = "Hz"}\n')
    beat, figure = tmp_path / "beat.h5", tmp_path / "beat.png"
    code, out, _ = _run(capsys, "simulate", case, "-o", beat, "--plot", figure, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["scalars"]["heart_rate"] == pytest.approx(60)
    with h5py.File(beat) as file:
        assert file.attrs["twinjax_kind"] == "beat"
        assert len(file["waveforms"]) == 20
        assert file["waveforms/aortic.flow"].attrs["unit"] == "mL/s"
        volume = file["waveforms/left_ventricle.volume"][:]
        assert np.ptp(volume) == pytest.approx(told["scalars"]["lv_stroke_volume"], rel=1e-3)
        assert file["time"][-1] == pytest.approx(1 - 1 / 500)
    assert figure.read_bytes().startswith(b"\x89PNG")
    code, out, _ = _run(capsys, "info", beat, "--json")
    assert json.loads(out)["kind"] == "beat"
    assert code == 0


def test_predict_by_names_files_and_units(tmp_path, capsys):
    surrogate = surrogate_path()
    theta = tmp_path / "theta.toml"
    theta.write_text(
        'heart_rate = {value = 1.25, unit = "Hz"}\n'
        '[systemic_arteries]\nresistance = {value = 0.95, unit = "mmHg·s/mL"}\n'
    )
    code, out, _ = _run(capsys, "predict", surrogate, theta, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["inside"] is True
    own = runtime.load(surrogate)
    values = dict(zip(own.names, own.card["defaults"], strict=True))
    beat = own(values | {"heart_rate": 75.0, "systemic_arteries.resistance": 0.95})
    expected = beat.scalar("cardiac_output")
    row = told["scalars"]["cardiac_output"]
    assert (row["value"], row["lower"], row["upper"]) == pytest.approx(expected, rel=1e-6)
    again = ("heart_rate=75 bpm", "systemic_arteries.resistance=0.95")
    code, out, _ = _run(capsys, "predict", surrogate, *again, "--json")
    assert json.loads(out)["scalars"] == told["scalars"]


def test_predict_writes_tables_and_figures(tmp_path, capsys):
    for name in ("beat.csv", "beat.h5", "beat.json", "beat.png"):
        code, out, _ = _run(capsys, "predict", surrogate_path(), "-o", tmp_path / name)
        assert code == 0
        assert "cardiac_output" in out
    with (tmp_path / "beat.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 29 + 20 * 100
    with h5py.File(tmp_path / "beat.h5") as file:
        assert file.attrs["twinjax_kind"] == "prediction"
        flow = file["waveforms/aortic.flow"]
        assert np.all(flow["lower"][:] <= flow["upper"][:])
    assert len(json.loads((tmp_path / "beat.json").read_text())["waveforms"]) == 20
    assert (tmp_path / "beat.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 4  # no temporary file is left


def test_predict_outside_the_box_says_so(capsys):
    code, out, _ = _run(capsys, "predict", surrogate_path(), "heart_rate=150")
    assert code == 0
    assert "outside the trained box: heart_rate" in out
    _, out, _ = _run(capsys, "predict", surrogate_path(), "heart_rate=150", "--json")
    assert json.loads(out)["outside"] == ["heart_rate"]


def test_predict_with_parameters_loads_no_jax():
    program = (
        "import sys\nfrom training.cli import main\n"
        f"try: main(['predict', {str(surrogate_path())!r}, 'heart_rate=70'])\n"
        "except SystemExit as ended: assert ended.code == 0\n"
        "assert 'jax' not in sys.modules and 'h5py' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_info_says_what_a_file_is(capsys):
    code, out, _ = _run(capsys, "info", surrogate_path(), "--json")
    assert code == 0
    told = json.loads(out)
    assert told["kind"] == "surrogate"
    assert told["use"].startswith("research use")
    assert "60 to 90" in told["box"]["heart_rate [bpm]"]
    code, out, _ = _run(capsys, "info", dataset_path())
    assert code == 0
    assert "dataset" in out
    assert "heart_rate = {low = 60" in out


def test_mistakes_are_one_sentence_and_exit_two(tmp_path, capsys):
    surrogate, data = surrogate_path(), dataset_path()
    case = tmp_path / "case.toml"
    case.write_text(CASE.replace("heart_rate", "heart_rat"))
    empty = tmp_path / "empty.h5"
    empty.write_bytes(b"")
    cut = tmp_path / "cut.h5"
    cut.write_bytes(data.read_bytes()[:3000])
    for arguments, part in (
        (("predictt",), "predict"),
        (("simulate",), "case"),
        (("simulate", case), "did you mean 'heart_rate'"),
        (("dataset", case, "-o", tmp_path / "x.h5"), "did you mean 'heart_rate'"),
        (("dataset", case), "output"),
        (("train", surrogate, "-o", tmp_path / "x"), "not a dataset"),
        (("train", cut, "-o", tmp_path / "x"), "truncated"),
        (("predict", data), "not a surrogate"),
        (("predict", surrogate, "heart_rat=3"), "did you mean 'heart_rate'"),
        (("predict", surrogate, "heart_rate=3 mmHg"), "Cannot convert mmHg"),
        (("predict", surrogate, "heart_rate=x"), "not a number"),
        (("predict", surrogate, "mitral.sharpness=3"), "fixed at 100"),
        (("predict", surrogate, tmp_path / "absent.toml"), "there is no file"),
        (("predict", surrogate, empty), "empty"),
        (("predict", surrogate, "-o", tmp_path / "beat.xyz"), "name a .csv"),
        (("info", empty), "is empty"),
        (("info", cut), "truncated"),
        (("info", case), "not a file of twinjax"),
    ):
        code, out, err = _run(capsys, *arguments)
        assert code == 2, arguments
        sentences = [line for line in err.splitlines() if line.startswith("twinjax: ")]
        assert len(sentences) == 1, (arguments, err)
        assert part in sentences[0], (arguments, err)
        assert "Traceback" not in out + err


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_has_help(verb):
    done = subprocess.run(
        [sys.executable, "-m", "training.cli", verb, "--help"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert verb in done.stdout


def test_a_log_is_told_how_far_a_long_work_is(capsys, monkeypatch):
    """Without a terminal: a line where there has been none for a while, and none if quiet."""
    clock = iter([0.0, 1.0, 31.0, 32.0, 62.0])
    monkeypatch.setattr("training.cli._output.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with progress_bar() as update:
        for done in range(1, 5):
            update("heating", done, 4)
    assert capsys.readouterr().err.splitlines() == [
        "heating: 2 of 4, 31 s",
        "heating: 4 of 4, 62 s",
    ]
    clock = iter([0.0, 40.0])
    with progress_bar(quiet=True) as update:
        update("heating", 1, 4)
    assert capsys.readouterr().err == ""
