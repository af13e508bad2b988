from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from dermssl.data.manifest import read_manifest
from dermssl.data.pixel_cache import PixelCache, cached_images
from dermssl.features.frozen import FrozenEncoder, square
from dermssl.weights.encoder import start_from

NAME = "tu-tf_efficientnet_lite0"


@pytest.fixture
def images(draw_isic: Callable[..., Path], workplace: Path) -> PixelCache:
    return cached_images(read_manifest(draw_isic(workplace / "set", count=6)), 48)


def frozen_encoder(batch_size: int, seed: int = 0) -> FrozenEncoder:
    return FrozenEncoder(start_from("random", NAME, seed), 32, batch_size, torch.device("cpu"))


def test_features_are_equal_bit_for_bit_whatever_the_batch_size(images: PixelCache) -> None:
    alone = frozen_encoder(1)
    for size in (3, 4, 32):
        together = frozen_encoder(size)
        assert np.array_equal(together.features(images), alone.features(images))
        assert all(map(np.array_equal, together.stage_features(images), alone.stage_features(images)))
        for ours, theirs in zip(together.stages(images, [4, 1]), alone.stages(images, [4, 1]), strict=True):
            assert all(map(torch.equal, ours, theirs))


def test_features_are_equal_bit_for_bit_when_taken_again(images: PixelCache) -> None:
    one = frozen_encoder(4)
    assert (one.features(images) == one.features(images)).all()


def test_looking_leaves_the_encoder_as_it_was(images: PixelCache) -> None:
    one = frozen_encoder(4)
    before = {name: tensor.clone() for name, tensor in one.encoder.state_dict().items()}
    one.features(images)
    assert all(torch.equal(before[name], tensor) for name, tensor in one.encoder.state_dict().items())


def test_the_last_stage_averaged_is_the_pooled_feature(images: PixelCache) -> None:
    one = frozen_encoder(4)
    last = [stages[-1].mean(dim=(2, 3))[0].numpy() for stages in one.stages(images, [3, 1])]
    np.testing.assert_allclose(last, one.features(images)[[3, 1]], rtol=1e-3, atol=1e-5)


def test_the_picture_itself_is_no_stage(images: PixelCache) -> None:
    stages = next(frozen_encoder(4).stages(images, [0]))
    shapes = [cast(Tensor, stage).shape for stage in stages]
    assert [tuple(shape[1:]) for shape in shapes] == [(16, 16, 16), (24, 8, 8), (40, 4, 4), (112, 2, 2), (320, 1, 1)]


def test_a_wide_picture_is_squeezed_whole() -> None:
    picture = np.zeros((10, 40, 3), np.uint8)
    picture[:, -20:] = 200
    assert square(picture, 8)[0, :, 0].tolist() == [0, 0, 0, 0, 200, 200, 200, 200]
