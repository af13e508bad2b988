"""Tensors under a peer's names, brought to timm's: renamed, joined, and positions to the wanted grid."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isqrt

import torch
from torch import Tensor
from torch.nn import functional as F

from dermssl.exchange.foreign import ForeignCheckpoint, Place
from dermssl.exchange.peer_names import HEADS, Peer, Sighting, sightings
from dermssl.exchange.recognise import EncoderLayout, encoders_in
from dermssl.weights.loading import State

TIMM = "model."  # of smp around timm's transformers


@dataclass(frozen=True)
class PeerEncoder:
    """An encoder that lies in a checkpoint under a peer's names."""

    format: Peer
    parts: State
    """Of a plain transformer: token, registers, positions, patch, norm, and those of its blocks; as they lie there."""
    changes: tuple[str, ...]
    """What timm's tensors are beside other names, in words."""

    @property
    def likely(self) -> list[str]:
        """Encoders here that it may be: those of its width."""
        first = self.parts.get("patch.weight", self.parts.get("conv1.weight", torch.empty(0)))
        return [name for name, width in self.format.encoders.items() if width == len(first)]


def translated(
    checkpoint: ForeignCheckpoint, layout: EncoderLayout
) -> tuple[ForeignCheckpoint, Mapping[Place, PeerEncoder]]:
    """The checkpoint with what lies under a peer's names brought to timm's, and each such encoder by its prefix.

    A checkpoint in which the encoder already lies whole under a dialect's names stays as it is.

    Args:
        checkpoint: As it was read.
        layout: Of the encoder that is wanted; it says how many positions there are, and whether biases are.
    """
    if encoders_in(checkpoint, layout):
        return checkpoint, {}
    tensors, peers = dict(checkpoint.tensors), {}
    for sighting in sightings(checkpoint):
        parts, used = parts_in(sighting, checkpoint)
        wanted = {name.removeprefix(TIMM): tensor for name, tensor in layout.tensors.items()}
        brought, changes = timm_tensors(parts, wanted) if sighting.peer.plain else (parts, [])
        for place in used:
            tensors.pop(place, None)
        tensors |= {(*sighting.prefix, *name.split(".")): tensor for name, tensor in brought.items()}
        peers[sighting.prefix] = PeerEncoder(sighting.peer, parts, tuple(changes))
    return (replace(checkpoint, tensors=tensors), peers) if peers else (checkpoint, {})


def parts_in(sighting: Sighting, checkpoint: ForeignCheckpoint) -> tuple[dict[str, Tensor], list[Place]]:
    """The parts at a sighting, and the places that they were taken from; what is no dense tensor is left."""
    parts: dict[str, Tensor] = {}
    used = []
    for name, place in sighting.places.items():
        tensor, names = checkpoint.tensors[place], sighting.peer.parts_of(name)
        dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
        if names and dense and (len(names) == 1 or (tensor.ndim and len(tensor) % len(names) == 0)):
            parts |= dict(zip(names, tensor.chunk(len(names)) if len(names) > 1 else [tensor], strict=True))
            used.append(place)
    return parts, used


def timm_tensors(parts: State, wanted: State) -> tuple[dict[str, Tensor], list[str]]:
    """A plain transformer's parts under timm's names, and in words what was computed for it.

    Args:
        parts: As `PeerEncoder` has them.
        wanted: timm's tensors of the encoder that is asked for, of which shapes alone count. A part that it has no
            place for is named all the same, so that whoever compares finds it too much.
    """
    tensors, changes = embedding_tensors(parts, wanted)
    numbers = {int(name.split(".")[1]) for name in parts if name.startswith("blocks.")}
    left_out = 0
    for number in sorted(numbers):
        block = {name.split(".", 2)[2]: part for name, part in parts.items() if name.startswith(f"blocks.{number}.")}
        own, zeros = block_tensors(block, wanted)
        left_out += zeros
        tensors |= {f"blocks.{number}.{name}": tensor for name, tensor in own.items()}
    if left_out:
        changes.append(f"{left_out} biases of queries, keys and values left out: all are 0, and this encoder has none")
    return tensors, changes


def block_tensors(block: State, wanted: State) -> tuple[dict[str, Tensor], int]:
    """A block's parts under timm's names, and how many biases that are all 0 were left out for it."""
    gamma = "gamma_{}" if "blocks.0.gamma_1" in wanted else "ls{}.gamma"
    names = {f"scale{number}": gamma.format(number) for number in (1, 2)}
    names |= {f"{part}.{end}": f"{part}.{end}" for part in ("norm1", "norm2") for end in ("weight", "bias")}
    for end in ("weight", "bias"):
        gates = ("fc1_x", "fc1_g") if "blocks.0.mlp.fc1_g.weight" in wanted else ("fc1", "gate")
        names |= {f"out.{end}": f"attn.proj.{end}", f"down.{end}": f"mlp.fc2.{end}"}
        names |= {f"up.{end}": f"mlp.{gates[0]}.{end}", f"gate.{end}": f"mlp.{gates[1]}.{end}"}
    tensors = {theirs: block[part] for part, theirs in names.items() if part in block}
    for end in ("weight", "bias"):
        if f"mlp.gate.{end}" in tensors:  # timm packs both, the gate first
            tensors[f"mlp.fc1.{end}"] = concatenated([tensors.pop(f"mlp.gate.{end}"), tensors[f"mlp.fc1.{end}"]])
    if all(f"{head}.weight" in block for head in HEADS):
        tensors["attn.qkv.weight"] = concatenated([block[f"{head}.weight"] for head in HEADS])
    biases, zeros = bias_tensors(block, wanted)
    return tensors | biases, zeros


