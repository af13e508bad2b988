"""Local contrast on a decoder's feature map: a place is found again in the other view among its image's other places.

Chaitanya et al. 2020, Contrastive learning of global and local features for medical image segmentation with limited
annotations, https://arxiv.org/abs/2006.10511, section 3 (local contrastive loss). The paper trains the decoder on a
frozen encoder that an earlier run made, under changes of intensity alone, with 13 fixed regions; here both are trained
at once (start from such an encoder with --init), and places are drawn and followed through crops and turns by their
maps.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.features.representation import spread
from dermssl.parallel import own_rows, summed, world
from dermssl.weights.encoder import Start
from dermssl.weights.lean_libraries import smp
from pretrain.config import PretrainConfig
from pretrain.dense_recipes import DecoderPretrainConfig
from pretrain.methods.method import Method, with_autocast_off
from pretrain.views.batch import Batch

NEAR = 2  # cells of the decoder's map: places nearer than this in both directions may be interpolated from common cells


@with_autocast_off
def local_contrast(z: Tensor, visible: Tensor, apart: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Cross entropy of finding a place in the other view among its image's places in both views, and the share found.

    An anchor is a place in one of the views that both views see and that has a negative. Its positive is the same
    place in the other view, its negatives are the other places of the image, in both views, that are visible and apart.

    Args:
        z: Unit rows of P places of B images in both views, (2, B, P, D).
        visible: Whether both views show the place, (B, P) bool; where not, it is neither anchor nor negative.
        apart: Whether place j may be a negative of place i, (B, P, P) bool; False on the diagonal.
        temperature: Divides cosine similarities.

    Returns:
        Sum of the losses over this process's anchors by the mean number of anchors of a process, a scalar in nats: in
        one process the mean over anchors, over several such that their mean is that. An image without anchors adds
        nothing, a batch without anchors gives 0. And likewise the share of anchors to which their positive is more
        similar than any negative.
    """
    negatives = apart & visible[:, None, :]  # (B, P, P)
    anchors = (visible & negatives.any(dim=2)).float().repeat(1, 2)  # (B, 2P)
    positives = (z[0] * z[1]).sum(dim=2).repeat(1, 2)  # (B, 2P)
    places = z.transpose(0, 1).flatten(1, 2)  # (B, 2P, D)
    others = (places @ places.mT).masked_fill(~negatives.repeat(1, 2, 2), -torch.inf)  # (B, 2P, 2P)
    logits = torch.cat([positives[..., None], others], dim=2) / temperature  # (B, 2P, 1 + 2P)
    losses = logits.logsumexp(dim=2) - logits[..., 0]
    hits = (positives > others.amax(dim=2)).float()
    count = summed(anchors.sum()).clamp(min=1) / world()
    return (losses * anchors).sum() / count, (hits * anchors).sum() / count


@with_autocast_off
def apply_affine(points: Tensor, maps: Tensor) -> Tensor:
    """Points (B, P, 2) as (x, y), through affine maps (B, 2, 3); in bf16 they would move by pixels."""
    return points @ maps[:, :, :2].mT + maps[:, None, :, 2]


def inverse_affine(maps: Tensor) -> Tensor:
    """The maps (B, 2, 3) that undo affine maps (B, 2, 3); by Cramer's rule, as torch's own inverse makes a GPU wait."""
    (a, b, s), (c, d, t) = (row.unbind(dim=1) for row in maps.unbind(dim=1))  # x' = ax + by + s, y' = cx + dy + t
    rows = torch.stack([d, -b, b * t - d * s, -c, a, c * s - a * t], dim=1).view(-1, 2, 3)
    return rows / (a * d - b * c)[:, None, None]


def inside(points: Tensor) -> Tensor:
    """Whether points (..., 2) lie in the square from -1 to 1."""
    return (points.abs() <= 1).all(dim=-1)


def apart_in(points: Tensor, cells: int) -> Tensor:
    """Whether each two of the points (B, P, 2) share no cell of a map that is `cells` wide; (B, P, P)."""
    distances = (points[:, :, None] - points[:, None]).abs().amax(dim=3)
    return distances >= NEAR * 2 / cells


