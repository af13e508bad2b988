"""A moving average of a network's weights: what it says wavers less from step to step than the network itself.

Polyak and Juditsky 1992; as an exponential average, Tarvainen and Valpola 2017 (Mean Teacher,
https://arxiv.org/abs/1703.01780).
"""

import copy

import torch
from torch import Tensor, nn

RISE = 9  # averages over the last ninth or so of the steps so far, until the wanted share is reached


def kept_share(share: float, step: int) -> float:
    """What the average keeps of itself at `step`, counted from 1: at most `share`, and nothing at the first step.

    A fixed share would drag untrained weights through a short training: 0.999 forgets them after several thousand
    steps. Until it is reached the average is that of polynomial decay, 1 - 9 / (step + 8) (Shamir and Zhang 2013,
    https://arxiv.org/abs/1212.1824, eta = 8), in which the weights before the first step have no part at all.
    """
    return min(share, 1 - RISE / (step + RISE - 1))


class WeightAverage(nn.Module):
    """The average of the weights after every step so far, later ones counting more.

    Its statistics of BatchNorm are averaged by the same shares, as timm's ModelEmaV3 does it: a copy of the network's
    own would belong to other weights. Counters are copied. It is a module, so a checkpoint carries it; the step is the
    training's own, so it has nothing else to remember.

    Args:
        model: The network, whose form the average has; its weights are overwritten at the first step.
        share: Share of itself that the average keeps at each step once training is long enough, in (0, 1).
    """

    def __init__(self, model: nn.Module, share: float) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.share = share
        self.eval()

    def train(self, mode: bool = True) -> "WeightAverage":
        """Stays in eval mode: no batch is ever for it."""
        return super().train(False)

    @torch.no_grad()
    def follow(self, model: nn.Module, step: int) -> None:
        """Takes in the weights after `step`, counted from 1."""
        pairs = list(zip(weights_and_buffers(self.model), weights_and_buffers(model), strict=True))
        averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        counters = [pair for pair in pairs if not pair[0].is_floating_point()]
        moving = 1 - kept_share(self.share, step)
        torch._foreach_lerp_([mean for mean, _ in averaged], [now for _, now in averaged], moving)
        if counters:
            torch._foreach_copy_([mean for mean, _ in counters], [now for _, now in counters])


def weights_and_buffers(model: nn.Module) -> list[Tensor]:
    """Parameters and buffers, in one order for all networks of a form."""
    return [parameter.detach() for parameter in model.parameters()] + list(model.buffers())
