"""Tidying a predicted mask: filled holes, and no region but the largest."""

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def postprocessed(mask: Mask, *, largest: bool = False, fill_holes: bool = False) -> Mask:
    """The mask (H, W) with its holes filled and its largest region alone, each where asked for.

    Holes are filled first, so that a region is as large as what it encloses: a ring around a spot is one lesion.
    """
    solid = holes_filled(mask) if fill_holes else mask
    return largest_region(solid) if largest else solid


def largest_region(mask: Mask) -> Mask:
    """The region of most pixels alone, (H, W); pixels that touch by a corner are one region.

    Of regions of one size it is the one whose first pixel comes first in reading order. An empty mask stays empty.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:  # the skin and one region at most
        return mask.copy()
    areas = stats[1:, cv2.CC_STAT_AREA]
    # OpenCV numbers regions by blocks of two rows, so the lowest number is not the first in reading order.
    first = np.isin(labels, 1 + np.flatnonzero(areas == areas.max())).argmax()
    region: Mask = labels == labels.flat[first]
    return region


def holes_filled(mask: Mask) -> Mask:
    """The mask (H, W) with the skin that it encloses; skin that touches the frame is outside.

    Holes are those that `dermssl.data.masks.holes` counts: lesion that touches by a corner encloses.
    """
    skin = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    labels = cv2.connectedComponents(skin, connectivity=4)[1]
    inside: Mask = labels[1:-1, 1:-1] != labels[0, 0]
    return inside
