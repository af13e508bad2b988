import copy
from collections import deque
from collections.abc import Callable
from math import exp, log

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermssl.encoder import Start, pooled
from pretrain.config import MoCoConfig
from pretrain.moco import KeyQueue, MoCo, follow, info_nce

Starts = Callable[..., Start]


def draw_unit(count: int, dim: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def moco(start: Start, **options: object) -> MoCo:
    small = {"batch_size": 4, "queue_size": 16, "hidden_dim": 16, "projection_dim": 8, "norm_groups": 2}
    torch.manual_seed(1)
    return MoCo(start, MoCoConfig(**(small | options)), steps=10)


def pixels(count: int, seed: int = 3) -> Tensor:
    drawn = torch.randint(0, 256, (count, 3, 8, 8), generator=torch.Generator().manual_seed(seed))
    return (drawn * torch.linspace(0.1, 1, count).view(-1, 1, 1, 1)).byte()


def test_equal_similarities_give_log_of_the_candidates() -> None:
    z = F.normalize(torch.ones(3, 4), dim=1)
    assert info_nce(z, z, z[:1].repeat(7, 1), temperature=0.2).item() == pytest.approx(log(8))


@pytest.mark.parametrize("negatives", [1, 5])
def test_info_nce_matches_its_definition(negatives: int) -> None:
    q, k, queue = draw_unit(3, 4, 1), draw_unit(3, 4, 2), draw_unit(negatives, 4, 3)
    expected = 0.0
    for query, key in zip(q.tolist(), k.tolist(), strict=True):
        own = exp(sum(x * y for x, y in zip(query, key, strict=True)) / 0.2)
        others = sum(exp(sum(x * y for x, y in zip(query, other, strict=True)) / 0.2) for other in queue.tolist())
        expected -= log(own / (own + others)) / 3
    assert info_nce(q, k, queue, 0.2).item() == pytest.approx(expected, rel=1e-5)


def test_info_nce_computes_in_float32_under_bf16() -> None:
    q, k, queue = (draw_unit(4, 8, seed).bfloat16() for seed in (1, 2, 3))
    loss = info_nce(q, k, queue, 0.2)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(info_nce(q.float(), k.float(), queue.float(), 0.2).item())


@pytest.mark.parametrize("batch", [2, 3, 7, 8])
def test_the_queue_is_a_ring_whatever_the_batch(batch: int) -> None:
    queue, ring = KeyQueue(8, 3), deque(maxlen=8)
    ring.extend(queue.keys.tolist())
    for push in range(9):
        keys = draw_unit(batch, 3, seed=push)
        queue.push(keys)
        ring.extend(keys.tolist())
        from_oldest = queue.keys.roll(-int(queue.oldest), dims=0)
        assert from_oldest.tolist() == list(ring)


def test_a_queue_smaller_than_the_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="a queue of 8 cannot hold 9 keys"):
        KeyQueue(8, 3).push(draw_unit(9, 3, seed=0))


def test_a_queue_starts_with_unit_keys() -> None:
    assert torch.allclose(KeyQueue(8, 3).keys.norm(dim=1), torch.ones(8))


def test_a_checkpoint_carries_the_queue_and_its_place(tiny_start: Starts) -> None:
    first, second = moco(tiny_start()), moco(tiny_start(seed=5))
    first.queue.push(draw_unit(5, 8, seed=0))
    assert not torch.equal(first.queue.keys, second.queue.keys)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.queue.keys, second.queue.keys)
    assert second.queue.oldest == 5


def test_follow_moves_parameters_by_one_minus_momentum_and_leaves_buffers() -> None:
    slow, fast = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    nn.init.constant_(slow.weight, 1.0)
    nn.init.constant_(fast.weight, 5.0)
    fast.running_mean += 3
    follow(slow, fast, momentum=0.75)
    assert slow.weight.tolist() == pytest.approx([2.0, 2.0])
    assert fast.weight.tolist() == [5.0, 5.0]
    assert slow.running_mean.tolist() == [0.0, 0.0]