def bias_tensors(block: State, wanted: State) -> tuple[dict[str, Tensor], int]:
    """The biases of queries, keys and values as timm's block has them, and how many that are all 0 were left out."""
    given = {head: block[f"{head}.bias"] for head in HEADS if f"{head}.bias" in block}
    masked = any(f"{head}.bias_mask" in block for head in HEADS)
    if not given:
        return {}, 0
    like = next(iter(given.values()))
    bias = {head: given.get(head, torch.zeros_like(like)) for head in HEADS}
    if "blocks.0.attn.qkv.bias" in wanted and not masked:
        return {"attn.qkv.bias": concatenated(list(bias.values()))}, 0
    if "blocks.0.attn.q_bias" not in wanted and not bias["query"].any() and not bias["value"].any():
        return {}, len(given)
    return {"attn.q_bias": bias["query"], "attn.v_bias": bias["value"]}, 0  # keys have none: they are masked


def embedding_tensors(parts: State, wanted: State) -> tuple[dict[str, Tensor], list[str]]:
    """What lies before and behind the blocks under timm's names, and in words what was computed for it."""
    names = {"token": "cls_token", "registers": "reg_token", "positions": "pos_embed", "mask_token": "mask_token"}
    names |= {f"patch.{end}": f"patch_embed.proj.{end}" for end in ("weight", "bias")}
    names |= {f"norm.{end}": f"norm.{end}" for end in ("weight", "bias")}
    names |= {f"first_norm.{end}": f"norm_pre.{end}" for end in ("weight", "bias")}
    tensors = {theirs: parts[part] for part, theirs in names.items() if part in parts and parts[part].numel()}
    positions, target = tensors.get("pos_embed"), wanted.get("pos_embed")
    if positions is None or target is None or positions.ndim != 3:
        return tensors, []
    changes = []
    own, grid = parted(positions)
    kept = target.shape[1] - isqrt(target.shape[1]) ** 2
    if own.shape[1] == 1 and kept == 0 and "cls_token" in tensors:
        tensors["cls_token"] = tensors["cls_token"].float() + own.float()
        changes.append("the class token's position added to the token, which has none in timm")
        own = own[:, :0]
    before, after = isqrt(grid.shape[1]), isqrt(target.shape[1])
    if before < after:
        grid = enlarged_positions(grid, after)
        changes.append(
            f"positions from {before} x {before} to {after} x {after}, such that timm gives back the file's own for "
            f"{before} x {before} patches"
        )
    tensors["pos_embed"] = concatenated([own, grid], axis=1) if own.shape[1] else grid
    return tensors, changes


def parted(positions: Tensor) -> tuple[Tensor, Tensor]:
    """Positions (1, N, C) of what stands before the patches, and of the patches, whose grid is the largest square."""
    count = positions.shape[1] - isqrt(positions.shape[1]) ** 2
    return positions[:, :count], positions[:, count:]


def concatenated(tensors: list[Tensor], axis: int = 0) -> Tensor:
    """Tensors one behind the other; empty where they do not go together, which is then found to fit nothing."""
    try:
        return torch.cat(tensors, dim=axis)
    except RuntimeError:
        return torch.empty(0)


def enlarged_positions(grid: Tensor, side: int) -> Tensor:
    """Positions of a smaller grid (1, s * s, C) on one of `side`, which timm makes exactly these again at the old size.

    Bicubic interpolation there and back is not the identity. What is lost is put back by the least change of the large
    grid that timm's reduction, a matrix along each axis, turns into it.
    """
    small = isqrt(grid.shape[1])
    maps = grid.double().reshape(small, small, -1).permute(2, 0, 1)  # (C, s, s)
    large = interpolated(maps, side)
    # Of the identity as one picture: torch 2.13 is wrong for many channels that are one pixel wide.
    reduction = interpolated(torch.eye(side, dtype=torch.double)[None], (small, side))[0]  # (s, side)
    back = torch.linalg.pinv(reduction)
    large = large + back @ (maps - reduction @ large @ reduction.T) @ back.T
    positions: Tensor = large.permute(1, 2, 0).reshape(1, side * side, -1)
    return positions.float()


def interpolated(maps: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Maps (C, H, W) of another size, by the interpolation that timm uses for positions."""
    size = (size, size) if isinstance(size, int) else size
    return F.interpolate(maps[None], size=size, mode="bicubic", antialias=True)[0]
