import copy
from collections import deque
from collections.abc import Callable
from math import exp, log

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dermssl.errors import UserError
from dermssl.weights.encoder import Start, pooled
from pretrain.methods.moco import KeyQueue, MoCo, info_nce
from pretrain.recipes import MoCoConfig
from pretrain.views.batch import Batch

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


def batch(images: int = 4, seed: int = 3) -> Batch:
    whole = torch.eye(2, 3).expand(2 * images, 2, 3)
    return Batch(pixels(2 * images, seed), torch.empty(0, 3, 8, 8).byte(), whole, torch.arange(images))


def keys_of(module: MoCo, views: Tensor) -> Tensor:
    return module.keys_of(*module.shuffled_key_maps(views))


def test_equal_similarities_give_log_of_the_candidates_and_find_nothing() -> None:
    z = F.normalize(torch.ones(3, 4), dim=1)
    loss, found = info_nce(z, z, z[:1].repeat(7, 1), temperature=0.2)
    assert loss.item() == pytest.approx(log(8))
    assert found == 0  # collapse must not look like success


@pytest.mark.parametrize("negatives", [1, 5])
def test_info_nce_matches_its_definition(negatives: int) -> None:
    q, k, queue = (draw_unit(count, 4, seed) for count, seed in ((3, 1), (3, 2), (negatives, 3)))
    expected = 0.0
    for query, key in zip(q.tolist(), k.tolist(), strict=True):
        own = exp(sum(x * y for x, y in zip(query, key, strict=True)) / 0.2)
        others = sum(exp(sum(x * y for x, y in zip(query, other, strict=True)) / 0.2) for other in queue.tolist())
        expected -= log(own / (own + others)) / 3
    assert info_nce(q, k, queue, 0.2)[0].item() == pytest.approx(expected, rel=1e-5)


def test_accuracy_is_the_share_of_queries_that_find_their_own_key() -> None:
    keys, negatives = torch.eye(4)[:2], torch.eye(4)[2:]
    queries = torch.stack([keys[0], keys[1], negatives[0], keys[0]])  # the third finds a negative, the fourth nothing
    found = info_nce(queries.requires_grad_(), keys[[0, 1, 0, 1]], negatives, 0.2)[1]
    assert found == 0.5
    assert not found.requires_grad


def test_info_nce_computes_in_float32_under_bf16() -> None:
    q, k, queue = (draw_unit(4, 8, seed).bfloat16() for seed in (1, 2, 3))
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = info_nce(q, k, queue, 0.2)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(info_nce(q.float(), k.float(), queue.float(), 0.2)[0].item(), rel=1e-6)


@pytest.mark.parametrize("pushed", [2, 3, 7, 8])
def test_the_queue_is_a_ring_whatever_the_batch(pushed: int) -> None:
    queue, ring = KeyQueue(8, 3), deque(maxlen=8)
    ring.extend(queue.keys.tolist())
    for push in range(9):
        keys = draw_unit(pushed, 3, seed=push)
        queue.push(keys)
        ring.extend(keys.tolist())
        from_oldest = queue.keys.roll(-int(queue.oldest), dims=0)
        assert from_oldest.tolist() == list(ring)


@pytest.mark.parametrize("pushed", [1, 3, 4, 7, 8])
def test_the_age_of_the_queue_is_that_of_its_oldest_key(pushed: int) -> None:
    queue, steps = KeyQueue(8, 3), deque(maxlen=8)
    for step in range(12):
        assert queue.age(pushed) == (step - steps[0] if steps else 0)
        queue.push(draw_unit(pushed, 3, seed=step))
        steps.extend([step] * pushed)


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
    assert second.queue.age(5) == 1


def test_the_key_side_starts_as_a_copy_of_the_query_side(tiny_start: Starts) -> None:
    module = moco(tiny_start())
    for name in ("encoder", "head"):
        ours, keys = getattr(module, name).state_dict(), getattr(module, f"key_{name}").state_dict()
        assert ours.keys() == keys.keys()
        assert all(torch.equal(ours[key], keys[key]) for key in ours)
        assert all(ours[key].data_ptr() != keys[key].data_ptr() for key in ours)


