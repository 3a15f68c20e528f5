"""`twinjax simulate` for a beating heart: a case is what the library does; kills and failures."""

import json

import equinox as eqx
import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from tests._conventions import PROJECT
from tests._kill import kill_while
from tests._pages import blocks
from training import _heart_chunks, heart_run
from training._heart_chunks import Means, _unfilled, onward
from training._heart_ecg import Excited, _typical, duration_of, front_mesh
from training.cli import main
from training.heart_case import load_heart_case, parse_heart_case
from training.heart_run import (
    SCALARS,
    _cell,
    _heart,
    build_heart,
    outlook,
    run_heart_case,
    scalars_of,
)
from twinjax import RESULTS, Solution
from twinjax.electro import LEADS
from twinjax.heart import beat
from twinjax.observables import WAVEFORMS

SMALL = """
[heart]
cell_beats = 1
rate = {value = 120.0, unit = "bpm"}
start = {value = 8.0, unit = "mmHg"}
step = 10.0

[geometry]
kind = "ellipsoid"
endo = [22.0, 54.0]
epi = [33.0, 63.0]
base = 16.0
square = 1
rings = 2
layers = 1
apex = 0.3

[parameters]
stiffness = {value = 0.5, unit = "kPa"}
b_f = {value = 18.5, unit = "1"}

[tension]
t_ref = {value = 160.0, unit = "kPa"}
ca50 = {value = 600.0, unit = "nM"}

[circulation]
"mitral.open_resistance" = {value = 0.008, unit = "mmHg·s/mL"}

[[springs]]
surface = "epi"
stiffness = 0.05

[[springs]]
surface = "base"
stiffness = 0.5
direction = "every"

[output]
every = 100.0
septum = [-1.0, 0.0, 0.0]
"""


EXCITED = (
    SMALL
    + """
[excitation]
at = [[-20.0, 0.0, -10.0], [20.0, -5.0, -15.0]]
onsets = [0.0, 5.0]
spacing = 12.0
velocity_fibre = {value = 60.0, unit = "cm/s"}

[ecg]
apd = {mean = 250.0, transmural = -40.0}

[ecg.electrodes]
RA = [-121.0, -57.0, 265.0]
LA = [236.0, -55.0, -9.0]
LL = [-45.0, 171.0, -175.0]
V1 = [-86.0, -51.0, -15.0]
V2 = [-42.0, -53.0, -52.0]
V3 = [-10.0, -38.0, -102.0]
V4 = [34.0, 1.0, -123.0]
V5 = [82.0, 28.0, -116.0]
V6 = [116.0, 60.0, -89.0]
"""
)


def simulate(capsys, folder, text, *options):
    """The exit code and what was printed of a case."""
    case = folder / "case.toml"
    case.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["simulate", str(case), *options])
    printed = capsys.readouterr()
    return ended.value.code, printed.out, " ".join(printed.err.split())


