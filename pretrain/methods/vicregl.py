"""VICRegL: VICReg between the views of an image, and again between places of theirs that belong together.

Bardes, Ponce and LeCun 2022, VICRegL: Self-supervised learning of local visual features,
https://arxiv.org/abs/2210.01571. Two views of one size, as the paper has it for ResNet-50; its small crops, for
ConvNeXt, are left out.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dermssl.features.representation import spread
from dermssl.weights.encoder import Start, feature_maps, feature_width
from pretrain.dense_recipes import VICRegLConfig
from pretrain.methods.barlow_twins import three_layer_projector
from pretrain.methods.method import with_autocast_off
from pretrain.methods.vicreg import VICReg, terms_by_name, vicreg_terms
from pretrain.views.batch import Batch


class Places(NamedTuple):
    """The P places of a view's last feature map, row after row."""

    embeddings: Tensor
    """(B, P, D), of the expander of places."""
    positions: Tensor
    """(B, P, 2), x and y in the picture, which reaches from -1 to 1 in both."""


def place_terms(a: Places, b: Places, matches: int) -> Tensor:
    """Invariance, variance and covariance of matched places, by position (L_s) and by feature (L_d), summed: (3,).

    Pairs by feature are cut to the nearest too, as the paper says; its code keeps all of them.

    Args:
        a: Places of the first views.
        b: Places of the second views; row i shows the same picture.
        matches: Pairs that are kept in each direction; all where there are fewer places.
    """
    by_position = pairwise_distances(a.positions, b.positions)
    by_feature = pairwise_distances(a.embeddings, b.embeddings)
    return matched_terms(a, b, by_position, matches) + matched_terms(a, b, by_feature, matches)


def matched_terms(a: Places, b: Places, apart: Tensor, matches: int) -> Tensor:
    """The terms (3,) of places that lie `apart` (B, P, Q): the mean over the places of `a` and over those of `b`."""
    of_a, near_b = nearest_pairs(apart, matches)
    of_b, near_a = nearest_pairs(apart.mT, matches)
    terms_of_a = vicreg_terms(rows_at(a.embeddings, of_a), rows_at(b.embeddings, near_b))
    terms_of_b = vicreg_terms(rows_at(b.embeddings, of_b), rows_at(a.embeddings, near_a))
    return (terms_of_a + terms_of_b) / 2


@torch.no_grad()
@with_autocast_off
def pairwise_distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances (B, P, Q) between rows (B, P, D) and (B, Q, D), without gradient: they only choose.

    Straight from the differences: the detour over inner products loses the digits that tell two near places apart.
    """
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def nearest_pairs(apart: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` rows that are nearest to any column, and those columns: (B, k) each, k = min(count, P).

    Rows stay in their order in the map, as in the paper's code. Variance and covariance, which are taken over the
    batch at each of the k pairs, so compare like places; lightly orders by distance and there gives other numbers.

    Args:
        apart: Distances, (B, P, Q).
        count: Pairs to keep. Two rows may have the same column.
    """
    least, columns = apart.min(dim=2)  # (B, P) each
    closest = least.topk(min(count, least.shape[1]), dim=1, largest=False).indices
    rows = closest.sort(dim=1).values  # (B, k)
    return rows, columns.gather(1, rows)


def rows_at(rows: Tensor, index: Tensor) -> Tensor:
    """From each image's rows (B, P, D) those of its own index (B, k): (B, k, D)."""
    return rows.gather(1, index.unsqueeze(-1).expand(-1, -1, rows.shape[-1]))


@with_autocast_off  # autocast would round the product to bf16, which blurs which place is nearest
def positions(maps: Tensor, height: int, width: int) -> Tensor:
    """Where the centres of a view's height x width cells lie in its picture, (B, height * width, 2), row after row.

    Both axes of the picture count as 2 whatever its sides, so a step along the shorter side weighs a little more.

    Args:
        maps: Takes (x, y, 1) of the view to (x, y) of the picture, (B, 2, 3).
        height: Rows of the feature map.
        width: Columns of the feature map.
    """
    y, x = (((torch.arange(n, device=maps.device) + 0.5) * 2 / n - 1).to(maps.dtype) for n in (height, width))
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    cells = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1).flatten(0, 1)  # (P, 3)
    return cells @ maps.mT


class VICRegL(VICReg):
    """Encoder, an expander of images, an expander of places, and the criterion of both."""

    config: VICRegLConfig

    def __init__(self, start: Start, config: VICRegLConfig, steps: int) -> None:
        super().__init__(start, config, steps)
        self.map_expander = three_layer_projector(feature_width(self.encoder), config.map_dim)
        self.weights[2] /= 2  # VICReg's code sums the covariances of the two views, VICRegL's takes their mean

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Views pass apart, so that BatchNorm sees one at a time, as in the paper's code."""
        views = self.normalise(batch.views).chunk(2)
        (z_a, a), (z_b, b) = (self.embedded(*pair) for pair in zip(views, batch.maps.chunk(2), strict=True))
        terms = vicreg_terms(z_a, z_b)
        images, places = self.weighed(terms), self.weighed(place_terms(a, b, self.config.matches))
        loss = self.config.global_share * images + (1 - self.config.global_share) * places
        parts = {"images": images.detach(), "places": places.detach()} | terms_by_name(terms)
        return {"loss": loss, "spread": spread(z_a)} | parts

    def embedded(self, view: Tensor, maps: Tensor) -> tuple[Tensor, Places]:
        """Embeddings (B, D) of the images of a view, and its places."""
        last = feature_maps(self.encoder, view)[-1]  # (B, C, h, w)
        cells = last.flatten(2).mT  # (B, P, C)
        z = self.map_expander(cells.flatten(0, 1)).unflatten(0, cells.shape[:2])  # BatchNorm over images and places
        return self.expander(last.mean(dim=(2, 3))), Places(z, positions(maps, *last.shape[2:]))