def test_the_key_side_starts_as_a_copy_of_the_query_side(tiny_start: Starts) -> None:
    module = moco(tiny_start())
    for name in ("encoder", "head"):
        ours, keys = getattr(module, name).state_dict(), getattr(module, f"key_{name}").state_dict()
        assert ours.keys() == keys.keys()
        assert all(torch.equal(ours[key], keys[key]) for key in ours)
        assert all(ours[key].data_ptr() != keys[key].data_ptr() for key in ours)


def test_the_key_side_gets_no_gradient_and_no_optimiser(tiny_start: Starts) -> None:
    module = moco(tiny_start())
    module.training_step(pixels(8), 0)["loss"].backward()
    keys = [*module.key_encoder.parameters(), *module.key_head.parameters()]
    queries = [*module.encoder.parameters(), *module.head.parameters()]
    optimised = {id(p) for group in module.configure_optimizers()["optimizer"].param_groups for p in group["params"]}
    assert all(p.grad is None and not p.requires_grad for p in keys)
    assert all(p.grad is not None for p in queries)
    assert optimised == {id(p) for p in queries}


def test_a_step_follows_the_encoder_and_its_head(tiny_start: Starts) -> None:
    module = moco(tiny_start(), momentum=0.5)
    parts = ((module.key_encoder.convolve, module.encoder.convolve), (module.key_head, module.head))
    expected = []
    with torch.no_grad():
        for slow, fast in parts:
            before = next(slow.parameters()).clone()
            next(fast.parameters()).add_(1.0)
            expected.append(before + 0.5)
    module.training_step(pixels(8), 0)
    for (slow, _), wanted in zip(parts, expected, strict=True):
        assert torch.allclose(next(slow.parameters()), wanted)


def test_groups_are_normalised_apart(tiny_start: Starts) -> None:
    module = moco(tiny_start())
    images, twin = pixels(4).float(), copy.deepcopy(module.encoder)
    grouped = module.in_groups(module.encoder, images)
    apart = torch.cat([pooled(twin, images[:2]), pooled(twin, images[2:])])
    together = pooled(copy.deepcopy(module.encoder), images)
    assert torch.equal(grouped, apart)
    assert not torch.allclose(grouped, together, atol=1e-3)


def test_keys_come_back_in_the_order_of_their_images(tiny_start: Starts) -> None:
    module = moco(tiny_start(norm=False), batch_size=8)
    module.eval()
    images = module.normalise(pixels(8))
    one_by_one = torch.cat([module.key_head(pooled(module.key_encoder, image[None])) for image in images])
    keys = module.keys_of(images)
    assert torch.allclose(keys, F.normalize(one_by_one, dim=1), atol=1e-5)
    assert not torch.allclose(keys, keys.roll(1, dims=0), atol=1e-3)  # otherwise any order would do


def test_keys_are_normalised_in_groups_that_change(tiny_start: Starts) -> None:
    module, images = moco(tiny_start(), batch_size=8), pixels(8).float()
    drawn = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        drawn.append(copy.deepcopy(module).keys_of(images))
    assert not torch.allclose(*drawn, atol=1e-3)


def test_a_step_queues_its_keys_after_the_loss(tiny_start: Starts) -> None:
    module = moco(tiny_start())
    before = module.queue.keys.clone()
    torch.manual_seed(0)
    loss = module.training_step(pixels(8), 0)["loss"]
    assert torch.equal(module.queue.keys[4:], before[4:])
    assert not torch.equal(module.queue.keys[:4], before[:4])
    assert module.queue.oldest == 4
    twin = moco(tiny_start())
    torch.manual_seed(0)
    asking, answering = twin.normalise(pixels(8)).chunk(2)
    queries = F.normalize(twin.head(twin.in_groups(twin.encoder, asking)), dim=1)
    expected = info_nce(queries, twin.keys_of(answering), before, 0.2)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
