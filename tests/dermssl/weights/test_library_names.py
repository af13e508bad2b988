"""Names of other libraries: one to one with ours, of equal shapes, and the same network behind them."""

import pytest
import timm
import torch
from timm.models import FeatureListNet
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.exchange.proof import largest_difference, side_for
from dermssl.weights import library_names
from dermssl.weights.encoder import build_encoder
from dermssl.weights.library_names import (
    TIMM,
    TORCHVISION,
    by_name,
    by_order,
    classifier,
    classifier_state,
    counterparts,
    dialects,
    idle,
    meta_state,
    skeleton,
)

SMALL = ("resnet18", "vgg11_bn", "densenet121", "mobilenet_v2", "efficientnet-b0", "dpn68", "se_resnet50")
TU = (
    "tu-resnet18", "tu-convnext_atto", "tu-convnext_tiny", "tu-tf_efficientnet_lite0", "tu-densenet121",
    "tu-regnety_002", "tu-mobilenetv3_small_050", "tu-swin_tiny_patch4_window7_224", "tu-vit_tiny_patch16_224",
    "tu-tresnet_m",
)  # fmt: skip
MORE_TU = (
    "tu-coat_tiny", "tu-hiera_tiny_224", "tu-xception41", "tu-dla34", "tu-hrnet_w18_small", "tu-pvt_v2_b0",
    "tu-nfnet_f0", "tu-maxvit_tiny_tf_224", "tu-poolformer_s12", "tu-twins_svt_small", "tu-repvgg_a0",
    "tu-ghostnet_050",
    "tu-efficientvit_b0", "tu-starnet_s1", "tu-caformer_s18", "tu-mambaout_femto", "tu-fastvit_t8", "tu-vgg11",
    "tu-legacy_seresnet50", "tu-cspdarknet53", "tu-davit_tiny", "tu-rexnet_100", "tu-efficientnet_b4", "tu-resnest14d",
    "tu-mobilenetv2_100", "tu-wide_resnet50_2", "tu-resnext101_64x4d",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def drawn(encoder: str) -> nn.Module:
    """An encoder whose every tensor has values of its own, so that no two can be taken for each other."""
    generator = torch.Generator().manual_seed(0)
    model = build_encoder(encoder)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=generator)
            tensor.copy_(0.5 + noise if name.endswith("running_var") else tensor + 0.02 * (noise - 0.5))
    return model


def filled(library: str, encoder: str, state: dict[str, Tensor]) -> nn.Module:
    """The library's classifier with our tensors under its names."""
    model = classifier(library, counterparts(encoder)[library])
    own = model.state_dict()
    own |= {their: state[our].reshape(own[their].shape) for their, our in dialects(encoder)[library].items()}
    model.load_state_dict(own)
    return model


def bijective(encoder: str) -> None:
    ours = skeleton(encoder)
    assert dialects(encoder).keys() == counterparts(encoder).keys()
    for library, names in dialects(encoder).items():
        theirs = ours if library == "smp" else classifier_state(library, counterparts(encoder)[library])
        assert sorted(names.values()) == sorted(ours)  # each of ours once; a mapping has each of theirs once
        assert all(theirs[their].squeeze().shape == ours[our].squeeze().shape for their, our in names.items())


@pytest.mark.parametrize("encoder", [*SMALL, *TU])
def test_names_are_one_to_one_and_of_one_shape(encoder: str) -> None:
    bijective(encoder)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", sorted({*TIMM, *MORE_TU} - {*SMALL, *TU}))
def test_names_are_one_to_one_for_every_encoder_of_the_tables(encoder: str) -> None:
    bijective(encoder)


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(TORCHVISION))
def test_every_model_of_the_table_is_torchvisions_too(model: str) -> None:
    assert "torchvision" in dialects(f"tu-{model}")


