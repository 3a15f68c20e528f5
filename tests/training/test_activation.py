"""Activation from an ECG: its parts against what they stand for, and the verb end to end."""

import json

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training.activation import Pattern, VentricularEcg, beat_of, read_beat
from training.activation.fit import Data, Fitter, _moved
from training.activation.repolarise import Repolariser, usual_durations
from training.activation.search import _groups
from training.activation.surface import endocardia
from training.anatomy import Anatomy, AnatomyTable, load_anatomy, read_electrodes
from training.cli import main
from twinjax.electro import ELECTRODES, LEADS
from twinjax.geometry import coordinates, divided, left_ventricle, with_fibres
from twinjax.io import EcgRecord, write_mesh

TIMES = np.arange(-5.0, 70.0, 1.0)


@pytest.fixture(scope="module")
def anatomy():
    mesh = with_fibres(left_ventricle(spacing=10.0))
    rng = np.random.default_rng(0)
    away = rng.standard_normal((9, 3))
    away = 110 * away / np.linalg.norm(away, axis=1, keepdims=True)
    return Anatomy(mesh, coordinates(mesh), np.asarray(mesh.points).mean(0) + away, ())


@pytest.fixture(scope="module")
def model(anatomy):
    return VentricularEcg(anatomy, anatomy.electrodes, leads=LEADS)


@pytest.fixture(scope="module")
def hidden(anatomy):
    points = endocardia(anatomy.mesh)[0].spread(40.0)[:2]
    return Pattern(np.array([0.7, 0.45, 2.0, 1.8]), points, np.array([0.0, 9.0]), np.array(1.3))


@pytest.fixture(scope="module")
def truth(model, hidden):
    return np.asarray(model.activation(hidden))


def test_binned_potentials_are_those_of_the_formula(model, anatomy, truth):
    fine, ends = divided(anatomy.mesh)
    np.testing.assert_array_equal(model.ends, ends)
    on_fine = np.concatenate([truth, truth[ends].mean(axis=1)])
    exact = model.fine.of_times(jnp.asarray(TIMES), jnp.asarray(on_fine), shape=model.shape)
    ours = model.depolarisation(TIMES, jnp.asarray(truth))
    # A bin of half an upstroke's length widens it by under 1 %.
    assert np.linalg.norm(ours - exact) < 0.01 * np.linalg.norm(exact)
    assert len(fine.points) == model.fine.matrix.shape[1]


def test_sum_and_product_of_the_action_potential_agree(model, truth):
    late = truth + 240.0
    times = np.arange(0.0, 400.0, 4.0)
    exact = model.field.of_times(
        jnp.asarray(times), jnp.asarray(truth), jnp.asarray(late), model.shape
    )
    plain = model.field.of_times(jnp.asarray(times), jnp.asarray(truth), shape=model.shape)
    ours = plain + model.repolarisation(times, jnp.asarray(late))
    assert np.linalg.norm(ours - exact) < 0.02 * np.linalg.norm(exact)


def test_points_are_projected_onto_the_surface(anatomy):
    endo = endocardia(anatomy.mesh)[0]
    rng = np.random.default_rng(1)
    inside = endo.corners.mean(axis=1)[::7]
    normal = np.cross(
        endo.corners[:, 1] - endo.corners[:, 0], endo.corners[:, 2] - endo.corners[:, 0]
    )
    normal = (normal / np.linalg.norm(normal, axis=1, keepdims=True))[::7]
    near, along = endo.project(inside + 0.2 * normal)
    np.testing.assert_allclose(near, inside, atol=1e-9)
    np.testing.assert_allclose(
        np.einsum("kai,kbi->kab", along, along), np.tile(np.eye(2), (len(near), 1, 1)), atol=1e-12
    )
    assert np.abs(np.einsum("kai,ki->ka", along, normal)).max() < 1e-12
    # No point of any facet is nearer than the one found.
    far = inside + 5 * rng.standard_normal(inside.shape)
    near, _ = endo.project(far)
    shares = rng.dirichlet(np.ones(3), 200)
    cloud = np.einsum("sa,fai->sfi", shares, endo.corners).reshape(-1, 3)
    least = np.linalg.norm(cloud[None] - far[:, None], axis=2).min(axis=1)
    assert np.all(np.linalg.norm(near - far, axis=1) <= least + 1e-9)


