"""LARS moves every layer by a share of its size, as the paper says and lightly does."""

import copy

import pytest
import torch
from lightly.utils import lars as lightlys
from torch import nn

from dermssl.training.lars import LARS
from dermssl.training.optimise import groups


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3))


def trained(model: nn.Module, optimiser: torch.optim.Optimizer, steps: int = 4) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimiser.zero_grad()
        model(torch.randn(6, 5, generator=generator)).square().sum().backward()
        optimiser.step()
    return [parameter.detach() for parameter in model.parameters()]


@pytest.mark.parametrize("weight_decay", [1e-6, 0.1])
def test_it_takes_lightlys_steps(weight_decay: float) -> None:
    model = network()
    peer = copy.deepcopy(model)
    ours = trained(model, LARS(groups([model], weight_decay), lr=0.05, momentum=0.9))
    theirs = trained(
        peer, lightlys.LARS([{k: v for k, v in g.items() if k != "adapted"} for g in groups([peer], weight_decay)],
                       lr=0.05, momentum=0.9)
    )  # fmt: skip
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_first_step_is_a_share_of_the_layers_norm_whatever_the_gradients_is(scale: float) -> None:
    weight = nn.Parameter(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))
    before = weight.detach().clone()
    weight.grad = scale * torch.ones(4, 4)
    LARS([weight], lr=0.5, trust=0.01).step()
    assert (weight - before).norm().item() == pytest.approx(0.5 * 0.01 * before.norm().item(), rel=1e-4)


def test_it_adapts_without_weight_decay_too() -> None:
    weight = nn.Parameter(torch.full((2, 2), 3.0))
    weight.grad = torch.full((2, 2), 100.0)
    LARS(groups([nn.ParameterList([weight])], 0.0), lr=1.0).step()
    assert torch.allclose(weight, torch.full((2, 2), 3.0 - 0.003))


def test_flat_parameters_and_zero_ones_take_plain_steps() -> None:
    bias, zero = nn.Parameter(torch.ones(3)), nn.Parameter(torch.zeros(2, 2))
    bias.grad, zero.grad = torch.ones(3), torch.ones(2, 2)
    LARS(groups([nn.ParameterList([bias, zero])], 1e-4), lr=0.1).step()
    assert torch.allclose(bias, torch.full((3,), 0.9))
    assert torch.allclose(zero, torch.full((2, 2), -0.1))


def test_a_parameter_without_a_gradient_stays_and_joins_later() -> None:
    one, other = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    optimiser = LARS([one, other], lr=1.0)
    one.grad = torch.ones(2, 2)
    optimiser.step()
    assert torch.equal(other, torch.ones(2, 2))
    other.grad = torch.ones(2, 2)
    optimiser.step()
    assert not torch.equal(other, torch.ones(2, 2))


def test_its_state_survives_a_checkpoint() -> None:
    model = network()
    optimiser = LARS(groups([model], 1e-4), lr=1.0)
    trained(model, optimiser, steps=2)
    twin = copy.deepcopy(model)
    resumed = LARS(groups([twin], 1e-4), lr=1.0)
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    for mine, other in zip(trained(model, optimiser), trained(twin, resumed), strict=True):
        assert torch.equal(mine, other)
