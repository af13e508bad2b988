"""Every option of a decoder reaches the library's argument of that meaning, and none is taken that would be ignored."""

import dataclasses
import inspect
import json
import re
from functools import cache
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from dermssl.errors import UserError
from dermssl.flags import parse
from finetune.network.build import build_model
from finetune.network.linear import LinearNetwork
from finetune.options.config import FinetuneConfig
from finetune.options.decoder import ARGUMENTS, DECODERS, STRIDES, DecoderConfig, decoder_options_of

RESNET, TRANSFORMER = "tu-test_resnet", "tu-test_vit"
NETWORKS = {**smp.MODEL_ARCHITECTURES_MAPPING, "linear": LinearNetwork}
OURS = {  # what the toolkit decides by itself
    "self", "encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params", "upsampling",
    "kwargs",
}  # fmt: skip
OTHER: dict[str, list[Any]] = {  # values that are nobody's default, for the decoders that do not take the first
    "encoder_depth": [4, 3],
    "decoder_fusion_channels": [32],
    "decoder_norm": ["identity"],
    "decoder_attention": ["scse"],
    "decoder_attention_channels": [8],
    "decoder_dropout": [0.4],
    "decoder_interpolation": ["bilinear", "nearest"],
    "decoder_merge": ["cat"],
    "decoder_readout": ["ignore"],
    "atrous_rates": [(2, 3, 4)],
    "atrous_separable": [True, False],
    "output_stride": [16],
    "encoder_blocks": [(0, 1, 3, 5)],
}
TUPLES = ("decoder_channels", "atrous_rates", "encoder_blocks")
HAD = [(option, decoder) for option in ARGUMENTS for decoder in ARGUMENTS[option]]


def signature(decoder: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(NETWORKS[decoder].__init__).parameters)


def encoder_for(decoder: str) -> str:
    return TRANSFORMER if decoder in ("dpt", "linear") else RESNET


def configured(decoder: str, **options: Any) -> DecoderConfig:
    return DecoderConfig(decoder=decoder, **options)  # type: ignore[arg-type]


def built(config: DecoderConfig) -> nn.Module:
    torch.manual_seed(0)
    return build_model(encoder_for(config.decoder), config.decoder, decoder_options_of(config)).eval()


@torch.inference_mode()
def picture_of(model: nn.Module) -> tuple[str, torch.Tensor]:
    """What the network is made of, and what it says to noise."""
    # Pan pools its last map three times.
    side = 8 * model.encoder.output_stride if isinstance(model, smp.PAN) else 64  # type: ignore[operator]
    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    mask = model(images)
    assert mask.shape == (1, 1, side, side)
    return repr(model), mask


@cache
def own_picture(decoder: str) -> tuple[str, torch.Tensor]:
    return picture_of(built(configured(decoder)))


def changed(option: str, decoder: str) -> DecoderConfig:
    """The decoder with this option at a value that is not its own."""
    if option == "decoder_channels":
        return configured(decoder, decoder_channels=(64, 32, 32, 16, 16)[: configured(decoder).widths])
    own = signature(decoder)[ARGUMENTS[option][decoder]].default
    values = STRIDES[decoder] if option == "output_stride" else OTHER[option]
    return configured(decoder, **{option: next(value for value in values if value != own)})


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_table_names_every_argument_of_the_library_that_is_not_ours_to_decide(decoder: str) -> None:
    named = {arguments[decoder] for arguments in ARGUMENTS.values() if decoder in arguments}
    assert named == signature(decoder).keys() - OURS


def test_every_option_of_a_decoder_stands_in_the_table() -> None:
    assert {field.name for field in dataclasses.fields(DecoderConfig)} == {"decoder", *ARGUMENTS}


