"""Changes of colour one after the other, each view in its own order: torchvision's ColorJitter, a batch at once."""

import torch
from torch import Tensor

from pretrain.views.draws import LUMA


def colour_jitter(images: Tensor, factors: Tensor, order: Tensor, grey: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue in each view's order, clipped after each, then grey where drawn.

    Args:
        images: (N, S, S, 3) in [0, 255].
        factors: Factors of the four, and for the hue its turn, (N, 4).
        order: Which comes first, second, ..., (N, 4).
        grey: Whether the colour is taken out at last, (N,).
    """
    for turn in range(4):
        now = order[:, turn].view(-1, 1, 1, 1)
        changed = images
        for kind, change in enumerate((adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)):
            changed = torch.where(now == kind, change(images, factors[:, kind].view(-1, 1, 1, 1)), changed)
        images = changed.round().clamp(0, 255)
    return torch.where(grey.view(-1, 1, 1, 1), luma(images).expand_as(images).round(), images)


def luma(images: Tensor) -> Tensor:
    """Grey, (..., 3) -> (..., 1); without a tensor of weights, which a GPU would have to be brought and waited for."""
    red, green, blue = images.unbind(dim=-1)
    grey: Tensor = float(LUMA[0]) * red + float(LUMA[1]) * green + float(LUMA[2]) * blue
    return grey[..., None]


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Towards black below 1."""
    return images * factor


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Towards the mean grey of the view below 1."""
    mean = luma(images).mean(dim=(1, 2), keepdim=True).round()
    return mean + (images - mean) * factor


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Towards each pixel's grey below 1."""
    grey = luma(images)
    return grey + (images - grey) * factor


def adjust_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turned on the colour circle of HSV by `turns`; value and saturation stay."""
    value, low = images.amax(dim=-1), images.amin(dim=-1)
    chroma = value - low
    red, green, blue = images.unbind(dim=-1)
    safe = chroma.clamp(min=1e-6)
    sixth = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = (sixth + 6 * turns[..., 0]).remainder(6)
    channels = []
    for offset in (5, 3, 1):  # f(n) = V - C max(0, min(k, 4 - k, 1)), k = (n + H) mod 6
        k = (offset + hue).remainder(6)
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=-1)
