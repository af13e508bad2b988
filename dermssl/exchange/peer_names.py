"""Formats of vision transformers and residual networks that no dialect covers: what each calls which part."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from dermssl.exchange.foreign import ForeignCheckpoint, Place


@dataclass(frozen=True, eq=False)  # known by itself, so that its patterns can be kept
class Peer:
    """A network under the names of its makers or of another library.

    In names, # stands for a number and * for an ending such as weight; ^ is the number one larger. Where a tensor holds
    several parts, one below the other along its first axis, the parts stand side by side.
    """

    title: str
    signs: Sequence[str]
    """Names that lie below one prefix in every such file; the first is searched for."""
    parts: Mapping[str, str]
    """Name -> part of a plain transformer, or timm's name of a layer where `plain` is False."""
    spelling: tuple[str, str] = ("", "")
    """What is written otherwise in some files: a pattern at the beginning of a name, and what stands for it."""
    plain: bool = True
    epsilon: float = 1e-6
    """Of its LayerNorms, where no config beside the file says another."""
    encoders: Mapping[str, int] = field(default_factory=dict)
    """Encoders here that it may be, to be named in a refusal, and the channels behind the first convolution of each."""

    def parts_of(self, name: str) -> list[str]:
        """The parts that a tensor of this name holds; none where the name is not of this format."""
        return next((parts for pattern, ours in patterns(self) if (parts := parts_named(pattern, ours, name))), [])


@dataclass(frozen=True)
class Sighting:
    """A format at a place of a checkpoint."""

    peer: Peer
    prefix: Place
    places: Mapping[str, Place] = field(default_factory=dict)
    """Where each tensor lies, by the name that it has below the prefix in the usual spelling."""


def in_blocks(block: str, theirs: Mapping[str, str]) -> dict[str, str]:
    """Names below a block -> parts of a block, as names and parts of the whole network."""
    return {f"{block}.{name}": " ".join(f"blocks.#.{part}" for part in ours.split()) for name, ours in theirs.items()}


HEADS = ("query", "key", "value")
TORCH_BLOCK = in_blocks("blocks.#", {
    "norm1.*": "norm1.*", "norm2.*": "norm2.*", "ls1.gamma": "scale1", "ls2.gamma": "scale2",
    "attn.qkv.*": "query.* key.* value.*", "attn.proj.*": "out.*",
    "mlp.fc1.*": "up.*", "mlp.fc2.*": "down.*",
    "mlp.w12.*": "gate.* up.*", "mlp.w1.*": "gate.*", "mlp.w2.*": "up.*", "mlp.w3.*": "down.*",
})  # fmt: skip
TORCH = {
    "cls_token": "token", "register_tokens": "registers", "storage_tokens": "registers", "pos_embed": "positions",
    "patch_embed.proj.*": "patch.*", "norm.*": "norm.*", "rope_embed.periods": "periods", **TORCH_BLOCK,
}  # fmt: skip

