import copy
from collections.abc import Callable
from math import ceil, exp, log

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.weights.encoder import start_from
from pretrain.methods.decon import DeCon, PooledDecoder
from pretrain.methods.densecl import DenseCL
from pretrain.shared.momentum import follow
from pretrain.views.batch import Batch

Builds = Callable[..., DeCon]
Draws = Callable[..., Batch]
NETWORKS = {"unet": smp.Unet, "fpn": smp.FPN}
Vector = list[float]


def cosine(a: Vector, b: Vector) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (sum(x * x for x in a) ** 0.5 * sum(y * y for y in b) ** 0.5)


def cells(decoder: nn.Module, encoder: nn.Module, image: Tensor, grid: int) -> list[Vector]:
    """The decoder's map of an image, averaged cell by cell of a grid."""
    maps = decoder(encoder(image[None]))[0]  # (C, H, W)
    side, means = maps.shape[-1], []
    for row in range(grid):
        for column in range(grid):
            (top, bottom), (left, right) = (
                (place * side // grid, ceil((place + 1) * side / grid)) for place in (row, column)
            )
            means.append(maps[:, top:bottom, left:right].mean(dim=(1, 2)).tolist())
    return means


def cost(query: Vector, key: Vector, queue: Tensor) -> float:
    positive = exp(cosine(query, key) / 0.2)
    return -log(positive / (positive + sum(exp(cosine(query, other) / 0.2) for other in queue.tolist())))


@torch.no_grad()
def decoder_loss_by_loops(method: DeCon, batch: Batch) -> float:
    """DenseCL's two losses on the decoder's map, image by image and place by place, in Python's floats."""
    asking, answering = method.normalise(batch.views).double().chunk(2)
    method = method.double()
    side, grid = method.decoder_side, method.config.decoder_grid
    of_images, of_places = [], []
    for image in range(len(asking)):
        r = cells(side.encoder.decoder, method.encoder, asking[image], grid)
        t = cells(side.key_encoder.decoder, method.key_encoder, answering[image], grid)
        means = [torch.tensor(rows).double().mean(dim=0, keepdim=True) for rows in (r, t)]
        query, key = side.head(means[0])[0].tolist(), side.key_head(means[1])[0].tolist()
        of_images.append(cost(query, key, side.queue.keys))
        queries, keys = (
            head(torch.tensor(rows).double()[None])[0].tolist()
            for head, rows in ((side.dense_head, r), (side.dense_key_head, t))
        )
        for place, query in enumerate(queries):
            alike = [cosine(r[place], other) for other in t]
            of_places.append(cost(query, keys[alike.index(max(alike))], side.dense_queue.keys))
    share = method.config.dense_share
    return (1 - share) * sum(of_images) / len(of_images) + share * sum(of_places) / len(of_places)


def parted(method: DeCon) -> DeCon:
    """With slow copies that are not the fast ones any more, each image by itself: BatchNorm with fixed statistics."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for slow, _ in method.pairs():
            for weight in slow.parameters():
                weight.mul_(1 + 0.2 * torch.randn(weight.shape, generator=generator))
    return method.eval()


@pytest.mark.parametrize(("decoder", "seed"), [("unet", 0), ("unet", 1), ("fpn", 0)])
def test_the_decoders_loss_matches_its_definition(
    small_method: Builds, draw_batch: Draws, decoder: str, seed: int
) -> None:
    """Also through the shuffle, which draws another order for each seed; 16 or 64 cells do not divide by 3."""
    method = parted(small_method("decon", decoder=decoder, decoder_grid=3, batch_size=4, dense_share=0.3))
    twin, batch = copy.deepcopy(method), draw_batch(method.recipe)
    torch.manual_seed(seed)
    loss = method.training_step(batch, 0)["decoder_loss"]
    for slow, fast in twin.pairs():
        follow(slow, fast, method.config.momentum)
    assert loss.item() == pytest.approx(decoder_loss_by_loops(twin, batch), rel=1e-4)


def densecl_of(method: DeCon) -> DenseCL:
    """DenseCL with the weights of the encoder's side."""
    twin = DenseCL(start_from("random", "tu-test_efficientnet", 0), method.config, steps=10)
    twin.load_state_dict({k: v for k, v in method.state_dict().items() if not k.startswith("decoder_side")})
    return twin


def test_with_all_weight_on_the_encoder_it_is_densecl(small_method: Builds, draw_batch: Draws) -> None:
    method = small_method("decon", encoder_share=1.0)
    twin, batch = densecl_of(method), draw_batch(method.recipe)
    losses = []
    for one in (method, twin):
        torch.manual_seed(0)
        losses.append(one.training_step(batch, 0)["loss"])
        losses[-1].backward()
    assert losses[0].item() == losses[1].item()
    gradients = dict(method.named_parameters())
    for name, parameter in twin.named_parameters():
        if parameter.requires_grad:
            assert torch.equal(gradients[name].grad, parameter.grad), name  # type: ignore[arg-type]
    assert all(p.grad is None or p.grad.eq(0).all() for p in method.decoder_side.parameters())
    state = method.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in twin.state_dict().items())


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_loss_weighs_encoder_and_decoder(small_method: Builds, draw_batch: Draws, share: float) -> None:
    method = small_method("decon", encoder_share=share)
    scalars = method.training_step(draw_batch(method.recipe), 0)
    weighed = share * scalars["encoder_loss"] + (1 - share) * scalars["decoder_loss"]
    assert scalars["loss"].item() == pytest.approx(weighed.item())
    assert scalars["encoder_loss"] != scalars["decoder_loss"]


