"""Distances to the boundary, on the CPU's way and the device's, and what the loss makes of them."""

from collections.abc import Callable
from itertools import product
from math import hypot, inf

import pytest
import torch
from torch import Tensor

from finetune.losses.boundary import boundary_loss, distances_to_boundary, distances_to_boundary_by_cv2

WAYS = pytest.mark.parametrize("way", [distances_to_boundary, distances_to_boundary_by_cv2])


def by_search(mask: Tensor) -> Tensor:
    """The distance of each pixel of (H, W) to the nearest of the other kind, less half a pixel."""
    places = list(product(*map(range, mask.shape)))
    found = [min([hypot(i - k, j - m) for k, m in places if mask[k, m] != mask[i, j]], default=inf) for i, j in places]
    return torch.tensor(found).reshape(mask.shape) - 0.5


def sure(mask: Tensor) -> Tensor:
    """Logits whose probabilities are the mask."""
    return 200.0 * (2.0 * mask - 1)


@WAYS
def test_distances_of_a_picture_that_can_be_checked_by_eye(way: Callable[[Tensor], Tensor]) -> None:
    lesion = torch.tensor([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]).bool()
    expected = torch.tensor([[1, 1, 2, 3], [1, 2**0.5, 5**0.5, 10**0.5], [2, 5**0.5, 8**0.5, 13**0.5]]) - 0.5
    torch.testing.assert_close(way(lesion[None])[0], expected)


@WAYS
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_distances_are_those_of_a_search(way: Callable[[Tensor], Tensor], share: float) -> None:
    lesion = torch.rand(3, 13, 9, generator=torch.Generator().manual_seed(0)) < share
    torch.testing.assert_close(way(lesion), torch.stack([by_search(mask) for mask in lesion]), rtol=1e-5, atol=1e-5)


@WAYS
def test_what_has_no_boundary_is_infinitely_far_from_it(way: Callable[[Tensor], Tensor]) -> None:
    assert way(torch.tensor([False, True])[:, None, None].expand(2, 3, 4)).isinf().all()


def test_both_ways_measure_alike_at_512_px() -> None:
    lesion = torch.zeros(2, 512, 512, dtype=torch.bool)
    lesion[0, 3, 500], lesion[1, 100:300, 50:400] = True, True
    torch.testing.assert_close(
        distances_to_boundary(lesion), distances_to_boundary_by_cv2(lesion), rtol=1e-5, atol=1e-4
    )


def test_the_left_half_called_skin_costs_its_mean_distance() -> None:
    truth = torch.zeros(1, 1, 4, 4)
    truth[..., :2] = 1  # half a pixel and one and a half from the boundary
    assert boundary_loss(sure(torch.zeros(1, 1, 4, 4)), truth).item() == pytest.approx(8 * 1 / 16 / hypot(4, 4))


@pytest.mark.parametrize("side", [8, 64, 256])
def test_it_does_not_ask_how_many_pixels_a_picture_has(side: int) -> None:
    truth = torch.zeros(1, 1, side, side)
    truth[..., : side // 2] = 1
    shifted = torch.zeros_like(truth)
    shifted[..., : side // 4] = 1  # a quarter of the picture is missed, on average an eighth from the boundary
    assert boundary_loss(sure(shifted), truth).item() == pytest.approx(1 / 4 * 1 / 8 / 2**0.5, rel=1e-5)


def test_its_gradient_is_that_of_signed_distance_times_probability() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 12, 10, generator=generator, requires_grad=True)
    truth = torch.zeros(2, 1, 12, 10)
    truth[:, :, 3:8, 2:7] = 1
    signed = (torch.stack([by_search(mask[0]) for mask in truth]) * (1 - 2 * truth[:, 0])) / hypot(12, 10)
    paper = (signed * logits.sigmoid()[:, 0]).mean()
    ours, theirs = (torch.autograd.grad(loss, logits)[0] for loss in (boundary_loss(logits, truth), paper))
    torch.testing.assert_close(ours, theirs)


def test_a_mistake_far_from_the_boundary_costs_more() -> None:
    truth = torch.zeros(1, 1, 16, 16)
    truth[..., 6:10, 6:10] = 1
    near, far = truth.clone(), truth.clone()
    near[..., 5, 6], far[..., 0, 0] = 1, 1
    assert boundary_loss(sure(far), truth) > 5 * boundary_loss(sure(near), truth)
