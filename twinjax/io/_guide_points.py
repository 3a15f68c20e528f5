"""Contours and control points of a heart in cine images, as biv-me writes them."""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

_CONTROL_POINTS = 388  # of biv-me's control mesh: Mauger et al. 2018, Proc IEEE EMBC, 3248


@dataclasses.dataclass(frozen=True, eq=False)
class GuidePoints:
    """Points [mm] of contours in one frame of cine images.

    `points` (n, 3) [mm], `labels` (n), such as `SAX_LV_ENDOCARDIAL` or `MITRAL_VALVE`, and
    `slices` (n), the number of the image of each.
    """

    points: Float[np.ndarray, "n 3"]
    labels: np.ndarray
    slices: Int[np.ndarray, " n"]

    def of(self, *labels: str, slice: int | None = None) -> Float[np.ndarray, "m 3"]:
        """The points [mm] whose label ends in one of these words, in one image or in all."""
        chosen = np.array([str(label).endswith(labels) for label in self.labels], bool)
        if slice is not None:
            chosen &= self.slices == slice
        return self.points[chosen]


def read_guide_points(path: str | Path) -> GuidePoints:
    """A `GPFile` of biv-me: x, y, z [mm], contour type, slice, weight and frame, by tabulators.

    Points of weight 0 are left out. Raises `ValueError` for a file that is absent or of another
    kind.
    """
    rows = [line.split("\t") for line in _lines(path)[1:]]
    try:
        points = np.array([[float(x) for x in row[:3]] for row in rows]).reshape(-1, 3)
        labels = np.array([row[3].strip() for row in rows])
        slices = np.array([int(float(row[4])) for row in rows])
        weights = np.array([float(row[5]) for row in rows])
    except (IndexError, ValueError):
        raise ValueError(f"{path} is no table of guide points: x, y, z, type, slice, weight") from (
            None
        )
    if not len(points) or not np.isfinite(points).all():
        raise ValueError(f"{path} has no guide points, or some that are not finite")
    kept = weights > 0
    return GuidePoints(points[kept], labels[kept], slices[kept])


def read_control_points(path: str | Path) -> Float[np.ndarray, "388 3"]:
    """The control points [mm] of a model that biv-me fitted to one frame.

    The surfaces come from them by subdivision, with a matrix that biv-me publishes and this file
    does not have. Raises `ValueError` for a file that is absent or of another kind.
    """
    lines = _lines(path)[1:]
    try:
        points = np.array([[float(x) for x in line.split(",")[:3]] for line in lines])
    except ValueError:
        raise ValueError(f"{path} is no table of control points: x, y, z, frame") from None
    if points.shape != (_CONTROL_POINTS, 3) or not np.isfinite(points).all():
        raise ValueError(f"{path} has control points of shape {points.shape}, not (388, 3)")
    return points


def _lines(path: str | Path) -> list[str]:
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path}")
    return [line for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
