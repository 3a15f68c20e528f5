"""Programs that the pages of the documentation show."""

import os
import re
import subprocess
import sys

from tests._conventions import PROJECT


def blocks(page, language):
    """The blocks of a language on a page of docs/, in their order."""
    text = (PROJECT / "docs" / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def printed(page, folder=PROJECT):
    """What each of a page's Python programs prints, run in a folder as a user would run it."""
    found = []
    for program in blocks(page, "python"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(done.stdout)
    return found
