"""Meshes in files: round trips, real hearts, and a sentence for every damaged file."""

import numpy as np
import pytest

from twinjax.geometry import Mesh, flip_inverted, inspect, left_ventricle, replace, slab
from twinjax.io import (
    read_igb,
    read_mesh,
    read_surface,
    read_vtx,
    write_igb,
    write_mesh,
    write_vtx,
)

BY_MESHIO = (".vtu", ".vtk", ".xdmf", ".msh")


@pytest.fixture(scope="module")
def heart():
    """A ventricle with regions and frames that no format may mix up."""
    mesh = left_ventricle(10.0)
    rng = np.random.default_rng(0)
    frames = np.linalg.qr(rng.normal(size=(len(mesh.cells), 3, 3)))[0]
    frames *= np.sign(np.linalg.det(frames))[:, None, None]
    return replace(mesh, frames=frames, regions=np.arange(len(mesh.cells)) % 5)


def same(found, mesh, *, atol=0.0):
    np.testing.assert_allclose(found.points, mesh.points, rtol=0, atol=atol)
    np.testing.assert_array_equal(found.cells, mesh.cells)
    np.testing.assert_array_equal(found.regions, mesh.regions)
    np.testing.assert_array_equal(found.facets, mesh.facets)
    np.testing.assert_array_equal(found.facet_tags, mesh.facet_tags)
    assert (found.frames is None) == (mesh.frames is None)
    if mesh.frames is not None:
        np.testing.assert_allclose(found.frames, mesh.frames, atol=1e-9)


@pytest.mark.parametrize("suffix", [*BY_MESHIO, ".pts", ".elem"])
@pytest.mark.parametrize("kind", ["tetrahedra", "hexahedra"])
def test_a_mesh_comes_back(tmp_path, heart, suffix, kind):
    if suffix in BY_MESHIO:
        pytest.importorskip("meshio")
    mesh = heart if kind == "tetrahedra" else slab((20.0, 15.0, 10.0), 5.0, cells=kind)
    if suffix == ".msh":
        mesh = replace(mesh, frames=None)
    write_mesh(mesh, tmp_path / f"heart{suffix}")
    same(read_mesh(tmp_path / f"heart{suffix}").mesh, mesh, atol=1e-9)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_tetgen_keeps_points_cells_and_regions(tmp_path, heart):
    pytest.importorskip("meshio")
    bare = Mesh(heart.points, heart.cells, regions=heart.regions)
    write_mesh(bare, tmp_path / "heart.node")
    same(read_mesh(tmp_path / "heart.ele").mesh, bare, atol=1e-9)
    facets = np.column_stack([np.arange(len(heart.facets)), heart.facets, heart.facet_tags])
    np.savetxt(tmp_path / "heart.face", facets, "%d", header=f"{len(facets)} 1", comments="")
    found = read_mesh(tmp_path / "heart.node").mesh
    np.testing.assert_array_equal(found.facets, heart.facets)
    np.testing.assert_array_equal(found.facet_tags, heart.facet_tags)


@pytest.mark.parametrize("suffix", [".vtu", ".vtk", ".xdmf"])
def test_data_come_back(tmp_path, heart, suffix):
    pytest.importorskip("meshio")
    potential = np.sin(heart.points[:, 0])
    strain = np.arange(3.0 * len(heart.cells)).reshape(-1, 3)
    path = tmp_path / f"heart{suffix}"
    write_mesh(heart, path, point_data={"V": potential}, cell_data={"strain": strain})
    read = read_mesh(path)
    np.testing.assert_array_equal(read.point_data["V"], potential)
    np.testing.assert_array_equal(read.cell_data["strain"], strain)
    assert set(read.cell_data) == {"strain"}


def test_units(tmp_path, heart):
    for suffix, scale in ((".pts", 1000.0), (".elem", 1000.0)):
        write_mesh(heart, tmp_path / f"a{suffix}")
        first = np.loadtxt(tmp_path / "a.pts", skiprows=1)[0]
        np.testing.assert_allclose(first, scale * heart.points[0], atol=1e-6)
    write_mesh(heart, tmp_path / "b.pts", unit="cm")
    same(read_mesh(tmp_path / "b.pts", "cm").mesh, heart, atol=1e-9)
    assert "µm" not in str(inspect(read_mesh(tmp_path / "b.pts", "cm").mesh).doubts)
    with pytest.raises(ValueError, match="inch"):
        read_mesh(tmp_path / "b.pts", "inch")


