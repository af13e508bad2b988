"""Foundation models as their makers and transformers name them: the imported encoder sees what the source saw."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import SwiGLUPacked
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.exchange.import_config import ImportConfig
from dermssl.exchange.import_run import run
from dermssl.exchange.peer_names import PEERS
from dermssl.exchange.peer_network import PeerBlock, Setting
from dermssl.exchange.peer_tensors import block_tensors, enlarged_positions
from dermssl.weights.encoder import feature_maps, start_from

State = dict[str, Tensor]
V2, V2_REG, V3, VIT = (
    "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_tiny_patch16_dinov3_qkvb",
    "vit_tiny_patch16_224",
)  # fmt: skip
SMALL = {V2: 56, V2_REG: 56, V3: 64, VIT: 64}  # sides of pictures for which the sources' positions are

pytestmark = pytest.mark.usefixtures("workplace")


def source(name: str) -> nn.Module:
    """timm's network for small pictures, with weights that no layer begins with."""
    positions = {} if name == V3 else {"img_size": SMALL[name]}
    model = timm.create_model(name, num_classes=0, **positions)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05 + 0.1
    return model.eval()


def renamed(state: State, *rules: tuple[str, str]) -> State:
    """The tensors with every pattern of the rules replaced, in their order."""
    names = {name: name for name in state}
    for pattern, replacement in rules:
        names = {name: re.sub(pattern, replacement, theirs) for name, theirs in names.items()}
    return {theirs: state[name] for name, theirs in names.items()}


def split(state: State, joint: str, parts: tuple[str, ...]) -> State:
    """The tensors with each that is called `joint` in several, its rows dealt out."""
    tensors: State = {}
    for name, tensor in state.items():
        if joint in name:
            pieces = zip(parts, tensor.chunk(len(parts)), strict=True)
            tensors |= {name.replace(joint, part): piece.clone() for part, piece in pieces}
        else:
            tensors[name] = tensor
    return tensors


def with_class_position(state: State) -> State:
    """A token whose position is kept beside it, as DINOv2 with registers does and timm does not."""
    place = torch.full_like(state["cls_token"], 0.3)
    positions = torch.cat([place, state["pos_embed"]], dim=1)
    return {**state, "cls_token": state["cls_token"] - place, "pos_embed": positions}


def dinov2(state: State) -> Any:
    """As its trainings keep it: blocks in four chunks."""
    chunked = {
        re.sub(r"^blocks\.(\d+)\.", lambda number: f"blocks.{int(number[1]) // 3}.{number[1]}.", name): tensor
        for name, tensor in state.items()
    }
    return {"teacher": {f"backbone.{name}": tensor for name, tensor in chunked.items()} | {
        "backbone.mask_token": torch.zeros(1, 384), "dino_head.mlp.0.weight": torch.zeros(4, 384)}}  # fmt: skip


def dinov2_registers(state: State) -> Any:
    named = renamed(with_class_position(state), ("^reg_token", "register_tokens"))
    return {**named, "mask_token": torch.zeros(1, 384)}


def dinov3(state: State) -> Any:
    """With keys' biases that a mask takes out again, and the rotations' periods."""
    named = renamed(state, ("^reg_token", "storage_tokens"), (r"gamma_(\d)", r"ls\1.gamma"))
    for number in range(12):
        attention = f"blocks.{number}.attn."
        query, value = (named.pop(f"{attention}{head}_bias") for head in "qv")
        named[f"{attention}qkv.bias"] = torch.cat([query, torch.full_like(query, 7.0), value])
        named[f"{attention}qkv.bias_mask"] = torch.cat([torch.ones(192), torch.zeros(192), torch.ones(192)])
    periods = 100 ** torch.tensor([index / 16 for index in range(16)])
    return {**named, "rope_embed.periods": periods, "mask_token": torch.zeros(1, 192)}


def of_transformers(state: State, projections: tuple[str, ...]) -> State:
    """What Dinov2Model and ViTModel have in common."""
    named = renamed(state, (r"^cls_token", "embeddings.cls_token"), (r"^pos_embed", "embeddings.position_embeddings"),
                    (r"^patch_embed.proj", "embeddings.patch_embeddings.projection"), (r"^norm\.", "layernorm."),
                    (r"^blocks", "encoder.layer"), (r"^reg_token", "embeddings.register_tokens"))  # fmt: skip
    return split(named, "attn.qkv", projections)


