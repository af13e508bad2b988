"""The linear decoder: what a frozen probe reads off the maps, as a network that trains (Oquab et al. 2023).

One 1 x 1 convolution on the encoder's maps, each normalised, side by side: nothing but the features decides, so it is
the field's decoder for foundation models, and takes their patches of 14 pixels, which smp's DPT does not.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermssl.weights.encoder import feature_maps, is_plain_transformer
from dermssl.weights.lean_libraries import smp

GRID = 4  # pixels of the image to one of the finest map that is read, as in the dense probe


class LinearDecoder(nn.Module):
    """The maps (B, C, h, w) of all stages, each normalised over the batch, in one size and side by side."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)

    def forward(self, maps: Sequence[Tensor], side: Sequence[int]) -> Tensor:
        """(B, sum of the widths, *side)."""
        normal = [norm(stage) for norm, stage in zip(self.norms, maps, strict=True)]
        return torch.cat([in_size(stage, side) for stage in normal], dim=1)


class LinearNetwork(nn.Module):
    """Images (B, 3, H, W) to logits (B, 1, H, W), in the three parts of smp's networks.

    Args:
        encoder_name: Of smp, or `tu-NAME`; plain transformers give maps of blocks, all others those of stages.
        encoder_weights: None, as smp's networks are asked for random weights.
        encoder_depth: How many: blocks evenly spread that end with the last, or the first stages.
        encoder_output_indices: Of a plain transformer, which blocks, from 0; they replace the depth.
        kwargs: For the encoder, such as `dynamic_img_size`.

    Raises:
        ValueError: If blocks are named of an encoder that has stages, or the encoder takes no such depth.
    """

    def __init__(
        self,
        encoder_name: str,
        encoder_weights: None = None,
        encoder_depth: int = 5,
        encoder_output_indices: Sequence[int] | None = None,
        **kwargs: bool,
    ) -> None:
        super().__init__()
        assert encoder_weights is None
        if is_plain_transformer(encoder_name):
            blocks = None if encoder_output_indices is None else list(encoder_output_indices)
            self.encoder = smp.encoders.TimmViTEncoder(
                encoder_name.removeprefix("tu-"), pretrained=False, depth=len(blocks or range(encoder_depth)),
                output_indices=blocks, **kwargs,
            )  # fmt: skip
            widths = self.encoder.out_channels
        elif encoder_output_indices is None:
            self.encoder = smp.encoders.get_encoder(encoder_name, weights=None, depth=encoder_depth, **kwargs)
            widths = self.encoder.out_channels[1:]
        else:
            raise ValueError("blocks are those of plain transformers, such as tu-vit_tiny_patch16_224")
        self.decoder = LinearDecoder([width for width in widths if width])
        self.segmentation_head = nn.Conv2d(sum(widths), 1, kernel_size=1)
        nn.init.normal_(self.segmentation_head.weight, std=0.01)
        nn.init.zeros_(self.segmentation_head.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """One logit a cell, enlarged to the image's size."""
        maps = feature_maps(self.encoder, images)
        grid = next((stage for stage in maps if GRID * stage.shape[3] <= images.shape[3]), maps[-1])
        return in_size(self.segmentation_head(self.decoder(maps, grid.shape[2:])), images.shape[2:])


def in_size(maps: Tensor, side: Sequence[int]) -> Tensor:
    """The maps in another size, bilinear; as they are where they have it."""
    if maps.shape[2:] == torch.Size(side):
        return maps
    return F.interpolate(maps, size=list(side), mode="bilinear", align_corners=False)
