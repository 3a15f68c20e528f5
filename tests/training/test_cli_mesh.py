"""`twinjax mesh`: its numbers beside the library's, and a sentence for every mistake."""

import json

import numpy as np
import pytest

from training.cli import main
from twinjax.geometry import (
    FibreRule,
    Mesh,
    Surface,
    inspect,
    left_ventricle,
    replace,
    scaled,
    slab,
)
from twinjax.io import read_mesh, write_mesh


@pytest.fixture(scope="module")
def heart():
    return left_ventricle(8.0)


def run(capsys, *arguments):
    """Exit code, stdout and stderr of one command."""
    with pytest.raises(SystemExit) as stopped:
        main(["mesh", *(str(argument) for argument in arguments)])
    told = capsys.readouterr()
    return stopped.value.code, told.out, told.err


def test_info_tells_what_the_library_does(tmp_path, capsys, heart):
    cells = heart.cells.copy()
    cells[:3] = cells[:3][:, [1, 0, 2, 3]]
    write_mesh(replace(heart, cells=cells), tmp_path / "a.pts")
    code, out, err = run(capsys, "info", tmp_path / "a.pts", "--json")
    assert code == 0, err
    told = json.loads(out)
    report = inspect(heart)
    assert told["nodes"] == report.nodes
    assert told["volume"] == pytest.approx(report.volume, rel=1e-3)
    assert told["inverted"] == 3
    assert "3 of" in told["problems"][0]
    assert told["surfaces"] == {str(tag): count for tag, count in report.surfaces.items()}
    code, out, _ = run(capsys, "info", tmp_path / "a.pts")
    assert code == 0
    assert "size [mm]" in out
    assert "3 (lv_endo)" in out
    assert "warning: 3 of" in out
    code, out, _ = run(capsys, "info", tmp_path / "a.pts", "--unit", "m", "--json")
    assert json.loads(out)["size"][2] == pytest.approx(88e6)


