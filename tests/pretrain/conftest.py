from collections.abc import Callable

import pytest
import torch
from small_methods import draw_batch, draw_photographs, keep, small_method
from torch import Tensor, nn

from dermssl.weights.encoder import Start
from dermssl.weights.encoder_file import EncoderCard

__all__ = ["draw_batch", "draw_photographs", "keep", "small_method"]  # fixtures, which the tests of this folder name


@pytest.fixture(scope="module", autouse=True)
def _apart(apart: None) -> None:
    """Every module of this folder keeps what it decodes to itself."""


class Tiny(nn.Module):
    """An encoder of one convolution, with BatchNorm or without, that answers as smp's do."""

    def __init__(self, norm: bool = True) -> None:
        super().__init__()
        self.out_channels = [3, 8]
        self.convolve = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images, self.norm(self.convolve(images)).relu()]


@pytest.fixture
def tiny_start() -> Callable[..., Start]:
    """A start with the one-convolution encoder, whose weights depend on the seed."""

    def start(seed: int = 0, norm: bool = True) -> Start:
        torch.manual_seed(seed)
        card = EncoderCard(encoder="tiny", method="random", mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
        return Start(Tiny(norm), card, "0")

    return start
