from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dermssl.encoder import Normalise, start_from
from dermssl.encoder_file import write_encoder_file
from dermssl.errors import UserError
from finetune.inference import Predictor, at_native_size, probabilities
from finetune.model import build_model
from finetune.model_file import ModelCard, read_model, write_model

ENCODER = "tu-test_efficientnet"
NORMALISE = Normalise((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


class Restless(nn.Module):
    """Everything that answers otherwise in training: Dropout, a path that drops out, BatchNorm; two levels deep."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.encoder(images)
        if self.encoder.training:
            features = features * torch.randint(0, 2, (len(images), 1, 1, 1))
        return self.head(features)


def squares(count: int, side: int = 32) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count)]


def card() -> ModelCard:
    three = (0.5, 0.5, 0.5)
    return ModelCard(
        encoder=ENCODER, decoder="fpn", encoder_depth=None, image_size=32, mean=three, std=three, init="random",
        encoder_sha256="", data="", commit="",
    )  # fmt: skip


def test_all_of_the_network_is_in_eval_mode() -> None:
    model = Restless().train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    first, second = (probabilities(model, NORMALISE, squares(3)) for _ in range(2))
    assert not any(module.training for module in model.modules())
    assert np.array_equal(first, second)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_probabilities_are_the_sigmoid_of_normalised_pixels() -> None:
    model = nn.Conv2d(3, 1, 1)
    nn.init.constant_(model.weight, 1.0)
    nn.init.constant_(model.bias, 0.5)
    square = np.full((2, 2, 3), 51, np.uint8)  # 0.2 of full white
    expected = 1 / (1 + np.exp(-(3 * (0.2 - 0.5) / 0.25 + 0.5)))
    assert probabilities(model, NORMALISE, [square]) == pytest.approx(np.full((1, 2, 2), expected), rel=1e-5)


def test_an_image_is_predicted_the_same_in_any_company() -> None:
    torch.manual_seed(0)
    model, pictures = build_model(ENCODER, "unet", None), squares(5)
    together, alone = ([*found_by(model, pictures, batch_size)] for batch_size in (5, 1))
    for ours, theirs in zip(together, alone, strict=True):
        assert np.array_equal(ours, theirs)
        assert 0 < ours.mean() < 1


def found_by(model: nn.Module, pictures: list[NDArray[np.uint8]], batch_size: int) -> list[NDArray[np.bool_]]:
    predictor = Predictor(model, NORMALISE, 32, 0.5, batch_size)
    return [mask for _, mask in predictor.masks(lambda i: pictures[i], [(40, 50)] * len(pictures))]


def test_masks_have_each_images_own_size_in_order() -> None:
    sizes = [(20, 30), (31, 17), (64, 64)]
    predictor = Predictor(Restless(), NORMALISE, 32, 0.5, batch_size=2)
    found = list(predictor.masks(lambda i: squares(3)[i], sizes))
    assert [index for index, _ in found] == [0, 1, 2]
    assert [mask.shape for _, mask in found] == sizes


def test_probabilities_are_enlarged_before_they_are_cut() -> None:
    probability = np.array([[0.0, 1.0]], np.float32).repeat(2, axis=0)  # 2 x 2, right half lesion
    mask = at_native_size(probability, height=4, width=8, threshold=0.8)
    assert mask.shape == (4, 8)
    assert mask[0].tolist() == [False] * 5 + [True] * 3  # cut first and enlarged then, it would be four


def test_a_threshold_is_a_probability() -> None:
    areas = [at_native_size(np.array([[0.0, 1.0]], np.float32), 1, 100, threshold).sum() for threshold in (0.2, 0.8)]
    assert areas[0] > areas[1] > 0


def test_a_model_file_gives_the_same_network_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model(ENCODER, "fpn", None)
    write_model(tmp_path / "model.safetensors", model, card())
    torch.manual_seed(1)
    for path in (tmp_path, tmp_path / "model.safetensors"):
        again, found = read_model(path)
        assert vars(found) | {"sha256": ""} == vars(card()) | {"mean": [0.5] * 3, "std": [0.5] * 3}
        pairs = zip(*(probabilities(net, NORMALISE, squares(2)) for net in (model, again)), strict=True)
        assert all(np.array_equal(*pair) for pair in pairs)


def test_a_file_of_another_kind_is_no_model(tmp_path: Path) -> None:
    start = start_from("random", ENCODER, seed=0)
    write_encoder_file(tmp_path / "encoder.safetensors", start.encoder.state_dict(), start.card)
    with pytest.raises(UserError, match="holds no segmentation network; give a run folder"):
        read_model(tmp_path / "encoder.safetensors")


def test_a_missing_model_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model.safetensors: no such file; give the run folder of a finished"):
        read_model(tmp_path)
