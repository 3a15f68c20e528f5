"""Twin files: what is written is read, and what is not a whole twin is refused in one sentence."""

import dataclasses

import h5py
import numpy as np
import pytest

from training.report import draw_twin, identifiability_table, measurement_table, parameter_table
from training.report import summary as summarise
from training.twin import Twin, fixed_parameters, load_twin, provenance, save_twin
from twinjax import ParameterSpace
from twinjax.heart import ClosedLoop
from twinjax.io import Measurement, Measurements
from twinjax.observables import OBSERVABLES, WAVEFORMS

NAMES = ("heart_rate", "systemic_arteries.resistance")


@pytest.fixture
def twin():
    rng = np.random.default_rng(0)
    space = ParameterSpace(ClosedLoop(), NAMES)
    period = np.arange(20) / 20
    return Twin(
        names=NAMES,
        units=space.units,
        draws=np.array([72.0, 0.9]) * np.exp(0.1 * rng.normal(size=(50, 2))),
        mode=np.array([71.0, 0.92]),
        shrinkage=np.array([0.3, 0.8]),
        fixed=fixed_parameters(ClosedLoop(), space),
        scalars={name: rng.normal(70.0, 1.0, size=50) for name in OBSERVABLES},
        waveforms={name: 50 + np.sin(period + rng.normal(size=(50, 1))) for name in WAVEFORMS},
        measurements=Measurements(
            (Measurement("heart_rate", 70.0, 3.0, "ecg"),), patient="A1", age=60.0
        ),
        directions=[{"shrinkage": 0.3, "weights": {"heart_rate": 1.0}, "fixed": True}],
        diagnostics={"sampler": "emulator", "rhat": 1.001, "warnings": []},
        provenance=provenance(0, chains=4),
    )


def test_round_trip(twin, tmp_path):
    save_twin(twin, tmp_path / "twin.h5")
    read = load_twin(tmp_path / "twin.h5")
    assert np.array_equal(read.draws, twin.draws)
    assert read.names == NAMES
    assert read.units == ("bpm", "mmHg·s/mL")
    assert read.measurements.entries == twin.measurements.entries
    assert set(read.scalars) == set(OBSERVABLES)
    assert set(read.waveforms) == set(WAVEFORMS)
    assert read.provenance["context_of_use"].startswith("research use")
    assert read.fixed == twin.fixed
    assert read.directions == twin.directions
    assert list(tmp_path.iterdir()) == [tmp_path / "twin.h5"]


def test_the_model_of_a_twin_has_its_mode(twin):
    model = twin.model
    assert float(model.heart_rate) == 71.0
    assert float(model.systemic_arteries.resistance) == 0.92
    assert float(model.left_ventricle.passive_elastance) == pytest.approx(0.07)


def test_a_failed_write_leaves_the_old_file(twin, tmp_path):
    path = tmp_path / "twin.h5"
    save_twin(twin, path)
    before = path.read_bytes()
    broken = dataclasses.replace(twin, diagnostics={"rhat": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        save_twin(broken, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("keep", "sentence"),
    [(0, "is empty"), (100, "truncated or not a twin"), (5000, "truncated or not a twin")],
)
def test_a_truncated_file_is_refused(twin, tmp_path, keep, sentence):
    path = tmp_path / "twin.h5"
    save_twin(twin, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=sentence):
        load_twin(path)


def test_foreign_and_missing_files_are_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1.0
    with pytest.raises(ValueError, match="an HDF5 file of another program, not a twin"):
        load_twin(tmp_path / "other.h5")
    with pytest.raises(ValueError, match="there is no file"):
        load_twin(tmp_path / "absent.h5")


def test_a_changed_draw_is_noticed(twin, tmp_path):
    path = tmp_path / "twin.h5"
    save_twin(twin, path)
    with h5py.File(path, "r+") as file:
        file["draws"][0, 0] = 60.0
    with pytest.raises(ValueError, match="checksum"):
        load_twin(path)


def test_report(twin, tmp_path):
    draw_twin(twin, tmp_path / "twin.png")
    assert (tmp_path / "twin.png").stat().st_size > 20_000
    assert measurement_table(twin).row_count == 1
    assert parameter_table(twin).row_count == 2
    assert identifiability_table(twin).row_count == 1
    told = summarise(twin)
    assert told["parameters"]["heart_rate"]["unit"] == "bpm"
    low, high = told["parameters"]["heart_rate"]["interval_90"]
    assert low < told["parameters"]["heart_rate"]["median"] < high
