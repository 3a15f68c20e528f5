"""`twinjax simulate` for mechanics: a case is what the library does; failures are told."""

import json

import equinox as eqx
import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from tests._conventions import PROJECT
from tests._pages import blocks
from training import mechanics_run
from training.cli import main
from training.mechanics_case import load_mechanics_case, parse_mechanics_case
from training.mechanics_run import run_mechanics_case
from twinjax.geometry import Surface, left_ventricle, replace
from twinjax.io import write_mesh
from twinjax.mechanics import (
    Deformation,
    Ellipsoid,
    Guccione,
    Load,
    QuadraticVolume,
    Wall,
    deform,
)
from twinjax.mechanics._balance import residual
from twinjax.mechanics._cells import Cells
from twinjax.units import convert

PRESSURE = convert(15.0, "mmHg", "kPa")
SMALL = """
fixed = ["base"]

[mechanics]
energy = "guccione"
steps = 2

[geometry]
kind = "ellipsoid"
rings = 1

[parameters]
stiffness = {value = 3.0, unit = "kPa"}

[load]
pressure = {lv_endo = {value = 15.0, unit = "mmHg"}}
tension = {value = 5.0, unit = "kPa"}

[output]
septum = [-1.0, 0.0, 0.0]
"""


def simulate(capsys, folder, text, *options):
    """The exit code and what was printed of a case."""
    case = folder / "case.toml"
    case.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["simulate", str(case), *options])
    printed = capsys.readouterr()
    return ended.value.code, printed.out, " ".join(printed.err.split())


def small_wall():
    shape = Ellipsoid((26.0, 60.0), (34.0, 68.0), 20.0)
    elements = shape.hexahedra(2, 1, 1, apex=0.4)
    return Wall(
        elements,
        Guccione(3.0),
        frames=shape.frames(elements, 60.0, -60.0),
        volume=QuadraticVolume(local=50.0),
        fixed=elements.mask(Surface.BASE),
        cavities=(Surface.LV_ENDO,),
    )


def test_an_ellipsoid_from_a_case_is_that_of_the_library(tmp_path, capsys):
    options = ["-o", str(tmp_path / "run.h5"), "--vtu", str(tmp_path / "run.pvd")]
    options += ["--plot", str(tmp_path / "run.png"), "--json"]
    code, out, _ = simulate(capsys, tmp_path, SMALL, *options)
    assert code == 0
    told = json.loads(out)
    wall = small_wall()
    load = Load(PRESSURE, 5.0)
    done = deform(wall, load)
    volume = float(done.observations["volumes"][0]) / 1000
    np.testing.assert_allclose(told["lv_endo loaded [mL]"], volume, rtol=1e-7)
    with h5py.File(tmp_path / "run.h5") as file:
        np.testing.assert_allclose(file["share"], [0, 0.5, 1])
        moved = wall.elements.points + done.state.displacement
        np.testing.assert_allclose(file["points"][-1], moved, atol=1e-6)
        np.testing.assert_allclose(file["volume/lv_endo"][-1], volume, rtol=1e-7)
        np.testing.assert_allclose(file["pressure/lv_endo"][1], PRESSURE / 2, rtol=1e-7)
        assert file["points"].attrs["unit"] == "mm"
        assert file["strain/fibre"].shape == (3, 17)
        assert np.all(file["strain/radial"][0][np.isfinite(file["strain/radial"][0])] == 0)
        assert file.attrs["complete"]
    assert (tmp_path / "run_2.vtu").is_file()
    assert "run_2.vtu" in (tmp_path / "run.pvd").read_text()
    assert (tmp_path / "run.png").stat().st_size > 10_000
    assert not list(tmp_path.glob(".*"))  # nothing is left beside
    with pytest.raises(SystemExit) as ended:
        main(["info", str(tmp_path / "run.h5"), "--json"])
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out)["share of the load"] == 1.0


def test_an_image_is_unloaded_first(tmp_path):
    case = parse_mechanics_case(SMALL.replace("steps = 2", "steps = 2\nimage = true"))
    run = run_mechanics_case(case)
    given = np.asarray(small_wall().elements.points)
    assert np.abs(run.points[0] - given).max() > 1.0
    np.testing.assert_allclose(run.points[-1], given, atol=1e-6)


def test_the_page_shows_the_packaged_case():
    case = load_mechanics_case(PROJECT / "training/examples/mechanics_ventricle.toml")
    assert case.pressure["lv_endo"] == pytest.approx(6 * PRESSURE)
    assert case.tension == 100.0
    shown = parse_mechanics_case(blocks("mechanics_cases.md", "toml")[0])
    assert shown.table == case.table