@pytest.mark.slow  # two programs compile a beat
def test_a_killed_run_goes_on_and_is_what_the_library_does(tmp_path, capsys, monkeypatch):
    case_file, output = tmp_path / "case.toml", tmp_path / "beat.h5"
    case_file.write_text(SMALL, encoding="utf-8")
    # Calcium, the filled heart, and two chunks of five, each with the state at its end.
    command = ("simulate", case_file, "-o", output)
    kill_while(command, tmp_path / ".beat.h5.parts", whole=7, module="heart_run", part=0)
    assert not output.exists()
    asked = []

    def counted(heart, *, steps, **options):
        asked.append(steps)
        return beat(heart, steps=steps, **options)

    monkeypatch.setattr(_heart_chunks, "beat", counted)
    options = ["-o", str(output), "--vtu", str(tmp_path / "beat.pvd")]
    options += ["--plot", str(tmp_path / "beat.png"), "--json"]
    code, out, _ = simulate(capsys, tmp_path, SMALL, *options)
    assert code == 0
    assert asked == [10, 10, 10]
    told = json.loads(out)

    case = load_heart_case(case_file)
    made = build_heart(case)
    heart = _heart(case, made, _cell(case, None, lambda *_: None))
    np.testing.assert_allclose(heart.circulation.mitral.open_resistance, 0.008)
    np.testing.assert_allclose(heart.tension.ca50, 0.6)
    whole = beat(heart, start=heart.filled(8.0), step=10.0, steps=50)
    with h5py.File(output) as file:
        np.testing.assert_array_equal(file["time"], 10.0 * np.arange(51))
        for name, about in WAVEFORMS.items():
            wave = file[f"waveforms/{name}"]
            assert wave.attrs["unit"] == about.unit
            np.testing.assert_allclose(wave, whole.observations[name], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(file["shapes/time"], [0, 100, 200, 300, 400, 500])
        end = made.wall.elements.points + whole.state.deformation.displacement
        np.testing.assert_allclose(file["shapes/points"][-1], end, atol=1e-8)
        assert file["strain/fibre"].shape == (6, 17)
        assert file["wall/tension"].attrs["unit"] == "kPa"
        assert file["wall/tension"][:].max() > 10
        assert file.attrs["twinjax_kind"] == "heart"
        assert file.attrs["complete"]
        volume = file["waveforms/left_ventricle.volume"][:]
        assert file["scalars/lv_stroke_volume"][()] == np.ptp(volume)
        assert list(file["scalars"]) == list(SCALARS)
        assert json.loads(file.attrs["provenance"])["wall_s"] > 0
    assert told["lv_stroke_volume [mL]"] == np.ptp(volume) > 10
    assert (tmp_path / "beat_5.vtu").is_file()
    assert (tmp_path / "beat.png").stat().st_size > 10_000
    assert not list(tmp_path.glob(".*"))  # nothing is left beside
    with pytest.raises(SystemExit) as ended:
        main(["info", str(output), "--json"])
    assert not ended.value.code
    known = json.loads(capsys.readouterr().out)
    assert known["kind"] == "heart"
    assert known["last beat"]["lv_stroke_volume [mL]"] == pytest.approx(np.ptp(volume), rel=1e-3)


def toy(limit, value=1.0):
    """In place of `beat`: waves of slope `value`; from 20 ms on no step above `limit` is done."""

    def run(heart, *, start, step, steps, **_):
        state, times, code = start, [float(start.time)], RESULTS.successful
        for _ in range(steps):
            if step > limit and times[-1] >= 20:
                code = RESULTS.no_filling
                break
            times.append(times[-1] + step)
            state = eqx.tree_at(lambda s: s.time, state, jnp.asarray(times[-1]))
        wave = jnp.asarray([value * time if time else 0.0 for time in times])
        seen = dict.fromkeys(WAVEFORMS, wave)
        seen["seen"] = {"tension": wave, "fibre_stretch": jnp.ones(len(times))}
        stats = {"corrections": jnp.asarray(steps), "factorisations": jnp.asarray(1)}
        return Solution(jnp.asarray(times), seen, state, stats, jnp.asarray(int(code)))

    return run


@pytest.fixture
def flat(monkeypatch):
    """The calcium of no cell: a heart is made at once."""
    kept = {"times": np.array([0.0, 50.0]), "values": np.array([1e-4, 5e-4])}
    kept["duration"] = np.array(270.0)
    monkeypatch.setattr(heart_run, "_calcium", lambda *_: kept)


@pytest.fixture
def still(flat, monkeypatch):
    """Beats of a wall that stays as it is: nothing is solved."""
    monkeypatch.setattr(_heart_chunks, "beat", toy(10.0))
    monkeypatch.setattr(heart_run, "_filled", lambda case, heart: _unfilled(heart))


def test_a_front_excites_the_wall_and_draws_an_ecg(still, tmp_path, capsys):
    output, film = tmp_path / "beat.h5", tmp_path / "beat.gif"
    options = ["-o", str(output), "--plot", str(tmp_path / "beat.png"), "--film", str(film)]
    options += ["--vtu", str(tmp_path / "beat.pvd"), "--json"]
    code, out, _ = simulate(capsys, tmp_path, EXCITED, *options)
    assert code == 0
    told = json.loads(out)
    with h5py.File(output) as file:
        values, times = file["ecg/values"][:], file["ecg/time"][:]
        assert file["ecg/values"].attrs["unit"] == "mV"
        assert file["ecg/electrodes"].attrs["unit"] == "mm"
        assert json.loads(file["ecg/values"].attrs["leads"]) == list(LEADS)
        np.testing.assert_array_equal(file["ecg/electrodes"][3], [-86, -51, -15])
        np.testing.assert_array_equal(file["ecg/apd"], [250, -40, 0, 0, 0])
        qrs, activation = float(file["ecg/qrs_duration"][()]), file["mesh/activation"][:]
        points = file["mesh/points"][:]
    assert values.shape == (12, len(times)) == (12, 501)
    assert np.isfinite(values).all()
    assert np.abs(values).max(axis=1).min() > 1e-3
    np.testing.assert_allclose(values[:, times < 5], 0, atol=1e-3)  # before the front starts
    np.testing.assert_allclose(values[0] + values[2], values[1], atol=1e-12)  # Einthoven's law
    assert np.abs(values[:, (times > 200) & (times < 400)]).max() > 0.02  # repolarisation
    # The front starts at heart.activation, in the septum, and QRS lasts about as long as it does.
    assert 20 <= activation.min() < 40
    assert points[np.argmin(activation), 0] < 0
    assert 0.7 < qrs / np.ptp(activation) < 1.5
    assert told["qrs_duration [ms]"] == qrs
    assert "electrodes: those of the case" in told["notes"]
    assert film.read_bytes()[:6] == b"GIF89a"
    assert (tmp_path / "beat.png").stat().st_size > 10_000
    assert "activation" in (tmp_path / "beat_1.vtu").read_bytes().decode("latin-1")
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(SystemExit):
        main(["info", str(output)])
    shown = capsys.readouterr().out
    assert f"QRS duration [ms]: {qrs}" in shown
    assert "I, II, III, aVR, aVL, aVF, V1, V2, V3, V4, V5, V6" in shown


def test_what_excites_the_wall_is_kept(still, tmp_path, monkeypatch):
    case, output, calls = parse_heart_case(EXCITED), tmp_path / "beat.h5", []
    made = build_heart(case)
    nodes, places = len(made.wall.elements.points), made.wall.frames.shape[:2]
    known = Excited(
        np.full(places, 30.0),
        np.full(nodes, 30.0),
        np.arange(501.0),
        np.zeros((12, 501)),
        np.zeros((9, 3)),
        np.zeros(5),
        80.0,
        "a note",
    )

    def excite(case, made, duration):
        calls.append(duration)
        return known

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(heart_run, "excite", excite)
    monkeypatch.setattr(_heart_chunks, "beat", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_heart_case(case, output)
    monkeypatch.setattr(_heart_chunks, "beat", toy(10.0))
    run = run_heart_case(case, output)
    assert calls == [270.0]
    assert (run.excited.qrs, run.notes[-1]) == (80.0, "a note")
    heart = _heart(case, made, _cell(case, None, lambda *_: None), run.excited)
    np.testing.assert_array_equal(heart.activation, known.activation)


def test_an_ecg_needs_a_front(tmp_path, capsys):
    text = SMALL + "\n[ecg]\napd = {mean = 250.0}\n"
    code, _, said = simulate(capsys, tmp_path, text, "-o", str(tmp_path / "beat.h5"))
    assert code == 2
    assert "[ecg] needs [excitation]: a wall that is activated at once has no QRS complex" in said
    assert [path.name for path in tmp_path.iterdir()] == ["case.toml"]


def test_action_potentials_that_outlast_the_beat_leave_nothing(flat, tmp_path, capsys):
    text = EXCITED.replace("mean = 250.0", "mean = 450.0")
    code, _, said = simulate(capsys, tmp_path, text, "-o", str(tmp_path / "beat.h5"))
    assert code == 2
    assert "case.toml: ecg.apd: the wall is activated from" in said
    assert "ms, which is not within a beat of 500 ms" in said
    assert [path.name for path in tmp_path.iterdir()] == ["case.toml"]


def test_a_film_is_never_half_written(still, tmp_path, capsys, monkeypatch):
    film, frames = tmp_path / "beat.gif", []
    film.write_bytes(b"the film of before")

    def grab(self, **_):
        frames.append(1)
        if len(frames) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("matplotlib.animation.PillowWriter.grab_frame", grab)
    code, _, _ = simulate(capsys, tmp_path, SMALL, "--film", str(film))
    assert code != 0
    assert film.read_bytes() == b"the film of before"
    assert {path.name for path in tmp_path.iterdir()} == {"case.toml", "beat.gif"}


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("beat.mp4", SMALL, "'beat.mp4' is none of .gif"),
        ("no/beat.gif", SMALL, "there is no folder"),
        ("beat.gif", "[model]\nname = 'closed-loop'", "no table [heart]: --film is for this"),
    ],
)
def test_a_film_that_cannot_be_is_refused(tmp_path, capsys, name, text, sentence):
    code, _, said = simulate(capsys, tmp_path, text, "--film", str(tmp_path / name))
    assert code == 2
    assert sentence in said
    assert [path.name for path in tmp_path.iterdir()] == ["case.toml"]


