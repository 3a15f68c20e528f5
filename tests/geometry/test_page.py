"""The Python that the page on meshes shows runs."""

from tests._pages import printed


def test_python_of_the_page_runs(tmp_path):
    (out,) = printed("meshes.md", tmp_path)
    assert 100 < float(out) < 115
    assert {"heart.pts", "heart.elem", "heart.lon", "heart.surf"} <= {
        path.name for path in tmp_path.iterdir()
    }
