"""`twinjax cell`: its files, its numbers beside the library's, and a sentence for every mistake."""

import csv
import json
import os
from pathlib import Path

import equinox as eqx
import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from training import _cell_run
from training.cli import main
from twinjax import RESULTS
from twinjax.cells import ACCURATE, MODELS, Land2017, beat_grid, biomarkers, contract, pace

MODEL = "luo-rudy-1991"
SPONTANEOUS = "noble-1962"


def run(capsys, *arguments):
    """Exit code, stdout and stderr of one command."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return stopped.value.code, told.out, told.err


def paced(capsys, *arguments):
    code, out, err = run(capsys, "cell", MODEL, "--beats", 2, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_list_is_not_taken_for_a_model(capsys):
    assert "list" not in MODELS
    code, out, _ = run(capsys, "cell", "list")
    assert code == 0
    assert "guinea pig" in out
    code, out, _ = run(capsys, "cell", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert set(rows) == set(MODELS)
    assert rows[MODEL]["states"] == 8
    assert rows[MODEL]["stimulus"] == {"amplitude": -25.5, "unit": "µA/cm2", "duration_ms": 2.0}
    assert rows[SPONTANEOUS]["stimulus"] is None


def test_hdf5_holds_the_beat_its_units_and_where_it_came_from(tmp_path, capsys):
    file, figure = tmp_path / "beat.h5", tmp_path / "beat.png"
    told = paced(capsys, "-o", file, "--figure", figure, "--set", "g_si=0.08")
    library = _cell_run.build(MODEL, {"g_si": 0.08})
    seen = pace(library, beats=2)
    expected = {name: float(value) for name, value in eqx.filter_jit(biomarkers)(seen).items()}
    marks = {name: row["value"] for name, row in told["biomarkers"].items()}
    assert {name: marks[name] for name in expected} == pytest.approx(expected)
    assert next(iter(marks)) == "resting_potential"
    assert told["biomarkers"]["apd90"]["unit"] == "ms"
    with h5py.File(file) as stored:
        assert stored.attrs["twinjax_kind"] == "cell"
        np.testing.assert_allclose(stored["time"][:], seen.times)
        np.testing.assert_allclose(stored["waveforms/v"][:], seen.observations["v"], atol=1e-8)
        np.testing.assert_allclose(stored["waveforms/cai"][:], seen.observations["cai"], rtol=1e-9)
        assert stored["time"].attrs["unit"] == "ms"
        assert stored["waveforms/v"].attrs["unit"] == "mV"
        assert stored["waveforms/cai"].attrs["unit"] == "mM"
        tension = stored["waveforms/tension"]
        assert tension.attrs["unit"] == "kPa"
        assert tension[:].max() == pytest.approx(marks["tension_peak"])
        # It has settled: the beat's calcium once more gives the same tension.
        state = None
        for _ in range(9):
            settled, state = contract(Land2017(), seen.times, seen.observations["cai"], state=state)
        np.testing.assert_allclose(tension[:], settled, atol=1e-3)
        assert stored["parameters/g_si"][()] == pytest.approx(0.08)
        assert stored["parameters/g_si"].attrs["unit"] == "mS/cm2"
        assert stored["scalars/apd90"][()] == pytest.approx(expected["apd90"])
        provenance = json.loads(stored.attrs["provenance"])
    assert provenance["model"] == MODEL
    assert provenance["set"] == {"g_si": "0.08 mS/cm2"}
    assert "jax" in provenance["versions"]
    assert provenance["context_of_use"].startswith("research use")
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beat.h5", "beat.png"]
    code, out, _ = run(capsys, "info", file, "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["kind"], told["model"], told["beats"]) == ("cell", MODEL, 2)
    assert told["biomarkers"]["apd90 [ms]"] == f"{expected['apd90']:.4g}"
    code, out, _ = run(capsys, "info", file)
    assert "Luo-Rudy 1991" in out


def test_csv_holds_the_same_beat(tmp_path, capsys):
    file = tmp_path / "beat.csv"
    code, out, _ = run(capsys, "cell", MODEL, "--beats", 2, "-o", file)
    assert code == 0
    assert "apd90" in out
    assert f"written: {file}" in out
    first, second, *rows = file.read_text("utf-8").splitlines()
    assert json.loads(first.removeprefix("# "))["model"] == MODEL
    assert json.loads(second.removeprefix("# "))["biomarkers"]["apd90"] > 100
    heading, *rows = csv.reader(rows)
    assert heading == ["time [ms]", "v [mV]", "cai [mM]", "tension [kPa]"]
    seen = pace(MODELS[MODEL](), beats=2)
    columns = [seen.times, seen.observations["v"], seen.observations["cai"]]
    np.testing.assert_allclose(np.array(rows, float)[:, :3], np.stack(columns, axis=1), rtol=1e-7)


def test_a_block_is_a_share_of_the_conductance(capsys):
    by_block = paced(capsys, "--block", "IK=0.25")
    by_value = paced(capsys, "--set", f"g_k={0.75 * 0.282}")
    assert by_block["blocked"] == {"IK": 0.25}
    longer = by_block["biomarkers"]["apd90"]["value"]
    assert longer == pytest.approx(by_value["biomarkers"]["apd90"]["value"])
    assert longer > paced(capsys)["biomarkers"]["apd90"]["value"] + 10
    # On top of a value that was set.
    both = paced(capsys, "--set", "g_k=0.564", "--block", "IK=0.625")
    assert both["biomarkers"]["apd90"]["value"] == pytest.approx(longer)


def test_cycle_length_and_accuracy_are_those_of_the_library(tmp_path, capsys):
    file = tmp_path / "beat.h5"
    told = paced(capsys, "--cycle-length", 300, "--accurate", "-o", file)
    assert told["cycle_length"] == "300 ms"
    assert told["grid"] == "accurate"
    grid = beat_grid(300.0, 2.0, setting=ACCURATE)
    with h5py.File(file) as stored:
        np.testing.assert_allclose(np.diff(stored["time"][:]), grid.lengths, atol=1e-9)
        seen = pace(MODELS[MODEL](), beats=2, grid=grid)
        np.testing.assert_allclose(stored["waveforms/v"][:], seen.observations["v"], atol=1e-8)


def test_a_cell_that_beats_by_itself(tmp_path, capsys):
    file, figure = tmp_path / "rhythm.h5", tmp_path / "rhythm.svg"
    arguments = ("--beats", 5, "-o", file, "--figure", figure, "--json")
    code, out, _ = run(capsys, "cell", SPONTANEOUS, *arguments)
    assert code == 0
    told = json.loads(out)
    marks = {name: row["value"] for name, row in told["biomarkers"].items()}
    assert told["cycle_length"] == "spontaneous"
    # The paper's cycle of about 560 ms; its potentials of figure 6 are about -80 and 23 mV.
    assert marks["cycle_length"] == pytest.approx(564, abs=3)
    assert -85 < marks["diastolic_potential"] < -75
    assert 150 < marks["apd50"] < marks["apd90"] < marks["cycle_length"]
    assert "calcium_amplitude" not in marks
    with h5py.File(file) as stored:
        time = stored["time"][:]
        assert time[-1] == pytest.approx(5000)
        assert np.all(np.diff(time) > 0)
        v = stored["waveforms/v"][:]
        upward = time[1:][(v[:-1] < -30) & (v[1:] >= -30)]
        assert np.diff(upward)[-1] == pytest.approx(marks["cycle_length"], abs=0.1)
        assert "waveforms/cai" not in stored
    assert b"<svg" in figure.read_bytes()


def test_too_short_a_run_says_so(capsys):
    code, out, _ = run(capsys, "cell", SPONTANEOUS, "--beats", 1, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["biomarkers"]["cycle_length"]["value"] is None
    assert "needs more --beats" in told["warnings"][0]


def test_no_repolarisation_says_so(capsys):
    told = paced(capsys, "--block", "IK=1", "--beats", 1)
    assert told["biomarkers"]["apd90"]["value"] is None
    assert "not repolarised" in told["warnings"][0]


MISTAKES = {
    "unknown model": (("luo-rudi-1991",), "unknown cell model 'luo-rudi-1991'; did you mean"),
    "list with a flag": (("list", "--accurate"), "only --json"),
    "list with a cycle": (("list", "--cycle-length", "0"), "only --json"),
    "list with beats": (("list", "--beats", "10"), "only --json"),
    "misspelt list": (("liste",), "unknown cell model 'liste'"),
    "unknown parameter": (
        (MODEL, "--set", "g_kk=1"),
        "unknown parameter of luo-rudy-1991 'g_kk'; did you mean 'g_k'",
    ),
    "unknown current": (
        (MODEL, "--block", "IK2=0.5"),
        "unknown current of Luo-Rudy 1991 'IK2'; did you mean 'IK",
    ),
    "no conductances": (
        ("aliev-panfilov-1996", "--block", "X=0.5"),
        "Aliev-Panfilov 1996 has no conductance to scale, X or other",
    ),
    "value above its bound": ((MODEL, "--set", "g_k=50"), "g_k = 50 mS/cm2 is outside [0, 3]"),
    "value below its bound": ((MODEL, "--set", "g_k=-1"), "outside [0, 3]"),
    "not a number": ((MODEL, "--set", "g_k=fast"), "'fast' is not a number"),
    "NaN": ((MODEL, "--set", "g_k=nan"), "g_k = nan mS/cm2 is outside"),
    "no value": ((MODEL, "--set", "g_k"), "--set needs NAME=VALUE, not 'g_k'"),
    "a name twice": ((MODEL, "--set", "g_k=1", "--set", "g_k=2"), "--set names g_k twice"),
    "block above 1": ((MODEL, "--block", "IK=50"), "a share between 0 and 1"),
    "negative block": ((MODEL, "--block", "IK=-0.1"), "a share between 0 and 1"),
    "cycle shorter than the stimulus": (
        (MODEL, "--cycle-length", "1.5"),
        "a stimulus of 2.0 ms does not fit into a cycle of 1.5 ms",
    ),
    "negative cycle": ((MODEL, "--cycle-length", "-1"), "does not fit into a cycle"),
    "cycle without end": ((MODEL, "--cycle-length", "inf"), "--cycle-length"),
    "cycle of NaN": ((MODEL, "--cycle-length", "nan"), "--cycle-length"),
    "cycle of a spontaneous cell": (
        (SPONTANEOUS, "--cycle-length", "500"),
        "noble-1962 beats by itself",
    ),
    "no beats": ((MODEL, "--beats", "0"), "--beats"),
    "no model": ((), "MODEL"),
    "wrong suffix": ((MODEL, "-o", "{folder}/beat.txt"), "name a .csv, .h5 or .hdf5 file"),
    "wrong figure": ((MODEL, "--figure", "{folder}/beat.h5"), "name a .png, .pdf or .svg file"),
    "no folder": ((MODEL, "-o", "{folder}/absent/beat.h5"), "there is no folder"),
    "a folder's name": ((MODEL, "-o", "{folder}/taken.h5"), "is a folder, not a file"),
    "unknown option": ((MODEL, "--cycle", "500"), "--cycle"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(mistake, tmp_path, capsys):
    (tmp_path / "taken.h5").mkdir()
    arguments, culprit = MISTAKES[mistake]
    refused(capsys, culprit, *(a.replace("{folder}", str(tmp_path)) for a in arguments))
    assert [path.name for path in tmp_path.iterdir()] == ["taken.h5"]


def refused(capsys, culprit, *arguments):
    code, out, err = run(capsys, "cell", *arguments)
    assert code == 2
    assert out == ""
    sentences = [line for line in err.splitlines() if line.startswith("twinjax: ")]
    assert len(sentences) == 1, err
    assert culprit in sentences[0]
    assert "Traceback" not in err


def test_a_folder_without_the_right_to_write(tmp_path, capsys, monkeypatch):
    # The mode alone would not stop a superuser.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    refused(capsys, "cannot be written to", MODEL, "-o", tmp_path / "beat.h5")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_older_file(tmp_path, capsys, monkeypatch):
    def full(cell_run, path):
        path.write_text("half a ")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(_cell_run, "write_run", full)
    file = tmp_path / "beat.csv"
    file.write_text("an older beat")
    refused(capsys, f"{file}: No space left on device", MODEL, "--beats", 2, "-o", file)
    assert file.read_text() == "an older beat"
    assert [path.name for path in tmp_path.iterdir()] == ["beat.csv"]


def test_a_state_that_becomes_nan_is_refused(tmp_path, capsys, monkeypatch):
    def broken(*arguments, **keywords):
        seen = pace(*arguments, **keywords)
        return eqx.tree_at(lambda s: s.result, seen, jnp.array(int(RESULTS.nonfinite)))

    monkeypatch.setattr(_cell_run, "pace", broken)
    refused(capsys, "infinite or NaN in beat 1", MODEL, "-o", tmp_path / "beat.h5")
    assert not list(tmp_path.iterdir())