def test_the_library_has_no_decoder_that_is_not_offered() -> None:
    assert set(DECODERS) == set(smp.MODEL_ARCHITECTURES_MAPPING) | {"linear"}


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_depth_that_is_not_given_is_the_architectures_own(decoder: str) -> None:
    assert configured(decoder).depth == signature(decoder)["encoder_depth"].default


@pytest.mark.parametrize("decoder", DECODERS)
def test_an_option_changes_the_network(decoder: str) -> None:
    own, before = own_picture(decoder)
    without_effect = []
    for option in (option for option in ARGUMENTS if decoder in ARGUMENTS[option]):
        other, after = picture_of(built(changed(option, decoder)))
        if own == other and torch.equal(before, after):
            without_effect.append(option)
    assert without_effect == []


@pytest.mark.parametrize("option", ARGUMENTS)
def test_an_option_that_the_decoder_ignores_is_refused_with_the_decoders_that_have_it(option: str) -> None:
    value = (64,) if option == "decoder_channels" else OTHER[option][0]
    having = " or ".join(ARGUMENTS[option])
    answers = {decoder: refusal(decoder, option, value) for decoder in DECODERS if decoder not in ARGUMENTS[option]}
    sentence = rf"--{option} \S.*: {{}} has no such option; take --decoder {having}, "
    assert {name: said for name, said in answers.items() if not re.match(sentence.format(name), said)} == {}


