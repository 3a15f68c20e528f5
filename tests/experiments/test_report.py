"""The experiments' contract: each kind of tolerance on both sides, the file, the exit code."""

import json
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from experiments._report import SKIPPED, Report, main
from experiments._shared import ReferenceAbsent, shared_path

PROJECT = Path(__file__).resolve().parents[2]
CONTRACT = {"quantity", "value", "reference", "tolerance", "unit", "source", "ok"}
ABOUT = {"unit": "mL", "source": "a table"}


@pytest.fixture
def kept_flags(monkeypatch):
    """`main` is a program and sets global flags; a test puts them back."""
    import jax

    names = ("jax_enable_x64", "jax_enable_compilation_cache", "jax_compilation_cache_dir")
    before = {name: getattr(jax.config, name) for name in names}
    minimum = jax.config.jax_persistent_cache_min_compile_time_secs
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", minimum)


@pytest.mark.parametrize(
    ("add", "held"),
    [
        (lambda r: r.relative("q", 101.0, 100.0, 0.011, **ABOUT), True),
        (lambda r: r.relative("q", 101.0, 100.0, 0.009, **ABOUT), False),
        (lambda r: r.relative("q", -99.0, -100.0, 0.011, **ABOUT), True),
        (lambda r: r.relative("q", 99.0, -100.0, 0.011, **ABOUT), False),
        (lambda r: r.absolute("q", 1.5, 0.0, 2.0, **ABOUT), True),
        (lambda r: r.absolute("q", -2.5, 0.0, 2.0, **ABOUT), False),
        (lambda r: r.interval("q", 0.87, 0.87, 0.93, **ABOUT), True),
        (lambda r: r.interval("q", 0.86, 0.87, 0.93, **ABOUT), False),
        (lambda r: r.interval("q", 0.94, 0.87, 0.93, **ABOUT), False),
        (lambda r: r.at_most("q", 2.0, 2.0, **ABOUT), True),
        (lambda r: r.at_most("q", 2.1, 2.0, **ABOUT), False),
        (lambda r: r.at_least("q", 2.0, 2.0, **ABOUT), True),
        (lambda r: r.at_least("q", 1.9, 2.0, **ABOUT), False),
        (lambda r: r.information("q", -1e9, **ABOUT), True),
    ],
)
def test_each_kind_of_tolerance_holds_and_fails(add, held):
    report = Report("name")
    assert add(report).ok is held
    assert report.ok is held


@pytest.mark.parametrize(
    "add",
    [
        lambda r: r.relative("q", math.nan, 1.0, 1.0, **ABOUT),
        lambda r: r.relative("q", 1.0, math.nan, 1.0, **ABOUT),
        lambda r: r.absolute("q", math.nan, 1.0, math.inf, **ABOUT),
        lambda r: r.interval("q", math.nan, 0.0, 1.0, **ABOUT),
        lambda r: r.at_most("q", math.nan, 1.0, **ABOUT),
        lambda r: r.at_least("q", math.nan, 1.0, **ABOUT),
        lambda r: r.information("q", math.nan, **ABOUT),
    ],
)
def test_not_a_number_is_never_ok(add):
    assert add(Report("name")).ok is False


def test_one_failed_row_fails_the_report_and_no_row_is_no_pass():
    report = Report("name")
    assert not report.ok
    report.at_most("q", 1.0, 2.0, **ABOUT)
    assert report.ok
    report.at_most("q", 3.0, 2.0, **ABOUT)
    report.at_most("q", 1.0, 2.0, **ABOUT)
    assert not report.ok


@pytest.mark.parametrize(
    ("add", "sentence"),
    [
        (lambda r: r.relative("q", 1.0, 0.0, 0.1, **ABOUT), "use an absolute one"),
        (lambda r: r.relative("q", 1.0, 1.0, -0.1, **ABOUT), "below zero"),
        (lambda r: r.absolute("q", 1.0, 1.0, math.nan, **ABOUT), "below zero"),
        (lambda r: r.interval("q", 1.0, 2.0, 1.0, **ABOUT), "is empty"),
    ],
)
def test_a_tolerance_without_meaning_is_refused(add, sentence):
    with pytest.raises(ValueError, match=sentence):
        add(Report("name"))


def test_numpy_and_jax_numbers_become_plain_ones():
    import jax.numpy as jnp

    report = Report("name")
    report.relative("q", jnp.asarray(1.0), np.float32(1.0), np.float64(1e-6), **ABOUT)
    report.interval("q", np.float32(1.0), np.float32(0.5), jnp.asarray(2.0), **ABOUT)
    rows = json.loads(json.dumps(report.as_dict(), allow_nan=False))["rows"]
    assert rows[0]["tolerance"] == {"relative": 1e-6}
    assert rows[1]["tolerance"] == {"interval": [0.5, 2.0]}
    assert all(row["ok"] is True for row in rows)


