"""`twinjax simulate` for tissue: what a case says is what the library does; mistakes are told."""

import json
import re

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from tests._conventions import PROJECT
from tests._pages import blocks
from training import _tissue_chunks
from training._parts import Parts
from training._surface_figure import draw_times, rasterised
from training._tissue_heart import build_heart, place_regions
from training.cli import main
from training.tissue_case import default_amplitude, load_tissue_case, parse_tissue_case
from training.tissue_run import run_tissue_case
from twinjax.cells import MODELS
from twinjax.electro import (
    LEADS,
    Conductivities,
    Eikonal,
    RootPoints,
    Stimulus,
    Tissue,
    activation_times,
    electrodes_of_heart,
    heart_frame,
    propagate,
    slab,
    unbounded_lead_field,
)
from twinjax.geometry import FibreRule, Surface, divided, left_ventricle, with_fibres

SLAB = """
[tissue]
model = "monodomain"
duration = 24.0
step = 0.1

[geometry]
kind = "slab"
size = [6.0, 2.0, 1.0]
spacing = 0.5

[cells]
model = "bueno-orovio-2008-epi"

[parameters]
conductivity_across = {value = 0.5, unit = "mS/cm"}

[[regions]]
centre = [5.0, 0.0, 0.0]
radius = 1.0
conductivity = 0.0

[[stimuli]]
at = [0.0, 0.0, 0.0]
radius = 1.0
times = [0.0, 12.0]

[output]
snapshots = 4.0
since = 0.0
"""
HEART = """
[tissue]
model = "eikonal"
fast_layers = ["lv_endo"]

[geometry]
kind = "left_ventricle"
spacing = 9.0
layers = 2
helix = [60.0, -60.0]

[parameters]
velocity_lv_endo = {value = 250, unit = "cm/s"}

[[stimuli]]
at = [-26.0, 0.0, 0.0]

[[stimuli]]
at = [26.0, 0.0, 0.0]
times = [8.0]

[output]
apd = [300.0, 260.0]
"""


def run(capsys, *arguments):
    """Exit code, stdout and stderr of one command."""
    with pytest.raises(SystemExit) as stopped:
        main(["simulate", *(str(argument) for argument in arguments)])
    told = capsys.readouterr()
    return stopped.value.code, told.out, told.err


