"""The Python that the page on ECGs shows runs."""

import re
import subprocess
import sys

from tests._conventions import PROJECT


def test_python_of_the_page_runs():
    text = (PROJECT / "docs" / "ecg.md").read_text("utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    features, error = done.stdout.splitlines()
    duration, interval = re.findall(r"(\d+) ms", features)
    assert 60 < int(duration) < 160
    assert 300 < int(interval) < 500
    assert float(error.split()[-3]) > 0