def test_how_long_an_action_potential_lasts():
    times = np.array([0.0, 10.0, 12.0, 112.0, 212.0])
    v = np.array([-80.0, -80.0, 20.0, 20.0, -80.0])
    assert duration_of(times, v) == pytest.approx(112 + 75 - 10)  # a quarter is left, from its rise
    assert duration_of(times[:4], v[:4]) is None


def test_typical_electrodes_are_on_the_side_of_the_septum():
    """V1 is nearest to the right ventricle, wherever that would be."""
    septum = np.array([-0.6, 0.8, 0.0])
    bare = EXCITED[: EXCITED.index("[ecg.electrodes]")]
    told = bare.replace("[-1.0, 0.0, 0.0]", str(septum.tolist()))
    case = parse_heart_case(told)
    assert case.excitation.electrodes is None
    places = _typical(front_mesh(case), case.wall.septum)
    across = places[:, :2] - places[:, :2].mean(axis=0)
    assert (across[3] - across[8]) @ septum[:2] > 100  # from V6 to V1
    usual = _typical(front_mesh(case), None)
    lengths = [np.linalg.norm(some - some[0], axis=1) for some in (places, usual)]
    np.testing.assert_allclose(*lengths, rtol=0.05)


def test_steps_without_a_balance_are_divided(flat, monkeypatch):
    case = parse_heart_case(SMALL)
    heart = _heart(case, build_heart(case), _cell(case, None, lambda *_: None))
    begin = _unfilled(heart)

    def ended(run):
        monkeypatch.setattr(_heart_chunks, "beat", run)
        rows, state, code, counts = onward(Means(heart), begin, 10.0, 5, lambda now: None)
        return rows["tension"].tolist(), float(state.time), code, counts["divided steps"]

    assert ended(toy(2.5)) == ([0, 10, 20, 30, 40, 50], 50, RESULTS.successful, 3)
    assert ended(toy(1.0)) == ([0, 10, 20], 20, RESULTS.no_filling, 0)
    assert ended(toy(10.0, np.nan)) == ([0], 0, RESULTS.nonfinite, 0)


