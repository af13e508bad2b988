"""The views as a GPU paints them: all at once, from pixels that lie on the device. Runs on any device of torch."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dermssl.data.images import skin_colour
from dermssl.data.pixel_cache import PixelCache
from pretrain.views.colour import colour_jitter, luma
from pretrain.views.draws import Floats, ViewParameters, colour_matrices


class GpuPainter:
    """Paints views of the pictures of a cache; the same ones as `CpuPainter`, but for rounding.

    Args:
        pixels: The pictures. They are copied to the device if they fill at most `share` of its free memory; else the
            pictures of each batch are.
        padding: What lies beyond a picture.
        colour: `matrix`, or `sequential`.
        device: Where to paint.
    """

    def __init__(self, pixels: PixelCache, padding: str, colour: str, device: torch.device) -> None:
        self.pixels, self.padding, self.colour, self.device = pixels, padding, colour, device
        self.sizes = torch.from_numpy(pixels.shapes[:, 1::-1].copy()).to(device)  # (M, 2), width and height
        self.starts = torch.from_numpy(pixels.starts.copy()).to(device)
        self.skin = torch.from_numpy(skin_of(pixels) if padding == "skin" else np.zeros((len(pixels), 3))).to(
            device, torch.float32
        )
        self.resident = copied_to_device(pixels, device) if fits_on_device(pixels, device) else None

    def paint(self, views: ViewParameters, images: NDArray[np.int64], size: int) -> Tensor:
        """Views of `images`, (N,), as (N, 3, size, size) uint8 on the device, in memory channels last."""
        rows = self.upload(images)
        flat, starts = (self.resident, self.starts[rows]) if self.resident is not None else self.bring(images)
        places = pixel_places(self.upload(views.maps), self.sizes[rows], size)  # (N, S, S, 2)
        cut = bilinear_sample(flat, starts, self.sizes[rows], places, self.padding, self.skin[rows])  # (N, S, S, 3)
        coloured = self.recolour(cut, views)
        blurred = blur(coloured.permute(0, 3, 1, 2), views.sigma)
        return self.solarise(blurred, views.solarised)

    def upload(self, numbers: NDArray[np.generic]) -> Tensor:
        """An array on the device, without waiting for it; floats as float32."""
        tensor = torch.from_numpy(np.ascontiguousarray(numbers))
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        return (tensor.pin_memory() if self.device.type == "cuda" else tensor).to(self.device, non_blocking=True)

    def bring(self, images: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The pixels of these pictures one behind the other, each once, and where each view's picture begins."""
        different, which = np.unique(images, return_inverse=True)
        pictures = [np.asarray(self.pixels[int(image)]).reshape(-1) for image in different]
        starts = np.concatenate([[0], np.cumsum([len(picture) for picture in pictures])[:-1]])
        return self.upload(np.concatenate(pictures)), self.upload(starts[which])

    def recolour(self, cut: Tensor, views: ViewParameters) -> Tensor:
        """(N, S, S, 3) of [0, 255] -> the same."""
        if self.colour == "sequential":
            return colour_jitter(cut, self.upload(views.factors), self.upload(views.order), self.upload(views.grey))
        matrices, shares = colour_matrices(views)
        offset = self.upload(shares)[:, None] * luma(cut.mean(dim=(1, 2)))  # (N, 1)
        columns = self.upload(matrices)[:, None, None].unbind(dim=-1)  # (N, 1, 1, 3), what each channel gives to all
        mixed = offset[:, None, None].expand_as(cut)
        for column, channel in zip(columns, cut.unbind(dim=-1), strict=True):
            mixed = torch.addcmul(mixed, channel[..., None], column)  # matrices' products a GPU may round (TF32)
        return mixed.round_().clamp_(0, 255)

    def solarise(self, images: Tensor, chosen: NDArray[np.bool_]) -> Tensor:
        """(N, 3, S, S) of [0, 255] -> uint8, the chosen ones with their bright pixels inverted."""
        pixels = images.round().clamp_(0, 255).to(torch.uint8)
        if chosen.any():
            inverted = torch.where(pixels < 128, pixels, 255 - pixels)
            pixels = torch.where(self.upload(chosen)[:, None, None, None], inverted, pixels)
        return pixels.contiguous(memory_format=torch.channels_last)


