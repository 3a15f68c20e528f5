"""`twinjax simulate` for both ventricles from a file: chambers, the shape at rest, what is told."""

import json
from pathlib import Path
from types import SimpleNamespace

import equinox as eqx
import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from tests._conventions import PROJECT
from tests._pages import blocks
from tests.training.test_heart_case import SMALL, simulate, toy
from training import _heart_chunks, heart_run
from training._heart_chunks import _unfilled
from training._heart_ecg import _typical, front_mesh
from training._heart_wall import right_free_wall, sarcomeres, unloaded
from training._mechanics_wall import corners_of
from training.anatomy import AnatomyTable, load_anatomy
from training.cli import main
from training.heart_case import load_heart_case, parse_heart_case, sized
from training.heart_run import (
    RIGHT_SCALARS,
    SCALARS,
    _cell,
    _heart,
    build_heart,
    run_heart_case,
    scalars_of,
)
from twinjax import equilibrate
from twinjax.geometry import Surface, as_tetrahedra, boundary, replace, select, slab
from twinjax.heart import ClosedLoop, WholeHeart, beat
from twinjax.io import write_mesh
from twinjax.mechanics import Load, deform, unload
from twinjax.units import factor

LONE = "[geometry]\nkind = 'ellipsoid'\n"
ANATOMY = """[anatomy]
mesh = "MESH"
surfaces = {base = 1, epi = 2, lv_endo = 3, rv_endo = 4}
helix = [60.0, -60.0]

"""
START, CA50 = 'start = {value = 8.0, unit = "mmHg"}\n', 'ca50 = {value = 600.0, unit = "nM"}\n'
START_RIGHT = 'start_right = {value = 3.0, unit = "mmHg"}'
ELLIPSOID = SMALL[SMALL.index("[geometry]") : SMALL.index("[parameters]")]
CASE = SMALL.replace(ELLIPSOID, ANATOMY).replace(START, f"{START}{START_RIGHT}\n")
CASE = CASE.replace(CA50, CA50 + 'right = {value = 0.5, unit = "1"}\n')
CASE = CASE.replace('value = 0.5, unit = "kPa"', 'value = 0.8, unit = "kPa"')
CASE = CASE.replace("septum = [-1.0, 0.0, 0.0]\n", "")
STILL = CASE.replace("step = 10.0", "step = 10.0\nimaged = false")
CAVITIES = ("lv_endo", "rv_endo")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """The file of a block with two pockets, whose mouths are at its top; left is at positive x."""
    whole = slab((84.0, 48.0, 60.0), 12.0, cells="hexahedra")
    middle = np.asarray(whole.points)[whole.cells].mean(axis=1) - [42.0, 24.0, 60.0]
    x, y, z = middle.T
    made = as_tetrahedra(
        select(whole, (np.abs(y) > 12) | (z < -48) | (np.abs(np.abs(x) - 18) > 12))[0]
    )
    made = replace(made, points=np.asarray(made.points) - [42.0, 24.0, 60.0])
    facets, _ = boundary(made)
    x, y, z = np.asarray(made.points)[facets].mean(axis=1).T
    tags = np.where(x > 0, int(Surface.LV_ENDO), int(Surface.RV_ENDO))
    tags[(np.abs(x) > 41) | (np.abs(y) > 23) | (z < -59)] = int(Surface.EPI)
    tags[z > -1] = int(Surface.BASE)
    path = tmp_path_factory.mktemp("mesh") / "heart.vtu"
    write_mesh(replace(made, facets=facets, facet_tags=tags), path)
    return path


@pytest.fixture
def case(mesh):
    return parse_heart_case(STILL.replace("MESH", str(mesh)))


@pytest.fixture
def still(monkeypatch):
    """Beats of a wall that stays as it is, by no cell: nothing is solved."""
    kept = {"times": np.array([0.0, 50.0]), "values": np.array([1e-4, 5e-4])}
    kept["duration"] = np.array(270.0)
    monkeypatch.setattr(heart_run, "_calcium", lambda *_: kept)
    monkeypatch.setattr(_heart_chunks, "beat", toy(10.0))
    monkeypatch.setattr(heart_run, "_filled", lambda case, heart: _unfilled(heart))