def test_one_axis_of_opencarp_becomes_frames(tmp_path, heart):
    write_mesh(heart, tmp_path / "a.pts")
    fibres = heart.frames[:, :, 0]
    np.savetxt(tmp_path / "a.lon", fibres, header="1", comments="")
    frames = read_mesh(tmp_path / "a.pts").mesh.frames
    np.testing.assert_allclose(frames[:, :, 0], fibres, atol=1e-12)
    np.testing.assert_allclose(
        np.einsum("cki,ckj->cij", frames, frames),
        np.broadcast_to(np.eye(3), frames.shape),
        atol=1e-12,
    )


def test_both_orders_of_nodes_in_hexahedra_are_read(tmp_path):
    mesh = slab((20.0, 15.0, 10.0), 5.0, cells="hexahedra")
    write_mesh(mesh, tmp_path / "a.pts")
    written = np.loadtxt(tmp_path / "a.elem", skiprows=1, usecols=range(1, 9), dtype=int)
    np.testing.assert_array_equal(written, mesh.cells[:, [0, 1, 2, 3, 4, 7, 6, 5]])
    lines = [f"Hx {' '.join(map(str, cell))} 0" for cell in mesh.cells]
    (tmp_path / "a.elem").write_text("\n".join([str(len(lines)), *lines]))
    same(read_mesh(tmp_path / "a.elem").mesh, mesh, atol=1e-9)


def test_nodes_and_time_series_of_opencarp(tmp_path, heart):
    write_vtx(heart.nodes(3), tmp_path / "endo.vtx")
    np.testing.assert_array_equal(read_vtx(tmp_path / "endo.vtx"), heart.nodes(3))
    for values in (np.random.default_rng(0).normal(size=(4, 7)), np.ones((2, 7, 3))):
        write_igb(values, tmp_path / "v.igb", step=2.0, unit="mV")
        found, header = read_igb(tmp_path / "v.igb")
        np.testing.assert_allclose(found, values, rtol=1e-6)
        assert header["fac_t"] == "2"
        assert header["unites"] == "mV"
        assert (tmp_path / "v.igb").stat().st_size == 1024 + 4 * values.size


def test_scaled_and_big_endian_igb_is_read(tmp_path):
    text = "x:3 y:1 z:1 t:2 type:short systeme:big_endian facteur:0.5 zero:-10 "
    data = np.arange(6, dtype=">i2").tobytes()
    (tmp_path / "v.igb").write_bytes(text.encode().ljust(1024) + data)
    found, _ = read_igb(tmp_path / "v.igb")
    np.testing.assert_allclose(found, 0.5 * np.arange(6).reshape(2, 3) - 10)


HEARTS = [
    # file, unit, nodes, cells, wall [mL], inverted, frames
    ("data/meshes/crtdemo_biv/crtdemo_biv_fibres.vtu", None, 4569, 17866, 226, 0, True),
    ("data/meshes/crtdemo_biv/crtdemo_mesh_oriented.vtk", None, 4569, 17866, 226, 0, False),
    ("data/meshes/kit_four_chamber/heartT4.ele", None, 32505, 128976, 1426.2, 0, False),
    ("references/arostica2025/biv_coarse_fibers.vtk", "m", 11444, 45304, 209.2, 0, True),
    ("references/arostica2025/biv_coarse.h5", "m", 11444, 45304, 209.2, 22678, False),
    ("references/arostica2025/ellipsoid_0.005.h5", "m", 4577, 17625, 177.7, 8874, False),
]


@pytest.mark.parametrize(("file", "unit", "nodes", "cells", "wall", "inverted", "frames"), HEARTS)
def test_real_hearts(shared, file, unit, nodes, cells, wall, inverted, frames):
    if not file.endswith(".h5"):
        pytest.importorskip("meshio")
    mesh = read_mesh(shared(file), unit).mesh
    report = inspect(mesh)
    assert (report.nodes, report.cells, report.inverted) == (nodes, cells, inverted)
    assert report.volume == pytest.approx(wall, abs=0.6)
    assert report.frames is frames
    assert report.doubts == ()
    assert inspect(flip_inverted(mesh)).inverted == 0
    if unit:
        assert "in m:" in inspect(read_mesh(shared(file)).mesh).doubts[0]


