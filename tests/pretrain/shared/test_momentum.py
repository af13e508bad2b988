import math

import pytest
import torch
from torch import nn

from pretrain.shared.momentum import follow, momentum_schedule, slow_copy


def test_follow_moves_parameters_by_one_minus_momentum_and_leaves_buffers() -> None:
    slow, fast = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    nn.init.constant_(slow.weight, 1.0)
    nn.init.constant_(fast.weight, 5.0)
    fast.running_mean += 3
    follow(slow, fast, momentum=0.75)
    assert slow.weight.tolist() == pytest.approx([2.0, 2.0])
    assert fast.weight.tolist() == [5.0, 5.0]
    assert slow.running_mean.tolist() == [0.0, 0.0]


def test_following_leaves_no_gradient_and_follows_none() -> None:
    fast = nn.Linear(2, 2)
    slow = slow_copy(fast)
    follow(slow, fast, momentum=0.5)
    assert not any(p.requires_grad or p.grad_fn for p in slow.parameters())
    assert all(p.requires_grad for p in fast.parameters())


def test_following_another_network_is_our_own_bug() -> None:
    with pytest.raises(AssertionError, match="another network"):
        follow(nn.Linear(2, 2), nn.Linear(2, 2, bias=False), momentum=0.5)


def test_a_slow_copy_starts_equal_in_storage_of_its_own() -> None:
    fast = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    fast(torch.randn(4, 3))
    slow = slow_copy(fast)
    assert slow.state_dict().keys() == fast.state_dict().keys()
    for name, tensor in slow.state_dict().items():
        assert torch.equal(tensor, fast.state_dict()[name])
        assert tensor.data_ptr() != fast.state_dict()[name].data_ptr()


def test_a_slow_copy_asks_for_no_gradient_and_keeps_its_mode() -> None:
    slow = slow_copy(nn.BatchNorm1d(2))
    assert slow.training
    assert not any(parameter.requires_grad for parameter in slow.parameters())


def test_a_rising_momentum_goes_from_its_start_over_the_middle_to_one() -> None:
    assert [momentum_schedule(0.99, step, 100) for step in (0, 50, 100)] == pytest.approx([0.99, 0.995, 1.0])


def test_a_rising_momentum_never_falls_and_stays_at_one_beyond_the_end() -> None:
    momenta = [momentum_schedule(0.9, step, 10) for step in range(14)]
    assert momenta == sorted(momenta)
    assert momenta[10:] == [1.0] * 4


def test_a_rising_momentum_is_the_papers_cosine() -> None:
    for step in range(8):
        assert momentum_schedule(0.97, step, 7) == pytest.approx(
            1 - 0.03 * (math.cos(math.pi * min(step / 7, 1)) + 1) / 2
        )