def test_a_run_that_is_interrupted_goes_on(flat, tmp_path, monkeypatch):
    case, output, calls = parse_heart_case(SMALL), tmp_path / "beat.h5", []

    def interrupted(heart, **options):
        calls.append(float(options["start"].time))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return toy(10.0)(heart, **options)

    monkeypatch.setattr(_heart_chunks, "beat", interrupted)
    monkeypatch.setattr(heart_run, "_filled", lambda case, heart: _unfilled(heart))
    with pytest.raises(KeyboardInterrupt):
        run_heart_case(case, output)
    run = run_heart_case(case, output)
    assert calls == [0, 100, 200, 200, 300, 400]
    np.testing.assert_array_equal(run.waves["aortic.flow"], run.times)
    np.testing.assert_array_equal(run.moments, [0, 100, 200, 300, 400, 500])
    assert run.stats == {"corrections": 50, "factorisations": 5, "divided steps": 0}
    again = run_heart_case(case, output)  # all is there already
    assert len(calls) == 6
    np.testing.assert_array_equal(again.points, run.points)
    other = parse_heart_case(SMALL.replace("beats = 1", "beats = 2"))
    with pytest.raises(ValueError, match="holds parts of another run"):
        run_heart_case(other, output)


def test_a_beat_that_finds_no_balance_is_told_and_saved(flat, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_heart_chunks, "beat", toy(1.0))
    monkeypatch.setattr(heart_run, "_filled", lambda case, heart: _unfilled(heart))
    output = tmp_path / "beat.h5"
    options = ["-o", str(output), "--plot", str(tmp_path / "beat.png")]
    code, _, said = simulate(capsys, tmp_path, SMALL, *options)
    assert code == 2
    assert "after 20 ms no balance of wall, sarcomeres and blood was found, nor in steps of" in said
    assert f"what was reached is in {output}, {tmp_path / 'beat.png'}" in said
    with h5py.File(output) as file:
        assert not file.attrs["complete"]
        np.testing.assert_array_equal(file["time"], [0, 10, 20])
        np.testing.assert_array_equal(file["shapes/time"], [0, 20])
        assert not len(file["scalars"])
    with pytest.raises(SystemExit):
        main(["info", str(output)])
    assert "none was reached whole" in capsys.readouterr().out


