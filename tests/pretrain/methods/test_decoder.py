from collections.abc import Callable
from math import exp, log

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.weights.encoder import start_from
from pretrain.dense_recipes import DecoderPretrainConfig
from pretrain.methods.decoder import (
    Decoder,
    apart_in,
    apply_affine,
    build_decoder,
    inside,
    inverse_affine,
    local_contrast,
    sampled,
)
from pretrain.views.batch import Batch

Builds = Callable[..., Decoder]
Draws = Callable[..., Batch]
NETWORKS = {"unet": smp.Unet, "fpn": smp.FPN}


def draw_unit(*shape: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def draw_masks(images: int, places: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two thirds seen, a fifth of the pairs too near."""
    generator = torch.Generator().manual_seed(seed)
    near = torch.rand(images, places, places, generator=generator) < 0.1
    near = near | near.mT | torch.eye(places, dtype=torch.bool)
    return torch.rand(images, places, generator=generator) < 0.67, ~near


def turned(angle: float, side: float, x: float, y: float) -> Tensor:
    """The map of a crop of `side` times the picture, turned by `angle` around (x, y)."""
    turn = torch.tensor(angle)
    rows = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()]).view(2, 2) * side
    return torch.cat([rows, torch.tensor([[x], [y]])], dim=1)


def whole(images: int, *maps: Tensor) -> Batch:
    """A batch with nothing but maps."""
    views = torch.zeros(2 * images, 3, 1, 1, dtype=torch.uint8)
    return Batch(views, views[:0], torch.stack(maps).repeat_interleave(images, dim=0), torch.arange(images))


def local_contrast_by_loops(z: Tensor, seen: Tensor, apart: Tensor, temperature: float) -> float:
    """The paper's local loss, anchor by anchor in Python's floats."""
    losses = []

    def likeness(a: Tensor, b: Tensor) -> float:
        return exp(sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True)) / temperature)

    _, images, places, _ = z.shape
    for image in range(images):
        for place in range(places):
            others = [j for j in range(places) if j != place and seen[image, j] and apart[image, place, j]]
            if not seen[image, place] or not others:
                continue
            for view in (0, 1):
                anchor = z[view, image, place]
                positive = likeness(anchor, z[1 - view, image, place])
                negatives = sum(likeness(anchor, z[v, image, j]) for v in (0, 1) for j in others)
                losses.append(-log(positive / (positive + negatives)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("images", "places", "seed"), [(1, 4, 0), (3, 6, 1), (4, 9, 2)])
def test_local_contrast_matches_its_definition(images: int, places: int, seed: int) -> None:
    z = draw_unit(2, images, places, 5, seed=seed).double()
    seen, apart = draw_masks(images, places, seed)
    expected = local_contrast_by_loops(z, seen, apart, 0.3)
    assert local_contrast(z, seen, apart, 0.3)[0].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("places", [2, 5])
def test_equal_places_give_log_of_the_candidates_and_find_nothing(places: int) -> None:
    """A positive, and the other places in both views."""
    z, seen = F.normalize(torch.ones(2, 3, places, 4), dim=3), torch.ones(3, places).bool()
    loss, found = local_contrast(z, seen, ~torch.eye(places).bool().expand(3, -1, -1), 0.1)
    assert loss.item() == pytest.approx(log(1 + 2 * (places - 1)), rel=1e-5)
    assert found == 0


def test_places_that_agree_and_differ_from_all_others_cost_nothing() -> None:
    z, seen = torch.eye(4).expand(2, 1, 4, 4), torch.ones(1, 4).bool()
    loss, found = local_contrast(z, seen, ~torch.eye(4).bool()[None], 0.05)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert found == 1


def test_local_contrast_is_symmetric_in_the_views() -> None:
    z, masks = draw_unit(2, 3, 6, 5, seed=0), draw_masks(3, 6, seed=1)
    assert local_contrast(z, *masks, 0.1)[0].item() == pytest.approx(local_contrast(z.flip(0), *masks, 0.1)[0].item())


def test_what_one_view_does_not_show_changes_nothing_and_learns_nothing() -> None:
    z, (seen, apart) = draw_unit(2, 3, 6, 5, seed=0), draw_masks(3, 6, seed=1)
    other = torch.where(seen[None, :, :, None], z, draw_unit(2, 3, 6, 5, seed=9)).requires_grad_()
    loss = local_contrast(other, seen, apart, 0.1)[0]
    assert loss.item() == pytest.approx(local_contrast(z, seen, apart, 0.1)[0].item())
    loss.backward()
    assert other.grad is not None
    moved = other.grad.abs().sum(dim=(0, 3)) > 0
    assert torch.equal(moved, seen)


def test_an_image_without_places_adds_nothing() -> None:
    z, (seen, apart) = draw_unit(2, 3, 6, 5, seed=0), draw_masks(3, 6, seed=1)
    seen[1] = False
    alone = local_contrast(z[:, [0, 2]], seen[[0, 2]], apart[[0, 2]], 0.1)[0]
    assert local_contrast(z, seen, apart, 0.1)[0].item() == pytest.approx(alone.item())


@pytest.mark.parametrize("shown", [0, 1])
def test_a_batch_in_which_no_place_has_a_negative_gives_nought_and_a_finite_gradient(shown: int) -> None:
    z, seen = draw_unit(2, 2, 4, 5, seed=0).requires_grad_(), torch.zeros(2, 4).bool()
    seen[:, :shown] = True
    loss, found = local_contrast(z, seen, ~torch.eye(4).bool().expand(2, -1, -1), 0.1)
    loss.backward()
    assert loss == 0
    assert found == 0
    assert z.grad is not None
    assert z.grad.eq(0).all()


def test_half_precision_places_are_compared_in_float32() -> None:
    z, masks = draw_unit(2, 3, 6, 16, seed=0).bfloat16(), draw_masks(3, 6, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = local_contrast(z, *masks, 0.1)[0]
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(local_contrast(z.double(), *masks, 0.1)[0].item(), rel=1e-5)


def test_a_map_and_its_inverse_leave_points_where_they_are() -> None:
    maps = torch.stack(
        [turned(0.7, 0.5, 0.1, -0.3), turned(-2.0, 0.9, 0, 0.1), torch.tensor([[0.0, 2, 1], [0.5, 1, 0]])]
    )
    points = 2 * torch.rand(3, 5, 2) - 1
    assert torch.allclose(apply_affine(apply_affine(points, maps), inverse_affine(maps)), points, atol=1e-5)


def test_points_are_carried_as_the_map_says() -> None:
    mapped = apply_affine(torch.tensor([[[0.5, -1.0]]]), torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]))
    assert mapped.flatten().tolist() == [0.5 - 2 + 3, 2 - 5 + 6]


def test_points_are_carried_in_float32_under_autocast() -> None:
    points, maps = 2 * torch.rand(1, 50, 2) - 1, turned(0.7, 0.5, 0.1, -0.3)[None]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = apply_affine(points, maps)
    assert torch.equal(rounded, apply_affine(points, maps))


def test_two_places_are_apart_if_they_share_no_cell() -> None:
    """In a map of 8 cells, each 0.25 wide."""
    points = torch.tensor([[[0.0, 0.0], [0.49, 0.49], [0.5, 0.0], [0.0, -0.6]]])
    expected = [[0, 0, 1, 1], [0, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 0]]
    assert apart_in(points, 8)[0].int().tolist() == expected


def test_sampling_takes_a_cells_value_at_its_centre_and_the_mean_between_two() -> None:
    maps = torch.arange(8.0).view(1, 1, 2, 4)  # cells 0.5 wide and 1 high
    points = torch.tensor([[[-0.75, -0.5], [0.75, 0.5], [0.0, -0.5], [0.25, 0.0], [1.0, 1.0]]])
    assert sampled(maps, points).flatten().tolist() == [0.0, 7.0, 1.5, 4.0, 7.0]


@pytest.mark.parametrize("second", [turned(1.1, 0.6, 0.2, -0.1), torch.tensor([[-0.8, 0, 0.1], [0, 0.8, -0.1]])])
def test_both_views_are_sampled_at_the_same_place_of_the_picture(small_method: Builds, second: Tensor) -> None:
    """Maps whose cells hold their place in the picture: what is sampled in both views must be equal."""
    first = turned(-0.4, 0.7, -0.1, 0.2)
    views = torch.stack([first, second])
    points, seen = small_method("decoder", places=200).draw_places(whole(1, first, second))
    maps = F.affine_grid(views, [2, 1, 32, 32], align_corners=False).permute(0, 3, 1, 2)
    found = sampled(maps, points.flatten(0, 1))[..., 0]  # (2, 2, P)
    inner = (seen & (points.abs() < 1 - 1 / 32).all(dim=3).all(dim=0))[
        0
    ]  # beyond the last centres the border's value is taken
    assert 20 < inner.sum() < 200
    assert torch.allclose(found[0][:, inner], found[1][:, inner], atol=1e-5)


def test_places_fill_the_first_view_and_are_seen_where_the_second_shows_them(small_method: Builds) -> None:
    """The second view is the left half of the first, at its height."""
    left = torch.tensor([[0.5, 0, -0.5], [0, 1, 0]])
    points, seen = small_method("decoder", places=2000).draw_places(whole(2, torch.eye(2, 3), left))
    assert inside(points[0]).all()
    assert torch.equal(seen, points[0][..., 0] <= 0)
    assert points[0].mean(dim=(0, 1)).tolist() == pytest.approx([0, 0], abs=0.05)
    assert points[0].std(dim=(0, 1)).tolist() == pytest.approx([(1 / 3) ** 0.5] * 2, abs=0.05)
    assert torch.allclose(points[1][..., 0], 2 * points[0][..., 0] + 1, atol=1e-5)


def test_padding_beyond_the_picture_is_no_place(small_method: Builds) -> None:
    """Both views show the picture and as much again around it."""
    wide = torch.tensor([[2.0, 0, 0], [0, 2.0, 0]])
    points, seen = small_method("decoder", places=500).draw_places(whole(1, wide, wide))
    assert torch.equal(seen, inside(points[0] * 2))
    assert 0 < seen.sum() < 500


@pytest.mark.parametrize("processes", [2, 4])
def test_an_image_gets_the_same_places_however_many_processes_there_are(
    small_method: Builds, draw_batch: Draws, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    method = small_method("decoder")
    batch = draw_batch(method.recipe)
    torch.manual_seed(0)
    points, seen = method.draw_places(batch)
    images = len(batch.images) // processes
    for rank in range(processes):
        own = [part.chunk(processes)[rank] for part in batch.maps.chunk(2)]
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        monkeypatch.setenv("RANK", str(rank))
        torch.manual_seed(0)
        mine = method.draw_places(Batch(batch.views[: 2 * images], batch.local, torch.cat(own), batch.images[:images]))
        assert torch.equal(mine[0], points.chunk(processes, dim=1)[rank])
        assert torch.equal(mine[1], seen.chunk(processes)[rank])


@pytest.mark.parametrize("encoder", ["tu-test_efficientnet", "tu-test_resnet"])
@pytest.mark.parametrize("decoder", NETWORKS)
def test_the_decoders_tensors_are_those_of_smps_network(encoder: str, decoder: str) -> None:
    start = start_from("random", encoder, seed=0)
    method = Decoder(start, DecoderPretrainConfig(decoder=decoder, image_size=64, projection_dim=8), steps=1)  # type: ignore[arg-type]
    network = NETWORKS[decoder](encoder, encoder_weights=None).eval()
    ours = {f"encoder.{name}": tensor for name, tensor in start.encoder.state_dict().items()} | method.decoder_tensors()
    theirs = {name for name in network.state_dict() if not name.startswith("segmentation_head")}
    assert ours.keys() == theirs
    network.load_state_dict(network.state_dict() | ours, strict=True)
    images = torch.rand(2, 3, 64, 64)
    method.eval()
    expected = network.decoder(network.encoder(images))
    assert torch.equal(method.decoder(method.encoder(images)), expected)


@pytest.mark.parametrize("decoder", NETWORKS)
def test_a_step_trains_encoder_decoder_and_head(small_method: Builds, draw_batch: Draws, decoder: str) -> None:
    method = small_method("decoder", decoder=decoder)
    scalars = method.training_step(draw_batch(method.recipe), 0)
    scalars["loss"].backward()
    assert 0 < scalars["seen"] <= 1
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_decoder_drops_nothing_while_it_is_compared_with_itself() -> None:
    decoder, width = build_decoder("tu-test_resnet", "fpn")
    assert width == 128
    assert all(module.p == 0 for module in decoder.modules() if isinstance(module, nn.Dropout2d))


def test_an_encoder_that_the_decoder_cannot_take_is_refused() -> None:
    with pytest.raises(UserError, match="--decoder unet does not go with --encoder tu-test_vit"):
        build_decoder("tu-test_vit", "unet")


def test_a_size_that_an_fpn_cannot_halve_is_refused(small_method: Builds) -> None:
    with pytest.raises(UserError, match=r"--image_size 70: with --decoder fpn it must be a multiple of 32.*take 64"):
        small_method("decoder", decoder="fpn", image_size=70)
    small_method("decoder", decoder="unet", image_size=70)