def test_the_key_side_gets_no_gradient_and_no_optimiser(tiny_start: Starts) -> None:
    module = moco(tiny_start())
    module.training_step(batch(), 0)["loss"].backward()
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
    module.training_step(batch(), 0)
    for (slow, _), wanted in zip(parts, expected, strict=True):
        assert torch.allclose(next(slow.parameters()), wanted)


def test_groups_are_normalised_apart(tiny_start: Starts) -> None:
    module = moco(tiny_start())
    images, twin = pixels(4).float(), copy.deepcopy(module.encoder)
    grouped = module.in_groups(module.encoder, images).mean(dim=(2, 3))
    apart = torch.cat([pooled(twin, images[:2]), pooled(twin, images[2:])])
    together = pooled(copy.deepcopy(module.encoder), images)
    assert torch.equal(grouped, apart)
    assert not torch.allclose(grouped, together, atol=1e-3)


def test_keys_come_back_in_the_order_of_their_images(tiny_start: Starts) -> None:
    module = moco(tiny_start(norm=False), batch_size=8)
    module.eval()
    images = module.normalise(pixels(8))
    one_by_one = torch.cat([module.key_head(pooled(module.key_encoder, image[None])) for image in images])
    keys = keys_of(module, pixels(8))
    assert torch.allclose(keys, F.normalize(one_by_one, dim=1), atol=1e-5)
    assert not torch.allclose(keys, keys.roll(1, dims=0), atol=1e-3)  # otherwise any order would do


def test_keys_are_normalised_in_groups_that_change(tiny_start: Starts) -> None:
    module, drawn = moco(tiny_start(), batch_size=8), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        drawn.append(keys_of(copy.deepcopy(module), pixels(8)))
    assert not torch.allclose(*drawn, atol=1e-3)


def test_a_step_queues_its_keys_after_the_loss(tiny_start: Starts) -> None:
    module = moco(tiny_start())
    before = module.queue.keys.clone()
    torch.manual_seed(0)
    scalars = module.training_step(batch(), 0)
    assert torch.equal(module.queue.keys[4:], before[4:])
    assert not torch.equal(module.queue.keys[:4], before[:4])
    assert module.queue.oldest == 4
    twin = moco(tiny_start())
    torch.manual_seed(0)
    query_views, key_views = batch().views.chunk(2)
    features = pooled_in_groups(twin, query_views)
    expected, found = info_nce(F.normalize(twin.head(features), dim=1), keys_of(twin, key_views), before, 0.2)
    assert scalars["loss"].item() == pytest.approx(expected.item(), rel=1e-6)
    assert scalars["accuracy"] == found


def pooled_in_groups(module: MoCo, views: Tensor) -> Tensor:
    return module.in_groups(module.encoder, module.normalise(views)).mean(dim=(2, 3))


def test_a_step_says_how_old_the_queue_was_that_it_used(tiny_start: Starts) -> None:
    module = moco(tiny_start(), queue_size=10)
    assert [module.training_step(batch(), 0)["queue_age"].item() for _ in range(5)] == [0, 1, 2, 3, 3]


def test_groups_that_processes_cannot_share_out_are_refused(
    tiny_start: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match=r"--norm_groups 2: cannot be shared out among 3 processes; take a multiple"):
        moco(tiny_start())


def test_each_process_has_its_share_of_the_groups(tiny_start: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes with half of the batch each normalise as one with both halves does."""
    module = moco(tiny_start(), batch_size=8, norm_groups=4)
    images = pixels(8).float()
    whole = module.in_groups(module.encoder, images)
    monkeypatch.setenv("WORLD_SIZE", "2")
    halves = torch.cat([module.in_groups(module.encoder, half) for half in images.chunk(2)])
    assert torch.equal(whole, halves)
