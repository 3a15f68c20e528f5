"""The Python that the page on the eikonal equation shows runs."""

import re
import subprocess
import sys

from tests._conventions import PROJECT


def test_python_of_the_page_runs():
    text = (PROJECT / "docs" / "eikonal.md").read_text("utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 20 < float(done.stdout.splitlines()[0].split()[-2]) < 200