def test_a_heart_that_is_not_filled_leaves_nothing(flat, tmp_path, capsys, monkeypatch):
    def burst(wall, load):
        raise RuntimeError("no equilibrium")

    monkeypatch.setattr("twinjax.heart._whole_heart.deform", burst)
    code, _, said = simulate(capsys, tmp_path, SMALL, "-o", str(tmp_path / "beat.h5"))
    assert code == 2
    assert "case.toml: the wall does not bear the 8 mmHg of heart.start: lower it, or" in said
    assert [path.name for path in tmp_path.iterdir()] == ["case.toml"]


def test_a_beat_has_whole_steps():
    case = parse_heart_case(SMALL.replace("value = 120.0", "value = 72.0"))
    assert (case.steps, case.every) == (84, 10)
    np.testing.assert_allclose(case.step * case.steps, 60_000 / 72)


def test_scalars_of_a_loop_that_is_known():
    """A rectangle of 80 mmHg by 60 mL that two beats go around, the first one smaller."""
    corners = np.array([[120.0, 10.0], [120.0, 90.0], [60.0, 90.0], [60.0, 10.0], [120.0, 10.0]])
    volume = np.concatenate([corners[:4, 0] - 1, corners[:, 0]])
    pressure = np.concatenate([corners[:4, 1] / 2, corners[:, 1]])
    waves = {
        "left_ventricle.volume": volume,
        "left_ventricle.pressure": pressure,
        "systemic_arteries.pressure": pressure / 2,
    }
    found = scalars_of(waves, 10.0, 4)
    assert found["lv_stroke_work"] == pytest.approx(80 * 60 * 133.322387415e-6)
    assert found["lv_ejection_fraction"] == 50
    assert found["lv_dpdt_max"] == pytest.approx(80 / 0.01)
    assert found["diastolic_blood_pressure"] == 5
    assert found["lv_volume_gained"] == 0
    assert scalars_of({name: wave[:4] for name, wave in waves.items()}, 10.0, 4) == {}


