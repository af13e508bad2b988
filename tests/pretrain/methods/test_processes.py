"""Several processes that train as one have its loss, its gradients and its state.

The processes are started once. Each runs this file, takes its share of every method's batch, and leaves what came of it
in a folder; the tests read from there. DERMSSL_PARALLEL_TABLE names a file for the table in docs/.
"""

import copy
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.distributed as dist
from processes.together import apart, in_doubles, start_together
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dermssl.flags import option_names
from dermssl.parallel import synced
from pretrain.known_methods import METHODS, recipe_of
from pretrain.methods.method import Method
from pretrain.views.batch import Batch

WORLDS = (2, 4)
SHARE = 1e-6  # of the norm of all tensors, below which one of them is next to nothing
STEPS = 3  # the later ones see the queues and the centre that the earlier ones left
PATIENCE = timedelta(seconds=60)  # with a process that never comes
MODULES = [recipe_of(name).MODULE.split(":")[0] for name in METHODS]


class Outcome(NamedTuple):
    """What the steps give in one process."""

    losses: Tensor
    """(STEPS,)."""
    gradients: dict[str, Tensor]
    """Of all steps together, by parameter."""
    state: dict[str, Tensor]
    """What a checkpoint would hold after them."""


class Differences(NamedTuple):
    """Between processes that train together and one alone: the largest, relative to the one's."""

    loss: float
    gradient: float
    state: float


Found = dict[tuple[str, int], Differences | str]


class Steps(nn.Module):
    """What DDP wraps: a module whose forward pass is a training step."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Batch) -> Tensor:
        return self.method.training_step(batch, 0)["loss"]


def outcome(method: Method, stepping: nn.Module, batch: Batch) -> Outcome:
    """Takes the steps, drawing the same in every process."""
    losses = []
    for step in range(STEPS):
        torch.manual_seed(step)
        loss = stepping(batch)
        loss.backward()
        losses.append(loss.detach().double())
    gradients = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return Outcome(torch.stack(losses), gradients, method.state_dict())


def share(batch: Batch, rank: int, world: int) -> Batch:
    """The images of one process, the same ones of every view and crop."""
    B = len(batch.images)

    def own(rows: Tensor) -> Tensor:
        return torch.cat([view.chunk(world)[rank] for view in rows.split(B)]) if len(rows) else rows

    return Batch(*map(own, batch))


def train_together(folder: Path, rank: int, world: int) -> None:
    """Takes the steps of every method in `folder` with the other processes, and leaves the outcome there."""
    meeting = f"file://{folder}/meeting-{world}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world, timeout=PATIENCE)
    for path in sorted(folder.glob("*.method")):
        method, batch = torch.load(path, weights_only=False)
        wrapped = DistributedDataParallel(Steps(synced(method) if method.synced else method))
        try:
            came: Outcome | str = outcome(method, wrapped, share(batch, rank, world))
        except Exception as error:  # all processes meet it, and go on to the next method
            came = f"{type(error).__name__}: {error}"
        left = came if isinstance(came, str) else tuple(came)  # this file's classes have no module to be found in
        torch.save(left, folder / f"{path.stem}.{world}.{rank}")
    dist.destroy_process_group()


def differences(alone: Outcome, together: list[Outcome]) -> Differences:
    """Of the processes' mean loss, and of the gradients and the state of each."""
    losses = torch.stack([process.losses for process in together]).mean(dim=0)
    return Differences(
        loss=((losses - alone.losses) / alone.losses).abs().max().item(),
        gradient=max(apart(process.gradients, alone.gradients, SHARE) for process in together),
        state=max(apart(process.state, alone.state, SHARE) for process in together),
    )


def comparable(method: Method, came: Outcome) -> Outcome:
    """Without BatchNorm's running statistics where each process keeps its own (MoCo): no training step reads them."""
    kept = {name: t for name, t in came.state.items() if method.synced or "running_" not in name}
    kept = {name: t for name, t in kept.items() if method.synced or "num_batches_tracked" not in name}
    return came._replace(state=kept)


