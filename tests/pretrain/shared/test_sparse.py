"""Masked layers against slow ones that are given the visible places and nothing else."""

from collections.abc import Iterator

import pytest
import torch
from timm.layers.squeeze_excite import SEModule
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.parallel import SyncedBatchNorm
from dermssl.weights.encoder import build_encoder, feature_maps
from pretrain.shared.sparse import REACHING, VisiblePatches, maskable_layers, maskable_widths, sparse

GRID = 3
ENCODERS = ["tu-test_efficientnet", "tu-test_resnet", "resnet18"]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def four_of_nine(pictures: int = 2, seed: int = 0) -> VisiblePatches:
    """Other patches of each picture, in no order."""
    return VisiblePatches(draw(pictures, GRID * GRID, seed=seed).argsort(dim=1)[:, :4], GRID)


def seen(visible: VisiblePatches, side: int) -> Iterator[tuple[int, int, int]]:
    """Picture, row and column of every visible place of maps of this side."""
    scale = side // visible.grid
    for picture, patches in enumerate(visible.patches.tolist()):
        for place in range(side * side):
            if place // side // scale * visible.grid + place % side // scale in patches:
                yield picture, place // side, place % side


def small_encoder(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build_encoder(name)


def convolved_by_loops(layer: nn.Conv2d, maps: Tensor, visible: VisiblePatches) -> Tensor:
    """A convolution that goes to visible places and asks visible ones, place by place in Python's floats."""
    step, side = layer.stride[0], maps.shape[2] // layer.stride[0]
    shown, weights = {*seen(visible, maps.shape[2])}, layer.weight.tolist()
    own = layer.in_channels // layer.groups
    convolved = torch.zeros(len(maps), layer.out_channels, side, side)
    for picture, row, column in seen(visible, side):
        for out in range(layer.out_channels):
            total = 0.0 if layer.bias is None else layer.bias[out].item()
            first = out // (layer.out_channels // layer.groups) * own
            for dy in range(3):
                for dx in range(3):
                    y, x = row * step + dy - 1, column * step + dx - 1
                    if (picture, y, x) in shown:
                        values = maps[picture, first : first + own, y, x].tolist()
                        total += sum(weights[out][i][dy][dx] * value for i, value in enumerate(values))
            convolved[picture, out, row, column] = total
    return convolved


@pytest.mark.parametrize("side", [GRID, 2 * GRID, 8 * GRID])
def test_a_patch_is_visible_at_every_resolution_where_it_lies(side: int) -> None:
    visible = four_of_nine()
    marks = torch.zeros(2, 1, side, side).bool()
    for picture, row, column in seen(visible, side):
        marks[picture, 0, row, column] = True
    assert torch.equal(visible.marks(side), marks)
    assert sorted(visible.places(side).tolist()) == marks.flatten().nonzero().flatten().tolist()


def test_what_is_gathered_is_what_is_visible_and_goes_back_to_its_place() -> None:
    visible, maps = four_of_nine(), draw(2, 5, 6, 6)
    gathered = visible.gathered(maps)
    assert gathered.shape == (2, 5, 16, 1)
    for picture in range(2):
        rows = {tuple(row) for row in gathered[picture, :, :, 0].T.tolist()}
        assert rows == {tuple(maps[p, :, y, x].tolist()) for p, y, x in seen(visible, 6) if p == picture}
    assert torch.equal(visible.scattered(gathered), torch.where(visible.marks(6), maps, 0))
    background = draw(5, seed=1)
    filled = visible.scattered(gathered, background)
    assert torch.equal(filled, torch.where(visible.marks(6), maps, background.view(1, 5, 1, 1)))


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_masked_convolution_is_one_of_visible_places(groups: int, stride: int) -> None:
    torch.manual_seed(0)
    layer, visible = nn.Conv2d(4, 8, 3, stride, padding=1, groups=groups), four_of_nine()
    maps = visible.masked(draw(2, 4, 12, 12))
    with sparse(layer, visible):
        ours = layer(maps)
    assert torch.allclose(ours, convolved_by_loops(layer, maps, visible), atol=1e-5)
    assert ours[~visible.marks(12 // stride).expand_as(ours)].eq(0).all()


@pytest.mark.parametrize("layer", [nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 2, 1)])
def test_a_pooling_window_fills_nothing_that_is_hidden(layer: nn.Module) -> None:
    visible, maps = four_of_nine(), draw(2, 4, 12, 12).abs()
    with sparse(layer, visible):
        ours = layer(visible.masked(maps))
    assert ours[~visible.marks(ours.shape[2]).expand_as(ours)].eq(0).all()
    assert ours.abs().sum() > 0


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", [nn.BatchNorm2d, SyncedBatchNorm])
def test_batch_norm_is_that_of_a_list_of_visible_places(kind: type[nn.BatchNorm2d], training: bool) -> None:
    visible, maps = four_of_nine(), draw(2, 5, 6, 6) * 3 + 1
    layer, listed = kind(5).train(training), nn.BatchNorm1d(5).train(training)
    for norm in (layer, listed):
        nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(1))
        norm.running_mean.fill_(0.7)  # type: ignore[union-attr]
    with sparse(layer, visible):
        ours = layer(maps)
    places = [*seen(visible, 6)]
    rows = listed(torch.stack([maps[picture, :, y, x] for picture, y, x in places]))
    for (picture, y, x), row in zip(places, rows, strict=True):
        assert torch.allclose(ours[picture, :, y, x], row, atol=1e-5)
    assert ours[~visible.marks(6).expand_as(ours)].eq(0).all()
    for name, buffer in listed.named_buffers():
        assert torch.allclose(layer.get_buffer(name), buffer), name


@pytest.mark.parametrize("kind", [SEModule, SqueezeExcite])
def test_squeeze_and_excitation_pools_visible_places_alone(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    layer, visible, maps = kind(8, rd_channels=4), four_of_nine(), draw(2, 8, 6, 6)
    with sparse(layer, visible):
        ours = layer(visible.masked(maps))
    for picture in range(2):
        places = [(y, x) for p, y, x in seen(visible, 6) if p == picture]
        alone = torch.stack([maps[picture, :, y, x] for y, x in places], dim=1)[None, :, :, None]
        theirs = layer(alone)[0, :, :, 0]
        for place, (y, x) in enumerate(places):
            assert torch.allclose(ours[picture, :, y, x], theirs[:, place], atol=1e-6)
    assert ours[~visible.marks(6).expand_as(ours)].eq(0).all()


@pytest.mark.parametrize("name", ENCODERS)
def test_every_layer_of_an_encoder_is_zero_where_hidden_and_computed_from_zeros_elsewhere(name: str) -> None:
    encoder, visible = small_encoder(name), four_of_nine()
    met: list[tuple[nn.Module, Tensor, Tensor]] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...], maps: Tensor) -> None:
        met.append((layer, given[0], maps))

    with sparse(encoder, visible), torch.no_grad():
        noting = [x.register_forward_hook(note) for x in maskable_layers(encoder) if isinstance(x, REACHING)]
        stages = feature_maps(encoder, visible.masked(draw(2, 3, 96, 96)))
        for hook in noting:
            hook.remove()
        assert len(met) > 10
    for layer, given, maps in met:
        hidden = ~visible.marks(maps.shape[2])
        assert given.masked_fill(visible.marks(given.shape[2]), 0).eq(0).all()
        assert maps.masked_fill(~hidden, 0).eq(0).all()
        assert torch.equal(maps, layer(given).masked_fill(hidden, 0))
    assert all(stage.masked_fill(visible.marks(stage.shape[2]), 0).eq(0).all() for stage in stages)
    assert all(stage.abs().sum() > 0 for stage in stages)