# transformers 5 calls a model's tensors otherwise than the files that it reads and writes; both are read.
ATTENTION = {
    **{f"attention.attention.{head}.*": f"{head}.*" for head in HEADS},
    **{f"attention.{head[0]}_proj.*": f"{head}.*" for head in HEADS},
    "attention.output.dense.*": "out.*", "attention.o_proj.*": "out.*",
}  # fmt: skip
DINO_BLOCK = {
    **ATTENTION, "norm1.*": "norm1.*", "norm2.*": "norm2.*",
    "layer_scale1.lambda1": "scale1", "layer_scale2.lambda1": "scale2",
    "mlp.fc1.*": "up.*", "mlp.fc2.*": "down.*", "mlp.weights_in.*": "gate.* up.*", "mlp.weights_out.*": "down.*",
    "mlp.gate_proj.*": "gate.*", "mlp.up_proj.*": "up.*", "mlp.down_proj.*": "down.*",
}  # fmt: skip
VIT_BLOCK = {
    **ATTENTION, "layernorm_before.*": "norm1.*", "layernorm_after.*": "norm2.*",
    "intermediate.dense.*": "up.*", "output.dense.*": "down.*", "mlp.fc1.*": "up.*", "mlp.fc2.*": "down.*",
}  # fmt: skip
EMBEDDINGS = {
    "embeddings.mask_token": "mask_token", "embeddings.cls_token": "token", "embeddings.register_tokens": "registers",
    "embeddings.position_embeddings": "positions", "embeddings.patch_embeddings.projection.*": "patch.*",
    "layernorm.*": "norm.*",
}  # fmt: skip
# Encoders here that may lie in these formats, with the width of their tokens.
WIDTHS = {"tiny": 192, "small": 384, "small_plus": 384, "base": 768, "large": 1024, "huge_plus": 1280, "7b": 4096}
DINOV2 = {
    f"tu-vit_{size}_patch14_{registers}dinov2": width
    for registers in ("", "reg4_")
    for size, width in (("small", 384), ("base", 768), ("large", 1024), ("giant", 1536))
}
DINOV3 = {
    f"tu-vit_{size}_patch16_dinov3{bias}": width
    for size, width in WIDTHS.items()
    for bias in ("", "_qkvb")
    if (size, bias) not in (("tiny", ""), ("7b", "_qkvb"))
}
VITS = {
    **{
        f"tu-vit_{size}_patch16_{side}": WIDTHS[size]
        for side in (224, 384)
        for size in ("tiny", "small", "base", "large")
    },
    **{f"tu-vit_base_patch{patch}_224": 768 for patch in (8, 32)},
}

RESNET = {
    "embedder.embedder.convolution.*": "conv1.*", "embedder.embedder.normalization.*": "bn1.*",
    "encoder.stages.#.layers.#.layer.#.convolution.*": "layer^.#.conv^.*",
    "encoder.stages.#.layers.#.layer.#.normalization.*": "layer^.#.bn^.*",
    "encoder.stages.#.layers.#.shortcut.convolution.*": "layer^.#.downsample.0.*",
    "encoder.stages.#.layers.#.shortcut.normalization.*": "layer^.#.downsample.1.*",
}  # fmt: skip
RESNETS = {f"resnet{depth}": 64 for depth in (18, 34, 50, 101, 152)}

PEERS = (
    Peer(
        "DINOv3", ("patch_embed.proj.weight", "rope_embed.periods", "blocks.0.norm1.weight"), TORCH,
        epsilon=1e-5, encoders=DINOV3,
    ),
    Peer(
        "DINOv2", ("patch_embed.proj.weight", "pos_embed", "blocks.0.ls1.gamma"), TORCH,
        spelling=(r"blocks\.\d+\.(?=\d)", "blocks."), encoders=DINOV2,  # its trainings keep blocks in chunks
    ),
    Peer(
        "transformers' DINOv3ViTModel", ("embeddings.patch_embeddings.weight", "layer.0.layer_scale1.lambda1"),
        {
            **EMBEDDINGS, "embeddings.patch_embeddings.*": "patch.*", "norm.*": "norm.*",
            **in_blocks("layer.#", DINO_BLOCK),
        },
        spelling=(r"model\.(?=layer\.)", ""), epsilon=1e-5, encoders=DINOV3,
    ),
    Peer(
        "transformers' Dinov2Model",
        ("embeddings.patch_embeddings.projection.weight", "encoder.layer.0.layer_scale1.lambda1"),
        {**EMBEDDINGS, **in_blocks("encoder.layer.#", DINO_BLOCK)}, encoders=DINOV2,
    ),
    Peer(
        "transformers' ViTModel",
        ("embeddings.patch_embeddings.projection.weight", "encoder.layer.0.layernorm_before.weight"),
        {**EMBEDDINGS, **in_blocks("encoder.layer.#", VIT_BLOCK)},
        spelling=(r"layers\.(?=\d)", "encoder.layer."), epsilon=1e-12, encoders=VITS,
    ),
    Peer(
        "transformers' ResNetModel",
        ("embedder.embedder.convolution.weight", "encoder.stages.0.layers.0.layer.0.convolution.weight"), RESNET,
        plain=False, encoders=RESNETS,
    ),
)  # fmt: skip


