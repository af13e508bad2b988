"""What of the encoder is trained, how fast, and from when on.

Freezing first and training all later keeps a new decoder's first, random gradients out of the pretrained features
(linear probing, then fine-tuning: Kumar et al. 2022, https://arxiv.org/abs/2202.10054; gradual unfreezing: Howard and
Ruder 2018, https://arxiv.org/abs/1801.06146). Lower stages that learn slower than higher ones: Clark et al. 2020
(ELECTRA, https://arxiv.org/abs/2003.10555), Bao et al. 2022 (BEiT, https://arxiv.org/abs/2106.08254).
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from dermssl.errors import UserError
from dermssl.parallel import world
from dermssl.training.optimise import Group, decaying
from dermssl.weights.encoder import feature_maps
from finetune.options.training_length import Schedule
from finetune.options.transfer import TransferConfig

Stages = list[list[nn.Parameter]]  # of an encoder, finest first


def refuse_unequal_parts(batch_size: int) -> None:
    """Stops where the processes that train together cannot have equal parts of a batch."""
    if batch_size % world():
        smaller, larger = batch_size - batch_size % world(), batch_size - batch_size % world() + world()
        fitting = f"{smaller} or {larger}" if smaller else f"{larger}"
        raise UserError(
            f"--batch_size {batch_size}: cannot be shared equally by {world()} processes; give {fitting}, or start "
            "another number of processes"
        )


def parameter_groups(model: nn.Module, config: TransferConfig, schedule: Schedule, image_size: int) -> list[Group]:
    """The groups of an optimiser, each with its peak rate as `lr`; those of the decoder come first.

    Parts with the same rate are one: without `encoder_lr`, `layer_decay` and `freeze` there are the two groups of
    `dermssl.training.optimise.groups`. An encoder that stays frozen is in none. One that will thaw is in from the
    start, with the step as `begins`, so that a checkpoint has one form before and after. `swept` is False where
    `encoder_lr` sets the rate and not `lr`.
    """
    assert config.lr != "auto"  # found before
    encoder = cast(nn.Module, model.encoder)
    rates = encoder_rates(encoder, config, image_size)
    swept, begins = config.encoder_lr is None, schedule.thaw or 0
    above = (config.lr, True, 0)
    by_rate: dict[tuple[float, bool, int], list[nn.Parameter]] = {above: []}
    for parameter in model.parameters():
        if parameter in rates and config.freeze and schedule.thaw is None:
            continue
        key = (rates[parameter], swept, begins) if parameter in rates else above
        by_rate.setdefault(key, []).append(parameter)
    return [
        group | {"lr": rate, "swept": by_lr, "begins": first}
        for (rate, by_lr, first), parameters in by_rate.items()
        for group in decaying(parameters, config.weight_decay)
    ]


def encoder_rates(encoder: nn.Module, config: TransferConfig, image_size: int) -> dict[nn.Parameter, float]:
    """The peak rate of every parameter of the encoder: the top stage's is `encoder_lr`, each lower one's decays.

    BEiT counts the head as the top layer; here the decoder has a rate of its own, and the encoder's top stage has
    distance 0.
    """
    assert config.lr != "auto"  # found before
    top = config.encoder_lr if config.encoder_lr is not None else config.lr
    if config.layer_decay == 1:
        return dict.fromkeys(encoder.parameters(), top)
    stages = stages_of(encoder, image_size)
    return {
        parameter: top * config.layer_decay ** (len(stages) - 1 - stage)
        for stage, parameters in enumerate(stages)
        for parameter in parameters
    }


def stages_of(encoder: nn.Module, image_size: int) -> Stages:
    """The encoder's parameters by the first, that is the finest, feature map that depends on them.

    Read from the graph that a forward pass leaves, not from names, so that it holds for every encoder. What no map
    depends on is never trained, and counts to the top; a map that only pools the one before (VGG's last) is no stage.
    Nothing of the encoder changes.

    Args:
        encoder: An encoder of smp, at any depth.
        image_size: Side of an image that it takes, pixels.
    """
    requires_grad = {parameter: parameter.requires_grad for parameter in encoder.parameters()}
    training = encoder.training
    encoder.requires_grad_(True).eval()
    device = next(encoder.parameters()).device
    with torch.enable_grad():
        maps = feature_maps(encoder, torch.zeros(1, 3, image_size, image_size, device=device))
    encoder.train(training)
    for parameter, required in requires_grad.items():
        parameter.requires_grad_(required)
    visited: set[Node] = set()
    stages = [set(leaves_behind(stage, visited)) for stage in maps]
    stages[-1] |= requires_grad.keys() - set().union(*stages)
    return [[parameter for parameter in requires_grad if parameter in stage] for stage in stages if stage]


def leaves_behind(output: Tensor, visited: set[Node]) -> Iterator[nn.Parameter]:
    """The parameters that `output` depends on through nodes that are not `visited` yet, and then are."""
    ahead = [output.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        leaf = getattr(node, "variable", None)  # only what accumulates a leaf's gradient has one
        if leaf is not None:
            yield leaf
        ahead += [following for following, _ in node.next_functions]