@pytest.mark.parametrize("name", ENCODERS)
def test_nothing_that_is_seen_depends_on_what_is_hidden(name: str) -> None:
    encoder, visible, images = small_encoder(name), four_of_nine(), draw(2, 3, 96, 96)
    other = torch.where(visible.marks(96), images, draw(2, 3, 96, 96, seed=9) * 10)
    with sparse(encoder, visible), torch.no_grad():
        first, second = (feature_maps(encoder, visible.masked(pictures)) for pictures in (images, other))
    assert all(map(torch.equal, first, second))


def test_a_hidden_picture_next_to_others_changes_no_statistics() -> None:
    """The same visible patches on larger grids: hidden places are many more, and no number changes."""
    layer, maps = nn.BatchNorm2d(4), draw(2, 4, 2, 2)
    outputs = []
    for grid in (2, 4):
        visible = VisiblePatches(torch.tensor([[0, 1, grid, grid + 1]] * 2), grid)
        with sparse(layer, visible):
            outputs.append(layer(nn.functional.pad(maps, (0, grid - 2, 0, grid - 2)))[:, :, :2, :2])
    assert torch.allclose(*outputs, atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_is_behind_the_block_what_it_was(name: str) -> None:
    encoder, images = small_encoder(name).eval(), draw(2, 3, 96, 96)
    before, state = feature_maps(encoder, images), {key: value.clone() for key, value in encoder.state_dict().items()}
    classes = [type(module) for module in encoder.modules()]
    with sparse(encoder, four_of_nine()):
        assert encoder.state_dict().keys() == state.keys()
        assert not torch.equal(feature_maps(encoder, images)[-1], before[-1])
    with pytest.raises(KeyboardInterrupt), sparse(encoder, four_of_nine()):
        raise KeyboardInterrupt
    assert [type(module) for module in encoder.modules()] == classes
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in encoder.modules())
    assert all(map(torch.equal, feature_maps(encoder, images), before))
    assert all(torch.equal(value, state[key]) for key, value in encoder.state_dict().items())


@pytest.mark.parametrize("name", ENCODERS)
def test_asking_whether_an_encoder_can_be_masked_changes_nothing(name: str) -> None:
    encoder = small_encoder(name)
    state = {key: value.clone() for key, value in encoder.state_dict().items()}
    assert maskable_widths(encoder, name) == [width for width in encoder.out_channels[1:] if width]  # type: ignore[index,union-attr]
    assert all(torch.equal(value, state[key]) for key, value in encoder.state_dict().items())
    assert all(module.training for module in encoder.modules())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mit_b0", "it has a LayerNorm"),
        ("tu-convnext_atto", "it has a LayerNorm2d"),
        ("tu-test_vit", "it has a VisionTransformer"),
        ("efficientnet-b0", "in a map 1 wide no 2 patches a side can be told apart"),
        ("tu-resnetblur18", "something before a Conv2d does not keep zeros"),
    ],
)
def test_an_encoder_that_cannot_be_masked_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(
        UserError, match=f"^--encoder {name}: .*but {reason}; take tu-tf_efficientnet_lite0 or a ResNet"
    ):
        maskable_widths(small_encoder(name), name)