@pytest.mark.slow  # unloads a wall, and beats
def test_a_run_is_what_the_library_does(mesh, tmp_path, capsys):
    text = CASE.replace("MESH", str(mesh))
    output = tmp_path / "beat.h5"
    options = ["-o", str(output), "--plot", str(tmp_path / "beat.png"), "--json"]
    code, out, _ = simulate(capsys, tmp_path, text, *options)
    assert code == 0
    told = json.loads(out)

    case = parse_heart_case(text)
    image = build_heart(case).wall
    pressures = np.array([8.0, 3.0])
    load = Load(factor("mmHg", "kPa") * pressures)
    rest = unload(image, load).state.wall
    back = deform(rest, load).state.displacement
    np.testing.assert_allclose(rest.elements.points + back, image.elements.points, atol=1e-5)
    share = jnp.where(right_free_wall(corners_of(rest.elements)), 0.5, 1.0)[:, None]
    calcium = _heart(case, build_heart(case), _cell(case, None, lambda *_: None)).calcium
    heart = WholeHeart(
        wall=rest,
        tension=eqx.tree_at(lambda model: model.t_ref, case.tension, 160.0 * share),
        calcium=calcium,
        activation=20.0,
        circulation=case.circulation,
        chambers=("left_ventricle", "right_ventricle"),
    )
    few = beat(heart, start=heart.filled(pressures), step=10.0, steps=5)
    with h5py.File(output) as file:
        for name, row in few.observations.items():
            wave = file[f"waveforms/{name}"][:6]
            np.testing.assert_allclose(wave, row, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(file["mesh/points"], rest.elements.points, atol=1e-5)
        assert list(file["scalars"]) == [*SCALARS, *RIGHT_SCALARS]
        assert file["strain/fibre"].shape == (6, 17)
        volume = file["waveforms/right_ventricle.volume"][:]
        pressure = file["waveforms/right_ventricle.pressure"][:]
    assert told["rv_end_diastolic_volume [mL]"] == volume.max()
    assert told["rv_peak_pressure [mmHg]"] == pressure.max() < told["lv_peak_pressure [mmHg]"]
    assert told["rv_ejection_fraction [%]"] > 10
    assert told["rv_stroke_work [J]"] > 0
    assert (tmp_path / "beat.png").stat().st_size > 10_000
    assert not list(tmp_path.glob(".*"))


def test_both_ventricles_are_told_and_drawn(still, mesh, tmp_path, capsys):
    output, film = tmp_path / "beat.h5", tmp_path / "beat.gif"
    options = ["-o", str(output), "--plot", str(tmp_path / "beat.png"), "--film", str(film)]
    options += ["--vtu", str(tmp_path / "beat.pvd"), "--json"]
    code, out, _ = simulate(capsys, tmp_path, STILL.replace("MESH", str(mesh)), *options)
    assert code == 0
    told = json.loads(out)
    assert {f"{name} [{unit}]" for name, unit in RIGHT_SCALARS.items()} <= set(told)
    with h5py.File(output) as file:
        assert list(file["scalars"]) == [*SCALARS, *RIGHT_SCALARS]
        assert file["scalars/rv_stroke_work"].attrs["unit"] == "J"
        assert file["strain/fibre"].shape == (6, 17)
    assert film.read_bytes()[:6] == b"GIF89a"
    assert (tmp_path / "beat.png").stat().st_size > 10_000
    assert (tmp_path / "beat_5.vtu").is_file()
    with pytest.raises(SystemExit):
        main(["info", str(output)])
    assert "rv_ejection_fraction [%]" in capsys.readouterr().out


def test_cavities_of_a_mesh_are_chambers(still, case):
    made = build_heart(case)
    assert made.cavities == CAVITIES
    heart = _heart(case, made, _cell(case, None, lambda *_: None))
    assert heart.chambers == ("left_ventricle", "right_ventricle")
    np.testing.assert_allclose(heart.circulation.mitral.open_resistance, 0.008)


def test_the_free_wall_of_the_right_ventricle_has_its_share_of_tension(case):
    made = build_heart(case)
    tension = sarcomeres(case, made).t_ref
    corners = corners_of(made.wall.elements)
    x, y, z = np.asarray(corners.centres()).T
    beside = (np.abs(y) < 12) & (z > -48)
    np.testing.assert_allclose(tension[beside & (x < -30)], 80.0)
    np.testing.assert_allclose(tension[x > 12], 160.0)
    np.testing.assert_allclose(tension[beside & (np.abs(x) < 6)], 160.0)  # the septum's


def test_a_mesh_is_coarsened(mesh):
    found = load_anatomy(AnatomyTable(mesh=str(mesh), spacing=20.0), Path())
    assert len(found.mesh.points) < 0.7 * 232
    assert set(np.unique(found.mesh.facet_tags)) >= {int(surface) for surface in Surface}
    assert f"{mesh}, coarsened: {len(found.mesh.points)} nodes" in found.notes


def test_the_shape_at_rest_is_found_once(still, mesh, tmp_path, monkeypatch):
    case, output, calls = parse_heart_case(CASE.replace("MESH", str(mesh))), tmp_path / "b.h5", []

    def shrunk(case, made, progress):
        calls.append(1)
        wall = made.wall
        points = 0.9 * np.asarray(wall.elements.points)
        return {"points": points, "frames": np.asarray(wall.frames), "axes": np.asarray(made.axes)}

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(heart_run, "unloaded", shrunk)
    monkeypatch.setattr(_heart_chunks, "beat", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_heart_case(case, output)
    monkeypatch.setattr(_heart_chunks, "beat", toy(10.0))
    run = run_heart_case(case, output)
    assert len(calls) == 1
    assert "cavities as imaged and at rest: lv_endo" in run.notes[-1]
    image = build_heart(case).wall.elements.points
    np.testing.assert_allclose(run.points[0], 0.9 * image, atol=1e-9)


def test_an_image_without_a_shape_at_rest_is_told(mesh, monkeypatch):
    case = parse_heart_case(CASE.replace("MESH", str(mesh)), "case.toml")
    made = build_heart(case)

    def stuck(wall, load, **_):
        np.testing.assert_allclose(load.pressure, factor("mmHg", "kPa") * np.array([8.0, 3.0]))
        return SimpleNamespace(ok=False, stats={"load": 0.25})

    monkeypatch.setattr("training._heart_wall.unload", stuck)
    words = (
        "no shape at rest under the 8 mmHg of heart.start and 3 mmHg of heart.start_right, of wh"
    )
    with pytest.raises(ValueError, match=words):
        unloaded(case, made, lambda share: None)


def test_a_front_excites_both_ventricles(still, mesh, tmp_path, capsys):
    text = STILL.replace("MESH", str(mesh)) + "[excitation]\nspacing = 12.0\n"
    text += "at = [[31.0, 0.0, -20.0], [-31.0, 0.0, -20.0]]\n[ecg]\napd = {mean = 250.0}\n"
    output = tmp_path / "beat.h5"
    code, _, said = simulate(capsys, tmp_path, text, "-o", str(output))
    assert code == 0, said
    with h5py.File(output) as file:
        activation, points = file["mesh/activation"][:], file["mesh/points"][:]
        assert np.abs(file["ecg/values"][:]).max() > 1e-3
        electrodes = file["ecg/electrodes"][:]
    assert 20 <= activation.min() < 40
    early = points[activation < activation.min() + 8]
    assert early[:, 0].min() < -28  # in both
    assert early[:, 0].max() > 28
    assert electrodes[3] @ [-1, 0, 0] > electrodes[8] @ [-1, 0, 0] + 100  # V1 is on the right


def test_circulations_of_bodies_of_other_sizes_have_the_same_pressures():
    loop = ClosedLoop(heart_rate=60.0)
    usual, small = (equilibrate(c).observations for c in (loop, sized(loop, 0.25)))
    for name in ("systemic_arteries.pressure", "left_ventricle.pressure"):
        np.testing.assert_allclose(small[name], usual[name], rtol=0.02, atol=0.2)
    for name in ("left_ventricle.volume", "right_atrium.volume"):
        np.testing.assert_allclose(small[name], 0.25 * usual[name], rtol=0.02)


def test_scalars_are_those_of_chambers_with_walls():
    waves = {
        "left_ventricle.volume": np.array([120.0, 60.0, 120.0]),
        "left_ventricle.pressure": np.array([10.0, 90.0, 10.0]),
        "right_ventricle.volume": np.array([100.0, 60.0, 100.0]),
        "right_ventricle.pressure": np.array([5.0, 25.0, 5.0]),
        "systemic_arteries.pressure": np.array([80.0, 90.0, 80.0]),
    }
    assert list(scalars_of(waves, 10.0, 2)) == list(SCALARS)
    both = scalars_of(waves, 10.0, 2, ("left_ventricle", "right_ventricle"))
    assert list(both) == [*SCALARS, *RIGHT_SCALARS]
    assert both["rv_ejection_fraction"] == 40
    assert both["rv_peak_pressure"] == 25


def test_the_page_shows_the_packaged_case():
    case = load_heart_case(PROJECT / "training/examples/biventricle.toml")
    assert (case.imaged, case.start, case.start_right, case.right) == (True, 9.8, 4.5, 0.6)
    shown = parse_heart_case(blocks("heart_cases.md", "toml")[1])
    assert shown.table == case.table


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[parameters]", LONE + "[parameters]", "give either [geometry], an ellipsoid, or [anatom"),
        (ANATOMY, "", "give either [geometry], an "),
        ('value = 3.0, unit = "mmHg"', 'value = 50.0, unit = "mmHg"', "heart.start_right: 50 mmHg"),
        ('value = 3.0, unit = "mmHg"', 'value = 3.0, unit = "mL"', "heart.start_right:"),
        ("imaged = false", "imagd = false", "unknown key 'imagd'; did you mean 'imaged'"),
        ("imaged = false", "size = 0.0", "heart.size: input should be greater than or equal to"),
        ("mitral.open_resistance", "left_ventricle.onset", "the wall is the left ventricle"),
        ('right = {value = 0.5', 'right = {value = 9.0', "right = 9 1 is outside its bounds"),
        ('right = {value = 0.5', 'rigt = {value = 0.5', "unknown parameter 'rigt'; did you mean"),
        ('mesh = "MESH"', 'mesh = "no.vtu"', "no.vtu"),
        (
            '"mitral.open_resistance" = {value = 0.008, unit = "mmHg·s/mL"}',
            '"right_ventricle.onset" = {value = 0.03, unit = "1"}',
            "right_ventricle.onset is not asked for: the wall is the right ventricle too",
        ),
    ],
)  # fmt: skip
def test_a_mistake_in_a_case_is_one_sentence(still, mesh, tmp_path, capsys, old, new, sentence):
    assert old in STILL
    text = STILL.replace(old, new, 1).replace("MESH", str(mesh))
    code, out, said = simulate(capsys, tmp_path, text, "-o", str(tmp_path / "beat.h5"))
    assert code == 2
    assert sentence in said
    assert said.startswith("twinjax: ")
    assert "case.toml" in said
    assert not out
    assert [path.name for path in tmp_path.iterdir()] == ["case.toml"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("", "", "heart.start_right is not asked for: the wall has no right ventricle (no surface"),
        (
            START_RIGHT,
            "",
            "tension.right is not asked for: the wall has no right ventricle (no sur",
        ),
        (
            START_RIGHT,
            "imaged = true",
            "heart.imaged is for [anatomy]: the ellipsoid of [geometry]",
        ),
    ],
)
def test_an_ellipsoid_has_no_right_ventricle(tmp_path, capsys, old, new, sentence):
    text = CASE.replace(ANATOMY, LONE).replace(old, new, 1)
    code, _, said = simulate(capsys, tmp_path, text, "-o", str(tmp_path / "beat.h5"))
    assert code == 2
    assert sentence in said
    assert [path.name for path in tmp_path.iterdir()] == ["case.toml"]


def test_typical_electrodes_follow_the_right_ventricle(mesh):
    """They need no septum that is said."""
    text = STILL.replace("MESH", str(mesh)) + "[excitation]\nspacing = 12.0\n"
    front = front_mesh(parse_heart_case(text + "at = [[31.0, 0.0, -20.0]]"))
    np.testing.assert_array_equal(_typical(front, None), _typical(front, (0.0, 1.0, 0.0)))
