"""DeCon: DenseCL's loss on an encoder's last map and, at the same time, on the map of a decoder that stands upon it.

Quetin, Ghosh and Maleki 2025, Beyond the encoder: joint encoder-decoder contrastive pre-training improves dense
prediction, https://arxiv.org/abs/2503.17526. The paper puts a decoder, with heads of its own, into a contrastive
framework for dense prediction and weighs the two losses. Here the framework is DenseCL, the decoder is one of smp's and
is compared in its last map alone: one level, without the paper's channel dropout and supervision of inner levels.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermssl.weights.encoder import Start
from pretrain.dense_recipes import DeConConfig
from pretrain.methods.decoder import build_decoder, named_as_decoder, refuse_side_of_fpn
from pretrain.methods.densecl import DenseCL
from pretrain.views.batch import Batch


class PooledDecoder(nn.Module):
    """A decoder whose map is averaged to a grid of places, for it has hundreds of times as many as the encoder's.

    DenseCL's reference code pools maps so before its dense head.
    """

    def __init__(self, decoder: nn.Module, width: int, grid: int) -> None:
        super().__init__()
        self.decoder, self.out_channels, self.grid = decoder, [width], grid

    def forward(self, stages: list[Tensor]) -> Tensor:
        """What the encoder answers -> (B, C, grid, grid), or the decoder's own size where that is smaller."""
        maps = self.decoder(stages)  # (B, C, H, W)
        return F.adaptive_avg_pool2d(maps, min(self.grid, maps.shape[-1]))


class DeCon(DenseCL):
    """DenseCL, and DenseCL once more with the decoder in the encoder's place: heads, slow copies and queues of its own.

    Queries pass the encoder and then the decoder, keys the slow copies of both, once each. Both sides see the same
    parts of the batch in the same shuffled order, so the decoder's BatchNorm gives no key away either.
    """

    config: DeConConfig

    def __init__(self, start: Start, config: DeConConfig, steps: int) -> None:
        super().__init__(start, config, steps)
        refuse_side_of_fpn(start, config)
        decoder, width = build_decoder(start.card.encoder, config.decoder)
        pooled = PooledDecoder(decoder, width, config.decoder_grid)
        self.decoder_side = DenseCL(replace(start, encoder=pooled), config, steps)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The first views are queries, the second ones keys; L = alpha L_enc + (1 - alpha) L_dec."""
        query_views, key_views = batch.views.chunk(2)
        query_maps = self.both_maps(self.encoder, self.decoder_side.encoder, self.normalise(query_views))
        with torch.no_grad():
            images, order = self.shuffled_key_images(key_views)
            key_maps = self.both_maps(self.key_encoder, self.decoder_side.key_encoder, images)
        encoder = self.contrast(query_maps[0], key_maps[0], order)
        decoder = self.decoder_side.contrast(query_maps[1], key_maps[1], order)
        alpha = self.config.encoder_share
        return encoder | {
            "loss": alpha * encoder["loss"] + (1 - alpha) * decoder["loss"],
            "encoder_loss": encoder["loss"].detach(),
            "decoder_loss": decoder["loss"].detach(),
            "decoder_spread": decoder["spread"],
            "decoder_accuracy": decoder["accuracy"],
        }

    def both_maps(self, encoder: nn.Module, decoder: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """Last maps of encoder, (B, C, h, w), and decoder, (B, D, grid, grid), a part of the batch at a time."""
        maps = [(stages[-1], decoder(stages)) for stages in map(encoder, self.groups_of(images))]
        encoder_maps, decoder_maps = zip(*maps, strict=True)
        return torch.cat(encoder_maps), torch.cat(decoder_maps)

    def pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """DenseCL's of both sides; the decoder's side has the decoder among them."""
        return [*super().pairs(), *self.decoder_side.pairs()]

    def decoder_tensors(self) -> dict[str, Tensor]:
        """The decoder's, as the `decoder` method writes them."""
        return named_as_decoder(self.decoder_side.encoder.decoder)  # type: ignore[arg-type]