def test_slopes_are_those_of_differences(model, hidden, anatomy):
    fitter = Fitter(model, endocardia(anatomy.mesh), 2, TIMES)
    surface = np.zeros(2, int)
    points, along = fitter._project(np.asarray(hidden.points) + 0.7, surface)
    pattern = hidden._replace(points=points)
    device = Pattern(*(jnp.asarray(p) for p in pattern))
    start = fitter._leads(model, device)[1]
    leads, slopes = fitter._slopes(model, device, jnp.asarray(along), start)
    for i in (0, 1, 2, 4, 5, 6, 7, 10):
        found = []
        for h in (1e-6, -1e-6):  # a longer one crosses bends, where fronts meet
            moved = _moved(device, jnp.asarray(along), h * jnp.eye(11)[i])
            found.append(np.asarray(fitter._leads(model, moved)[0]))
        central = (found[0] - found[1]) / 2e-6
        size = np.linalg.norm(central)
        assert size > 0
        assert np.linalg.norm(slopes[..., i] - central) < 1e-4 * size, i
    assert np.all(np.isfinite(leads))


def test_slopes_of_the_leads_are_those_of_jax(model, truth):
    columns = jnp.asarray(np.random.default_rng(0).standard_normal((len(truth), 3)))
    found = model.depolarisation_slopes(TIMES, jnp.asarray(truth), columns)
    for i in range(3):
        expected = jax.jvp(
            lambda a: model.depolarisation(TIMES, a), (jnp.asarray(truth),), (columns[:, i],)
        )[1]
        np.testing.assert_allclose(found[..., i], expected, atol=1e-12 * float(found.max()))


@pytest.mark.slow  # the search is compiled and run to its end
def test_a_near_pattern_is_found_again(model, hidden, anatomy, truth):
    values = 1.3 * np.asarray(model.depolarisation(TIMES, jnp.asarray(truth)))
    data = Data(TIMES, values, 0.01, 1.0)
    fitter = Fitter(model, endocardia(anatomy.mesh), 2, TIMES)
    start = Pattern(
        np.array([0.6, 0.40, 1.8, 1.8]),
        np.asarray(hidden.points) + 4.0,
        np.array([3.0, 5.0]),
        np.array(1.0),
    )
    found = fitter.solve(data, start, np.zeros(2, int), iterations=30)
    assert np.corrcoef(found.leads.ravel(), values.ravel())[0, 1] > 0.999
    assert np.abs(found.activation - truth).mean() < 1.0
    assert found.pattern.velocities[:3] == pytest.approx([0.7, 0.45, 2.0], rel=0.1)


def test_durations_are_found_again(model, truth):
    times = np.arange(120.0, 400.0, 4.0)
    coefficients = np.array([230.0, -20.0, 15.0, 0.0, 5.0])
    late = truth + np.asarray(model.basis) @ coefficients
    values = np.asarray(model.repolarisation(times, jnp.asarray(late)))
    values = values + np.asarray(model.depolarisation(times, jnp.asarray(truth)))
    repolariser = Repolariser(model, times)
    found = repolariser.solve(values, 1e3, truth, 1.0, usual_durations(270.0, truth))
    assert found.coefficients == pytest.approx(coefficients, abs=1.0)


def record_of(model, truth):
    times = np.arange(-60.0, 420.0, 1.0)
    late = jnp.asarray(truth) + model.basis @ jnp.array([230.0, -20.0, 15.0, 0.0, 5.0])
    values = model.depolarisation(times, jnp.asarray(truth)) + model.repolarisation(times, late)
    noise = 0.005 * np.random.default_rng(0).standard_normal(values.shape)
    # As large as a person's: an ellipsoid far from its electrodes draws a tenth of that.
    return EcgRecord(times, 8 * np.asarray(values) + noise, LEADS, "made")


def test_a_beat_is_counted_from_the_onset_of_qrs(model, truth):
    beat = beat_of(record_of(model, truth))
    assert beat.leads == ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    assert abs(beat.features.qrs_onset) < 10
    assert beat.qrs_times[0] == -8
    assert beat.t_wave is not None
    assert beat.noise == pytest.approx(0.01, abs=0.002)  # the least that is believed


def test_a_beat_without_a_beginning_is_refused(model, truth):
    record = record_of(model, truth)
    late = EcgRecord(record.times[62:], record.values[:, 62:], LEADS, "made")
    with pytest.raises(ValueError, match="before its QRS"):
        beat_of(late)
    two = EcgRecord(record.times, record.values[:2], LEADS[:2], "made")
    with pytest.raises(ValueError, match="2 independent leads"):
        beat_of(two)


def test_neighbours_are_grouped_and_every_node_counts_once():
    points = np.random.default_rng(3).random((12_345, 3)) * np.array([90.0, 70.0, 60.0])
    groups = _groups(points)
    counted = np.zeros(len(points))
    np.add.at(counted, groups.nodes, groups.share)
    np.testing.assert_array_equal(counted, 1.0)
    assert groups.nodes.shape[1] == 3
    assert len(groups.nodes) <= 5000
    spread = np.ptp(points[groups.nodes], axis=1).max(axis=1)
    assert np.median(spread) < 8.0  # mean distance of neighbours: 3.1 mm