def fits_on_device(pixels: PixelCache, device: torch.device, share: float = 0.4) -> bool:
    """Whether the pictures may lie on the device for good."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return pixels.pixels.nbytes <= share * free


def copied_to_device(pixels: PixelCache, device: torch.device, part: int = 2**28) -> Tensor:
    """All pixels on the device, a part after the other: the file need not fit into memory as well."""
    flat = torch.empty(len(pixels.pixels), dtype=torch.uint8, device=device)
    for first in range(0, len(flat), part):
        flat[first : first + part] = torch.from_numpy(np.array(pixels.pixels[first : first + part]))
    return flat


def skin_of(pixels: PixelCache) -> Floats:
    """The colour of the skin around each picture, (M, 3)."""
    return np.array([skin_colour(np.asarray(pixels[index])) for index in range(len(pixels))], np.float64)


def pixel_places(maps: Tensor, sizes: Tensor, size: int) -> Tensor:
    """Where in its picture each pixel of a view lies, (N, S, S, 2) as x and y between the centres of pixels."""
    steps = (torch.arange(size, device=maps.device) * 2 + 1) / size - 1
    by_x, by_y, shift = maps[:, None, None].unbind(dim=-1)  # (N, 1, 1, 2)
    # Not as a matrix product: a GPU may round its numbers to ten bits (TF32), a tenth of a pixel here.
    in_picture = by_x * steps[:, None] + (by_y * steps[:, None, None] + shift)  # (N, S, S, 2)
    return (in_picture + 1) * sizes[:, None, None] / 2 - 0.5


def bilinear_sample(flat: Tensor, starts: Tensor, sizes: Tensor, places: Tensor, padding: str, skin: Tensor) -> Tensor:
    """The colours at `places`, linear between the four nearest pixels, rounded as a picture is: (N, S, S, 3).

    Args:
        flat: The pixels of all pictures, uint8.
        starts: Where each view's picture begins there, (N,).
        sizes: Width and height of that picture, (N, 2).
        places: x and y, (N, S, S, 2).
        padding: What lies beyond a picture.
        skin: The colour for `skin`, (N, 3).
    """
    corner = places.floor()
    weight = places - corner
    corner = corner.long()
    total = torch.zeros(*places.shape[:3], 3, device=places.device)
    channels = torch.arange(3, device=places.device)
    for dy in (0, 1):
        for dx in (0, 1):
            pixel = torch.stack([corner[..., 0] + dx, corner[..., 1] + dy], dim=-1)  # no number has to be brought
            nearest, inside = within(pixel, sizes[:, None, None], padding)
            index = starts[:, None, None] + (nearest[..., 1] * sizes[:, None, None, 0] + nearest[..., 0]) * 3
            colour = flat[index[..., None] + channels].float()
            if padding in ("skin", "black"):
                colour = torch.where(inside[..., None], colour, skin[:, None, None])
            share = (weight[..., 0] if dx else 1 - weight[..., 0]) * (weight[..., 1] if dy else 1 - weight[..., 1])
            total += share[..., None] * colour
    return total.round_()


def within(pixel: Tensor, sizes: Tensor, padding: str) -> tuple[Tensor, Tensor]:
    """The pixel that stands for one beyond the picture, and whether it is not beyond."""
    inside = ((pixel >= 0) & (pixel < sizes)).all(dim=-1)
    if padding == "reflect":
        period = 2 * (sizes - 1).clamp(min=1)
        around = pixel.remainder(period)
        pixel = torch.minimum(around, period - around)
    return torch.minimum(pixel.clamp(min=0), sizes - 1), inside


def blur(images: Tensor, sigma: Floats) -> Tensor:
    """Blurs those of the images (N, 3, S, S) whose sigma is above 0, along rows and then columns.

    Which ones these are is known on the CPU, so the device is not asked, and the others cost nothing.
    """
    [chosen] = sigma.nonzero()
    if not len(chosen):
        return images
    radius = min(math.ceil(3 * sigma.max()), images.shape[-1] - 1)
    rows = torch.from_numpy(chosen).to(images.device, non_blocking=True)
    kernels = torch.from_numpy(gaussians(sigma[chosen], radius)).to(images.device, images.dtype, non_blocking=True)
    sharp = images[rows]
    count, size = 3 * len(chosen), images.shape[-1]
    line = kernels.repeat_interleave(3, dim=0)  # (3 n, 2 radius + 1)
    x = F.pad(sharp, (radius, radius, radius, radius), mode="reflect").reshape(1, count, size + 2 * radius, -1)
    x = F.conv2d(x, line[:, None, None], groups=count)
    x = F.conv2d(x, line[:, None, :, None], groups=count)
    return images.index_copy(0, rows, x.view_as(sharp).to(images.dtype))


def gaussians(sigma: Floats, radius: int) -> Floats:
    """Kernels of 2 ceil(3 sigma) + 1 weights that sum to 1, (n, 2 radius + 1), with zeros around the narrower ones."""
    offset = np.abs(np.arange(-radius, radius + 1))
    weights = np.exp(-0.5 * (offset / sigma[:, None]) ** 2) * (offset <= np.ceil(3 * sigma)[:, None])
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