def test_the_four_chambers_have_their_tags(shared):
    pytest.importorskip("meshio")
    report = inspect(read_mesh(shared("data/meshes/kit_four_chamber/heartT4.node")).mesh)
    assert {30, 31, 32, 33} <= set(report.regions)
    assert {130, 131, 132, 133} <= set(report.surfaces)
    assert report.surfaces[131] == 6376


@pytest.mark.parametrize(
    ("file", "points", "triangles"),
    [
        ("data/meshes/cobiveco/geo1/heart.vtp", 24991, 49978),
        ("data/meshes/cobiveco/geo2/heart_epi.ply", 11321, 22388),
        ("data/meshes/crtdemo_biv/crtdemo_LVendo_heart_cut.obj", 441, 848),
    ],
)
def test_real_surfaces(shared, file, points, triangles):
    pytest.importorskip("pyvista" if file.endswith(".vtp") else "meshio")
    read = read_surface(shared(file))
    assert read.points.shape == (points, 3)
    assert read.triangles.shape == (triangles, 3)
    assert 40 < np.ptp(read.points, axis=0).max() < 200


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.stp", "", "valid choices: .pts, .elem"),
        ("a.vtu", None, "there is no file"),
        ("a.vtu", "<VTKFile", "a.vtu is truncated"),
        ("a.msh", "", "a.msh is truncated"),
        ("a.h5", "not HDF5", "truncated or damaged"),
        ("a.pts", "2\n0 0 0\n", "announces 2 rows"),
        ("a.pts", "two\n0 0 0\n", "is truncated or of another format"),
        ("a.elem", "1\nTt 0 1 2 3 1\n", "there is no file"),
    ],
)
def test_broken_files_are_refused_in_one_sentence(tmp_path, name, text, sentence):
    if text is not None:
        (tmp_path / name).write_text(text)
    if name.endswith((".vtu", ".msh")):
        pytest.importorskip("meshio")
    with pytest.raises(ValueError, match=sentence) as caught:
        read_mesh(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("elements", "sentence"),
    [
        ("1\nXx 0 1 2 3\n", "has the element 'Xx'"),
        ("1\nTt 0 1 2\n", "too few nodes"),
        ("1\nTt 0 1 2 x\n", "no number"),
        ("2\nTt 0 1 2 3\n", "truncated"),
        ("1\nTr 0 1 2\n", "no volume elements"),
    ],
)
def test_broken_elements_are_refused(tmp_path, elements, sentence):
    (tmp_path / "a.pts").write_text("4\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n")
    (tmp_path / "a.elem").write_text(elements)
    with pytest.raises(ValueError, match=sentence):
        read_mesh(tmp_path / "a.pts")


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("a.h5", {}, "cannot write 'a.h5'"),
        ("a.pts", {"point_data": {"V": np.zeros(3)}}, "holds no data"),
        ("a.node", {}, "holds no frames"),
        ("a.msh", {}, "holds no frames"),
        ("a.vtu", {"point_data": {"V": np.zeros(3)}}, "'V' has 3 values"),
        ("none/a.vtu", {}, "there is no folder"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, heart, name, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        write_mesh(heart, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path, heart, monkeypatch):
    meshio = pytest.importorskip("meshio")
    path = tmp_path / "a.vtu"
    path.write_text("old")

    def fail(*_, **__):
        raise meshio.WriteError("disk full")

    monkeypatch.setattr(meshio, "write", fail)
    with pytest.raises(ValueError, match="disk full"):
        write_mesh(heart, path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.vtu"]


def test_other_files_are_no_igb_or_vtx(tmp_path):
    (tmp_path / "a").write_text("3\nextra\n1\n2\n")
    with pytest.raises(ValueError, match="announces 3 nodes and has 2"):
        read_vtx(tmp_path / "a")
    with pytest.raises(ValueError, match="no header of an"):
        read_igb(tmp_path / "a")
    (tmp_path / "a").write_text("nothing")
    with pytest.raises(ValueError, match="no list of nodes"):
        read_vtx(tmp_path / "a")
