"""The Python that the pages on tissue, the eikonal equation and ECGs show runs."""

import re

from tests._pages import printed


def test_tissue():
    voxels, mesh = (float(out.split()[-2]) for out in printed("tissue.md"))
    assert 10 < voxels < 40
    assert 30 < mesh < 60


def test_eikonal():
    (out,) = printed("eikonal.md")
    assert 20 < float(out.splitlines()[0].split()[-2]) < 200


def test_ecg():
    (out,) = printed("ecg.md")
    features, error = out.splitlines()
    duration, interval = re.findall(r"(\d+) ms", features)
    assert 60 < int(duration) < 160
    assert 300 < int(interval) < 500
    assert float(error.split()[-3]) > 0