def test_convert_repairs_reorders_and_keeps_data(tmp_path, capsys, heart):
    pytest.importorskip("meshio")
    points = np.concatenate([heart.points, [[0.0, 0, 0]]])
    cells = np.concatenate([heart.cells[:, [1, 0, 2, 3]], heart.cells[:1]])
    regions = (np.arange(len(cells)) % 2) + 1
    bad = Mesh(points, cells, regions=regions)
    depth, number = points[:, 2], np.arange(len(cells), dtype=float)
    source, target = tmp_path / "in.vtu", tmp_path / "out.vtu"
    write_mesh(bad, source, point_data={"z": depth}, cell_data={"number": number})
    options = ("--repair", "--reorder", "--surfaces", "--to-unit", "cm", "--json")
    code, out, err = run(capsys, "convert", source, target, *options)
    assert code == 0, err
    told = json.loads(out)
    assert told["problems"] == []
    assert told["data_lost"] == []
    assert told["surfaces"] == {str(t): n for t, n in inspect(heart).surfaces.items()}
    read = read_mesh(target, "cm")
    np.testing.assert_allclose(read.point_data["z"], read.mesh.points[:, 2], atol=1e-9)
    former = read.cell_data["number"].astype(int)
    np.testing.assert_array_equal(read.mesh.regions, regions[former])
    middle = points[cells[former]].mean(axis=1)
    np.testing.assert_allclose(read.mesh.centres(), middle, atol=1e-9)
    code, out, err = run(capsys, "convert", source, tmp_path / "b.pts", "--region", 2, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["regions"] == {"2": int(np.sum(regions == 2))}
    assert told["data_lost"] == ["number", "z"]


def test_fibres_are_those_of_the_library(tmp_path, capsys, heart):
    pytest.importorskip("meshio")
    tagged = replace(heart, facet_tags=10 * heart.facet_tags)
    write_mesh(tagged, tmp_path / "in.vtu")
    names = ("--surface", "10=base", "--surface", "20=epi", "--surface", "30=lv_endo")
    output = ("-o", tmp_path / "out.vtu", "--helix", 60, -60, "--sheet", 0, 0)
    code, out, err = run(
        capsys, "fibres", tmp_path / "in.vtu", *output, *names, "--coordinates", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["frames"] is True
    read = read_mesh(tmp_path / "out.vtu")
    rule = FibreRule(helix_endo=60.0, helix_epi=-60.0, sheet_endo=0.0, sheet_epi=0.0)
    np.testing.assert_allclose(read.mesh.frames, rule.frames(heart), atol=1e-6)
    assert {"transmural", "apicobasal", "rotational"} <= set(read.point_data)
    # Without names surfaces are found.
    code, _, err = run(capsys, "fibres", tmp_path / "in.vtu", *output)
    assert code == 0, err
    found = read_mesh(tmp_path / "out.vtu").mesh
    np.testing.assert_array_equal(found.nodes(Surface.EPI), heart.nodes(Surface.EPI))


def test_a_picture_is_drawn(tmp_path, capsys, heart):
    pytest.importorskip("pyvista")
    pytest.importorskip("meshio")
    from matplotlib.image import imread

    write_mesh(heart, tmp_path / "in.vtu", point_data={"z": heart.points[:, 2]})
    for colour in ((), ("--colour", "z")):
        file = tmp_path / "heart.png"
        code, out, err = run(capsys, "picture", tmp_path / "in.vtu", "-o", file, *colour)
        assert code == 0, err
        assert "written" in out
        pixels = imread(file)[..., :3]
        assert pixels.shape[:2] == (700, 1400)
        assert 0.05 < np.mean(np.any(pixels < 0.9, axis=-1)) < 0.9
    code, _, err = run(capsys, "picture", tmp_path / "in.vtu", "-o", file, "--colour", "zz")
    assert (code, "did you mean 'z'?" in err) == (2, True)
    code, _, err = run(capsys, "picture", tmp_path / "in.vtu", "-o", file, "--fibres")
    assert (code, "the mesh has no fibres" in err) == (2, True)


def test_mistakes_are_one_sentence(tmp_path, capsys, heart):
    write_mesh(heart, tmp_path / "a.pts")
    good = tmp_path / "a.pts"
    for arguments, part in (
        (("info", tmp_path / "none.vtu"), "there is no file"),
        (("info", tmp_path / "a.doc"), "valid choices: .pts"),
        (("info", good, "--unit", "inch"), "inch"),
        (("convert", good, tmp_path / "b.doc"), "cannot write 'b.doc'"),
        (("convert", good, tmp_path / "b.pts", "--region", 9), "region tag 9"),
        (("fibres", good, "-o", tmp_path / "b.msh"), "cannot write fibres"),
        (("fibres", good, "-o", tmp_path / "b.pts", "--coordinates"), "and coordinates"),
        (("fibres", good, "-o", tmp_path / "b.pts", "--helix", 95, 0), "between -90 and 90"),
        (("fibres", good, "-o", tmp_path / "b.pts", "--profile", "cubic"), "unknown profile"),
        (("fibres", good, "-o", tmp_path / "b.pts", "--surface", "2"), "needs TAG=NAME"),
        (("fibres", good, "-o", tmp_path / "b.pts", "--surface", "2=epy"), "did you mean 'epi'"),
        (("picture", good, "-o", tmp_path / "b.jpg"), "name a .png"),
        (("picture", good), "Missing option"),
    ):
        code, out, err = run(capsys, *arguments)
        assert code == 2, (arguments, out)
        sentences = [line for line in err.splitlines() if line.startswith("twinjax: ")]
        assert len(sentences) == 1, (arguments, err)
        assert part in sentences[0], (arguments, err)
        assert "Traceback" not in out + err


def _broken(folder, heart):
    """Files that are no sound mesh, the exit code of info, and parts of what info and fibres say.

    Nothing for fibres means that it warns at most.
    """
    import h5py

    def written(name, mesh):
        write_mesh(mesh, folder / name)
        return name

    def cut(name):
        whole = (folder / written(name, heart)).read_bytes()
        (folder / name).write_bytes(whole[: round(0.6 * len(whole))])
        return name

    points = heart.points.copy()
    points[5] = np.nan
    beside = np.concatenate([heart.points, heart.points + 200])
    twice = np.concatenate([heart.cells, heart.cells + len(heart.points)])
    frames = np.zeros((len(heart.cells), 3, 3))
    (folder / "text.vtk").write_text("no mesh")
    (folder / "bytes.pts").write_bytes(bytes(range(256)))
    (folder / "alone.pts").write_text("1\n0 0 0\n")
    (folder / "empty.vtu").write_bytes(b"")
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = 1
    written("msh.msh", heart)
    (folder / "msh.vtu").write_bytes((folder / "msh.msh").read_bytes())
    flat = replace(heart, points=heart.points * np.array([1.0, 1.0, 0.0]))
    return [
        (cut("cut.vtu"), 2, "cut.vtu is truncated", "is truncated"),
        (cut("cut.msh"), 2, "cut.msh is truncated", "is truncated"),
        (cut("cut.vtk"), 2, "cut.vtk is truncated", "is truncated"),
        (cut("cut.xdmf"), 2, "cut.xdmf is truncated", "is truncated"),
        (cut("cut.pts"), 2, "not a count, then 3 numbers a line", "truncated or of another"),
        ("text.vtk", 2, "of an unknown form", "of an unknown form"),
        ("msh.vtu", 2, "of an unknown form", "of an unknown form"),
        ("bytes.pts", 2, "truncated or of another format", "truncated or of another"),
        ("alone.pts", 2, "alone.elem", "alone.elem"),
        ("empty.vtu", 2, "of an unknown form", "of an unknown form"),
        ("other.h5", 2, "no mesh of FEniCS", "no mesh of FEniCS"),
        (
            written("nan.vtu", replace(heart, points=points)),
            0,
            "1 nodes have a coordinate",
            "1 nodes have a coordinate",
        ),
        (
            written("two.vtu", Mesh(beside, twice)),
            0,
            "the mesh falls into 2 parts",
            "falls into 2 parts (largest_part keeps one); see `twinjax mesh convert --repair`",
        ),
        (
            written("lone.vtu", Mesh(np.concatenate([heart.points, [[0.0, 0, 0]]]), heart.cells)),
            0,
            "1 nodes belong to no cell",
            "1 nodes belong to no cell",
        ),
        (written("flat.vtu", flat), 0, "cells have no volume", "cells have no volume"),
        (written("um.vtu", scaled(heart, 1000.0)), 0, "read the file with the unit 'µm'", None),
        (written("zero.vtu", replace(heart, frames=frames)), 0, "a frame without direction", None),
        (written("slab.vtu", slab((20.0, 7.0, 3.0), 1.0)), 0, "", "0 cavities were found"),
    ]


def test_broken_files_are_told_in_one_sentence(tmp_path, capsys, heart):
    pytest.importorskip("meshio")
    for name, expected, info, fibres in _broken(tmp_path, heart):
        code, out, err = run(capsys, "info", tmp_path / name)
        assert code == expected, (name, out, err)
        assert info in (err if code else out), (name, out, err)
        assert len(err.splitlines()) == (code == 2), (name, err)
        assert ("warning: " in out) == (code == 0 and info != ""), (name, out)
        code, out, err = run(capsys, "fibres", tmp_path / name, "-o", tmp_path / "out.vtu")
        assert code == (0 if fibres is None else 2), (name, out, err)
        assert (fibres or "") in err, (name, err)
        assert len(err.splitlines()) == (fibres is not None), (name, err)


def test_a_picture_tells_what_is_wrong_with_the_mesh(tmp_path, capsys, heart):
    pytest.importorskip("pyvista")
    pytest.importorskip("meshio")
    write_mesh(replace(heart, cells=heart.cells[:, [1, 0, 2, 3]]), tmp_path / "in.vtu")
    code, out, err = run(capsys, "picture", tmp_path / "in.vtu", "-o", tmp_path / "a.png")
    assert code == 0, err
    assert "cells are inverted" in out