def test_the_page_shows_the_packaged_case():
    case = load_heart_case(PROJECT / "training/examples/lv_ellipsoid.toml")
    assert (case.steps, case.step, case.every, case.viscosity) == (250, 4.0, 5, 10.0)
    shown = parse_heart_case(blocks("heart_cases.md", "toml")[0])
    assert shown.table == case.table
    line = outlook(case, build_heart(case))
    assert line.startswith("6,015 degrees of freedom, 250 steps of 4 ms, ")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("cell_beats = 1", 'energy = "gucione"', "unknown energy 'gucione'; did you mean 'gucc"),
        ("cell_beats = 1", 'cell = "torord-endo"', "unknown cell model 'torord-endo'; did you me"),
        ("cell_beats = 1", 'cell = "fabbri-2017-san"', "fabbri-2017-san is not paced or knows no"),
        ("cell_beats = 1", "beat = 1", "unknown key 'beat'; did you mean 'beats'"),
        ("cell_beats = 1", "activation = 500.0", "heart.activation: 500 ms is after the beat's"),
        ('120.0, unit = "bpm"', '120.0, unit = "mmHg"', "heart: rate:"),
        ('120.0, unit = "bpm"', '20.0, unit = "bpm"', "rate = 20 bpm is outside its bounds"),
        ('8.0, unit = "mmHg"', '8.0, unit = "mmHG2"', "heart.start:"),
        ('8.0, unit = "mmHg"', 'nan, unit = "mmHg"', "heart.start: nan mmHg fills no ventricle"),
        ("step = 10.0", "step = -1.0", "heart.step: input should be greater than 0"),
        ("b_f =", "b_ff =", "unknown parameter 'b_ff'; did you mean 'b_f'"),
        ("ca50 =", "ca500 =", "unknown parameter 'ca500'; did you mean 'ca50'"),
        ("value = 600.0", "value = 6.0", "ca50 = 0.006 µM is outside its bounds [0.05, 3] µM"),
        ('"mitral.open_resistance"', '"mitral.open_resistence"', "did you mean 'mitral.open_resi"),
        ('"mitral.open_resistance"', "heart_rate", "the heart_rate is given as heart.rate"),
        (
            '"mitral.open_resistance"',
            '"left_ventricle.active_elastance"',
            "left_ventricle.active_elastance is not asked for: the wall is the left ventricle",
        ),
        ("every = 100.0", "every = 600.0", "output.every: 600 ms is longer than a beat, 500 ms"),
        ('surface = "epi"', 'surface = "epy"', "unknown surface 'epy'; did you mean 'epi'"),
        ("rings = 2", "rings = 2\nendo = [40.0, 60.0]", "case.toml is not TOML"),
        ("endo = [22.0, 54.0]", "endo = [40.0, 54.0]", "a wall needs 0 < endo < epi"),
        ("spacing = 12.0", "spacings = 12.0", "unknown key 'spacings'; did you mean 'spacing'"),
        ("spacing = 12.0", "spacing = -1.0", "excitation.spacing: input should be greater than 0"),
        ("-20.0, 0.0, -10.0", "-20.0, 0.0", "excitation.at: point 1 has 2 coordinates; valid: th"),
        ("-20.0, 0.0, -10.0", "0.0, 0.0, 0.0", "excitation.at: (0, 0, 0) mm lies outside the wa"),
        ("[0.0, 5.0]", "[0.0]", "excitation.onsets: 1 onsets for 2 points; valid: one number, or"),
        ("[0.0, 5.0]", "[0.0, 490.0]", "excitation.onsets: 510 ms is after the beat's end at 500"),
        ("[0.0, 5.0]", "[0.0, -5.0]", "excitation.onsets: -5 ms; valid: 0 or more, after heart"),
        ('60.0, unit = "cm/s"', '60.0, unit = "m/s"', "velocity_fibre = 60 m/s is outside its bo"),
        ('60.0, unit = "cm/s"', '60.0, unit = "ms"', "velocity_fibre:"),
        ("transmural = -40", "transmurl = -40", "unknown part of durations 'transmurl'; did you "),
        ("V6 = [", "V7 = [", "unknown electrode 'V7'; did you mean"),
        ("V6 = [116.0, 60.0, -89.0]\n", "", "ecg.electrodes: no place of V6; the twelve leads ne"),
        ("V6 = [116.0, 60.0, -89.0]", "V6 = [1.0]", "ecg.electrodes: V6 has 1 coordinates; valid"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_case_is_one_sentence(flat, tmp_path, capsys, old, new, sentence):
    text = SMALL if old in SMALL else EXCITED
    assert old in text
    output = tmp_path / "beat.h5"
    code, out, said = simulate(capsys, tmp_path, text.replace(old, new, 1), "-o", str(output))
    assert code == 2
    assert sentence in said
    assert said.startswith("twinjax: ")
    assert "case.toml" in said
    assert not out
    assert [path.name for path in tmp_path.iterdir()] == ["case.toml"]
