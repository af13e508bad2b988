"""SparK: hidden patches of a picture are painted from its visible ones, which a convolutional encoder sees alone.

Tian et al. 2023, Designing BERT for convolutional networks: sparse and hierarchical masked modeling,
https://arxiv.org/abs/2301.03580.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.features.representation import spread
from dermssl.parallel import own_rows, world
from dermssl.weights.encoder import Start, feature_maps
from pretrain.dense_recipes import SparKConfig
from pretrain.methods.method import Method, with_autocast_off
from pretrain.shared.sparse import VisiblePatches, maskable_widths, sparse
from pretrain.views.batch import Batch


@with_autocast_off
def hidden_error(painted: Tensor, images: Tensor, visible: VisiblePatches) -> Tensor:
    """Mean squared error of hidden patches, whose pixels are normalised patch by patch (section 3.4).

    Args:
        painted: What the decoder makes of the visible patches, (N, 3, S, S): normalised pixels.
        images: The pictures, (N, 3, S, S).
        visible: The patches that were seen, of which no error is taken.

    Returns:
        The mean over hidden patches and their pixels; 1 where grey is painted, 0 where all is right.
    """
    targets, answers = (in_patches(pixels, visible.grid) for pixels in (images, painted))  # (N, P, 3 * patch^2)
    variance, mean = torch.var_mean(targets, dim=2, keepdim=True)
    errors = (answers - (targets - mean) / (variance + 1e-6).sqrt()).square().mean(dim=2)  # (N, P)
    hidden = ~visible.shown
    return (errors * hidden).sum() / hidden.sum()


def in_patches(images: Tensor, grid: int) -> Tensor:
    """Images (N, C, S, S) as rows of the pixels of their patches, (N, grid * grid, C * (S / grid)^2)."""
    count, channels, side, _ = images.shape
    cut = images.reshape(count, channels, grid, side // grid, grid, side // grid)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(count, grid * grid, -1)


class Densify(nn.Module):
    """Fills what is hidden of a sparse map with a mask embedding, and brings it to the decoder's width (section 3.3).

    BatchNorm over visible places comes first, as in the paper's code.
    """

    def __init__(self, width: int, out: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width)
        self.embedding = nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=0.02))
        self.projection = nn.Conv2d(width, out, kernel, padding=kernel // 2)

    def forward(self, maps: Tensor, visible: VisiblePatches) -> Tensor:
        """(N, C, S, S) -> (N, out, S, S)."""
        seen = self.norm(visible.gathered(maps))  # (N, C, visible places, 1)
        dense: Tensor = self.projection(visible.scattered(seen, self.embedding))
        return dense


class LightDecoder(nn.Module):
    """A UNet without attention to detail: from the coarsest map on, each block doubles the side and halves the width.

    Args:
        widths: Channels of the encoder's maps, finest first.
        width: Channels at the coarsest map.
        blocks: How often the coarsest map's side is doubled to be the picture's.
    """

    def __init__(self, widths: list[int], width: int, blocks: int) -> None:
        super().__init__()
        halved = [width >> level for level in range(blocks + 1)]
        self.densify = nn.ModuleList(
            Densify(of_map, own, kernel=3 if level else 1)
            for level, (of_map, own) in enumerate(zip(widths[::-1], halved, strict=False))
        )
        self.blocks = nn.ModuleList(upsampling(*pair) for pair in pairwise(halved))
        self.pixels = nn.Conv2d(halved[-1], 3, 1)

    def forward(self, maps: list[Tensor], visible: VisiblePatches) -> Tensor:
        """Maps of the encoder, finest first, to (N, 3, S, S): D_i = B_i(D_i+1) + phi_i(S'_i)."""
        sparse_maps = maps[::-1]
        x = self.densify[0](sparse_maps[0], visible)
        for level, block in enumerate(self.blocks, start=1):
            x = block(x)
            if level < len(sparse_maps):
                x = x + self.densify[level](sparse_maps[level], visible)
        painted: Tensor = self.pixels(x)
        return painted


def upsampling(width: int, out: int) -> nn.Sequential:
    """A block of the decoder: (N, width, S, S) -> (N, out, 2S, 2S)."""
    return nn.Sequential(
        nn.ConvTranspose2d(width, width, 4, stride=2, padding=1),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU6(),
        nn.Conv2d(width, out, 3, padding=1, bias=False),
        nn.BatchNorm2d(out),
    )


class SparK(Method):
    """Encoder, which sees visible patches alone, and a decoder that paints the hidden ones; both views are pictures."""

    def __init__(self, start: Start, config: SparKConfig, steps: int) -> None:
        super().__init__(start, config, steps)
        patch = int(self.encoder.output_stride)  # type: ignore[arg-type]
        if config.image_size % patch or config.image_size < 2 * patch:
            fitting = max(2, config.image_size // patch) * patch
            raise UserError(
                f"--image_size {config.image_size}: --method spark hides some of the patches of {patch} x {patch} "
                f"pixels, so it must be a multiple of {patch} from {2 * patch} on; give {fitting}"
            )
        self.grid = config.image_size // patch
        widths = maskable_widths(self.encoder, start.card.encoder)
        self.decoder = LightDecoder(widths, config.decoder_width, blocks=patch.bit_length() - 1)
        self.config = config

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The file gets the encoder as it is outside of the block: an ordinary one."""
        images = self.normalise(batch.views)  # (2B, 3, S, S)
        visible = self.draw_patches(batch)
        with sparse(self.encoder, visible):
            maps = feature_maps(self.encoder, visible.masked(images))
        loss = hidden_error(self.decoder(maps, visible), images, visible)
        seen = visible.gathered(maps[-1].detach())  # (2B, C, V, 1)
        return {"loss": loss, "spread": spread(seen.squeeze(3).mT.flatten(0, 1))}

    @torch.no_grad()
    def draw_patches(self, batch: Batch) -> VisiblePatches:
        """Draws the patches of each view that stay visible, as many of each; at least one does, and one does not."""
        images, patches = len(batch.images), self.grid * self.grid
        hidden = min(max(1, round(self.config.mask_ratio * patches)), patches - 1)
        # Drawn for the images of all processes, so that an image gets the same ones however many there are.
        numbers = own_rows(torch.rand(images * world(), 2, patches, device=batch.views.device))
        order = numbers.transpose(0, 1).flatten(0, 1).argsort(dim=1)  # (2B, patches)
        return VisiblePatches(order[:, hidden:], self.grid)
