import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from dermssl.weights.encoder import Normalise
from finetune.scoring.inference import TorchSegmenter
from finetune.scoring.symmetries import SYMMETRIES, apply_symmetry, over_symmetries, undo_symmetry

NORMALISE = Normalise((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def squares(count: int = 3, side: int = 8) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def convolution(size: int) -> TorchSegmenter:
    """One layer; of size 1 it looks at each pixel alone and so turns with the picture, of size 3 it does not."""
    torch.manual_seed(0)
    return TorchSegmenter(nn.Conv2d(3, 1, size, padding=size // 2), NORMALISE)


def test_the_eight_symmetries_of_a_square_are_told_apart_and_are_all() -> None:
    square = np.array([[[1, 2], [3, 4]]], np.uint8)
    found = {tuple(apply_symmetry(square, number).ravel().tolist()) for number in range(SYMMETRIES)}
    assert found == {
        (1, 2, 3, 4), (2, 4, 1, 3), (4, 3, 2, 1), (3, 1, 4, 2),  # the four turns
        (2, 1, 4, 3), (3, 4, 1, 2), (1, 3, 2, 4), (4, 2, 3, 1),  # and the four mirrors
    }  # fmt: skip


@pytest.mark.parametrize("number", range(SYMMETRIES))
def test_what_was_turned_is_turned_back(number: int) -> None:
    pictures = squares()
    assert np.array_equal(
        undo_symmetry(apply_symmetry(pictures, number)[..., 0].astype(np.float32), number), pictures[..., 0]
    )


def test_a_network_that_turns_with_the_picture_answers_as_without() -> None:
    network = convolution(1)
    assert np.array_equal(over_symmetries(network, squares()), network(squares()))


def test_the_mean_is_that_of_the_eight_answers_each_turned_back() -> None:
    network, pictures = convolution(3), squares()
    answers = [undo_symmetry(network(np.ascontiguousarray(apply_symmetry(pictures, n))), n) for n in range(SYMMETRIES)]
    assert over_symmetries(network, pictures) == pytest.approx(np.mean(answers, axis=0), abs=1e-6)


@pytest.mark.parametrize("number", range(SYMMETRIES))
def test_with_any_network_a_turned_picture_has_the_turned_answer_to_the_last_bit(number: int) -> None:
    network, pictures = convolution(3), squares()
    plain = network(pictures)
    assert not np.array_equal(
        apply_symmetry(plain[..., None], 1)[..., 0], network(np.ascontiguousarray(apply_symmetry(pictures, 1)))
    )
    found = over_symmetries(network, np.ascontiguousarray(apply_symmetry(pictures, number)))
    assert np.array_equal(undo_symmetry(found, number), over_symmetries(network, pictures))


def test_numbers_of_all_sizes_are_summed_alike_in_every_corner() -> None:
    """One, 2^-24 and six of 2^-54: added to one first the small ones are lost, and float32 rounds down, not up."""
    here = np.zeros((1, 4, 4), np.float32)
    for number, value in enumerate([2**-54, 1, 2**-54, 2**-54, 2**-24, 2**-54, 2**-54, 2**-54]):
        place = np.zeros((1, 4, 4), np.float32)
        place[0, 0, 1] = value
        here += undo_symmetry(place, number)
    found = over_symmetries(lambda _: here, squares(1, side=4))
    assert len(np.unique(found)) == 2  # of the pixels between the corners, and of the others
    assert found.max() > 1 / 8
