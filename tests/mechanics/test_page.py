"""The page on mechanics: what it shows works."""

import re

from tests._pages import printed


def test_python_of_the_page_runs():
    (out,) = printed("mechanics.md")
    relaxed, contracted, slope = map(float, re.findall(r"-?[\d.]+", out))
    assert relaxed > 126  # the cavity at rest
    assert contracted < relaxed
    assert slope < 0
