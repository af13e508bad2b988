"""The moving average of weights against its definition."""

import pytest
import torch
from torch import nn

from finetune.training.average import WeightAverage, kept_share


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))


def wander(model: nn.Module) -> None:
    """A training step of sorts: everything moves."""
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.add_(torch.randn_like(tensor) if tensor.is_floating_point() else 1)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_the_average_is_the_weighted_mean_of_the_weights_after_each_step(share: float) -> None:
    model = network()
    average = WeightAverage(model, share)
    seen: list[dict[str, torch.Tensor]] = []
    weights: list[float] = []  # of the steps so far in the mean
    for step in range(1, 31):
        wander(model)
        average.follow(model, step)
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        kept = min(share, (step - 1) / (step + 8))
        weights = [kept * weight for weight in weights] + [1 - kept]
        assert sum(weights) == pytest.approx(1)
        for name, tensor in average.model.state_dict().items():
            if tensor.is_floating_point():
                mean = sum(weight * state[name].double() for weight, state in zip(weights, seen, strict=True))
                torch.testing.assert_close(tensor, mean.float(), rtol=1e-5, atol=1e-6)
            else:
                assert tensor == seen[-1][name] == step


def test_the_weights_before_the_first_step_have_no_part_in_it() -> None:
    model = network()
    average = WeightAverage(model, 0.999)
    nn.init.constant_(average.model[0].weight, 1e6)
    average.follow(model, step=1)
    assert torch.equal(average.model[0].weight, model[0].weight)


def test_the_share_rises_to_the_wanted_one_and_stays() -> None:
    shares = [kept_share(0.9, step) for step in range(1, 200)]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[9] == pytest.approx(0.5)  # 1 - 9 / 18
    assert kept_share(0.9, 82) == pytest.approx(0.9) == kept_share(0.9, 10_000)


def test_what_does_not_move_stays_bit_for_bit() -> None:
    model = network()
    average = WeightAverage(model, 0.99)
    for step in range(1, 20):
        average.follow(model, step)
    assert all(torch.equal(mean, model.state_dict()[name]) for name, mean in average.model.state_dict().items())


def test_no_gradient_and_no_batch_reaches_the_average() -> None:
    average = WeightAverage(network(), 0.9)
    assert not average.training
    assert not any(parameter.requires_grad for parameter in average.parameters())