def test_a_run_that_was_stopped_goes_on(tmp_path, monkeypatch):
    case = parse_mechanics_case(SMALL)
    output, calls = tmp_path / "run.h5", []

    def counted(*given, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return deform(*given, **options)

    monkeypatch.setattr(mechanics_run, "deform", counted)
    with pytest.raises(KeyboardInterrupt):
        run_mechanics_case(case, output)
    run = run_mechanics_case(case, output)
    assert len(calls) == 3  # the first step is not done again
    whole = deform(small_wall(), Load(PRESSURE, 5.0)).state.displacement
    np.testing.assert_allclose(run.points[-1] - run.points[0], whole, atol=1e-6)


def test_a_collapsing_load_is_told_and_the_last_equilibrium_saved(tmp_path, capsys):
    text = SMALL.replace("value = 15.0", "value = -4000.0")
    options = ["-o", str(tmp_path / "run.h5"), "--vtu", str(tmp_path / "run.pvd")]
    code, _, said = simulate(capsys, tmp_path, text, *options)
    assert code == 2
    assert "the wall collapses or bears no more: an equilibrium was found up to" in said
    assert f"the last equilibrium is in {tmp_path / 'run.h5'}, {tmp_path / 'run.pvd'}" in said
    assert "Traceback" not in said
    with h5py.File(tmp_path / "run.h5") as file:
        share, points = float(file["share"][-1]), file["points"][-1]
        assert not file.attrs["complete"]
        assert 0 < share < 1
        volumes, pressure = file["volume/lv_endo"][:], file["hydrostatic_pressure"][:]
    assert np.isfinite(points).all()
    assert volumes[-1] < volumes[0]
    # It is the equilibrium of its share.
    wall = small_wall()
    at = Deformation(jnp.asarray(points) - wall.elements.points, jnp.asarray(pressure))
    sizes = []
    for load in (Load(-4000 / 15 * PRESSURE * share, 5.0 * share), Load(0.0, 5.0 * share)):
        force = eqx.filter_jit(residual)(wall, Cells(wall), load.on(wall), at).displacement
        sizes.append(float(jnp.abs(jnp.where(wall.fixed, 0.0, force)).max()))
    assert sizes[0] < 1e-6 * sizes[1]


ANATOMY = """
fixed = ["base"]

[mechanics]
energy = "guccione"
steps = 1

[anatomy]
mesh = "heart.vtu"
surfaces = {base = BASE, epi = EPI, lv_endo = LV_ENDO}

[load]
pressure = {lv_endo = {value = 0.2, unit = "kPa"}}
"""
for surface in (Surface.BASE, Surface.EPI, Surface.LV_ENDO):
    ANATOMY = ANATOMY.replace(f"= {surface.name}", f"= {int(surface)}")


def heart():
    return left_ventricle(14.0, layers=1)


def test_a_mesh_from_a_file_deforms(tmp_path, capsys):
    write_mesh(heart(), tmp_path / "heart.vtu")
    code, out, said = simulate(capsys, tmp_path, ANATOMY, "--json")
    assert code == 0, said
    told = json.loads(out)
    assert told["lv_endo loaded [mL]"] > told["lv_endo at rest [mL]"] + 0.5
    assert any("fibres by rule" in note for note in told["notes"])


def test_an_inverted_element_is_told(tmp_path, capsys):
    mesh = heart()
    points = np.array(mesh.points)
    corners = mesh.cells[len(mesh.cells) // 2]
    points[corners[0]] = 2 * points[corners[1:]].mean(axis=0) - points[corners[0]]
    write_mesh(replace(mesh, points=points), tmp_path / "heart.vtu")
    code, _, said = simulate(capsys, tmp_path, ANATOMY)
    assert code == 2
    assert "cells are inverted: mend the mesh" in said


def test_a_leaking_cavity_is_told(tmp_path, capsys):
    mesh = heart()
    inner = np.flatnonzero(mesh.facet_tags == Surface.LV_ENDO)
    height = np.asarray(mesh.points)[mesh.facets[inner]].mean(axis=1)[:, 2]
    keep = np.ones(len(mesh.facets), bool)
    keep[inner[np.argmin(np.abs(height + 20))]] = False
    leaking = replace(mesh, facets=mesh.facets[keep], facet_tags=mesh.facet_tags[keep])
    write_mesh(leaking, tmp_path / "heart.vtu")
    code, _, said = simulate(capsys, tmp_path, ANATOMY)
    assert code == 2
    assert "a cavity leaks: its surface has more than one mouth" in said


def test_fibres_of_zeros_are_told(tmp_path, capsys):
    mesh = heart()
    fibres = np.zeros((len(mesh.cells), 3))
    write_mesh(mesh, tmp_path / "heart.vtu", cell_data={"fibre": fibres})
    code, _, said = simulate(capsys, tmp_path, ANATOMY)
    assert code == 2
    assert "fibre" in said
    assert "Traceback" not in said
    assert f"{len(mesh.cells)}" in said


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('energy = "guccione"', 'energy = "gucione"', "unknown energy 'gucione'; did you mean"),
        ("stiffness =", "stifness =", "unknown parameter 'stifness'; did you mean 'stiffness'"),
        ("value = 3.0", "value = 300.0", "stiffness = 300 kPa is outside its bounds [0.01, 50]"),
        ('15.0, unit = "mmHg"', '15.0, unit = "mm"', "load.pressure.lv_endo:"),
        ("{lv_endo =", "{rv_endo =", "an ellipsoid has no cavity rv_endo; valid choices: lv_endo"),
        ("{lv_endo =", "{left =", "unknown cavity 'left'"),
        ('fixed = ["base"]', 'fixed = ["bass"]', "unknown surface 'bass'; did you mean 'base'"),
        ('fixed = ["base"]', "fixed = []", "nothing holds the wall: name surfaces that are fixed"),
        ("steps = 2", "steps = 0", "mechanics.steps: input should be greater than or equal to 1"),
        ("rings = 1", "rngs = 1", "unknown key 'rngs'; did you mean 'rings'"),
        ("rings = 1", "rings = 1\nhelix = [100.0, 0.0]", "an angle lies between -90 and 90 deg"),
        ("rings = 1", "rings = 1\nendo = [40.0, 60.0]", "a wall needs 0 < endo < epi"),
        ("septum = [-1.0, 0.0, 0.0]", "septum = [0.0, 0.0, 1.0]", "must lead away from the long"),
        ('kind = "ellipsoid"', 'kind = "cube"', "geometry.kind: input should be 'ellipsoid'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_case_is_one_sentence(tmp_path, capsys, old, new, sentence):
    assert old in SMALL
    code, out, said = simulate(capsys, tmp_path, SMALL.replace(old, new))
    assert code == 2
    assert sentence in said
    assert said.startswith("twinjax: ")
    assert "case.toml" in said
    assert not out


def test_files_that_cannot_be_written_are_told_first(tmp_path, capsys):
    code, _, said = simulate(capsys, tmp_path, SMALL, "--vtu", str(tmp_path / "run.vtk"))
    assert code == 2
    assert "'run.vtk' is none of .pvd" in said
    code, _, said = simulate(capsys, tmp_path, SMALL, "-o", str(tmp_path / "no" / "run.h5"))
    assert code == 2
    assert "there is no folder" in said


def test_shapes_of_a_series_are_refused_where_they_do_not_fit(tmp_path):
    from twinjax.io import write_series

    points, cells = np.zeros((2, 4, 3)), np.arange(4)[None]
    with pytest.raises(ValueError, match=r"cannot write 'a.vtu' as a series; valid choices: .pvd"):
        write_series(tmp_path / "a.vtu", [0, 1], points, cells)
    with pytest.raises(ValueError, match="2 shapes are given for 3 times"):
        write_series(tmp_path / "a.pvd", [0, 1, 2], points, cells)
    with pytest.raises(ValueError, match=r"'u' has the shape \(2, 3\), not \(2, 4\)"):
        write_series(tmp_path / "a.pvd", [0, 1], points, cells, point_data={"u": np.zeros((2, 3))})
    with pytest.raises(ValueError, match="cells of 3 nodes are not written; valid choices: 4, 8,"):
        write_series(tmp_path / "a.pvd", [0, 1], points, cells[:, :3])
    assert not list(tmp_path.iterdir())


def test_a_series_holds_its_shapes(tmp_path):
    import meshio

    from twinjax.io import write_series

    elements = Ellipsoid().hexahedra(1, 1, 1, apex=0.4)
    rest = np.asarray(elements.points)
    points = np.stack([rest, 1.5 * rest])
    kept = {"length": np.linalg.norm(points, axis=2)}
    write_series(
        tmp_path / "a.pvd", [0.0, 0.5], points, np.asarray(elements.cells), point_data=kept
    )
    read = meshio.read(tmp_path / "a_1.vtu")
    np.testing.assert_allclose(read.points, 1.5 * rest)
    np.testing.assert_array_equal(read.cells[0].data, elements.cells)
    assert read.cells[0].type == "hexahedron27"
    np.testing.assert_allclose(read.point_data["length"], kept["length"][1])
    assert 'timestep="0.5" part="0" file="a_1.vtu"' in (tmp_path / "a.pvd").read_text()
    assert jnp.isfinite(elements.points).all()
