"""Scores of boundaries: how far the outline of a predicted lesion lies from that of the true one.

A lesion's boundary is its pixels that have skin, or the picture's frame, above, below, left or right of them; that of a
hole counts as well. Distances are between the centres of pixels and exact. This is the definition of Metrics Reloaded
(Maier-Hein et al. 2024, https://arxiv.org/abs/2206.01653) and, by default, of MONAI.
"""

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Distances = NDArray[np.float64]

TOLERANCE = 0.02  # of the image's diagonal: what Boundary IoU takes (Cheng et al. 2021, arXiv:2103.16562)
PERCENTILE = 95
ROUNDING = 1e-9  # pixels; two distances that differ at all differ by far more
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def boundary(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The boundary's pixels as (N, 2) of x and y, in reading order; N is 0 for an empty mask."""
    lesion = mask.astype(np.uint8)
    inner = cv2.erode(lesion, CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    points = cv2.findNonZero(lesion - inner) if mask.any() else np.zeros((0, 2))
    return points.reshape(-1, 2).astype(np.int32, copy=False)  # OpenCV 4 has an axis of one in between


def boundary_distances(truth: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> tuple[Distances, Distances]:
    """How far each boundary pixel of the truth lies from the prediction's boundary, and the other way round.

    Args:
        truth: (H, W).
        prediction: (H, W).

    Returns:
        (N,) and (M,), in pixels, for boundaries of N and M pixels. To a boundary that is not there it is as far as the
        image's diagonal, which is farther than any two pixels lie apart.

    Raises:
        ValueError: If the sizes differ.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth is {truth.shape} and prediction {prediction.shape}; both must have the native size")
    a, b, diagonal = boundary(truth), boundary(prediction), math.hypot(*truth.shape)
    # A tree of points and not OpenCV's distance transform: quicker, and exact where float32 errs by 0.0005 pixels.
    return nearest_distances(a, b, diagonal), nearest_distances(b, a, diagonal)


def nearest_distances(points: NDArray[np.int32], others: NDArray[np.int32], absent: float) -> Distances:
    """Distance of each of `points`, (N, 2), to the nearest of `others`, (M, 2); `absent` where M is 0. Gives (N,)."""
    if not len(points) or not len(others):
        return np.full(len(points), absent)
    return np.asarray(cKDTree(others).query(points)[0], np.float64)


def surface_dice(gaps: Sequence[Distances], tolerance: float) -> float:
    """Normalised surface Dice: the share of both boundaries that lies within `tolerance` pixels of the other one.

    In [0, 1]; 1 where both masks are empty, 0 where one is. A distance equal to the tolerance is within it. As
    Nikolov et al. 2018 (https://arxiv.org/abs/1809.04430), with boundary pixels counted for their surface elements.

    Args:
        gaps: What `boundary_distances` gives.
        tolerance: Pixels.
    """
    pixels = sum(len(gap) for gap in gaps)
    within = sum(int(np.count_nonzero(gap <= tolerance + ROUNDING)) for gap in gaps)
    return within / pixels if pixels else 1.0


def hd95(gaps: Sequence[Distances]) -> float:
    """The larger of the two directed 95 % Hausdorff distances, in pixels (Huttenlocher et al. 1993).

    A directed one is the 95th percentile, interpolated linearly, of one boundary's distances to the other: a twentieth
    of a boundary may stray without being seen. 0 where both masks are empty, the image's diagonal where one is.

    Args:
        gaps: What `boundary_distances` gives.
    """
    return max((float(np.percentile(gap, PERCENTILE)) for gap in gaps if len(gap)), default=0.0)


def surface_scores(truth: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> Mapping[str, float]:
    """`surface_dice` at 2 % of the image's diagonal, `hd95` in pixels, and `hd95_share`, of the diagonal, in [0, 1].

    Of masks (H, W) at native size; never nan. Where both are empty 1, 0 and 0; where one is 0, the diagonal and 1.

    Raises:
        ValueError: If the sizes differ.
    """
    gaps, diagonal = boundary_distances(truth, prediction), math.hypot(*truth.shape)
    farthest = hd95(gaps)
    return {
        "surface_dice": surface_dice(gaps, TOLERANCE * diagonal),
        "hd95": farthest,
        "hd95_share": farthest / diagonal,
    }
