"""The pull is the decoupled gradient of L2-SP's penalty, and a resumed run pulls to where the whole one began."""

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import nn

from pretrain.pull import PullToStart


def step(pull: PullToStart, optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    pull.pull(optimizer)


def test_a_step_goes_rate_times_strength_of_the_way_back_beside_its_own() -> None:
    layer = nn.Linear(3, 2)
    start = [p.detach().clone() for p in layer.parameters()]
    pull = PullToStart(layer, 4.0)
    optimizer = torch.optim.SGD([{"params": [layer.weight], "lr": 0.1}, {"params": [layer.bias], "lr": 0.05}])
    expected = [p.clone() for p in start]
    for _ in range(3):
        step(pull, optimizer)
        for place, rate in enumerate((0.1, 0.05)):
            moved = expected[place] - rate
            expected[place] = moved - rate * 4.0 * (moved - start[place])
    for parameter, value in zip(layer.parameters(), expected, strict=True):
        assert torch.allclose(parameter, value, atol=1e-6)


def test_a_long_step_ends_at_the_start_and_not_beyond_and_what_is_not_trained_stays() -> None:
    layer = nn.Linear(2, 2)
    start = layer.weight.detach().clone()
    pull = PullToStart(layer, 1e9)
    layer.bias.data += 1  # no optimiser has it
    bias = layer.bias.detach().clone()
    step(pull, torch.optim.SGD([layer.weight], lr=0.1))
    assert torch.allclose(layer.weight, start)
    assert torch.equal(layer.bias, bias)


def test_without_strength_nothing_is_kept_and_nothing_follows_the_optimiser() -> None:
    layer = nn.Linear(2, 2)
    pull = PullToStart(layer, 0.0)
    assert pull.start == []
    pull.on_train_start(Trainer(accelerator="cpu", logger=False, enable_checkpointing=False), LightningModule())