@pytest.mark.parametrize("encoder", ["resnet18", "mobilenet_v2", "efficientnet-b0", "tu-convnext_atto"])
def test_the_library_computes_our_maps_from_our_tensors_under_its_names(encoder: str) -> None:
    ours = drawn(encoder)
    for library in dialects(encoder).keys() - {"smp"}:
        assert largest_difference(ours, filled(library, encoder, ours.state_dict()), side_for(encoder)) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoder",
    [
        "resnext50_32x4d", "vgg11", "vgg11_bn", "densenet121", "dpn68", "dpn68b", "se_resnet50", "se_resnext50_32x4d",
        "senet154", "timm-efficientnet-b0", "timm-efficientnet-b4", "timm-tf_efficientnet_lite0", "mobileone_s0",
        "mobileone_s1", "tu-convnext_tiny", "tu-efficientnet_b0", "tu-efficientnet_b4", "tu-densenet121",
        "tu-mobilenetv2_100", "tu-wide_resnet50_2", "tu-swin_tiny_patch4_window7_224", "tu-vit_tiny_patch16_224",
        "tu-regnety_002", "tu-tresnet_m", "tu-xception41", "tu-hrnet_w18_small",
    ],
)  # fmt: skip
def test_the_maps_are_equal_for_every_family(encoder: str) -> None:
    ours = drawn(encoder)
    for library in dialects(encoder).keys() - {"smp"}:
        assert largest_difference(ours, filled(library, encoder, ours.state_dict()), side_for(encoder)) <= 1e-5


@pytest.mark.parametrize(("encoder", "stages"), [("tu-convnext_atto", 4), ("tu-resnet18", 5), ("tu-densenet121", 5)])
def test_names_of_timm_are_those_of_the_very_tensors_that_its_own_wrapper_renames(encoder: str, stages: int) -> None:
    model = timm.create_model(encoder.removeprefix("tu-"))
    before = {id(tensor): name for name, tensor in model.named_parameters()}
    wrapped = FeatureListNet(
        model, out_indices=tuple(range(stages)), flatten_sequential=stages == 4 or "dense" in encoder
    )
    moved = {before[id(tensor)]: f"model.{name}" for name, tensor in wrapped.named_parameters()}
    names = dialects(encoder)["timm"]
    assert {their: names[their] for their in moved} == moved


@pytest.mark.parametrize("encoder", ["inceptionv4", "efficientnet-b1", "mit_b0", "timm-skresnet18", "mobileone_s4"])
def test_an_encoder_that_no_library_computes_alike_has_our_names_alone(encoder: str) -> None:
    assert dialects(encoder).keys() == {"smp"}


@pytest.mark.slow
def test_equal_names_of_another_network_do_not_pass_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_names, "TIMM", {"timm-efficientnet-b0": "tf_efficientnet_b0"})  # pads otherwise
    dialects.cache_clear()
    ours = drawn("timm-efficientnet-b0")
    theirs = filled("timm", "timm-efficientnet-b0", ours.state_dict())
    dialects.cache_clear()
    assert largest_difference(ours, theirs, 96) > 1e-2


def test_the_classifier_that_smp_leaves_in_a_transformer_is_idle() -> None:
    assert idle("tu-vit_tiny_patch16_224") == {"model.head.weight", "model.head.bias"}
    assert idle("tu-resnet18") == idle("resnet18") == idle("mit_b0") == frozenset()


def test_a_tag_changes_nobodys_names() -> None:
    assert dialects("tu-resnet18.a1_in1k") == dialects("tu-resnet18")


def test_an_unknown_encoder_is_told() -> None:
    with pytest.raises(UserError, match="tu-nope: no such encoder"):
        dialects("tu-nope")


def test_names_tell_only_where_all_are_found_once_and_fit() -> None:
    one, two = torch.empty(1), torch.empty(2)
    assert by_name({"a.b": one, "head": two}, {"model.a_b": one}) == {"a.b": "model.a_b"}
    assert by_name({"a.b": one}, {"model.a_b": one, "model.c": one}) is None
    assert by_name({"a.b": one, "a_b": one}, {"a.b": one}) is None
    assert by_name({"a.b": two}, {"model.a_b": one}) is None
    assert by_name({"a.b": one.long()}, {"a.b": one}) is None


def test_order_tells_only_where_every_shape_agrees() -> None:
    row, scale = torch.empty(3), torch.empty(3, 1, 1)
    assert by_order({"x": scale, "y": row, "head": row}, {"a": row, "b": row}) == {"x": "a", "y": "b"}
    assert by_order({"x": row}, {"a": row, "b": row}) is None
    assert by_order({"x": torch.empty(4), "y": row}, {"a": row, "b": row}) is None


def test_a_model_that_cannot_be_built_without_values_is_built_with_them() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(int(torch.tensor(2).item()), 1)

    state = meta_state(Counting)
    assert {name: (tensor.device.type, tensor.shape) for name, tensor in state.items()} == {
        "layer.weight": ("meta", (1, 2)), "layer.bias": ("meta", (1,))
    }  # fmt: skip
