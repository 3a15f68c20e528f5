"""Reference data for the tests; absent data skip a test and say why."""

from pathlib import Path

import pytest

from experiments._shared import ReferenceAbsent, shared_path


def shared(relative: str) -> Path:
    """The path of a reference file or folder, or a skip that says what is missing."""
    try:
        return shared_path(relative)
    except ReferenceAbsent as absent:
        pytest.skip(str(absent))
