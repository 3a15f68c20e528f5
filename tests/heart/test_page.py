"""The page on hearts that beat: what it shows works."""

import re

import pytest

from tests._pages import printed


@pytest.mark.slow  # a cell and a wall to be compiled, as in other tests
def test_python_of_the_page_runs():
    (out,) = printed("heart.md")
    before, after = map(float, re.findall(r"-?[\d.]+", out))
    assert before == 8
    assert after > 40