IN_FILES = ("attention.attention.query", "attention.attention.key", "attention.attention.value")
IN_MEMORY = ("attention.q_proj", "attention.k_proj", "attention.v_proj")


def dinov2_of_transformers(state: State) -> Any:
    named = of_transformers(state, IN_FILES)
    named = renamed(named, (r"attn\.proj", "attention.output.dense"), (r"ls(\d)\.gamma", r"layer_scale\1.lambda1"))
    return {**named, "embeddings.mask_token": torch.zeros(1, 384)}


def dinov2_of_transformers_5(state: State) -> Any:
    """As `model.state_dict()` gives it since version 5, inside a classifier."""
    named = of_transformers(with_class_position(state), IN_MEMORY)
    named = renamed(named, (r"attn\.proj", "attention.o_proj"), (r"ls(\d)\.gamma", r"layer_scale\1.lambda1"))
    return {f"dinov2.{name}": tensor for name, tensor in named.items()} | {"classifier.weight": torch.zeros(2, 384)}


def dinov3_of_transformers(state: State) -> Any:
    named = renamed(state, (r"^cls_token", "embeddings.cls_token"), (r"^reg_token", "embeddings.register_tokens"),
                    (r"^patch_embed.proj", "embeddings.patch_embeddings"), (r"^blocks", "layer"),
                    (r"attn\.q_bias", "attention.q_proj.bias"), (r"attn\.v_bias", "attention.v_proj.bias"),
                    (r"attn\.proj", "attention.o_proj"), (r"gamma_(\d)", r"layer_scale\1.lambda1"),
                    (r"mlp\.fc1", "mlp.up_proj"), (r"mlp\.fc2", "mlp.down_proj"))  # fmt: skip
    return split(named, "attn.qkv", IN_MEMORY) | {"embeddings.mask_token": torch.zeros(1, 1, 192)}


def vit_of_transformers(state: State) -> Any:
    named = of_transformers(state, IN_FILES)
    named = renamed(named, (r"attn\.proj", "attention.output.dense"), (r"norm1", "layernorm_before"),
                    (r"norm2", "layernorm_after"), (r"mlp\.fc1", "intermediate.dense"),
                    (r"mlp\.fc2", "output.dense"))  # fmt: skip
    return {**named, "pooler.dense.weight": torch.zeros(192, 192), "pooler.dense.bias": torch.zeros(192)}


FORMATS = [
    pytest.param(dinov2, V2, "names of DINOv2", marks=pytest.mark.slow),
    (dinov2_registers, V2_REG, "names of DINOv2"),
    (dinov3, V3, "names of DINOv3"),
    (dinov2_of_transformers, V2, "names of transformers' Dinov2Model"),
    pytest.param(dinov2_of_transformers_5, V2_REG, "names of transformers' Dinov2Model", marks=pytest.mark.slow),
    (dinov3_of_transformers, V3, "names of transformers' DINOv3ViTModel"),
    (vit_of_transformers, VIT, "names of transformers' ViTModel"),
]


def imported(content: Any, encoder: str) -> Path:
    torch.save(content, "net.pth")
    return run(ImportConfig(file=Path("net.pth"), encoder=encoder))


def refusal(content: Any, encoder: str) -> str:
    with pytest.raises(UserError) as caught:
        imported(content, encoder)
    return str(caught.value)


