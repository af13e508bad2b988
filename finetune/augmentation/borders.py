"""What transforms show from beyond the picture: where it is, and what they show without any padding."""

from collections.abc import Iterable, Iterator

import albumentations as A
import cv2
import numpy as np

from dermssl.data.images import Pixels


def bordered(steps: Iterable[A.BasicTransform]) -> Iterator[A.BasicTransform]:
    """The transforms that can show what lies beyond the picture, those inside groups too."""
    for step in steps:
        if isinstance(step, A.BaseCompose):
            yield from bordered(step.transforms)
        elif hasattr(step, "border_mode"):
            yield step


def pad_nothing(steps: Iterable[A.BasicTransform]) -> None:
    """Lets these transforms call 0, in masks, whatever lies beyond the picture. Their draws stay what they are."""
    for step in bordered(steps):
        step.border_mode, step.fill_mask = cv2.BORDER_CONSTANT, 0


def beyond(inside: Pixels) -> Pixels:
    """Where a mask (H, W) that was 1 throughout no longer is, as 0 and 1.

    Strips one or two pixels wide are left out: they are where nearest neighbours round, and show nothing from beyond.
    """
    outside = (inside == 0).astype(np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    core = cv2.erode(outside, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return cv2.dilate(core, kernel).astype(np.uint8, copy=False)