def write_files(folder, anatomy, record):
    """A mesh without tags or fibres, electrodes and an ECG, as a user would have them."""
    bare = left_ventricle(spacing=10.0)
    write_mesh(type(bare)(bare.points, bare.cells), folder / "heart.vtu")
    places = dict(zip(ELECTRODES, np.asarray(anatomy.electrodes).tolist(), strict=True))
    (folder / "electrodes.json").write_text(json.dumps(places), encoding="utf-8")
    rows = np.concatenate([record.times[:, None], record.values.T], axis=1)
    header = ",".join(["time [ms]", *(f"{lead} [mV]" for lead in record.leads)])
    lines = [header, *(",".join(f"{x:.5f}" for x in row) for row in rows)]
    (folder / "ecg.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


def test_the_verb_from_files_to_maps(tmp_path, anatomy, model, truth, capsys):
    write_files(tmp_path, anatomy, record_of(model, truth))
    command = ("fit-ecg", tmp_path / "heart.vtu", tmp_path / "ecg.csv", "-o", tmp_path / "maps.h5")
    options = ("--electrodes", tmp_path / "electrodes.json", "--roots", 3, "--starts", 2)
    more = ("--members", 2, "--vtu", tmp_path / "maps.vtu", "--json")
    code, out, err = run(capsys, *command, *options, *more)
    assert code == 0, err
    told = json.loads(out)
    assert told["qrs_correlation"] > 0.99
    assert told["t_correlation"] > 0.99
    assert {p.name for p in tmp_path.iterdir()} >= {"maps.png", "maps-ecg.png", "maps.vtu"}
    with h5py.File(tmp_path / "maps.h5") as file:
        assert file.attrs["twinjax_kind"] == "activation"
        found = file["best/activation"][:]
        assert set(json.loads(file.attrs["provenance"])["sha256"]) == {"mesh", "ecg", "electrodes"}
    assert np.corrcoef(found, truth)[0, 1] > 0.9
    code, out, _ = run(capsys, "info", tmp_path / "maps.h5")
    assert code == 0
    assert "activation" in out


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("--electrodes", "none.json"), "there is no file"),
        (("--surface", "3"), "TAG=NAME"),
        (("--surface", "3=septum"), "unknown surface 'septum'"),
        (("--fibres", "mri"), "valid choices"),
        (("--unit", "inch"), "valid choices"),
        (("--region", "7"), "no cell has the region tag 7"),
        (("-o", "nowhere/maps.h5"), "does not exist"),
    ],
)
def test_mistakes_are_told_in_one_sentence(
    change, sentence, tmp_path, anatomy, model, truth, capsys, monkeypatch
):
    write_files(tmp_path, anatomy, record_of(model, truth))
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "fit-ecg", "heart.vtu", "ecg.csv", *change)
    assert code == 2
    assert sentence in " ".join(err.split())
    assert "Traceback" not in err
    assert not (tmp_path / "maps.h5").exists()


def test_electrodes_from_csv_with_other_names(tmp_path):
    path = tmp_path / "electrodes.csv"
    names = ("R", "L", "F", *ELECTRODES[3:])
    path.write_text("name,x,y,z\n" + "".join(f"{n},{i},0,0\n" for i, n in enumerate(names)))
    assert read_electrodes(path)[:, 0].tolist() == list(range(9))
    path.write_text("name,x,y,z\nV1,0,0,0\n")
    with pytest.raises(ValueError, match="no position for RA, LA, LL, V2"):
        read_electrodes(path)
    path.write_text("name,x,y,z\nV9,0,0,0\n")
    with pytest.raises(ValueError, match="unknown electrode 'V9'"):
        read_electrodes(path)


def test_an_anatomy_says_what_it_mended(tmp_path):
    mesh = left_ventricle(spacing=10.0)
    cells = mesh.cells.copy()
    cells[3] = cells[3][[0, 2, 1, 3]]
    write_mesh(type(mesh)(mesh.points, cells), tmp_path / "heart.vtu")
    found = load_anatomy(AnatomyTable(mesh="heart.vtu"), tmp_path)
    assert any("inverted" in note for note in found.notes)
    assert any("fibres by rule" in note for note in found.notes)
    assert found.electrodes is None


def test_a_median_beat_is_taken_of_several(tmp_path, model, truth):
    record = record_of(model, truth)
    beats = np.concatenate([record.values] * 6, axis=1)
    times = np.arange(beats.shape[1]) * 1.0
    rows = np.concatenate([times[:, None], beats.T], axis=1)
    header = ",".join(["time [ms]", *(f"{lead} [mV]" for lead in LEADS)])
    lines = [header, *(",".join(f"{x:.5f}" for x in row) for row in rows)]
    (tmp_path / "ecg.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    several = read_beat(tmp_path / "ecg.csv")
    one = beat_of(record)
    assert several.features.qrs_duration == pytest.approx(one.features.qrs_duration, abs=6)
    assert np.all(np.isfinite(several.qrs))
