from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dermssl.data.manifest import Manifest, read_manifest
from dermssl.data.pixel_cache import cached_images
from dermssl.features.dense import masked_pictures, probe_dense
from dermssl.features.frozen import FrozenEncoder
from dermssl.weights.encoder import Start
from dermssl.weights.encoder_file import EncoderCard


class Colours(nn.Module):
    """An encoder whose only feature map is the picture, at half size."""

    def forward(self, pixels: Tensor) -> list[Tensor]:
        return [pixels, nn.functional.avg_pool2d(pixels, 2)]


def colours(size: int) -> FrozenEncoder:
    card = EncoderCard(encoder="colours", method="random", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return FrozenEncoder(Start(Colours(), card, ""), size, 4, torch.device("cpu"))


@pytest.fixture
def drawn(draw_isic: Callable[..., Path], workplace: Path) -> Callable[..., Manifest]:
    """Pictures of discs with masks, in this test's own folder."""

    def manifest(count: int, side: int, masks: bool = True) -> Manifest:
        return read_manifest(draw_isic(workplace / "set", count, (side, side), masks))

    return manifest


def test_a_mask_that_is_linear_in_colour_is_found_from_four_pictures(drawn: Callable[..., Manifest]) -> None:
    manifest = drawn(12, 128)
    ids = manifest.table["image_id"].tolist()
    table = probe_dense(colours(128), cached_images(manifest, 128), masked_pictures(manifest, ids[:8], ids[8:]), (4, 8))
    assert table["image_id"].tolist() == [image for image in ids[8:] for _ in range(2)]
    assert {"lesion_id", "n_train", "jaccard", "tp", "isic_jaccard"} <= set(table)
    means = table.groupby("n_train")["jaccard"].mean()
    assert list(means.index) == [4, 8]
    assert means.min() > 0.9


def test_a_smaller_fit_does_not_see_the_later_pictures(drawn: Callable[..., Manifest]) -> None:
    manifest = drawn(12, 64)
    ids = manifest.table["image_id"].tolist()
    images = cached_images(manifest, 64)
    alone = probe_dense(colours(64), images, masked_pictures(manifest, ids[:4], ids[8:]), (4,))
    beside = probe_dense(colours(64), images, masked_pictures(manifest, ids[:8], ids[8:]), (4, 8))
    assert beside[beside["n_train"] == 4].reset_index(drop=True).equals(alone)


def test_pictures_without_masks_are_refused_with_the_reason(drawn: Callable[..., Manifest]) -> None:
    manifest = drawn(4, 32, masks=False)
    ids = manifest.table["image_id"].tolist()
    assert masked_pictures(manifest, ids[:2], ids[2:]).refusal == "no masks"


def test_one_lesion_to_fit_on_is_refused_with_the_reason(drawn: Callable[..., Manifest]) -> None:
    manifest = drawn(6, 32)
    ids = manifest.table["image_id"].tolist()
    assert "two lesions" in masked_pictures(manifest, ids[:1], ids[1:]).refusal


def test_masks_of_other_pictures_are_not_found(drawn: Callable[..., Manifest]) -> None:
    manifest = drawn(24, 128)
    ids = manifest.table["image_id"].tolist()
    images, own = cached_images(manifest, 128), masked_pictures(manifest, ids[:16], ids[16:])
    shuffled = manifest.table.assign(
        mask_path=manifest.table["mask_path"].to_numpy()[list(range(7, 24)) + list(range(7))]
    )
    mixed = masked_pictures(Manifest(manifest.root, shuffled, ()), ids[:16], ids[16:])
    planted, nothing = (probe_dense(colours(128), images, pictures, (16,))["jaccard"] for pictures in (own, mixed))
    assert planted.mean() > 0.9
    assert nothing.mean() < 0.5
