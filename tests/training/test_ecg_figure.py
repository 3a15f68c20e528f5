"""A picture of an ECG: in true size, of one beat or of ten seconds, one laid over another."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from training._ecg_figure import draw_ecg
from twinjax.electro import LEADS
from twinjax.io import EcgRecord


def _record(seconds, size=1.0, leads=LEADS):
    times = np.arange(0.0, 1000 * seconds, 4.0)
    wave = size * np.exp(-0.5 * ((times % 800 - 200) / 15) ** 2)
    return EcgRecord(times, np.stack([wave * (1 + 0.1 * k) for k in range(len(leads))]), leads)


def test_ten_seconds_in_true_size(tmp_path):
    draw_ecg([_record(10.1)], tmp_path / "ecg.png", title="A record")
    image = plt.imread(tmp_path / "ecg.png")
    # 4 columns of 2.5 s at 25 mm/s, and what stands beside them; 200 dots an inch.
    width = image.shape[1] / 200 * 25.4
    assert 265 < width < 280
    dark = np.all(image[..., :3] < 0.2, axis=2)
    assert dark.mean() > 0.002


def test_the_scale_is_25_mm_a_second_and_10_a_millivolt(tmp_path, monkeypatch):
    """Peaks 0.8 s apart are 20 mm apart, and 1 mV is 10 mm high, as the calibration pulse is."""
    drawn = []
    monkeypatch.setattr(
        "matplotlib.figure.Figure.savefig", lambda figure, *_, **__: drawn.append(figure)
    )
    draw_ecg([_record(10.1)], tmp_path / "ecg.png")
    (axis,) = drawn[0].axes
    inches = axis.get_window_extent().width / drawn[0].dpi
    assert inches * 25.4 == pytest.approx(np.ptp(axis.get_xlim()), rel=1e-6)
    lines = [line.get_xydata() for line in axis.lines]
    pulse, first = lines[0], lines[1]
    assert np.ptp(pulse[:, 1]) == pytest.approx(10)
    assert np.ptp(first[:, 1]) == pytest.approx(10, abs=0.01)
    high = first[first[:, 1] > first[:, 1].max() - 1e-6, 0]
    np.testing.assert_allclose(np.diff(high), 20, atol=1e-9)


def test_one_beat_over_another_and_a_strip(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "matplotlib.figure.Figure.savefig", lambda figure, *_, **__: drawn.append(figure)
    )
    beats = [_record(0.6), _record(0.6, 0.8, LEADS[6:])]
    draw_ecg(beats, tmp_path / "a.png", labels=("measured", "simulated"), period=800.0)
    (axis,) = drawn[0].axes
    shown = [line for line in axis.lines if len(line.get_xdata()) > 6]
    assert len(shown) == 12 + 6 + 1  # the limb leads and the strip are of the first only
    assert {text.get_text() for text in axis.texts} >= set(LEADS)
    draw_ecg(beats, tmp_path / "b.png")
    assert len(drawn[1].axes[0].lines) == len(axis.lines) - 3  # no strip, no pulse before it


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="no ECG to draw"):
        draw_ecg([], tmp_path / "a.png")
    with pytest.raises(ValueError, match="1 ECGs have 2 labels"):
        draw_ecg([_record(1.0)], tmp_path / "a.png", labels=("a", "b"))
    with pytest.raises(ValueError, match="standard lead"):
        draw_ecg([_record(1.0, leads=("X",))], tmp_path / "a.png")