@pytest.fixture
def case(tmp_path):
    """Writes a text as CASE.toml."""

    def write(text, name="case.toml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def test_a_slab_is_what_the_library_does(tmp_path, capsys, case):
    files = tmp_path / "run.h5", tmp_path / "run.png"
    code, out, err = run(capsys, case(SLAB), "-o", files[0], "--plot", files[1], "--json")
    assert code == 0, err
    told = json.loads(out)
    grid = slab((6.0, 2.0, 1.0), 0.5)
    scale = np.ones(grid.tags.shape)
    middle = 0.5 * (np.stack(np.indices(scale.shape), axis=-1) + 0.5)
    scale[np.linalg.norm(middle - [5.0, 0.0, 0.0], axis=-1) <= 1.0] = 0.0
    cell = MODELS["bueno-orovio-2008-epi"]()
    tissue = Tissue(grid, cell, fibres=0, scale=scale, mass="blended", conductivity_across=0.05)
    where = np.linalg.norm(grid.points, axis=1) <= 1.0
    stimuli = [Stimulus(where, default_amplitude(cell), start=t) for t in (0.0, 12.0)]
    whole = propagate(tissue, stimuli, duration=24.0, step=0.1, save_every=4.0)
    seen = whole.observations
    with h5py.File(files[0]) as file:
        assert file.attrs["twinjax_kind"] == "tissue"
        assert json.loads(file.attrs["provenance"])["case"] == SLAB
        np.testing.assert_allclose(file["mesh/points"], grid.points, atol=1e-12)
        np.testing.assert_allclose(file["activation"], seen.activation, atol=1e-9)
        np.testing.assert_allclose(file["repolarisation"], seen.repolarisation, atol=1e-9)
        np.testing.assert_allclose(file["snapshots/time"], whole.times, atol=1e-9)
        np.testing.assert_allclose(file["snapshots/potential"], seen.potentials, atol=1e-3)
        assert {name: file[name].attrs["unit"] for name in ("activation", "mesh/points")} == {
            "activation": "ms",
            "mesh/points": "mm",
        }
        assert "ecg" not in file
    reached = np.isfinite(np.asarray(seen.activation))
    assert 0.5 < np.mean(reached) < 1
    assert told["activated [%]"] == pytest.approx(100 * np.mean(reached))
    assert "not activated" in told["notes"][-1]
    assert files[1].read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob(".*"))  # neither parts nor temporary files
    with pytest.raises(SystemExit):
        main(["info", str(files[0]), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["model"], told["snapshots"]) == ("tissue", "monodomain", 6)
    assert (told["nodes"], told["ecg"]) == (len(grid.points), False)


def test_a_killed_run_goes_on(tmp_path, case, monkeypatch):
    kills = 3
    loaded = load_tissue_case(case(SLAB))
    whole = run_tissue_case(loaded)
    monkeypatch.setattr(_tissue_chunks, "_CHUNK", 4.0)
    save, left = Parts.save, [kills]

    def dying(self, number, arrays):
        if number < _tissue_chunks.STATE:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        save(self, number, arrays)

    monkeypatch.setattr(Parts, "save", dying)
    with pytest.raises(KeyboardInterrupt):
        run_tissue_case(loaded, tmp_path / "run.h5")
    monkeypatch.setattr(Parts, "save", save)
    stages = []
    again = run_tissue_case(
        loaded, tmp_path / "run.h5", lambda stage, done, total: stages.append((stage, done))
    )
    # It begins where the last whole chunk ended, not at 0 ms.
    begun = [done for stage, done in stages if stage.startswith("monodomain")]
    assert begun[0] == 4 * kills
    for name in ("activation", "repolarisation", "potentials", "snapshots"):
        np.testing.assert_allclose(getattr(again, name), getattr(whole, name), atol=1e-9)
    other = parse_tissue_case(SLAB.replace("24.0", "28.0"), folder=tmp_path)
    with pytest.raises(ValueError, match="holds parts of another run"):
        run_tissue_case(other, tmp_path / "run.h5")


def heart_of_case():
    rule = FibreRule(helix_endo=60.0, helix_epi=-60.0)
    return with_fibres(left_ventricle(9.0, layers=2), rule)


def test_a_front_in_a_ventricle_and_its_ecg(tmp_path, capsys, case):
    files = tmp_path / "run.h5", tmp_path / "run.png"
    code, out, err = run(capsys, case(HEART), "-o", files[0], "--plot", files[1])
    assert code == 0, err
    assert "electrodes: where they are on a normal man" in out
    assert {path.name for path in tmp_path.glob("*.png")} == {"run.png", "run_ecg.png"}
    mesh = heart_of_case()
    tissue = Eikonal(mesh, fast_layers=[Surface.LV_ENDO], velocity_lv_endo=2.5)
    roots = RootPoints([[-26.0, 0.0, 0.0], [26.0, 0.0, 0.0]], [0.0, 8.0])
    times = np.asarray(activation_times(tissue, roots))
    made, ends = divided(mesh)
    centre, directions = heart_frame(mesh)
    conductivities = Conductivities()
    field = unbounded_lead_field(
        made.points,
        made.cells,
        conductivities.intracellular(jnp.asarray(made.frames)),
        electrodes_of_heart(centre, directions),
        medium=conductivities.torso,
    ).twelve_leads()
    with h5py.File(files[0]) as file:
        np.testing.assert_allclose(file["activation"], times, atol=1e-6)
        ends_of = file["repolarisation"][:] - times
        np.testing.assert_allclose(ends_of[mesh.nodes(Surface.LV_ENDO)], 300.0, atol=1e-6)
        assert ends_of.min() == pytest.approx(260.0)
        assert json.loads(file["ecg/values"].attrs["leads"]) == list(LEADS)

        def finer(values):
            return np.concatenate([values, values[ends].mean(axis=1)])

        expected = field.of_times(
            *(
                jnp.asarray(x)
                for x in (file["ecg/time"][:], finer(times), finer(file["repolarisation"][:]))
            )
        )
        np.testing.assert_allclose(file["ecg/values"], expected, atol=1e-9)


def test_a_slow_region_and_a_given_activation(tmp_path, case, capsys):
    slow = HEART + "\n[[regions]]\ncentre = [0.0, 30.0, 0.0]\nradius = 9.0\nvelocity = 0.2\n"
    plain, scarred = (run_tissue_case(parse_tissue_case(text)) for text in (HEART, slow))
    later = scarred.activation - plain.activation
    assert later.min() > -1e-9
    ball = np.linalg.norm(plain.heart.mesh.points - [0.0, 34.0, 0.0], axis=1) < 6
    assert later[ball].max() > 10
    # The times of a run start the cells of another.
    assert run(capsys, case(HEART), "-o", tmp_path / "front.h5")[0] == 0
    text = HEART.replace('"eikonal"', '"reaction-eikonal"').replace("apd = [300.0, 260.0]", "")
    text = re.sub(r"\[\[stimuli\]\][^\[]*(?:\[-?[\d., -]+\]\n[^\[]*)?(?:\[8.0\]\n)?", "", text)
    text = text.replace(
        "[tissue]", "[tissue]\nduration = 90.0\nstep = 0.1\nactivation = 'front.h5'"
    )
    text = text.replace(
        "[output]", "[cells]\nmodel = 'bueno-orovio-2008-epi'\n[output]\necg = false"
    )
    started = run_tissue_case(parse_tissue_case(text, folder=tmp_path))
    np.testing.assert_allclose(started.eikonal, plain.activation, atol=1e-9)
    lag = started.activation - plain.activation
    assert 0 < lag.min() < lag.max() < 3


def test_layers_of_cells_by_depth():
    text = HEART.replace('"eikonal"', '"reaction-eikonal"').replace("apd = [300.0, 260.0]", "")
    text = text.replace("[tissue]", "[tissue]\nduration = 10.0")
    names = [f"bueno-orovio-2008-{kind}" for kind in ("endo", "m", "epi")]
    text += "\n[cells]\nendo = '{}'\nmid = '{}'\nepi = '{}'\ndepths = [0.3, 0.6]".format(*names)
    text += "\n[[regions]]\ncentre = [0.0, 30.0, 0.0]\nradius = 9.0\ncell = 'aliev-panfilov-1996'"
    made = parse_tissue_case(text)
    heart = build_heart(made)
    regions = place_regions(made, heart)
    assert regions.names == (*names, "aliev-panfilov-1996")
    near = np.linalg.norm(heart.mesh.centres() - [0.0, 30.0, 0.0], axis=1) <= 9
    np.testing.assert_array_equal(near, regions.number == 3)
    expected = np.searchsorted([0.3, 0.6], heart.depth)
    np.testing.assert_array_equal(regions.number[~near], expected[~near])
    assert set(expected) == {0, 1, 2}


def test_voxels_with_fibres_of_a_file(tmp_path):
    tags = np.zeros((12, 6, 3), int)
    tags[:, 1:5] = 1
    tags[6:, 1:5] = 2
    fibres = np.zeros((*tags.shape, 3))
    fibres[..., 1] = 1
    np.save(tmp_path / "tags.npy", tags)
    np.save(tmp_path / "fibres.npy", fibres)
    text = SLAB.replace('"slab"', '"voxels"').replace("size = [6.0, 2.0, 1.0]", "file = 'tags.npy'")
    text = text.replace("spacing = 0.5", "spacing = 0.5\nfibres = 'fibres.npy'")
    text = text.replace("centre = [5.0, 0.0, 0.0]\nradius = 1.0", "tag = 2")
    text = text.replace("at = [0.0, 0.0, 0.0]", "at = [0.0, 1.5, 0.0]")
    made = run_tissue_case(parse_tissue_case(text, folder=tmp_path))
    reached = np.isfinite(made.activation)
    # Along y, the fibres, the whole of the first region; nothing of the other.
    x = made.heart.mesh.points[:, 0]
    assert reached[x < 2.9].all()
    assert not reached[x > 3.1].any()
    np.save(tmp_path / "tags.npy", tags.astype(float))
    with pytest.raises(ValueError, match=r"float64 of shape .* not integers of 3 axes"):
        run_tissue_case(parse_tissue_case(text, folder=tmp_path))


MISTAKES = {
    "unknown key": ("step = 0.1", "stepp = 0.1", "did you mean 'step'"),
    "unknown table": ("[output]", "[outputs]", "did you mean 'output'"),
    "unknown model": ('"monodomain"', '"bidomain"', "did you mean 'monodomain'"),
    "unknown cell": ("bueno-orovio-2008-epi", "bueno-orovio-2008-ep", "'bueno-orovio-2008-epi'"),
    "unknown kind": ('"slab"', '"slap"', "did you mean 'slab'"),
    "unknown parameter": ("conductivity_across", "conductivity_acros", "'conductivity_across'"),
    "negative conductivity": ("value = 0.5", "value = -0.5", "outside its bounds [0, 2] S/m"),
    "wrong unit": ('"mS/cm"', '"m/s"', "Cannot convert m/s"),
    "endless": ("duration = 24.0", "duration = inf", "finite number"),
    "no whole voxels": ("size = [6.0,", "size = [6.1,", "no whole number of voxels of 0.5 mm"),
    "implicit grid": ("step = 0.1", "step = 0.1\nstepping = 'implicit'", "implicit steps are for"),
    "no fibres": ("spacing = 0.5", "spacing = 0.5\nfibres = [0, 0, 0]", "fibres have no length"),
    "no stimulus of its own": ("bueno-orovio-2008-epi", "noble-1962", "give an amplitude"),
    "no conduction": (
        "conductivity_across = {value = 0.5",
        "conductivity_along = {value = 0, unit = 'S/m'}\nconductivity_across = {value = 0",
        "conductivities are all 0",
    ),
    "no cells": ('[cells]\nmodel = "bueno-orovio-2008-epi"', "", "[cells] is missing"),
    "half of the layers": ('model = "bueno', 'endo = "bueno', "cells.mid is missing"),
    "no duration": ("duration = 24.0", "", "tissue.duration is missing"),
    "step too long": ("step = 0.1", "step = 2.0", "less than or equal to 0.25"),
    "no whole steps": ("duration = 24.0", "duration = 24.05", "no whole number of steps"),
    "snapshots": ("snapshots = 4.0", "snapshots = 5.0", "no whole number of output.snapshots"),
    "no size": ("size = [6.0, 2.0, 1.0]", "", "geometry of the kind slab needs size"),
    "negative size": ("size = [6.0,", "size = [-6.0,", "greater than 0"),
    "no spacing": ("spacing = 0.5", "", "geometry.spacing"),
    "two geometries": ("[cells]", "[anatomy]\nmesh = 'a.vtu'\n[cells]", "either [geometry]"),
    "a layer of a slab": ("spacing = 0.5", "spacing = 0.5\nlayers = 3", "has no layers"),
    "S2 before S1": ("[0.0, 12.0]", "[12.0, 0.0]", "times do not rise: 0 ms follows 12 ms"),
    "S2 within S1": ("[0.0, 12.0]", "[0.0, 1.0]", "at 1 ms that of 0 ms is still on"),
    "S2 after the end": ("[0.0, 12.0]", "[0.0, 30.0]", "after the end at tissue.duration = 24 ms"),
    "since": ("since = 0.0", "since = 13.0", "after the last stimulus at 12 ms"),
    "no stimulus": ("at = [0.0, 0.0, 0.0]\n", "", "either at a point [mm], or on a surface"),
    "outside": ("at = [0.0, 0.0,", "at = [-9.0, 0.0,", "lies outside of the tissue, 9 mm from"),
    "inward": ("radius = 1.0\ntimes", "amplitude = 20.0\ntimes", "less than 0"),
    "surface of a slab": ("at = [0.0, 0.0, 0.0]", "surface = 'epi'", "a slab has no surface"),
    "ball outside": ("centre = [5.0", "centre = [50.0", "region 1: no tissue lies within 1 mm"),
    "ball without radius": ("radius = 1.0\nconductivity", "conductivity", "a centre and a radius"),
    "no such tag": (
        "centre = [5.0, 0.0, 0.0]\nradius = 1.0",
        "tag = 7",
        "no cell has the tag 7; valid choices: 1",
    ),
    "velocity of cells": ("conductivity = 0.0", "velocity = 0.5", "with the eikonal equation"),
    "eikonal on voxels": ('"monodomain"', '"eikonal"', "needs a mesh of tetrahedra"),
    "an ECG of a slab": ("since = 0.0", "ecg = true", "an ECG needs a heart of tetrahedra"),
    "fast layer": ("step = 0.1", "step = 0.1\nfast_layers = ['lv_endo']", "fast_layers are for"),
    "no TOML": ("[tissue]", "[tissue]]", "is not TOML"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence(capsys, case, name):
    old, new, part = MISTAKES[name]
    assert old in SLAB
    code, out, err = run(capsys, case(SLAB.replace(old, new, 1)))
    assert code == 2, (out, err)
    assert err.startswith("twinjax: ")
    assert len(err.splitlines()) == 1
    assert part in err, err
    assert "case.toml" in err


HEART_MISTAKES = {
    "negative velocity": ("value = 250", "value = -250", "outside its bounds [0.1, 5] m/s"),
    "layer not fast": ('fast_layers = ["lv_endo"]', "", "add fast_layers = ['lv_endo']"),
    "unknown layer": ('["lv_endo"]', '["lv_end"]', "did you mean 'lv_endo'"),
    "no right ventricle": ('["lv_endo"]', '["lv_endo", "rv_endo"]', "RV_ENDO"),
    "steep fibres": ("[60.0, -60.0]", "[160.0, -60.0]", "between -90 and 90 deg, not 160"),
    "two times": ("times = [8.0]", "times = [8.0, 9.0]", "a front starts once"),
    "cells of a front": ("[output]", "[cells]\nmodel = 'x'\n[output]", "[cells] are for"),
    "no such file": (
        '[geometry]\nkind = "left_ventricle"\nspacing = 9.0\nlayers = 2\nhelix = [60.0, -60.0]',
        "[anatomy]\nmesh = 'none.vtu'",
        "there is no file",
    ),
}


@pytest.mark.parametrize("name", HEART_MISTAKES)
def test_a_mistake_of_a_front_is_one_sentence(capsys, case, name):
    old, new, part = HEART_MISTAKES[name]
    assert old in HEART
    code, out, err = run(capsys, case(HEART.replace(old, new, 1)))
    assert code == 2, (out, err)
    assert len(err.splitlines()) == 1
    assert part in err, err


def test_what_cannot_be_written_is_told_first(tmp_path, capsys, case):
    file = case(SLAB)
    for option, name, part in (
        ("--plot", "a.gif", "none of .png"),
        ("--vtu", "a.stl", "none of .vtu"),
        ("-o", "none/a.h5", "there is no folder"),
    ):
        code, _, err = run(capsys, file, option, tmp_path / name)
        assert (code, part in err) == (2, True), err
    (tmp_path / "beat.toml").write_text('[model]\nname = "closed-loop"\n')
    code, _, err = run(capsys, tmp_path / "beat.toml", "--vtu", tmp_path / "a.vtu")
    assert (code, "has no table [tissue]" in err) == (2, True)


def test_results_for_paraview(tmp_path, capsys, case):
    pytest.importorskip("meshio")
    from twinjax.io import read_mesh

    code, _, err = run(capsys, case(SLAB), "--vtu", tmp_path / "run.vtu")
    assert code == 0, err
    read = read_mesh(tmp_path / "run.vtu")
    assert read.mesh.kind == "hexahedra"
    potentials = {f"V_{moment:02d}_ms" for moment in range(4, 25, 4)}
    assert set(read.point_data) == {"activation", "repolarisation", *potentials}
    assert np.nanmin(read.point_data["activation"]) > 0


def test_what_is_seen_is_the_nearest():
    """Two squares over each other, of which the smaller is nearer."""
    square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    points = np.concatenate([4 * square, square + [1, 1, 1]])
    facets = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    values = np.concatenate([4 * square[:, 0], np.full(4, 9.0)])
    seen, light, (left, right, low, high) = rasterised(points, facets, values)
    x = np.linspace(left, right, seen.shape[1])[None, :] + 0 * seen
    y = np.linspace(low, high, seen.shape[0])[:, None] + 0 * seen
    near = (x > 1.02) & (x < 1.98) & (y > 1.02) & (y < 1.98)
    far = (light > 0) & ~((x > 0.98) & (x < 2.02) & (y > 0.98) & (y < 2.02))
    np.testing.assert_allclose(seen[near], 9.0)
    np.testing.assert_allclose(seen[far], x[far], atol=0.02)
    outside = (x < -0.02) | (x > 4.02) | (y < -0.02) | (y > 4.02)
    assert not light[outside].any()
    # From behind nothing is seen.
    assert not rasterised(points, facets[:, ::-1], values)[1].any()


def test_a_picture_of_times_that_never_came(tmp_path):
    mesh = left_ventricle(12.0)
    times = np.where(mesh.points[:, 2] > 0, np.inf, mesh.points[:, 2])
    draw_times(mesh, [("activation", times)], tmp_path / "a.png")
    draw_times(mesh, [("activation", np.full(len(times), np.inf))], tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"\.png, \.pdf or \.svg"):
        draw_times(mesh, [("activation", times)], tmp_path / "a.gif")


def test_the_page_shows_the_packaged_example():
    text = (PROJECT / "training" / "examples" / "tissue_ventricle.toml").read_text("utf-8")
    one, two = parse_tissue_case(text), parse_tissue_case(blocks("tissue_cases.md", "toml")[0])
    assert one.table == two.table


def test_the_packaged_example_runs_at_reduced_size(tmp_path, capsys, case):
    small = (
        blocks("tissue_cases.md", "toml")[0]
        .replace("duration = 450.0", "duration = 20.0")
        .replace("= 50.0", "= 10.0")
    )
    small = small.replace("spacing = 4.0\nlayers = 4", "spacing = 9.0\nlayers = 2")
    small = re.sub(r"tentusscher-panfilov-2006-(endo|m|epi)", r"bueno-orovio-2008-\1", small)
    assert small.count("bueno") == 3
    code, out, err = run(capsys, case(small), "-o", tmp_path / "run.h5", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert 5 < told["activated [%]"] < 60
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["ecg/values"].shape == (12, 20)
        assert file["snapshots/potential"].shape[0] == 2


def test_the_protocol_of_the_page():
    """S1 and S2: the times are those after S2, which finds tissue that has not quite recovered."""
    second = blocks("tissue_cases.md", "toml")[1]
    first = second.replace("[0.0, 360.0]", "[0.0]").replace("since = 360.0", "since = 0.0")
    first = first.replace("duration = 420.0", "duration = 30.0")
    for text, start, last in ((first, 0.0, 19.1), (second, 360.0, 23.9)):
        made = run_tissue_case(parse_tissue_case(text))
        assert made.reached == 1
        assert 0 < made.activation.min() - start < 2
        assert made.activation.max() - start == pytest.approx(last, abs=0.1)
