"""What batches of one shape cost, and that they keep a picture's bits: `python -m benchmarks.equal_batches`."""

import argparse
from functools import partial

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from benchmarks.timing import alternate, conditions, one_core, ratio, table
from dermssl.features.equal_batches import MOST, equal_batches, squares_at_once
from dermssl.training.device import channels_last


def answers(network: nn.Module, squares: Tensor, halved: bool) -> Tensor:
    """Logits of the squares, in batches of one shape."""
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=halved):
        return torch.cat([network(batch)[:count] for batch, count in equal_batches(squares)]).float()


def at_once(network: nn.Module, squares: Tensor, halved: bool) -> Tensor:
    """Logits of the squares in the one batch that they are."""
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=halved):
        return network(squares).float()


def row(encoder: str, side: int, halved: bool, rounds: int) -> list[str]:
    """Cost and bits of a Unet on one encoder at one side."""
    torch.manual_seed(0)
    network = channels_last(smp.Unet(encoder, encoder_weights=None)).eval()
    squares = torch.randn(MOST, 3, side, side).to(memory_format=torch.channels_last)
    whole = answers(network, squares, halved)
    sides = {"equal": partial(answers, network, squares, halved), "one": partial(at_once, network, squares, halved)}
    rates = alternate({name: lambda work=work: len(work()) for name, work in sides.items()}, rounds)  # type: ignore[misc]
    parts = [torch.cat([answers(network, part, halved) for part in squares.split(size)]) for size in (1, 3, 5)]
    free = torch.cat([at_once(network, part, halved) for part in squares.split(3)])
    return [
        encoder, str(side), "bf16" if halved else "float32", str(squares_at_once(side)),
        ratio(rates, "equal", "one", 2), f"{max(apart(part, whole) for part in parts):.0e}",
        f"{apart(free, at_once(network, squares, halved)):.0e}",
    ]  # fmt: skip


def apart(some: Tensor, others: Tensor) -> float:
    """The largest difference of two answers, in logits."""
    return float((some - others).abs().max())


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    one_core()
    rows = [
        row(encoder, side, halved, rounds)
        for encoder in ("resnet18", "tu-tf_efficientnet_lite0")
        for side in (64, 96, 128, 224, 256)
        for halved in (False, True)
    ]
    print(table(["encoder", "side", "precision", "squares at once", "speed against a batch of 16",
                 "logits apart over batch sizes", "the same, without"], rows))  # fmt: skip
    print(conditions(["torch"], f"{MOST} squares, {rounds} rounds, median (least to largest)"))


if __name__ == "__main__":
    main()
