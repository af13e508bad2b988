"""The network that is trained: whose weights it holds, how much of them it uses, and what it refuses."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from dermssl.errors import UserError
from dermssl.weights.encoder import Start, start_from
from finetune.network.build import Network, build_model, build_network, refuse_size
from finetune.network.compatibility import neighbours, objection, share_used, takes
from finetune.options.config import FinetuneConfig

LITE0, RESNET, SWIN = "tu-tf_efficientnet_lite0", "resnet18", "tu-swin_tiny_patch4_window7_224"
TINY = "tu-test_resnet"
WINDOWED = "tu-test_maxvit"  # windows of 5 cells at a stride of 32
DECODERS = ["unet", "fpn", "pspnet", "linknet"]

slow = pytest.mark.slow

Starts = Callable[[str, str], Start]


@pytest.fixture(scope="module")
def starts() -> Starts:
    """Starts by encoder and init, each made once."""
    made: dict[tuple[str, str], Start] = {}

    def start(encoder: str, init: str) -> Start:
        if (encoder, init) not in made:
            made[encoder, init] = start_from(init, encoder, seed=7)
        return made[encoder, init]

    return start


def configured(decoder: str = "unet", size: int = 64, **options: Any) -> FinetuneConfig:
    """The options with any size; which one is right, only the network can say."""
    config = FinetuneConfig(decoder=decoder, **options)  # type: ignore[arg-type]
    object.__setattr__(config, "image_size", size)
    return config


def beside_the_encoder(net: Network) -> dict[str, torch.Tensor]:
    """The tensors that no init gives: decoder and head."""
    return {name: tensor for name, tensor in net.model.state_dict().items() if not name.startswith("encoder.")}


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("encoder", "init", "decoder"),
    [*((LITE0, "imagenet", decoder) for decoder in DECODERS), (RESNET, "random", "unet")],
)
def test_the_network_holds_the_tensors_that_it_was_given(starts: Starts, encoder: str, init: str, decoder: str) -> None:
    start = starts(encoder, init)
    given = {name: tensor.clone() for name, tensor in start.encoder.state_dict().items()}
    net = build_network(start, configured(decoder))
    inside = net.model.encoder.state_dict()  # type: ignore[union-attr, operator]
    assert net.tensors_compared == len(inside) > 0.1 * len(given)
    assert [name for name, tensor in inside.items() if not torch.equal(tensor, given[name])] == []


@pytest.mark.parametrize("decoder", ["unet", "pspnet"])
def test_arms_differ_in_their_encoder_alone(starts: Starts, decoder: str) -> None:
    random, imagenet, other_seed = (
        build_network(starts(LITE0, init), configured(decoder, seed=seed))
        for init, seed in (("random", 0), ("imagenet", 0), ("random", 1))
    )
    ours, theirs, others = map(beside_the_encoder, (random, imagenet, other_seed))
    assert ours.keys() == theirs.keys() == others.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    drawn = [name for name in ours if ours[name].ndim > 1]
    assert [name for name in drawn if torch.equal(ours[name], others[name])] == []
    stems = [net.model.encoder.state_dict()["model.conv_stem.weight"] for net in (random, imagenet)]  # type: ignore[union-attr, operator]
    assert not torch.equal(*stems)


def test_building_a_network_draws_the_same_after_whatever_was_drawn(starts: Starts) -> None:
    first = beside_the_encoder(build_network(starts(LITE0, "random"), configured("fpn", seed=3)))
    torch.rand(5)
    second = beside_the_encoder(build_network(starts(LITE0, "random"), configured("fpn", seed=3)))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("decoder", ["unet", "fpn", "linknet"])
def test_a_decoder_of_all_stages_uses_the_whole_encoder(starts: Starts, decoder: str) -> None:
    assert build_network(starts(LITE0, "random"), configured(decoder)).share_used == 1.0


@pytest.mark.parametrize(("encoder", "most"), [(LITE0, 0.05), (RESNET, 0.1)])
def test_pspnet_leaves_most_of_the_encoder_unless_told_otherwise(starts: Starts, encoder: str, most: float) -> None:
    start = starts(encoder, "random")
    shares = [build_network(start, configured("pspnet", encoder_depth=depth)).share_used for depth in (None, 4, 5)]
    assert 0 < shares[0] < most
    assert shares[0] < shares[1] < shares[2] == 1.0


def share_of_real_gradients(model: nn.Module, whole: nn.Module) -> float:
    """The obvious way: numbers go forward and gradients come back."""
    model.eval()(torch.randn(1, 3, 64, 64)).sum().backward()
    reached = sum(p.numel() for p in model.encoder.parameters() if p.grad is not None)  # type: ignore[union-attr, operator]
    return reached / sum(p.numel() for p in whole.parameters())


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [("efficientnet-b0", "unet"), (RESNET, "pspnet"), ("mit_b0", "fpn"), ("tu-test_vit", "dpt"), (LITE0, "pspnet")],
)
def test_the_share_of_shapes_is_the_share_of_real_gradients(starts: Starts, encoder: str, decoder: str) -> None:
    whole, model = starts(encoder, "random").encoder, build_model(encoder, decoder)
    assert share_used(model.eval(), whole, 64) == share_of_real_gradients(model, whole) > 0


def test_measuring_the_share_leaves_no_gradient_and_no_trace_in_batch_norm(starts: Starts) -> None:
    net = build_network(starts(RESNET, "random"), configured())
    assert all(parameter.grad is None for parameter in net.model.parameters())
    assert all(parameter.device.type == "cpu" for parameter in net.model.parameters())
    assert net.model.training
    counts = [t for name, t in net.model.state_dict().items() if name.endswith("num_batches_tracked")]
    assert max(counts) == 0


def test_a_share_at_a_large_size_takes_no_memory_for_its_maps(starts: Starts) -> None:
    # A single map of Unet's first stage would be 64 GB.
    model = build_model(RESNET, "unet").eval()
    assert share_used(model, starts(RESNET, "random").encoder, 32_768) == 1.0


@torch.inference_mode()
def takes_really(model: nn.Module, size: int) -> bool:
    """What happens to an image that is there."""
    try:
        return tuple(model(torch.zeros(1, 3, size, size)).shape) == (1, 1, size, size)
    except (RuntimeError, ValueError, AssertionError):
        return False


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        (TINY, "pan"),
        (TINY, "unet"),
        (TINY, "fpn"),
        ("mit_b0", "unet"),
        ("tu-test_vit", "dpt"),
        ("tu-test_vit", "linear"),
        (WINDOWED, "fpn"),
    ],
)
def test_what_shapes_say_of_a_size_is_what_happens_to_images(encoder: str, decoder: str) -> None:
    model = build_model(encoder, decoder).eval()
    sizes = [*range(30, 36), 48, 64, 80, 96, 100, 128, 144, 160]
    assert [not objection(model, size) for size in sizes] == [takes_really(model, size) for size in sizes]


@pytest.mark.parametrize(
    ("encoder", "decoder", "size", "said"),
    [
        (TINY, "unet", 100, "multiples of 32; the next are 96 and 128"),
        (TINY, "pspnet", 100, "multiples of 8; the next are 96 and 104"),
        (TINY, "deeplabv3", 100, "multiples of 8; the next are 96 and 104"),
        (TINY, "pan", 64, "no image so small; the next size is 128"),
        ("tu-test_vit", "dpt", 80, "multiples of 32; the next are 64 and 96"),
        (WINDOWED, "unet", 192, "multiples of 160; the next are 160 and 320"),
    ],
)
def test_a_size_that_does_not_fit_is_refused_with_the_next_ones_that_do(
    encoder: str, decoder: str, size: int, said: str
) -> None:
    model = build_model(encoder, decoder)
    told = refusal(lambda: refuse_size(model, encoder, configured(decoder, size)))
    assert told == f"--image_size {size}: {encoder} under {decoder} takes {said}"
    for near in filter(None, neighbours(model.eval(), size)):
        assert takes_really(model, near)


def test_unet_is_held_to_the_stride_although_the_library_would_shift_its_maps() -> None:
    model = build_model(RESNET, "unet").eval()
    assert takes_really(model, 100)
    assert not takes(model, 100)
    assert takes(model, 96)


def test_dpt_takes_plain_transformers_at_any_size() -> None:
    start = start_from("random", "tu-test_vit", seed=0)
    net = build_network(start, configured("dpt", 96))
    assert net.tensors_compared == len(start.encoder.state_dict())
    head = sum(p.numel() for name, p in start.encoder.named_parameters() if ".norm." in name or ".head." in name)
    assert net.share_used == 1 - head / sum(p.numel() for p in start.encoder.parameters()) > 0.8


@slow
def test_swin_takes_images_of_any_size_that_divides(starts: Starts) -> None:
    net = build_network(starts(SWIN, "random"), configured("fpn", 96))
    assert net.model.eval()(torch.zeros(1, 3, 96, 96)).shape == (1, 1, 96, 96)


@pytest.mark.parametrize(
    ("encoder", "decoder", "why", "remedy"),
    [
        pytest.param(RESNET, "dpt", "it takes plain transformers of timm, such as ", "unet, fpn, pspnet, ", marks=slow),
        pytest.param("tu-test_convnext", "dpt", "it takes plain transformers of timm", "unet, fpn, ", marks=slow),
        ("tu-test_vit", "unet", "Unsupported model downsampling pattern.", "dpt"),
    ],
)
def test_an_encoder_that_a_decoder_cannot_take_is_told_with_the_decoders_that_can(
    encoder: str, decoder: str, why: str, remedy: str
) -> None:
    said = refusal(lambda: build_model(encoder, decoder))
    assert said.startswith(f"--decoder {decoder} does not go with --encoder {encoder} ({why}")
    assert f"; these decoders do: {remedy}" in said


@slow
def test_patches_of_14_pixels_go_under_linear_alone() -> None:
    # Patches of 14 pixels: DPT enlarges by whole factors, and its maps do not meet.
    encoder = "tu-eva02_tiny_patch14_224"
    start = start_from("random", encoder, seed=0)
    said = refusal(lambda: build_network(start, configured("dpt", 224)))
    assert said.startswith(f"--decoder dpt does not go with --encoder {encoder} (")
    assert said.endswith("; these decoders do: linear")
    assert build_network(start, configured("linear", 56)).tensors_compared == len(start.encoder.state_dict())


def test_options_that_an_encoder_does_not_take_are_told_apart_from_the_decoder() -> None:
    said = refusal(lambda: build_model("mit_b0", "fpn", {"encoder_depth": 4}))
    assert said == (
        "--decoder fpn on --encoder mit_b0 does not go with --encoder_depth 4 "
        "(Encoder mit_b0 support only encoder_depth=5); leave these options out"
    )


@pytest.mark.parametrize("encoder", ["resnet17", "tu-nonsense"])
def test_an_unknown_encoder_is_named_first(encoder: str) -> None:
    assert refusal(lambda: build_model(encoder, "unet")).startswith(f"--encoder {encoder}: no such encoder")


def test_weights_that_the_network_would_not_get_are_refused(starts: Starts) -> None:
    start = starts("tu-test_resnet", "random")
    other = replace(start, card=replace(start.card, encoder="tu-test_convnext"))
    assert "not this encoder's weights" in refusal(lambda: build_network(other, configured()))
