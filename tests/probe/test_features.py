from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dermssl.data.kept import kept_folder
from dermssl.data.manifest import read_manifest
from dermssl.data.pixel_cache import cached_images
from dermssl.features.frozen import FrozenEncoder
from dermssl.weights.encoder import Start, start_from
from probe.features import kept_features

Draw = Callable[..., Path]
ENCODER = "tu-test_efficientnet"


def frozen_encoder_of(start: Start, side: int = 64) -> FrozenEncoder:
    return FrozenEncoder(start, side, batch_size=8, device=torch.device("cpu"))


def test_features_are_computed_once(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, start = read_manifest(draw()), start_from("random", ENCODER, seed=0)
    first = kept_features(frozen_encoder_of(start), start.sha256, manifest)
    assert np.array_equal(first, frozen_encoder_of(start).features(cached_images(manifest, 64)))
    monkeypatch.setattr(FrozenEncoder, "features", None)  # nobody looks again
    assert np.array_equal(kept_features(frozen_encoder_of(start), start.sha256, manifest), first)


def test_other_weights_sizes_and_pictures_have_features_of_their_own(draw: Draw) -> None:
    manifest = read_manifest(draw())
    one, two = (start_from("random", ENCODER, seed) for seed in (0, 1))
    whole = kept_features(frozen_encoder_of(one), one.sha256, manifest)
    kept_features(frozen_encoder_of(two), two.sha256, manifest)
    kept_features(frozen_encoder_of(one, side=32), one.sha256, manifest)
    few = manifest.take(manifest.table["image_id"].tolist()[2:5])
    assert np.allclose(kept_features(frozen_encoder_of(one), one.sha256, few), whole[2:5], atol=1e-5)
    assert len(list(kept_folder(manifest.root).glob("features-*.npy"))) == 4