def refusal(decoder: str, option: str, value: Any) -> str:
    """What is said to an option of a decoder, or nothing."""
    try:
        configured(decoder, **{option: value})
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("decoder", "options", "said"),
    [
        ("unet", {"encoder_depth": 2}, "--encoder_depth 2: unet takes 3 to 5 stages"),
        ("dpt", {"encoder_depth": 5}, "--encoder_depth 5: dpt takes 1 to 4 stages"),
        ("unet", {"encoder_depth": 0}, "--encoder_depth 0: unet takes 3 to 5 stages"),
        ("unet", {"decoder_channels": (8, 4)}, "--decoder_channels 8 4: unet of 5 stages takes 5, got 2"),
        ("unet", {"decoder_channels": (9, 8, 7, 6, 5), "encoder_depth": 4}, "of 4 stages takes 4, got 5"),
        ("fpn", {"decoder_channels": (8, 4)}, "--decoder_channels 8 4: fpn takes 1, got 2"),
        ("fpn", {"decoder_channels": (0,)}, "--decoder_channels must be positive, got 0"),
        ("fpn", {"decoder_fusion_channels": 40}, "--decoder_fusion_channels of fpn is a multiple of 32, got 40"),
        ("manet", {"decoder_attention_channels": -1}, "--decoder_attention_channels must be positive, got -1"),
        ("unet", {"decoder_attention": "scse", "decoder_channels": (64, 32, 16, 8, 8)}, "at least 16, got 64 32 16 8"),
        ("fpn", {"decoder_dropout": 1.0}, r"--decoder_dropout is a share in \[0, 1\), got 1.0"),
        ("deeplabv3", {"atrous_rates": (6, 12)}, "--atrous_rates takes three dilations, got 6 12"),
        ("deeplabv3", {"atrous_rates": (6, 12, 0)}, "--atrous_rates must be positive, got 6 12 0"),
        ("deeplabv3", {"output_stride": 32}, "--output_stride 32: deeplabv3 takes 8 or 16"),
        ("pan", {"output_stride": 8}, "--output_stride 8: pan takes 16 or 32"),
        ("dpt", {"encoder_blocks": (1, 2)}, "--encoder_blocks 1 2: dpt of 4 stages takes 4"),
        ("linear", {"encoder_blocks": (1, 2), "encoder_depth": 1}, "--encoder_blocks 1 2: linear of 1 stages takes 1"),
        ("linear", {"encoder_depth": 6}, "--encoder_depth 6: linear takes 1 to 5 stages"),
        ("upernet", {"decoder_norm": "instancenorm"}, "--decoder_norm instancenorm: upernet normalises a map of one"),
    ],
)
def test_a_wrong_value_is_refused_before_torch_is_there(decoder: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        configured(decoder, **options)


@pytest.mark.parametrize(("option", "decoder"), [(option, decoder) for option, decoder in HAD if option in TUPLES])
def test_what_a_card_holds_builds_the_same_network(option: str, decoder: str) -> None:
    given = decoder_options_of(changed(option, decoder))
    assert given
    with torch.device("meta"):
        ours, theirs = (
            build_model(encoder_for(decoder), decoder, options)
            for options in ({option: getattr(changed(option, decoder), option)}, json.loads(json.dumps(given)))
        )
    assert repr(ours) == repr(theirs)


def test_only_what_is_given_is_kept_so_that_older_cards_build_what_they_always_did() -> None:
    assert decoder_options_of(DecoderConfig()) == {}
    assert decoder_options_of(DecoderConfig(decoder="fpn", encoder_depth=4, decoder_merge="cat")) == {
        "encoder_depth": 4,
        "decoder_merge": "cat",
    }
    shapes = [
        {name: tensor.shape for name, tensor in build_model(RESNET, "unet", options).state_dict().items()}
        for options in (None, {}, {"encoder_depth": None}, {"encoder_depth": 5})
    ]
    assert shapes[0] == shapes[1] == shapes[2] == shapes[3]


@pytest.mark.parametrize(
    "words", [["--decoder_channels", "64", "32", "16", "16", "8"], ["--decoder", "fpn", "--decoder_dropout", "0"]]
)
def test_options_come_from_flags(words: list[str]) -> None:
    given = decoder_options_of(parse(FinetuneConfig, "test", words))
    assert given in ({"decoder_channels": [64, 32, 16, 16, 8]}, {"decoder_dropout": 0.0})


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_gives_a_mask_of_the_input_size_at_every_depth(decoder: str) -> None:
    for depth in {"dpt": (1, 2, 3, 4), "linear": (1, 2, 3, 4, 5)}.get(decoder, (3, 4, 5)):
        picture_of(built(configured(decoder, encoder_depth=depth)))


@pytest.mark.parametrize("depth", [3, 5])
@pytest.mark.parametrize(
    ("decoder", "stride"), [("deeplabv3", 8), ("deeplabv3", 16), ("deeplabv3plus", 8), ("deeplabv3plus", 16),
                            ("pan", 16), ("pan", 32)],
)  # fmt: skip
def test_every_stride_goes_with_every_depth(decoder: str, stride: int, depth: int) -> None:
    picture_of(built(configured(decoder, output_stride=stride, encoder_depth=depth)))


@pytest.mark.parametrize("decoder", sorted(ARGUMENTS["decoder_norm"].keys() - {"upernet"}))
def test_instance_normalisation_trains(decoder: str) -> None:
    model = built(configured(decoder, decoder_norm="instancenorm")).train()
    assert any(isinstance(module, nn.InstanceNorm2d) and module.affine for module in model.modules())
    assert model(torch.randn(2, 3, 64, 64)).isfinite().all()


def test_layer_normalisation_is_not_offered_because_the_librarys_is_of_the_maps_width() -> None:
    model = smp.Unet(RESNET, encoder_weights=None, decoder_use_norm="layernorm")
    with pytest.raises(RuntimeError, match="normalized_shape"):
        model(torch.zeros(1, 3, 64, 64))


def test_a_readout_of_a_class_token_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="the encoder has no class token; take --decoder_readout ignore, not add"):
        build_model("tu-test_vit_relpos", "dpt", {"decoder_readout": "add"})


def test_blocks_that_the_transformer_does_not_have_are_refused() -> None:
    with pytest.raises(UserError, match=r"test_vit does not go with --encoder_blocks 0 1 2 99 \(.*index = 99"):
        build_model(TRANSFORMER, "dpt", {"encoder_blocks": [0, 1, 2, 99]})
