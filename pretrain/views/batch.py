"""What passes from the views to a method."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Views of B images."""

    views: Tensor
    """(2B, 3, S, S) uint8, the first views of all images and then the second, in memory channels last."""
    local: Tensor
    """(L * B, 3, s, s) uint8, the small crops of multi-crop, crop after crop; none where L is 0."""
    maps: Tensor
    """((2 + L) * B, 2, 3) float32: takes (x, y, 1) of a view, in [-1, 1] from its left upper to its right lower edge,
    to the same of its picture. The first 2B belong to `views`, the rest to `local`."""
    images: Tensor
    """(B,) int64, rows of the data set."""
