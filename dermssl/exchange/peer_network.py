"""A plain vision transformer written out over a peer's own tensors, to hold an imported encoder's features against."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermssl.errors import UserError
from dermssl.exchange.foreign import ForeignCheckpoint
from dermssl.exchange.peer_names import HEADS
from dermssl.exchange.peer_tensors import PeerEncoder, parted
from dermssl.exchange.pixel_statistics import HUB_FILES, fields_of
from dermssl.exchange.source_model import SourceModel
from dermssl.weights.loading import State

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": F.silu,
}
PERIOD = 100.0  # of DINOv3's rotations, the longest


@dataclass(frozen=True)
class Setting:
    """What no tensor tells of a transformer."""

    heads: int
    epsilon: float
    activation: str = "gelu"
    period: float = PERIOD


class PeerBlock(nn.Module):
    """Attention, then a perceptron, each on normalised tokens and scaled (Touvron et al. 2021)."""

    def __init__(self, parts: State, setting: Setting) -> None:
        super().__init__()
        self.parts, self.setting = parts, setting

    def forward(self, tokens: Tensor, angles: Tensor | None) -> Tensor:
        """Tokens (B, N, C) to tokens; `angles` (P, D) turn queries and keys of the last P."""
        tokens = tokens + self.parts.get("scale1", torch.ones(1)) * self.attended(self.norm("norm1", tokens), angles)
        return tokens + self.parts.get("scale2", torch.ones(1)) * self.perceived(self.norm("norm2", tokens))

    def attended(self, tokens: Tensor, angles: Tensor | None) -> Tensor:
        """What the heads gather, (B, N, C)."""
        heads = [self.of_heads(self.linear(head, tokens)) for head in HEADS]
        queries, keys = heads[:2] if angles is None else [rotated(one, angles) for one in heads[:2]]
        weights = (queries @ keys.transpose(2, 3) / math.sqrt(queries.shape[-1])).softmax(dim=-1)  # (B, heads, N, N)
        return self.linear("out", (weights @ heads[2]).transpose(1, 2).flatten(2))

    def perceived(self, tokens: Tensor) -> Tensor:
        """What the perceptron makes of each token, gated where it has a gate (Shazeer 2020)."""
        wide = self.linear("up", tokens)
        if "gate.weight" in self.parts:
            return self.linear("down", F.silu(self.linear("gate", tokens)) * wide)
        return self.linear("down", ACTIVATIONS[self.setting.activation](wide))

    def of_heads(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, C) to (B, heads, N, D)."""
        return tokens.reshape(*tokens.shape[:2], self.setting.heads, -1).transpose(1, 2)

    def linear(self, part: str, tokens: Tensor) -> Tensor:
        """A layer of the block; a mask of its bias, where there is one, says which of it counts."""
        bias, mask = self.parts.get(f"{part}.bias"), self.parts.get(f"{part}.bias_mask")
        counted = bias if bias is None or mask is None else bias * mask
        return F.linear(tokens, self.parts[f"{part}.weight"], counted)

    def norm(self, part: str, tokens: Tensor) -> Tensor:
        """LayerNorm over the channels."""
        return F.layer_norm(
            tokens, tokens.shape[-1:], self.parts[f"{part}.weight"], self.parts[f"{part}.bias"], self.setting.epsilon
        )