def test_the_decoders_loss_alone_trains_the_encoder_too_but_not_its_heads(
    small_method: Builds, draw_batch: Draws
) -> None:
    method = small_method("decon", encoder_share=0.0)
    method.training_step(draw_batch(method.recipe), 0)["loss"].backward()
    for part in (method.encoder, method.decoder_side.encoder, method.decoder_side.head, method.decoder_side.dense_head):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    assert all(
        p.grad is None or p.grad.eq(0).all() for p in (*method.head.parameters(), *method.dense_head.parameters())
    )


def test_the_decoders_queues_get_its_keys_in_the_order_of_the_images(small_method: Builds, draw_batch: Draws) -> None:
    method = parted(small_method("decon"))
    batch, side, count = draw_batch(method.recipe), method.decoder_side, method.config.batch_size
    before = [side.queue.keys.clone(), side.dense_queue.keys.clone()]
    method.training_step(batch, 0)
    for image, view in enumerate(method.normalise(batch.views)[count:]):
        with torch.no_grad():
            maps = side.key_encoder(method.key_encoder(view[None]))  # (1, C, 4, 4)
            expected = [side.key_head(maps.mean(dim=(2, 3))), side.dense_key_head(maps.flatten(2).mT).mean(dim=1)]
        for queue, key in zip((side.queue, side.dense_queue), expected, strict=True):
            assert torch.allclose(queue.keys[image], F.normalize(key, dim=1)[0], atol=1e-5)
    for queue, old in zip((side.queue, side.dense_queue), before, strict=True):
        assert torch.equal(queue.keys[count:], old[count:])
        assert queue.pushed == count


def test_the_slow_decoder_and_its_heads_start_equal_follow_and_get_no_gradient(
    small_method: Builds, draw_batch: Draws
) -> None:
    method = small_method("decon", momentum=0.5)
    side = method.decoder_side
    pairs = [(side.key_encoder, side.encoder), (side.key_head, side.head), (side.dense_key_head, side.dense_head)]
    before = []
    for slow, fast in pairs:
        assert all(torch.equal(a, b) for a, b in zip(slow.parameters(), fast.parameters(), strict=True))
        before.append([p.clone() for p in slow.parameters()])
        with torch.no_grad():
            for parameter in fast.parameters():
                parameter.add_(1.0)
    method.training_step(draw_batch(method.recipe), 0)["loss"].backward()
    for (slow, _), old in zip(pairs, before, strict=True):
        assert all(torch.allclose(p, was + 0.5, atol=1e-6) for p, was in zip(slow.parameters(), old, strict=True))
        assert all(p.grad is None for p in slow.parameters())