def run_main(tmp_path, run, *arguments):
    file = tmp_path / "report.json"
    with pytest.raises(SystemExit) as stopped:
        main(run, name="name", argv=["--json", str(file), *arguments])
    return stopped.value.code, json.loads(file.read_text())


@pytest.mark.usefixtures("kept_flags")
class TestProgram:
    def test_file_and_exit_code_when_all_holds(self, tmp_path, capsys):
        def run(quick, report):
            assert quick
            report.relative("stroke volume [left]", 69.8, 69.781, 1e-3, **ABOUT)
            report.information("a peer's time", 10.0, unit="ms", source="same run")

        code, content = run_main(tmp_path, run, "--quick")
        assert code == 0
        assert {"name", "rows", "wall_s", "device", "versions"} <= set(content)
        assert all(set(row) == CONTRACT for row in content["rows"])
        assert content["rows"][1]["tolerance"] is None
        assert content["wall_s"] > 0
        assert content["versions"]["jax"][0].isdigit()
        printed = capsys.readouterr().out
        assert "stroke volume [left]" in printed
        assert "rows 2, failed 0, for information 1" in printed

    def test_a_row_out_of_tolerance_exits_1(self, tmp_path, capsys):
        def run(quick, report):
            report.at_most("error", 2.0, 1.0, unit="1", source="limit")

        code, content = run_main(tmp_path, run)
        assert code == 1
        assert content["rows"][0]["ok"] is False
        assert "FAILED" in capsys.readouterr().out

    def test_not_a_number_is_written_as_valid_json(self, tmp_path):
        def run(quick, report):
            report.information("q", math.nan, unit="1")

        code, content = run_main(tmp_path, run)
        assert code == 1
        assert content["rows"][0]["value"] == "nan"

    def test_absent_reference_data_exit_as_skipped(self, tmp_path, capsys):
        def run(quick, report):
            raise ReferenceAbsent("no reference data at x.")

        code, content = run_main(tmp_path, run)
        assert code == SKIPPED
        assert content["skipped"] == "no reference data at x."
        assert "skipped" in capsys.readouterr().out

    def test_a_crash_keeps_what_was_measured(self, tmp_path):
        def run(quick, report):
            report.at_most("error", 0.5, 1.0, unit="1", source="limit")
            raise RuntimeError("the solver stopped")

        file = tmp_path / "report.json"
        with pytest.raises(RuntimeError, match="the solver stopped"):
            main(run, name="name", argv=["--json", str(file)])
        content = json.loads(file.read_text())
        assert content["error"] == "RuntimeError: the solver stopped"
        assert content["rows"][0]["value"] == 0.5

    def test_the_file_is_replaced_whole(self, tmp_path, monkeypatch):
        file = tmp_path / "report.json"
        file.write_text('{"name": "old"}')

        def broken(source, target):
            raise OSError("disk full")

        monkeypatch.setattr(os, "replace", broken)
        with pytest.raises(OSError, match="disk full"):
            main(lambda quick, report: None, name="name", argv=["--json", str(file)])
        assert json.loads(file.read_text()) == {"name": "old"}
        assert list(tmp_path.iterdir()) == [file]

    def test_a_bad_json_target_is_refused_before_the_run(self, tmp_path, capsys):
        def run(quick, report):
            raise AssertionError("ran")

        for target in (tmp_path / "absent" / "r.json", tmp_path):
            with pytest.raises(SystemExit) as stopped:
                main(run, name="name", argv=["--json", str(target)])
            assert stopped.value.code == 2
        errors = capsys.readouterr().err
        assert "does not exist" in errors
        assert "is a folder" in errors


def test_an_experiment_as_a_program_computes_in_float64(tmp_path):
    (tmp_path / "toy.py").write_text(
        textwrap.dedent(
            '''
            """A toy experiment that opens with what it reproduces."""
            import jax.numpy as jnp

            from experiments._report import main

            def run(quick, report):
                report.at_most("1/3 - 1/3", abs(float(jnp.asarray(1.0) / 3) - 1 / 3), 0.0,
                               unit="1", source="exact")

            if __name__ == "__main__":
                main(run, name="toy")
            '''
        )
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT), str(tmp_path)])}
    command = [sys.executable, "-m", "toy"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    help_ = subprocess.run([*command, "--help"], env=environment, capture_output=True, text=True)
    assert "opens with what it reproduces" in help_.stdout


def test_reference_data_are_found_by_the_variable_or_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TWINJAX_SHARED", str(tmp_path))
    (tmp_path / "data").mkdir()
    assert shared_path("data") == tmp_path / "data"
    with pytest.raises(ReferenceAbsent, match="TWINJAX_SHARED"):
        shared_path("nothing/here.csv")