class PeerNetwork(nn.Module):
    """Images (B, 3, S, S) to the tokens behind every block (B, N, C), the patches last."""

    def __init__(self, parts: State, setting: Setting) -> None:
        super().__init__()
        self.parts = {name: part.float() for name, part in parts.items()}
        self.setting = setting
        depth = 1 + max(int(name.split(".")[1]) for name in parts if name.startswith("blocks."))
        self.blocks = nn.ModuleList(PeerBlock(self.of_block(number), setting) for number in range(depth))

    def of_block(self, number: int) -> dict[str, Tensor]:
        """The parts of one block by their short names."""
        start = f"blocks.{number}."
        return {name.removeprefix(start): part for name, part in self.parts.items() if name.startswith(start)}

    def forward(self, images: Tensor) -> Tensor:
        """The tokens behind the last block."""
        patch = self.parts["patch.weight"]
        grid = F.conv2d(images, patch, self.parts.get("patch.bias"), stride=patch.shape[2:])
        tokens = grid.flatten(2).transpose(1, 2)
        before = [self.parts["token"]] if "token" in self.parts else []
        if "positions" in self.parts:  # of the very size that the picture has
            own, places = parted(self.parts["positions"])
            tokens = tokens + places
            before = [token + own if own.shape[1] else token for token in before]
        if "registers" in self.parts:
            before.append(self.parts["registers"])
        tokens = torch.cat([*(token.expand(len(images), -1, -1) for token in before), tokens], dim=1)
        angles = None if "positions" in self.parts else self.angles(*grid.shape[2:])
        for block in self.blocks:
            tokens = block(tokens, angles)
        return tokens

    def angles(self, height: int, width: int) -> Tensor:
        """By how much each patch turns each pair of channels, radians, (height * width, D): DINOv3's rotations."""
        size = self.parts["blocks.0.query.weight"].shape[0] // self.setting.heads
        periods = self.parts.get("periods", self.setting.period ** (torch.arange(size // 4) / (size / 4)))
        rows, columns = ((torch.arange(count) + 0.5) / count * 2 - 1 for count in (height, width))
        places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).flatten(0, 1)  # (P, 2)
        return (2 * math.pi * places[:, :, None] / periods).flatten(1).repeat(1, 2)


def rotated(heads: Tensor, angles: Tensor) -> Tensor:
    """Queries or keys (B, heads, N, D), the last P of them turned: pairs of channels that are half of D apart."""
    before, patches = heads[:, :, : -len(angles)], heads[:, :, -len(angles) :]
    one, other = patches.chunk(2, dim=-1)
    return torch.cat([before, patches * angles.cos() + torch.cat([-other, one], dim=-1) * angles.sin()], dim=2)


def peer_source(encoder: nn.Module, peer: PeerEncoder, checkpoint: ForeignCheckpoint) -> SourceModel:
    """The network that the file holds, and the side of the pictures for which its positions are.

    The number of heads is our encoder's where no config says one, for no tensor tells it.
    """
    heads = int(encoder.model.blocks[0].attn.num_heads)  # type: ignore[union-attr, index]
    model = PeerNetwork(peer.parts, stated_setting(checkpoint, Setting(heads, peer.format.epsilon)))
    positions, patch = peer.parts.get("positions"), peer.parts["patch.weight"].shape[-1]
    side = patch * (6 if positions is None else isqrt(positions.shape[1]))
    title = f"{peer.format.title}, written out here over the file's own tensors"
    remark = f", at {side} pixels"
    if positions is not None:
        remark += " (timm interpolates positions for other sizes in its own way)"
    return SourceModel(model, title, remark, side)


def stated_setting(checkpoint: ForeignCheckpoint, setting: Setting) -> Setting:
    """The setting with what transformers' `config.json` beside the file says.

    Raises:
        UserError: If it says an activation that no encoder here has.
    """
    config = checkpoint.file.with_name("config.json")
    if checkpoint.file.name not in HUB_FILES or not config.is_file():
        return setting
    fields = fields_of(config)
    rope = fields.get("rope_parameters")
    fields = {**rope, **fields} if isinstance(rope, dict) else fields
    names = {"heads": "num_attention_heads", "epsilon": "layer_norm_eps", "period": "rope_theta"}
    stated: dict[str, Any] = {ours: fields[theirs] for ours, theirs in names.items() if theirs in fields}
    sound = {ours: number for ours, number in stated.items() if type(number) in (int, float) and number > 0}
    activation = fields.get("hidden_act", setting.activation)
    if activation not in ACTIVATIONS:
        raise UserError(
            f"{config}: hidden_act is {str(activation)!r}, which is not known here; take a network with one of "
            f"{', '.join(ACTIVATIONS)}"
        )
    return replace(setting, activation=activation, **sound)
