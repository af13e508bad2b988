import copy
from collections.abc import Callable
from math import exp, log

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dermssl.weights.encoder import Start, feature_maps
from pretrain.dense_recipes import DenseCLConfig
from pretrain.methods.densecl import DenseCL, as_places, matched
from pretrain.methods.moco import MoCo
from pretrain.shared.momentum import follow
from pretrain.views.batch import Batch

Starts = Callable[..., Start]


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def densecl(start: Start, **options: object) -> DenseCL:
    small = {"batch_size": 4, "queue_size": 12, "hidden_dim": 16, "projection_dim": 8, "norm_groups": 2}
    torch.manual_seed(1)
    return DenseCL(start, DenseCLConfig(**(small | options)), steps=10)


def batch(images: int = 4, side: int = 4) -> Batch:
    drawn = torch.randint(0, 256, (2 * images, 3, side, side), generator=torch.Generator().manual_seed(3))
    views = (drawn * torch.linspace(0.1, 1, 2 * images).view(-1, 1, 1, 1)).byte()
    whole = torch.eye(2, 3).expand(2 * images, 2, 3)
    return Batch(views, torch.empty(0, 3, 8, 8).byte(), whole, torch.arange(images))


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (sum(x * x for x in a) ** 0.5 * sum(y * y for y in b) ** 0.5)


@torch.no_grad()
def dense_loss_by_loops(module: DenseCL, given: Batch) -> float:
    """Equations 2 and 3 of the paper place by place, in Python's floats, for an encoder without BatchNorm."""
    asking, answering = module.normalise(given.views).double().chunk(2)
    module = module.double()
    losses = []
    for image in range(len(asking)):
        r = feature_maps(module.encoder, asking[image, None])[-1][0].flatten(1).T  # (N, C)
        t = feature_maps(module.key_encoder, answering[image, None])[-1][0].flatten(1).T
        queries, keys = module.dense_head(r).tolist(), module.dense_key_head(t).tolist()
        r, t = r.tolist(), t.tolist()
        for i, query in enumerate(queries):
            alike = [cosine(r[i], other) for other in t]
            positive = exp(cosine(query, keys[alike.index(max(alike))]) / 0.2)
            negatives = sum(exp(cosine(query, key) / 0.2) for key in module.dense_queue.keys.tolist())
            losses.append(-log(positive / (positive + negatives)))
    return sum(losses) / len(losses)


def test_a_place_is_matched_with_the_place_that_looks_most_alike() -> None:
    asked, answers, keys = (draw(2, 5, width, seed=seed) for width, seed in ((3, 1), (3, 2), (4, 3)))
    chosen = matched(asked, answers, keys)
    for image in range(2):
        for place in range(5):
            alike = [cosine(asked[image, place].tolist(), other.tolist()) for other in answers[image]]
            assert torch.equal(chosen[image, place], keys[image, alike.index(max(alike))])


def test_places_are_matched_in_float32_under_autocast() -> None:
    """Two answers that bf16 cannot tell apart; the first would win."""
    asked = torch.tensor([[[1.0, 0.0]]]).repeat(1, 2, 1)
    answers = torch.tensor([[[1.0, 0.02], [1.0, 0.01]]])
    with torch.autocast("cpu", torch.bfloat16):
        chosen = matched(asked, answers, torch.tensor([[[1.0], [2.0]]]))
    assert chosen.flatten().tolist() == [2.0, 2.0]


def test_maps_become_rows_of_places_line_by_line() -> None:
    maps = draw(2, 3, 2, 4, seed=0)
    assert torch.equal(as_places(maps)[1, 1 * 4 + 2], maps[1, :, 1, 2])


@pytest.mark.parametrize("seed", [0, 1])
def test_the_dense_loss_matches_its_definition(tiny_start: Starts, seed: int) -> None:
    """Also through the shuffle, which draws another order for each seed."""
    module = densecl(tiny_start(norm=False))
    with torch.no_grad():
        module.key_encoder.convolve.weight.add_(0.1 * draw(8, 3, 3, 3, seed=7))  # otherwise slow and fast are one
    twin = copy.deepcopy(module)
    torch.manual_seed(seed)
    loss = module.training_step(batch(), 0)["dense_loss"]
    for slow, fast in twin.pairs():
        follow(slow, fast, module.config.momentum)
    assert loss.item() == pytest.approx(dense_loss_by_loops(twin, batch()), rel=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_loss_mixes_images_and_places(tiny_start: Starts, share: float) -> None:
    scalars = densecl(tiny_start(), dense_share=share).training_step(batch(), 0)
    mixed = (1 - share) * scalars["global_loss"] + share * scalars["dense_loss"]
    assert scalars["loss"].item() == pytest.approx(mixed.item())
    assert scalars["global_loss"] != scalars["dense_loss"]


def test_the_global_part_is_mocos(tiny_start: Starts) -> None:
    module = densecl(tiny_start(), dense_share=0.0)
    twin = MoCo(tiny_start(), module.config, steps=10)
    twin.load_state_dict({k: v for k, v in module.state_dict().items() if "dense" not in k})
    torch.manual_seed(0)
    dense = module.training_step(batch(), 0)
    torch.manual_seed(0)
    plain = twin.training_step(batch(), 0)
    for name in ("loss", "spread", "accuracy", "queue_age"):
        assert dense[name].item() == pytest.approx(plain[name].item(), rel=1e-6)
    assert torch.equal(module.queue.keys, twin.queue.keys)


def test_the_dense_queue_gets_the_images_mean_key_of_unit_length_in_order(tiny_start: Starts) -> None:
    module = densecl(tiny_start(norm=False))
    before = module.dense_queue.keys.clone()
    module.training_step(batch(), 0)
    for image, view in enumerate(module.normalise(batch().views)[4:]):
        maps = feature_maps(module.key_encoder, view[None])[-1]
        mean = module.dense_key_head(as_places(maps)).mean(dim=1)
        assert torch.allclose(module.dense_queue.keys[image], F.normalize(mean, dim=1)[0], atol=1e-6)
    assert torch.equal(module.dense_queue.keys[4:], before[4:])
    assert not torch.allclose(module.dense_queue.keys[:4], module.queue.keys[:4], atol=1e-2)


def test_the_dense_key_head_starts_equal_follows_and_gets_no_gradient(tiny_start: Starts) -> None:
    module = densecl(tiny_start(), momentum=0.5)
    slow, fast = module.dense_key_head.layers[0].weight, module.dense_head.layers[0].weight
    assert torch.equal(slow, fast)
    before = slow.clone()
    with torch.no_grad():
        fast.add_(1.0)
    module.training_step(batch(), 0)["loss"].backward()
    assert torch.allclose(slow, before + 0.5)
    assert slow.grad is None
    assert fast.grad is not None
    optimised = [p for group in module.configure_optimizers()["optimizer"].param_groups for p in group["params"]]
    trained = [*module.encoder.parameters(), *module.head.parameters(), *module.dense_head.parameters()]
    assert {id(p) for p in optimised} == {id(p) for p in trained}


def test_the_encoder_runs_once_per_view(tiny_start: Starts) -> None:
    module, seen = densecl(tiny_start()), []
    for encoder in (module.encoder, module.key_encoder):
        encoder.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    module.training_step(batch(), 0)
    assert seen == [2, 2, 2, 2]  # two groups of each view


def test_a_checkpoint_carries_both_queues(tiny_start: Starts) -> None:
    module = densecl(tiny_start())
    assert {"queue.keys", "queue.pushed", "dense_queue.keys", "dense_queue.pushed"} <= module.state_dict().keys()
