"""An encoder is the same alone and under a decoder: every tensor, every feature map, for every family of encoders.

DERMSSL_ENCODER_TABLE names a file for the table in docs/: what a decoder uses of an encoder. Of each of smp's classes
the smallest member stands here, of timm's models the smallest of many families; combinations that cannot be are listed
with the library's reason, and the test holds that they are refused.
"""

import gc
import os
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import Tensor

from dermssl.errors import UserError
from dermssl.weights.encoder import Start, feature_maps, start_from
from finetune.network.build import build_network
from finetune.options.config import FinetuneConfig

DECODERS = ("unet", "fpn", "pspnet", "linknet")
FAST = [
    "resnet18", "mobilenet_v2", "efficientnet-b0", "timm-tf_efficientnet_lite0", "timm-skresnet18", "mit_b0",
    "tu-resnet10t", "tu-convnext_atto", "tu-mobilenetv3_small_050", "tu-regnetx_002", "tu-pvt_v2_b0", "tu-ghostnet_050",
]  # fmt: skip
SLOW = [
    "resnext50_32x4d", "dpn68", "vgg11", "vgg11_bn", "se_resnet50", "se_resnext50_32x4d", "densenet121",
    "inceptionresnetv2", "inceptionv4", "xception", "timm-efficientnet-b0", "timm-skresnext50_32x4d", "mobileone_s0",
    "tu-resnest14d", "tu-res2net50_26w_4s", "tu-regnety_002", "tu-nf_regnet_b0", "tu-convnextv2_atto",
    "tu-tf_efficientnetv2_b0", "tu-tf_efficientnet_lite0", "tu-mobilenetv2_050", "tu-mobilenetv4_conv_small_035",
    "tu-swin_tiny_patch4_window7_224", "tu-swinv2_cr_tiny_ns_224", "tu-swinv2_tiny_window8_256",
    "tu-coatnet_pico_rw_224", "tu-maxvit_nano_rw_256", "tu-hrnet_w18_small", "tu-densenet121", "tu-dla46_c", "tu-vgg11",
    "tu-xception41", "tu-mnasnet_small", "tu-fbnetc_100", "tu-rexnet_100", "tu-hardcorenas_a", "tu-mobileone_s0",
    "tu-repvgg_a0", "tu-edgenext_xx_small", "tu-efficientformerv2_s0", "tu-fastvit_t8", "tu-davit_tiny",
    "tu-focalnet_tiny_srf", "tu-poolformer_s12", "tu-cs3darknet_focus_s", "tu-hgnetv2_b0", "tu-tresnet_m",
    "tu-inception_v3",
]  # fmt: skip
OWN_SIZE = {
    "tu-coatnet_pico_rw_224": 224,
    "tu-efficientformerv2_s0": 224,
    "tu-maxvit_nano_rw_256": 256,
    "inceptionresnetv2": 96,
    "inceptionv4": 96,
    "tu-inception_v3": 96,
}
REFUSED = {
    # Its convolutions pad nothing, so that a map is less than half of the one before.
    ("tu-inception_v3", "fpn"): "Attempting to broadcast a dimension",
    ("tu-inception_v3", "pspnet"): "the mask has 72 x 72 pixels",
    ("tu-inception_v3", "linknet"): "Attempting to broadcast a dimension",
    ("mit_b0", "linknet"): "Encoder `mit_b0` is not supported for Linknet",
    ("tu-rexnet_100", "pspnet"): "Invalid channel dimensions",  # its stage's channels divide by no 4
}
NO_MAPS = [
    "tu-visformer_tiny",
    "tu-levit_128s",
    "tu-nest_tiny",
]  # their maps begin at a stride of 8 or 16, or end early

# Beside the deepest decoder: one that leaves stages out, the one that is refused, and all decoders of one encoder.
AWKWARD = {("mit_b0", "pspnet"), ("mit_b0", "linknet"), ("tu-convnext_atto", "pspnet"), ("tu-resnet10t", "fpn")}
AWKWARD |= {*((name, "unet") for name in FAST), *(("resnet18", decoder) for decoder in DECODERS)}

Rows = dict[tuple[str, str], tuple[int, float]]
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def rows() -> Iterator[Rows]:
    """Tensors and share used by encoder and decoder, as far as the tests have gone; a table in the end."""
    found: Rows = {}
    yield found
    if "DERMSSL_ENCODER_TABLE" in os.environ:
        Path(os.environ["DERMSSL_ENCODER_TABLE"]).write_text(table(found))


def table(rows: Rows) -> str:
    lines = [f"| encoder | tensors | {' | '.join(DECODERS)} |", "|---|---|" + "---|" * len(DECODERS)]
    for name in dict.fromkeys(name for name, _ in rows):
        shares = [f"{rows[name, d][1]:.1%}" if (name, d) in rows else "refused" for d in DECODERS]
        lines.append(f"| `{name}` | {rows[name, 'unet'][0]} | {' | '.join(shares)} |")
    return "\n".join(lines) + "\n"


@lru_cache(maxsize=1)
def alone(name: str) -> tuple[Start, Tensor, list[Tensor]]:
    """The encoder with its weights, images, and its maps of them."""
    gc.collect()  # the one before
    start = start_from("random", name, seed=0)
    size = OWN_SIZE.get(name, 64)
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return start, images, feature_maps(start.encoder.eval(), images)


@pytest.mark.parametrize(
    ("name", "decoder"),
    [
        pytest.param(name, decoder, marks=[slow] * ((name, decoder) not in AWKWARD))
        for name, decoder in product([*FAST, *SLOW], DECODERS)
    ],
)
def test_an_encoder_is_the_same_alone_and_under_a_decoder(name: str, decoder: str, rows: Rows) -> None:
    start, images, maps = alone(name)
    config = FinetuneConfig(encoder=name, decoder=decoder, image_size=images.shape[-1])  # type: ignore[arg-type]
    if (name, decoder) in REFUSED:
        with pytest.raises(UserError) as refusal:
            build_network(start, config)
        assert str(refusal.value).startswith(f"--decoder {decoder} does not go with --encoder {name} (")
        assert REFUSED[name, decoder] in str(refusal.value)
        assert "; these decoders do: unet, " in str(refusal.value)
        return
    net = build_network(start, config)
    with torch.inference_mode():
        inside = feature_maps(net.model.eval().encoder, images)  # type: ignore[arg-type]
        logits = net.model(images)
    rows[name, decoder] = len(start.encoder.state_dict()), net.share_used
    assert net.tensors_compared == len(net.model.encoder.state_dict())  # type: ignore[union-attr, operator]
    assert [(a - b).abs().max().item() for a, b in zip(maps, inside, strict=False)] == [0.0] * len(inside)
    assert logits.shape == (1, 1, *images.shape[2:])
    assert logits.isfinite().all()
    assert 0 < net.share_used <= 1


def test_every_class_of_the_librarys_encoders_has_a_member_here() -> None:
    kinds = {encoder["encoder"] for encoder in smp.encoders.encoders.values()}
    assert kinds == {smp.encoders.encoders[name]["encoder"] for name in [*FAST, *SLOW] if name in smp.encoders.encoders}
    assert sum(name.startswith("tu-") for name in [*FAST, *SLOW]) >= 25


@pytest.mark.parametrize("name", NO_MAPS)
def test_a_network_without_the_stages_of_a_decoder_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"--encoder {name}: gives no feature maps, which decoders need"):
        start_from("random", name, seed=0)
