import copy
from collections.abc import Callable
from math import exp, log

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermssl.weights.encoder import Start, pooled
from pretrain.methods.mocov3 import MoCoV3, contrastive_loss
from pretrain.recipes import MoCoV3Config
from pretrain.views.batch import Batch

TEMPERATURES = [0.2, 1.0]


@pytest.fixture
def mocov3(tiny_start: Callable[..., Start]) -> MoCoV3:
    """A small one whose slow copy is away from its encoder, as it is from the second step on."""
    torch.manual_seed(1)
    config = MoCoV3Config(batch_size=6, hidden_dim=16, projection_dim=4, temperature=0.3)
    module = MoCoV3(tiny_start(), config, steps=10)
    with torch.no_grad():
        for parameter in (*module.encoder.parameters(), *module.projector.parameters()):
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw_batch(images: int = 6) -> Batch:
    views = torch.randint(0, 256, (2 * images, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    views = (views * torch.linspace(0.1, 1, 2 * images).view(-1, 1, 1, 1)).byte()
    return Batch(views, views[:0], torch.zeros(2 * images, 2, 3), torch.arange(images))


def swapped(batch: Batch) -> Batch:
    return batch._replace(views=batch.views.roll(len(batch.images), dims=0))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_equal_similarities_give_log_of_the_keys_times_the_factor(temperature: float) -> None:
    loss, _ = contrastive_loss(torch.ones(5, 3), torch.ones(5, 3), temperature)
    assert loss.item() == pytest.approx(2 * temperature * log(5))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_keys_at_right_angles_leave_what_the_temperature_leaves(temperature: float) -> None:
    loss, found = contrastive_loss(3 * torch.eye(4), torch.eye(4), temperature)
    assert loss.item() == pytest.approx(2 * temperature * log(1 + 3 * exp(-1 / temperature)))
    assert found == 1


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("images", [2, 5])
def test_the_loss_matches_its_definition(images: int, temperature: float) -> None:
    queries, keys = draw(images, 3, seed=1), draw(images, 3, seed=2)
    expected, found = 0.0, 0
    for index, query in enumerate(queries.tolist()):
        similar = []
        for key in keys.tolist():
            sizes = sum(x * x for x in query) ** 0.5 * sum(x * x for x in key) ** 0.5
            similar.append(exp(sum(x * y for x, y in zip(query, key, strict=True)) / sizes / temperature))
        expected -= 2 * temperature * log(similar[index] / sum(similar)) / images
        found += max(similar) == similar[index]
    loss, share = contrastive_loss(queries, keys, temperature)
    assert loss.item() == pytest.approx(expected)
    assert share.item() == pytest.approx(found / images)


def test_keys_of_other_images_are_not_found() -> None:
    _, found = contrastive_loss(torch.eye(4), torch.eye(4).roll(1, dims=0), 0.2)
    assert found == 0


def loss_by_the_paper(module: MoCoV3, batch: Batch) -> Tensor:
    """Algorithm 1, network by network, with the slow copy as it will have moved."""
    moved, T = copy.deepcopy(module), module.config.temperature
    for slow, fast in ((moved.key_encoder, module.encoder), (moved.key_projector, module.projector)):
        for old, new in zip(slow.parameters(), fast.parameters(), strict=True):
            old.data = 0.99 * old.data + 0.01 * new.data
    first, second = module.normalise(batch.views).chunk(2)
    loss = torch.zeros(())
    for asks, answers in ((first, second), (second, first)):
        q = F.normalize(module.predictor(module.projector(pooled(module.encoder, asks))))
        k = F.normalize(moved.key_projector(pooled(moved.key_encoder, answers))).detach()
        loss = loss + 2 * T * F.cross_entropy(q @ k.T / T, torch.arange(len(q)))
    return loss


def test_a_step_is_the_symmetric_loss_with_keys_of_the_copy_that_has_moved(mocov3: MoCoV3) -> None:
    expected = loss_by_the_paper(mocov3, draw_batch())
    weight = mocov3.encoder.convolve.weight
    [slope] = torch.autograd.grad(expected, weight)
    loss = mocov3.training_step(draw_batch(), 0)["loss"]
    assert loss.item() == pytest.approx(expected.item())
    torch.testing.assert_close(torch.autograd.grad(loss, weight)[0], slope)


def test_the_views_may_change_places(mocov3: MoCoV3) -> None:
    other = copy.deepcopy(mocov3)
    ours, theirs = mocov3.training_step(draw_batch(), 0), other.training_step(swapped(draw_batch()), 0)
    assert ours["loss"].item() == pytest.approx(theirs["loss"].item())
    assert ours["accuracy"].item() == pytest.approx(theirs["accuracy"].item())


def test_the_slow_copy_learns_nothing_by_gradient(mocov3: MoCoV3) -> None:
    mocov3.training_step(draw_batch(), 0)["loss"].backward()
    for name, parameter in mocov3.named_parameters():
        assert (parameter.grad is None) == name.startswith("key_"), name


@pytest.mark.parametrize(("step", "kept"), [(0, 0.99), (5, 0.995), (10, 1.0)])
def test_the_slow_copy_follows_ever_more_slowly(
    step: int, kept: float, mocov3: MoCoV3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MoCoV3, "global_step", step)
    before = mocov3.key_encoder.convolve.weight.clone()
    mocov3.training_step(draw_batch(), 0)
    expected = kept * before + (1 - kept) * mocov3.encoder.convolve.weight
    torch.testing.assert_close(mocov3.key_encoder.convolve.weight, expected)


def test_batch_norm_sees_a_view_at_a_time(mocov3: MoCoV3) -> None:
    mocov3.training_step(draw_batch(), 0)
    norms = [module for module in mocov3.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert len(norms) == 7  # encoder, projector (2) and predictor, and the slow copies of the first two
    assert [int(norm.num_batches_tracked) for norm in norms] == [2] * 7


def test_both_heads_are_those_of_the_papers_code_for_a_resnet(mocov3: MoCoV3) -> None:
    block = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert [type(layer) for layer in mocov3.projector.layers] == [*block, nn.BatchNorm1d]
    assert not list(mocov3.projector.layers[-1].parameters())
    assert [type(layer) for layer in mocov3.predictor.layers] == block
    linear = [child for child in mocov3.modules() if isinstance(child, nn.Linear)]
    assert all(layer.bias is None for layer in linear)
