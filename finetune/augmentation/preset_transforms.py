"""The presets of augmentation, as albumentations.

Their ranges stand as a table in docs/finetuning.md.

Sources of `strong`: turn, zoom, contrast, brightness, gamma, blur, resolution and noise have the ranges of nnU-Net v2
in two dimensions (Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z), its noise of a tenth of the
variance taken at the spread that skin has; shift, bending and how often they come are of the ISIC 2020 winners (Ha et
al. 2020, https://arxiv.org/abs/2010.05351), whose hue and distortion are halved, because colour is a sign and an
outline is the truth here. An elastic field is left out: it takes 2 to 12 ms a picture, and bends no better than a grid.
"""

import albumentations as A
import cv2

from finetune.augmentation.fit import BORDERS

HAIR = (50, 35, 30)  # RGB, dark brown


def preset(name: str, padding: str, size: int) -> list[A.BasicTransform]:
    """The transforms of a preset; pictures that go in and come out are squares of `size` pixels.

    Args:
        name: One of `finetune.options.augment.PRESETS`.
        padding: What fills corners that a turn uncovers; `none` zooms in.
        size: Pixels.
    """
    match name:
        case "none":
            return []
        case "light":
            return [A.SquareSymmetry(p=1)]
        case "dermoscopy":
            return [A.SquareSymmetry(p=1), *turn(padding, size), colour(0.2, 0.2, 0.02)]
        case _:
            return strong(padding, size)


def strong(padding: str, size: int) -> list[A.BasicTransform]:
    """Lines come before the turn, which gives them a direction; grain and blur come last, as in a camera."""
    lines = A.CoarseDropout((2, 8), (0.012, 0.02), (0.1, 0.5), fill=HAIR, p=0.25)
    # Normalised, it uncovers no more than a last row and column, which are then repeated under any padding.
    bent = A.GridDistortion(num_steps=4, distort_limit=0.3, border_mode=cv2.BORDER_REPLICATE, p=0.3)
    grain = A.OneOf(
        [
            A.GaussianBlur(sigma_limit=(0.5, 1), p=1),
            A.MotionBlur(blur_limit=(3, 5), p=1),
            A.Downscale(scale_range=(0.5, 1), p=1),
            A.GaussNoise(std_range=(0.01, 0.06), p=1),
        ],
        p=0.4,
    )
    turns = turn(padding, size, limit=180, zoom=(0.7, 1.4), area=0.4, p=0.85)
    gamma = A.RandomGamma((70, 150), p=0.3)
    return [A.SquareSymmetry(p=1), lines, *turns, bent, colour(0.25, 0.3, 0.04), gamma, grain]


def turn(
    padding: str,
    size: int,
    *,
    limit: float = 45,
    zoom: tuple[float, float] = (0.8, 1.25),
    area: float = 0.6,
    p: float = 0.8,
) -> list[A.BasicTransform]:
    """Turn, zoom and shift; under padding `none` a turn and a crop that show nothing of what is not there."""
    if padding == "none":
        return [
            # Without border_mode albumentations' crop leaves a black rim of a pixel in nine of ten turns.
            A.Rotate(limit=45, crop_border=True, border_mode=cv2.BORDER_REPLICATE, p=0.5),
            A.RandomResizedCrop((size, size), scale=(area, 1), ratio=(3 / 4, 4 / 3)),
        ]
    shift = {"x": (-0.1, 0.1), "y": (-0.1, 0.1)}
    border = BORDERS[padding]
    return [A.Affine(scale=zoom, translate_percent=shift, rotate=(-limit, limit), border_mode=border, p=p)]


def colour(light: float, saturation: float, hue: float) -> A.BasicTransform:
    """Brightness and contrast by 1 +- `light`, saturation by its own; hue by a share of the circle."""
    around = (1 - light, 1 + light)
    return A.ColorJitter(around, around, (1 - saturation, 1 + saturation), (-hue, hue), p=0.8)
