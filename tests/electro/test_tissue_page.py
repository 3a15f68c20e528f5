"""The Python that the page on tissue shows runs."""

import re
import subprocess
import sys

from tests._conventions import PROJECT


def test_python_of_the_page_runs():
    text = (PROJECT / "docs" / "tissue.md").read_text("utf-8")
    programs = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    found = []
    for program in programs:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(float(done.stdout.split()[-2]))
    voxels, mesh = found
    assert 10 < voxels < 40
    assert 30 < mesh < 60