@pytest.mark.parametrize(("draw", "name", "names"), FORMATS)
@torch.no_grad()
def test_the_imported_encoder_gives_the_features_of_its_source(
    draw: Callable[[State], Any], name: str, names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = source(name)
    file = imported(draw(dict(model.state_dict())), f"tu-{name}")
    images = torch.randn(2, 3, SMALL[name], SMALL[name], generator=torch.Generator().manual_seed(0))
    theirs = model.forward_intermediates(images, indices=[2, 11], intermediates_only=True)  # type: ignore[operator]
    maps = feature_maps(start_from(str(file), f"tu-{name}", seed=0).encoder.eval(), images)
    for ours, reference in ((maps[0], theirs[0]), (maps[-1], theirs[-1])):
        assert (ours - reference).abs().max() < 1e-5 * reference.abs().max()
    said = capsys.readouterr().out
    assert f"{names}, brought to timm's names" in said
    assert "written out here over the file's own tensors" in said
    if name == V2_REG:
        assert "changed: the class token's position added to the token" in said
        assert "changed: positions from 4 x 4 to 37 x 37, such that timm gives back the file's own" in said
        assert "at 56 pixels" in said


@pytest.mark.parametrize("small", [1, 4, 16, 36])
def test_enlarged_positions_reduced_by_timm_are_those_of_the_file(small: int) -> None:
    grid = torch.randn(1, small * small, 3, generator=torch.Generator().manual_seed(0))
    back = timm.layers.resample_abs_pos_embed(
        enlarged_positions(grid, 37), new_size=[small, small], num_prefix_tokens=0
    )
    assert torch.allclose(back, grid, atol=1e-5)


def test_smooth_positions_stay_smooth_when_they_are_enlarged() -> None:
    """A plane becomes a plane, but for the border, where bicubic interpolation has no neighbours."""
    steps = torch.linspace(-1, 1, 16)
    large = enlarged_positions((steps[:, None] + steps).reshape(1, 256, 1), 37).reshape(37, 37)
    bend = large[2:, 5:-5] - 2 * large[1:-1, 5:-5] + large[:-2, 5:-5]
    assert bend[5:-5].abs().max() < 0.01


@pytest.mark.parametrize("packed", ["w12", "weights_in"])
@torch.no_grad()
def test_a_gated_perceptron_is_packed_gate_first(packed: str) -> None:
    """DINOv2's largest network, of which one block is enough."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"up": (24, 16), "gate": (24, 16), "down": (16, 24), "out": (16, 16), "query": (16, 16), "key": (16, 16),
              "value": (16, 16), "norm1": (16,), "norm2": (16,)}  # fmt: skip
    parts = {f"{part}.weight": torch.randn(shape, generator=generator) for part, shape in shapes.items()}
    parts |= {f"{part}.bias": torch.randn(shape[0], generator=generator) for part, shape in shapes.items()}
    peer = PEERS[1 if packed == "w12" else 3]
    name = "blocks.3.mlp.w12.weight" if packed == "w12" else "encoder.layer.3.mlp.weights_in.weight"
    assert peer.parts_of(name) == ["blocks.3.gate.weight", "blocks.3.up.weight"]
    block = Block(16, num_heads=2, mlp_ratio=48 / 16, qkv_bias=True, mlp_layer=SwiGLUPacked, act_layer=nn.SiLU,
                  norm_layer=nn.LayerNorm)  # fmt: skip
    wanted = {f"blocks.0.{name}": tensor for name, tensor in block.state_dict().items()}
    block.load_state_dict(block_tensors(parts, wanted)[0], strict=True)
    tokens = torch.randn(1, 5, 16, generator=generator)
    assert torch.allclose(block.eval()(tokens), PeerBlock(parts, Setting(2, 1e-5))(tokens, None), rtol=1e-4, atol=1e-3)


def test_biases_that_are_all_0_are_left_out_for_the_encoder_without_them() -> None:
    zeros = {f"{head}.bias": torch.zeros(2) for head in ("query", "key", "value")}
    assert block_tensors(zeros, {"blocks.0.attn.qkv.weight": torch.zeros(6, 2)}) == ({}, 3)
    some = {**zeros, "query.bias": torch.ones(2)}
    assert "attn.q_bias" in block_tensors(some, {"blocks.0.attn.qkv.weight": torch.zeros(6, 2)})[0]


@pytest.mark.slow
def test_a_network_with_registers_is_told_from_one_without() -> None:
    said = refusal(dinov2_registers(dict(source(V2_REG).state_dict())), f"tu-{V2}")
    assert f"its tensors are those of --as tu-{V2_REG}, under the names of DINOv2" in said


def test_biases_that_are_not_0_are_told_from_none() -> None:
    state = dinov3(dict(source(V3).state_dict()))
    assert f"--as tu-{V3}, under the names of DINOv3" in refusal(state, "tu-vit_small_patch16_dinov3")


@pytest.mark.slow
def test_a_larger_grid_is_refused() -> None:
    state = dict(source(V2).state_dict())
    state["pos_embed"] = torch.zeros(1, 1 + 40 * 40, 384)
    said = refusal(dinov2_of_transformers(state), f"tu-{V2}")
    assert f"its positions are for 40 x 40 patches and those of 'tu-{V2}' for 37 x 37" in said


@pytest.mark.slow
def test_a_width_that_no_encoder_has_is_refused_with_the_format() -> None:
    state = {name: torch.zeros(16 if tensor.ndim == 1 else tensor.shape) for name, tensor in
             dinov3_of_transformers(dict(source(V3).state_dict())).items()}  # fmt: skip
    said = refusal(state, f"tu-{V3}")
    assert "its tensors are named as those of transformers' DINOv3ViTModel, of which import takes tu-vit_" in said


@pytest.mark.parametrize(
    ("names", "title"),
    [
        (["patch_embedding.patch_embeddings.weight", "blocks.0.mlp.linear1.weight"], "MONAI's ViT"),
        (["features.denseblock1.denselayer1.layers.norm1.weight"], "MONAI's DenseNet"),
        (["visual.transformer.resblocks.0.ln_1.weight"], "open_clip's and CLIP's vision transformer"),
        (["vision_model.embeddings.patch_embedding.weight"], "the vision model of transformers' CLIPModel"),
        (["swin.encoder.layers.0.blocks.0.attention.self.query.weight"], "transformers' SwinModel"),
        (["beit.encoder.layer.0.attention.attention.query.weight"], "a model of transformers"),
        (["backbone.bottom_up.res2.0.conv1.norm.weight"], "detectron2's ResNet"),
    ],
)
def test_a_format_of_which_no_encoder_is_made_is_named(names: list[str], title: str) -> None:
    said = refusal({name: torch.ones(2) for name in names}, "resnet18")
    assert f"named as those of {title}" in said
    assert "import does not read" in said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"num_attention_heads": 6}, "so it is another network"),
        ({"layer_norm_eps": 0.5}, "so it is another network"),
        ({"rope_parameters": {"rope_theta": 10_000.0}}, "so it is another network"),
        ({"hidden_act": "relu6"}, "hidden_act is 'relu6', which is not known here; take a network with one of gelu"),
    ],
)
def test_what_the_config_beside_the_file_says_is_part_of_the_proof(fields: dict[str, object], said: str) -> None:
    state = {
        name: tensor.contiguous() for name, tensor in dinov3_of_transformers(dict(source(V3).state_dict())).items()
    }
    save_file(state, "model.safetensors")
    Path("config.json").write_text(json.dumps({"num_attention_heads": 3, "layer_norm_eps": 1e-5, **fields}))
    with pytest.raises(UserError, match=said):
        run(ImportConfig(file=Path("model.safetensors"), encoder=f"tu-{V3}"))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_residual_network_of_transformers_is_brought_to_torchvisions_names(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = timm.create_model(name, num_classes=0)
    raised = [(rf"layer{stage}\.(\d+)\.", rf"encoder.stages.{stage - 1}.layers.\1.") for stage in (1, 2, 3, 4)]
    inner = [(rf"layers\.(\d+)\.conv{layer}", rf"layers.\1.layer.{layer - 1}.convolution") for layer in (1, 2, 3)]
    norms = [(rf"layers\.(\d+)\.bn{layer}", rf"layers.\1.layer.{layer - 1}.normalization") for layer in (1, 2, 3)]
    state = renamed(dict(model.state_dict()), *raised, *inner, *norms, (r"^conv1", "embedder.embedder.convolution"),
                    (r"^bn1", "embedder.embedder.normalization"), (r"downsample\.0", "shortcut.convolution"),
                    (r"downsample\.1", "shortcut.normalization"))  # fmt: skip
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    encoder = start_from(str(imported(state, name)), name, seed=0).encoder.eval()
    with torch.no_grad():
        assert torch.allclose(feature_maps(encoder, images)[-1], model.eval().forward_features(images), atol=1e-5)
    assert "names of transformers' ResNetModel, brought to" in capsys.readouterr().out