def compare(folder: Path, method: Method, name: str, world: int, alone: Outcome) -> Differences | str:
    """What the processes left of a method, held against one process; or the error that stopped them."""
    left = [folder / f"{name}.{world}.{rank}" for rank in range(world)]
    if not all(path.exists() for path in left):
        return "a process ended before its time"
    came = [torch.load(path, weights_only=False) for path in left]
    errors = [error for error in came if isinstance(error, str)]
    if errors:
        return errors[0]
    return differences(comparable(method, alone), [comparable(method, Outcome(*process)) for process in came])


def table(found: Found) -> str:
    """The differences in Markdown."""
    lines = ["| method | processes | loss | gradient | state |", "|---|---|---|---|---|"]
    for (name, world), of in found.items():
        cells = of if isinstance(of, str) else " | ".join(f"{difference:.0e}" for difference in of)
        lines.append(f"| {name} | {world} | {cells} |")
    return "\n".join(lines) + "\n"


def distances(
    folder: Path, worlds: tuple[int, ...], small_method: Callable[..., Method], draw_batch: Callable[..., Batch]
) -> Found:
    """How far the processes are from one, by method and number of processes, or the error that stopped them."""
    methods, alone = {}, {}
    for name in METHODS:
        groups = {"norm_groups": max(WORLDS)} if "norm_groups" in option_names(recipe_of(name)) else {}
        methods[name] = method = small_method(name, **groups).double()
        batch = draw_batch(method.recipe)
        batch = batch._replace(maps=batch.maps.double())
        torch.save((method, batch), folder / f"{name}.method")
        with in_doubles():
            alone[name] = outcome(method, Steps(method), batch)
    given = [{"folder": folder, "rank": rank, "worlds": worlds} for rank in range(max(worlds))]
    start_together(__file__, given, MODULES)  # one that failed has left nothing, and is told so
    return {
        (name, world): compare(folder, method, name, world, alone[name])
        for name, method in methods.items()
        for world in worlds
    }


# Of four processes no two neighbours are the same one; what two show is a part of that.
@pytest.mark.slow
@pytest.mark.parametrize("worlds", [(2,), WORLDS])
def test_processes_together_are_one_process_with_the_whole_batch(
    worlds: tuple[int, ...], small_method: Callable[..., Method], draw_batch: Callable[..., Batch], tmp_path: Path
) -> None:
    """One test for all methods, so that the processes are started once however the tests are shared out."""
    found = distances(tmp_path, worlds, small_method, draw_batch)
    if "DERMSSL_PARALLEL_TABLE" in os.environ:
        Path(os.environ["DERMSSL_PARALLEL_TABLE"]).write_text(table(found))
    assert len(found) == len(METHODS) * len(worlds)
    assert {pair: gaps for pair, gaps in found.items() if isinstance(gaps, str) or not max(gaps) < 1e-8} == {}


def test_processes_that_do_not_look_at_each_other_are_noticed(
    small_method: Callable[..., Method], draw_batch: Callable[..., Batch]
) -> None:
    method = small_method("simclr")
    whole, batch = copy.deepcopy(method), draw_batch(method.recipe)
    parts = [(copy.deepcopy(method), share(batch, rank, 2)) for rank in range(2)]
    apart = [outcome(part, Steps(part), own) for part, own in parts]
    assert min(differences(outcome(whole, Steps(whole), batch), apart)) > 1e-3


if __name__ == "process":  # `folder`, `rank` and `worlds` are given by `distances`
    torch.set_num_threads(1)
    for world in worlds:  # type: ignore[name-defined]  # noqa: F821
        if rank < world:  # type: ignore[name-defined]  # noqa: F821
            with in_doubles():
                train_together(folder, rank, world)  # type: ignore[name-defined]  # noqa: F821