def test_each_image_passes_encoder_and_decoder_once_in_the_groups_of_batchnorm(
    small_method: Builds, draw_batch: Draws
) -> None:
    method, passes = small_method("decon"), []
    side = method.decoder_side
    parts = {"fast": method.encoder, "fast decoder": side.encoder, "slow": method.key_encoder}
    for name, part in {**parts, "slow decoder": side.key_encoder}.items():
        part.register_forward_hook(lambda _, __, answer, name=name: passes.append((name, len(answer[-1]), len(answer))))
    method.training_step(draw_batch(method.recipe), 0)
    assert [name for name, *_ in passes] == ["fast", "fast decoder"] * 2 + ["slow", "slow decoder"] * 2
    assert {size for name, size, _ in passes if "decoder" not in name} == {4}  # of eight images, in each stage
    assert {size for name, _, size in passes if "decoder" in name} == {4}


def test_the_decoders_batchnorm_mixes_others_into_a_query_than_into_its_key(
    small_method: Builds, draw_batch: Draws
) -> None:
    """An image is exchanged in both views: it moves the queries of its own group, and keys that were shuffled to it."""
    method = small_method("decon")
    batch, other = draw_batch(method.recipe), draw_batch(method.recipe, seed=9)
    exchanged = batch.views.clone()
    exchanged[[0, 8]] = other.views[[0, 8]]
    moved = [
        (a - b).flatten(1).abs().amax(dim=1) > 1e-6
        for a, b in zip(maps(method, batch.views), maps(method, exchanged), strict=True)
    ]
    assert moved[0].tolist() == [True] * 4 + [False] * 4
    assert moved[1].sum() == 4
    assert not torch.equal(*moved)


@torch.no_grad()
def maps(method: DeCon, views: Tensor) -> tuple[Tensor, Tensor]:
    """The decoder's maps of queries and of keys, in the order of the images."""
    twin = copy.deepcopy(method)
    torch.manual_seed(0)
    _, queries = twin.both_maps(twin.encoder, twin.decoder_side.encoder, twin.normalise(views[:8]))
    images, order = twin.shuffled_key_images(views[8:])
    _, keys = twin.both_maps(twin.key_encoder, twin.decoder_side.key_encoder, images)
    return queries, keys[order]


def test_a_map_that_is_smaller_than_the_grid_is_left_as_it_is() -> None:
    pooled, coarse = PooledDecoder(nn.Identity(), 3, grid=4), torch.rand(2, 3, 2, 2)
    assert torch.equal(pooled(coarse), coarse)  # type: ignore[arg-type]
    assert pooled(torch.rand(2, 3, 9, 9)).shape == (2, 3, 4, 4)  # type: ignore[arg-type]


@pytest.mark.parametrize("decoder", NETWORKS)
def test_the_file_gets_encoder_and_decoder_of_smps_network(small_method: Builds, decoder: str) -> None:
    method = small_method("decon", decoder=decoder)
    network = NETWORKS[decoder]("tu-test_efficientnet", encoder_weights=None).eval()
    ours = {
        f"encoder.{name}": tensor for name, tensor in method.learned.state_dict().items()
    } | method.decoder_tensors()
    assert ours.keys() == {name for name in network.state_dict() if not name.startswith("segmentation_head")}
    network.load_state_dict(network.state_dict() | ours, strict=True)
    images, method = torch.rand(2, 3, 64, 64), method.eval()
    with torch.no_grad():
        expected = network.decoder(network.encoder(images))
        assert torch.equal(method.decoder_side.encoder.decoder(method.encoder(images)), expected)


def test_a_checkpoint_carries_four_queues(small_method: Builds) -> None:
    queues = {f"{side}{kind}queue.keys" for side in ("", "decoder_side.") for kind in ("", "dense_")}
    assert queues <= small_method("decon").state_dict().keys()


def test_a_size_that_an_fpn_cannot_halve_is_refused(small_method: Builds) -> None:
    with pytest.raises(UserError, match=r"--image_size 70: with --decoder fpn it must be a multiple of 32.*take 64"):
        small_method("decon", decoder="fpn", image_size=70)
