"""`twinjax fit` from the outside: what a user sees of a mistake, and of a fit."""

import json

import pytest

from training.cli import main
from training.twin import load_twin

GOOD = """
[measurements]
heart_rate = {value = 72, unit = "bpm"}
systolic_blood_pressure = {value = 122, unit = "mmHg", method = "cuff"}
diastolic_blood_pressure = {value = 78, unit = "mmHg", method = "cuff"}
"""


def run(capsys, *arguments):
    """Exit code, stdout and stderr of one command."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return stopped.value.code, told.out, told.err


MISTAKES = {
    "misspelt quantity": (
        GOOD.replace("heart_rate", "hart_rate"),
        "did you mean 'heart_rate'",
    ),
    "unknown unit": (GOOD.replace('"bpm"', '"bpn"'), "bpm"),
    "wrong unit": (GOOD.replace('72, unit = "bpm"', '72, unit = "mL"'), "mL"),
    "no unit": (GOOD.replace(', unit = "bpm"', ""), "unit"),
    "DBP above SBP": (GOOD.replace("78", "130"), "diastolic_blood_pressure"),
    "EF of 140 %": (GOOD + 'lv_ejection_fraction = {value = 140, unit = "%"}', "140"),
    "unknown method": (GOOD.replace('"cuff"', '"cuf"', 1), "did you mean 'cuff'"),
    "a name": ('name = "J. Doe"\n' + GOOD, "name"),
    "empty file": ("", "empty"),
    "not TOML": ("heart rate 72", "TOML"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_file_is_one_sentence(mistake, tmp_path, capsys):
    text, culprit = MISTAKES[mistake]
    (tmp_path / "me.toml").write_text(text)
    output = tmp_path / "me.h5"
    output.write_bytes(b"an older twin")
    code, out, err = run(capsys, "fit", tmp_path / "me.toml", "-o", output)
    assert code == 2
    assert out == ""
    assert culprit in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err
    assert output.read_bytes() == b"an older twin"


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (("--sampler", "gibbs"), "unknown sampler 'gibbs'; valid choices: emulator"),
        (("--free", "heart_rat"), "unknown parameter 'heart_rat'; did you mean 'heart_rate'?"),
        (("--sampling", "emulator"), "--sampling"),
        (("--draws", "3"), "--draws"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(arguments, culprit, tmp_path, capsys):
    (tmp_path / "me.toml").write_text(GOOD)
    code, _, err = run(capsys, "fit", tmp_path / "me.toml", "-o", tmp_path / "me.h5", *arguments)
    assert code == 2
    assert culprit in err
    assert "Traceback" not in err
    assert not (tmp_path / "me.h5").exists()


def test_missing_file_and_folder(tmp_path, capsys):
    code, _, err = run(capsys, "fit", tmp_path / "absent.toml")
    assert code == 2
    assert "absent.toml" in err
    (tmp_path / "me.toml").write_text(GOOD)
    code, _, err = run(capsys, "fit", tmp_path / "me.toml", "-o", tmp_path / "no" / "me.h5")
    assert code == 2
    assert "folder" in err


def test_a_fit_from_file_to_twin(tmp_path, capsys):
    (tmp_path / "me.toml").write_text(GOOD)
    free = ("heart_rate", "systemic_arteries.resistance", "systemic_arteries.compliance")
    code, out, _ = run(
        capsys,
        *("fit", tmp_path / "me.toml", "-o", tmp_path / "me.h5", "--json", "--draws", 200),
        *(word for name in free for word in ("--free", name)),
    )
    assert code == 0
    told = json.loads(out)
    assert (tmp_path / "me.png").stat().st_size > 20_000
    twin = load_twin(tmp_path / "me.h5")
    assert twin.names == free
    assert twin.draws.shape == (200, 3)
    low, high = told["predictions"]["systolic_blood_pressure"]["interval_90"]
    assert low < 122 < high
    assert told["parameters"]["heart_rate"]["shrinkage"] < 0.5
    assert told["diagnostics"]["rhat"] < 1.05