@cache
def patterns(peer: Peer) -> list[tuple[re.Pattern[str], str]]:
    """The names of a format as patterns, with the parts of each."""
    return [
        (re.compile(re.escape(name).replace(r"\#", r"(\d+)").replace(r"\*", r"(\w+)")), ours)
        for name, ours in peer.parts.items()
    ]


def parts_named(pattern: re.Pattern[str], ours: str, name: str) -> list[str]:
    """The parts for a name that fits the pattern, with its numbers and its ending; none where it does not fit."""
    match = pattern.fullmatch(name)
    if match is None:
        return []
    parts = []
    for part in ours.split():
        values = iter(match.groups())
        letters = (
            str(int(next(values)) + 1) if letter == "^" else next(values) if letter in "#*" else letter
            for letter in part
        )
        parts.append("".join(letters))
    return parts


def sightings(checkpoint: ForeignCheckpoint) -> Iterator[Sighting]:
    """Every format with all its signs, at every place where it lies."""
    for peer in PEERS:
        first = tuple(peer.signs[0].split("."))
        for place in checkpoint.tensors:
            prefix = place[: -len(first)]
            if place[len(prefix) :] == first:
                sighting = sighted(peer, prefix, checkpoint)
                if sighting.places.keys() >= set(peer.signs):
                    yield sighting


def sighted(peer: Peer, prefix: Place, checkpoint: ForeignCheckpoint) -> Sighting:
    """What lies below a prefix, in the format's usual spelling."""
    pattern, usual = peer.spelling
    places = {}
    for place in checkpoint.tensors:
        if place[: len(prefix)] == prefix:
            name = ".".join(place[len(prefix) :])
            places[re.sub(f"^(?:{pattern})", usual, name) if pattern else name] = place
    return Sighting(peer, prefix, places)


# Formats that are known by a name in them, and of which no encoder here is made.
UNREAD = (
    (r"patch_embedding\.(patch_embeddings|position_embeddings|cls_token)", "MONAI's ViT"),
    (r"swinViT\.", "MONAI's SwinUNETR"),
    (r"\d+\.conv\.unit\d+\.", "MONAI's UNet"),
    (r"_blocks\.\d+\.\d+\._", "MONAI's EfficientNetBN"),
    (r"denseblock\d+\.denselayer\d+\.layers\.", "MONAI's DenseNet"),
    (r"transformer\.resblocks\.\d+\.", "open_clip's and CLIP's vision transformer"),
    (r"vision_model\.(embeddings|encoder)\.", "the vision model of transformers' CLIPModel or SiglipModel"),
    (r"encoder\.stages\.\d+\.layers\.\d+\.dwconv\.", "transformers' ConvNextModel"),
    (r"encoder\.layers\.\d+\.blocks\.\d+\.attention\.self\.", "transformers' SwinModel"),
    (r"encoder\.block\.\d+\.\d+\.attention\.self\.", "transformers' SegformerModel"),
    (r"(embeddings\.patch_embeddings|embedder|attention\.(attention|self)\.query)\.", "a model of transformers"),
    (r"res\d\.\d+\.conv\d\.norm\.", "detectron2's ResNet"),
    (r"layers\.\d+\.attn\.attn\.in_proj_weight", "a transformer of OpenMMLab"),
)


def unread_format(checkpoint: ForeignCheckpoint) -> str:
    """Whose names the tensors have, where these are known and no encoder is made of them; else nothing."""
    for pattern, title in UNREAD:
        if any(re.search(rf"(^|\.){pattern}", ".".join(place) + ".") for place in checkpoint.tensors):
            return title
    return ""
