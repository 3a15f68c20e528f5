"""The Python that the page on meshes shows runs."""

import re
import subprocess
import sys

from tests._conventions import PROJECT


def test_python_of_the_page_runs(tmp_path):
    text = (PROJECT / "docs" / "meshes.md").read_text("utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 100 < float(done.stdout) < 115
    assert {"heart.pts", "heart.elem", "heart.lon", "heart.surf"} <= {
        path.name for path in tmp_path.iterdir()
    }
