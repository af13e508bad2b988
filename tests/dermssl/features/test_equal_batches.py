import pytest
import torch

from dermssl.features.equal_batches import MOST, equal_batches, squares_at_once


@pytest.mark.parametrize(
    ("side", "squares"), [(8, 16), (96, 16), (97, 8), (128, 8), (224, 2), (271, 2), (272, 1), (4096, 1)]
)
def test_large_squares_go_through_in_fewer(side: int, squares: int) -> None:
    assert squares_at_once(side) == squares


@pytest.mark.parametrize("count", [1, 7, 8, 9, 20])
def test_every_square_comes_once_in_order_and_batches_have_one_shape(count: int) -> None:
    squares = torch.arange(count).view(count, 1, 1, 1).expand(count, 3, 128, 128)
    batches = list(equal_batches(squares))
    assert {batch.shape for batch, _ in batches} == {(8, 3, 128, 128)}
    kept = torch.cat([batch[:counted] for batch, counted in batches])
    assert torch.equal(kept, squares)


def test_a_batch_is_filled_up_with_its_own_last_square() -> None:
    ((batch, count),) = equal_batches(torch.arange(3.0).view(3, 1, 1, 1))
    assert count == 3
    assert batch.flatten().tolist() == [0, 1, *[2] * (MOST - 2)]


def test_off_the_cpu_a_batch_stays_as_it_is() -> None:
    ((batch, count),) = equal_batches(torch.empty(5, 3, 96, 96, device="meta"))
    assert (len(batch), count) == (5, 5)
