from collections.abc import Callable
from typing import get_args

import pytest
import torch

from dermssl.encoder import Start, start_from
from dermssl.errors import UserError
from finetune.decoder_config import Decoder
from finetune.model import Network, build_model, network

LITE0, RESNET = "tu-tf_efficientnet_lite0", "resnet18"
DECODERS = ["unet", "fpn", "pspnet", "linknet"]

Starts = Callable[[str, str], Start]


@pytest.fixture(scope="module")
def starts() -> Starts:
    """Starts by encoder and init, each made once."""
    made: dict[tuple[str, str], Start] = {}

    def start(encoder: str, init: str) -> Start:
        return made.setdefault((encoder, init), start_from(init, encoder, seed=7))

    return start


def beside_the_encoder(net: Network) -> dict[str, torch.Tensor]:
    """The tensors that no init gives: decoder and head."""
    return {name: tensor for name, tensor in net.model.state_dict().items() if not name.startswith("encoder.")}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(("encoder", "init"), [(LITE0, "imagenet"), (RESNET, "random")])
def test_the_network_holds_the_tensors_that_it_was_given(starts: Starts, encoder: str, init: str, decoder: str) -> None:
    start = starts(encoder, init)
    given = {name: tensor.clone() for name, tensor in start.encoder.state_dict().items()}
    net = network(start, decoder, None, seed=0, image_size=64)
    inside = net.model.encoder.state_dict()
    assert net.tensors_compared == len(inside) > 0.1 * len(given)
    assert [name for name, tensor in inside.items() if not torch.equal(tensor, given[name])] == []


@pytest.mark.parametrize("decoder", DECODERS)
def test_arms_differ_in_their_encoder_alone(starts: Starts, decoder: str) -> None:
    random, imagenet, other_seed = (
        network(starts(LITE0, init), decoder, None, seed, 64)
        for init, seed in (("random", 0), ("imagenet", 0), ("random", 1))
    )
    ours, theirs, others = map(beside_the_encoder, (random, imagenet, other_seed))
    assert ours.keys() == theirs.keys() == others.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    drawn = [name for name in ours if ours[name].ndim > 1]
    assert [name for name in drawn if torch.equal(ours[name], others[name])] == []
    assert not torch.equal(*(net.model.encoder.state_dict()["model.conv_stem.weight"] for net in (random, imagenet)))


def test_building_a_network_draws_the_same_after_whatever_was_drawn(starts: Starts) -> None:
    first = beside_the_encoder(network(starts(LITE0, "random"), "fpn", None, seed=3, image_size=64))
    torch.rand(5)
    second = beside_the_encoder(network(starts(LITE0, "random"), "fpn", None, seed=3, image_size=64))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("decoder", ["unet", "fpn", "linknet"])
def test_a_decoder_of_all_stages_uses_the_whole_encoder(starts: Starts, decoder: str) -> None:
    assert network(starts(LITE0, "random"), decoder, None, seed=0, image_size=64).share_used == 1.0


@pytest.mark.parametrize(("encoder", "most"), [(LITE0, 0.05), (RESNET, 0.1)])
def test_pspnet_leaves_most_of_the_encoder_unless_told_otherwise(starts: Starts, encoder: str, most: float) -> None:
    start = starts(encoder, "random")
    shares = [network(start, "pspnet", depth, seed=0, image_size=64).share_used for depth in (None, 4, 5)]
    assert 0 < shares[0] < most
    assert shares[0] < shares[1] < shares[2] == 1.0


def test_measuring_the_share_leaves_no_gradient_and_no_trace_in_batch_norm(starts: Starts) -> None:
    start = starts(RESNET, "random")
    net = network(start, "unet", None, seed=0, image_size=64)
    assert all(parameter.grad is None for parameter in net.model.parameters())
    assert net.model.training
    counts = [t for name, t in net.model.state_dict().items() if name.endswith("num_batches_tracked")]
    assert max(counts) == 0


@pytest.mark.parametrize("depth", [None, 3, 4, 5])
@pytest.mark.parametrize("decoder", [decoder for decoder in get_args(Decoder) if decoder != "dpt"])
def test_every_decoder_gives_a_mask_of_the_input_size_at_every_depth(decoder: str, depth: int | None) -> None:
    model = build_model("tu-test_resnet", decoder, depth).eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 128, 128)).shape == (1, 1, 128, 128)


def test_dpt_takes_plain_transformers_at_any_size() -> None:
    start = start_from("random", "tu-vit_tiny_patch16_224", seed=0)
    net = network(start, "dpt", None, seed=0, image_size=64)
    assert net.tensors_compared == len(start.encoder.state_dict())
    assert net.share_used > 0.9


def test_a_decoder_that_does_not_take_the_encoder_says_what_it_wants() -> None:
    with pytest.raises(UserError, match=r"--decoder dpt: does not go with --encoder resnet18: .*must start with 'tu-'"):
        build_model(RESNET, "dpt", None)


def test_a_transformer_of_another_size_is_refused() -> None:
    start = start_from("random", "tu-swin_tiny_patch4_window7_224", seed=0)
    with pytest.raises(UserError, match="--image_size 64: does not go with encoder and decoder: Input height"):
        network(start, "unet", None, seed=0, image_size=64)


def test_images_too_small_for_a_decoder_are_refused(starts: Starts) -> None:
    with pytest.raises(UserError, match=r"--image_size 64: does not go with encoder and decoder: .*too small"):
        network(starts(RESNET, "random"), "pan", None, seed=0, image_size=64)
