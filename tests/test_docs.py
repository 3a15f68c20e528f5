"""What the documentation shows works: its Python runs, its measurements can be read."""

import sys

import pytest

from tests._conventions import PROJECT
from tests._pages import blocks, printed
from training.cli import main
from training.trials import open_trial
from twinjax.io import read_measurements


def test_python_of_the_quickstart_runs():
    (out,) = printed("quickstart.md")
    fraction, sensitivities = out.splitlines()
    assert 40 < float(fraction.removesuffix(" %")) < 75
    assert "left_ventricle.active_elastance" in sensitivities


def test_measurements_of_the_quickstart_are_read(tmp_path):
    (text,) = blocks("quickstart.md", "toml")
    file = tmp_path / "person.toml"
    file.write_text(text, encoding="utf-8")
    read = read_measurements(file)
    assert len(read.scalars) == text.count("value =")


def _small_trial(tmp_path, monkeypatch, *options):
    (drugs,), (study, _) = blocks("trial.md", "csv"), blocks("trial.md", "toml")
    small = study.replace("size = 20", "size = 2").replace("[1, 2, 3, 4]", "[1]")
    assert small.count("= 2 ") == 1
    (tmp_path / "drugs.csv").write_text(drugs, encoding="utf-8")
    (tmp_path / "study.toml").write_text(small, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["trial", "study.toml", "-o", "trial.h5", *options])
    assert ended.value.code == 0
    return open_trial("trial.h5")


def test_the_virtual_trial_runs_at_reduced_size(tmp_path, monkeypatch):
    trial = _small_trial(tmp_path, monkeypatch)
    assert not trial.result.any()
    usual = trial.control[:, trial.end_points.index("apd90")]
    longer = (trial.of("apd90")[:, 0] - usual).mean(axis=1)
    assert dict(zip(trial.drugs, longer > 5, strict=True))["dofetilide"]


@pytest.mark.slow  # the gradients of the report's scores take minutes to compile
def test_the_virtual_trial_is_reported(tmp_path, monkeypatch):
    trial = _small_trial(tmp_path, monkeypatch, "--report", "trial.html")
    report = (tmp_path / "trial.html").read_text("utf-8")
    assert all(drug in report for drug in trial.drugs)
    assert report.count("data:image/png;base64,") == 1


def test_the_equations_become_mathml():
    pytest.importorskip("latex2mathml", reason="the documentation's extra is not installed")
    sys.path.insert(0, str(PROJECT / "docs"))
    try:
        import mathml
    finally:
        sys.path.pop(0)
    page = r'<p>a <span class="arithmatex">\(x &lt; \frac{1}{2}\)</span> b</p>'
    converted = mathml.on_page_content(page)
    assert converted.startswith("<p>a <math")
    assert "<mfrac>" in converted
    assert "&lt;" in converted or "&#x0003C;" in converted
