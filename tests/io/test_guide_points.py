"""Contours and control points of cine images are read, and other files refused."""

import numpy as np
import pytest

from tests._shared import shared
from twinjax.io import read_control_points, read_guide_points

HEAD = "x\ty\tz\tcontour type\tframeID\tweight\ttime frame\n"


def test_contours_are_read_and_points_of_no_weight_left_out(tmp_path):
    rows = "1\t2\t3\tSAX_LV_ENDOCARDIAL\t2\t1.0\t0\n4\t5\t6\tMITRAL_VALVE\t7\t0.0\t0\n"
    (tmp_path / "points.txt").write_text(HEAD + rows)
    read = read_guide_points(tmp_path / "points.txt")
    np.testing.assert_array_equal(read.of("LV_ENDOCARDIAL", slice=2), [[1.0, 2.0, 3.0]])
    assert not len(read.of("MITRAL_VALVE"))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "other.txt").write_text(HEAD + "1\t2\n")
    with pytest.raises(ValueError, match="no table of guide points"):
        read_guide_points(tmp_path / "other.txt")
    (tmp_path / "few.txt").write_text("x,y,z,Frame\n1,2,3,0\n")
    with pytest.raises(ValueError, match="not \\(388, 3\\)"):
        read_control_points(tmp_path / "few.txt")
    with pytest.raises(ValueError, match="no file"):
        read_control_points(tmp_path / "absent.txt")


def test_the_end_diastolic_frame_of_a_person():
    folder = shared("data/shape/bivme_patient1")
    guide = read_guide_points(folder / "GPFile_000.txt")
    assert len(guide.of("MITRAL_VALVE")) == 6
    assert len(guide.of("LV_ENDOCARDIAL")) == 441
    control = read_control_points(folder / "patient1_model_frame_000.txt")
    assert control.shape == (388, 3)
