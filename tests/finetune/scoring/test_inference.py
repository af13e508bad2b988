from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dermssl.data.pixel_cache import PixelCache
from dermssl.training.device import Precision
from dermssl.weights.encoder import Normalise
from finetune.augmentation.fit import Fit
from finetune.network.build import build_model
from finetune.scoring.inference import Cut, Predictor, TorchSegmenter, pipelined

ENCODER = "tu-test_efficientnet"
NORMALISE = Normalise((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
RESIZE = Fit("resize", 32, "skin")


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


class Redness:
    """Calls a pixel lesion as it is red; remembers the sizes of the batches that it was given."""

    beside_cpu = False

    def __init__(self, beside: bool = False) -> None:
        self.beside_cpu = beside
        self.batches: list[int] = []

    def __call__(self, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(squares))
        return squares[..., 0].astype(np.float32) / np.float32(255)


def squares(count: int, side: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def predicted(network: object, pictures: NDArray[np.uint8], batch_size: int, **more: bool) -> list[NDArray[np.float32]]:
    predictor = Predictor(network, RESIZE, batch_size, **more)  # type: ignore[arg-type]
    return [found for _, found in predictor.probabilities(lambda i: pictures[i], [(40, 50)] * len(pictures))]


def test_all_of_the_network_is_in_eval_mode() -> None:
    model = Restless().train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    first, second = (TorchSegmenter(model, NORMALISE)(squares(3)) for _ in range(2))
    assert not any(module.training for module in model.modules())
    assert np.array_equal(first, second)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_a_network_that_was_trained_on_meanwhile_is_put_into_eval_mode_again() -> None:
    model = Restless()
    network = TorchSegmenter(model, NORMALISE)
    before = network(squares(3))
    model.train()
    assert np.array_equal(network(squares(3)), before)


def test_probabilities_are_the_sigmoid_of_normalised_pixels() -> None:
    model = nn.Conv2d(3, 1, 1)
    nn.init.constant_(model.weight, 1.0)
    nn.init.constant_(model.bias, 0.5)
    square = np.full((1, 2, 2, 3), 51, np.uint8)  # 0.2 of full white
    expected = 1 / (1 + np.exp(-(3 * (0.2 - 0.5) / 0.25 + 0.5)))
    assert TorchSegmenter(model, NORMALISE)(square) == pytest.approx(np.full((1, 2, 2), expected), rel=1e-5)


def test_half_precision_gives_float32_probabilities_that_are_near() -> None:
    torch.manual_seed(0)
    model = build_model(ENCODER, "unet")
    whole, half = (TorchSegmenter(model, NORMALISE, how)(squares(2)) for how in ("32-true", "bf16-mixed"))
    assert half.dtype == np.float32
    assert 0 < np.abs(whole - half).max() < 0.05


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("decoder", ["unet", "fpn"])
def test_an_image_is_predicted_bit_for_bit_the_same_in_any_company(decoder: str, precision: Precision) -> None:
    torch.manual_seed(0)
    network, pictures = TorchSegmenter(build_model(ENCODER, decoder), NORMALISE, precision), squares(17)
    alone = predicted(network, pictures, 1)
    assert alone[0].std() > 0
    for size in (3, 4, 16, 17):
        for ours, theirs in zip(predicted(network, pictures, size), alone, strict=True):
            assert np.array_equal(ours, theirs)


def test_an_image_is_predicted_bit_for_bit_the_same_wherever_it_stands() -> None:
    torch.manual_seed(0)
    network, pictures = TorchSegmenter(build_model(ENCODER, "unet"), NORMALISE), squares(16, side=64)
    turned = network(np.roll(pictures, 5, axis=0))
    assert np.array_equal(np.roll(network(pictures), 5, axis=0), turned)


@pytest.mark.parametrize("beside", [False, True])
def test_pictures_come_in_order_in_batches_and_at_their_own_size(beside: bool) -> None:
    sizes = [(20, 30), (31, 17), (64, 64), (1, 1), (32, 32)]
    network = Redness(beside)
    predictor = Predictor(network, RESIZE, batch_size=2)
    pictures = [np.full((*size, 3), 50 * index, np.uint8) for index, size in enumerate(sizes)]
    found = list(predictor.probabilities(lambda i: pictures[i], sizes))
    assert [index for index, _ in found] == [0, 1, 2, 3, 4]
    assert [probability.shape for _, probability in found] == sizes
    assert [float(probability.mean()) for _, probability in found] == pytest.approx([50 * i / 255 for i in range(5)])
    assert network.batches == [2, 2, 1]


def test_no_more_than_a_batch_is_read_before_its_pictures_are_asked_for() -> None:
    read: list[int] = []

    def picture(index: int) -> NDArray[np.uint8]:
        read.append(index)
        return np.zeros((4, 4, 3), np.uint8)

    found = Predictor(Redness(), RESIZE, batch_size=2).probabilities(picture, [(4, 4)] * 1000)
    next(found)
    assert read == [0, 1]


def test_pictures_of_a_pixel_cache_are_predicted_at_their_native_size(keep: Callable[..., PixelCache]) -> None:
    cache = keep([np.full((10, 20, 3), 255, np.uint8)])
    ((_, found),) = Predictor(Redness(), RESIZE, 1).probabilities(lambda i: cache[i], [(100, 200)])
    assert found.shape == (100, 200)
    assert (found == 1).all()


def test_a_letterbox_cuts_off_what_it_added() -> None:
    picture = np.zeros((4, 8, 3), np.uint8)
    picture[:, 4:, 0] = 255  # the right half is red
    predictor = Predictor(Redness(), Fit("letterbox", 8, "black"), 1)
    ((_, found),) = predictor.probabilities(lambda _: picture, [(4, 8)])
    assert np.array_equal(found, picture[..., 0] / 255)


def test_the_mean_over_symmetries_is_taken_on_the_square() -> None:
    class Corner:
        """Calls the top left pixel lesion, whatever it is shown."""

        beside_cpu = False

        def __call__(self, given: NDArray[np.uint8]) -> NDArray[np.float32]:
            found = np.zeros(given.shape[:3], np.float32)
            found[:, 0, 0] = 1
            return found

    predictor = Predictor(Corner(), Fit("resize", 4, "skin"), 1, symmetries=True)
    ((_, found),) = predictor.probabilities(lambda _: np.zeros((4, 4, 3), np.uint8), [(4, 4)])
    expected = np.zeros((4, 4))
    expected[[0, 0, 3, 3], [0, 3, 0, 3]] = 2 / 8  # each corner is top left in two of eight positions
    assert np.array_equal(found, expected)


def test_probabilities_are_enlarged_before_they_are_cut() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[:, 1, 0] = 255  # the right half is red
    predictor = Predictor(Redness(), Fit("resize", 2, "skin"), 1)
    ((_, found),) = predictor.probabilities(lambda _: picture, [(4, 8)])
    mask = Cut(0.8)(found)
    assert mask[0].tolist() == [False] * 5 + [True] * 3  # cut first and enlarged then, it would be four


def test_a_pixel_at_the_threshold_is_skin() -> None:
    probability = np.array([[0.25, 0.5, 0.75]], np.float32)
    assert Cut(0.5)(probability).tolist() == [[False, False, True]]
    assert Cut(0.2)(probability).tolist() == [[True, True, True]]


def test_a_mask_is_cut_first_and_postprocessed_then() -> None:
    drawing = ["...........", ".#####..##.", ".#...#..##.", ".#...#.....", ".#####....."]
    probability = np.array([[0.9 if letter == "#" else 0.1 for letter in line] for line in drawing], np.float32)
    plain, largest, filled = Cut(0.5), Cut(0.5, largest=True), Cut(0.5, fill_holes=True)
    assert [int(cut(probability).sum()) for cut in (plain, largest, filled)] == [18, 14, 24]
    components = [cv2.connectedComponents(cut(probability).astype(np.uint8))[0] - 1 for cut in (plain, largest)]
    assert components == [2, 1]


@pytest.mark.parametrize("ahead", [0, 1, 3, 99])
def test_work_ahead_comes_in_order_and_no_further_ahead_than_told(ahead: int) -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for item in range(10):
            asked.append(item)
            yield item

    results = pipelined(lambda item: item * item, items(), ahead)
    assert next(results) == 0
    assert len(asked) == min(10, 1 + ahead)
    assert list(results) == [item * item for item in range(1, 10)]


@pytest.mark.parametrize("ahead", [0, 2])
def test_an_error_of_work_ahead_comes_where_its_result_would_have(ahead: int) -> None:
    results = pipelined(lambda item: 6 // item, [3, 2, 0, 1], ahead)
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)