def sampled(maps: Tensor, points: Tensor) -> Tensor:
    """Maps (B, C, h, w) at points (B, P, 2), bilinearly, in float32: (B, C, P, 1)."""
    # The borders of a view are at -1 and 1, so corners are not aligned; the outer half cell takes the border's value.
    return F.grid_sample(
        maps.float(), points[:, :, None].float(), mode="bilinear", padding_mode="border", align_corners=False
    )


class Decoder(Method):
    """Encoder, decoder, a head of 1 x 1 convolutions, and their loss."""

    def __init__(self, start: Start, config: DecoderPretrainConfig, steps: int) -> None:
        super().__init__(start, config, steps)
        refuse_side_of_fpn(start, config)
        self.decoder, width = build_decoder(start.card.encoder, config.decoder)
        self.head = nn.Sequential(
            nn.Conv2d(width, config.projection_dim, 1),
            nn.ReLU(),
            nn.Conv2d(config.projection_dim, config.projection_dim, 1),
        )
        self.config = config

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """BatchNorm sees both views at once."""
        maps = self.decoder(self.encoder(self.normalise(batch.views)))  # (2B, C, h, w)
        points, visible = self.draw_places(batch)
        # The head comes after sampling: a map has hundreds of times as many cells as places are drawn.
        rows = self.head(sampled(maps, points.flatten(0, 1))).squeeze(3).mT  # (2B, P, D)
        z = F.normalize(rows.float(), dim=2).reshape(2, *visible.shape, -1)  # (2, B, P, D)
        first, second = (apart_in(view, maps.shape[-1]) for view in points)
        loss, accuracy = local_contrast(z, visible, first & second, self.config.temperature)
        share = visible.float().mean()
        return {"loss": loss, "spread": spread(z[0].flatten(0, 1)), "accuracy": accuracy, "seen": share}

    @torch.no_grad()
    def draw_places(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Draws places in the first view and finds them in the second.

        Returns:
            Points as (x, y) in the first and in the second view, (2, B, P, 2), in [-1, 1] where a view shows them; and
            whether the second view and the picture itself hold the place, (B, P): padding is no place.
        """
        images, (first, second) = len(batch.images), batch.maps[: len(batch.views)].chunk(2)
        # Drawn for the images of all processes, so that an image gets the same places however many there are.
        points = own_rows(torch.rand(images * world(), self.config.places, 2, device=first.device)) * 2 - 1
        pictured = apply_affine(points, first)
        counterparts = apply_affine(pictured, inverse_affine(second))
        return torch.stack([points, counterparts]), inside(counterparts) & inside(pictured)

    def decoder_tensors(self) -> dict[str, Tensor]:
        """The decoder's."""
        return named_as_decoder(self.decoder)


def refuse_side_of_fpn(start: Start, config: PretrainConfig) -> None:
    """Stops where an FPN would add maps of which one is not exactly half of the other."""
    stride = int(start.encoder.output_stride)  # type: ignore[arg-type]
    if config.decoder == "fpn" and config.image_size % stride:
        raise UserError(
            f"--image_size {config.image_size}: with --decoder fpn it must be a multiple of {stride}, "
            f"the stride of the encoder's last stage; take {config.image_size // stride * stride}"
        )


def named_as_decoder(decoder: nn.Module) -> dict[str, Tensor]:
    """A decoder's tensors under the names that they have in smp's whole network, `decoder.` in front."""
    return {f"decoder.{name}": tensor for name, tensor in decoder.state_dict().items()}


def build_decoder(encoder: str, name: str) -> tuple[nn.Module, int]:
    """The decoder that smp puts on an encoder, with random weights, and the channels of its map.

    Built with its whole network, so that its tensors are those of the network that is finetuned later.

    Raises:
        UserError: If the decoder does not go with this encoder.
    """
    # FPN's dropout drops whole channels of the map, other ones in each view.
    options = {"decoder_dropout": 0.0} if name == "fpn" else {}
    try:
        network = smp.create_model(name, encoder, encoder_weights=None, **options)
    except (ValueError, TypeError, AttributeError, KeyError, RuntimeError) as error:
        raise UserError(f"--decoder {name} does not go with --encoder {encoder}: {error}") from error
    return network.decoder, network.segmentation_head[0].in_channels
