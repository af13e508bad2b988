"""Two processes run this file once, as `process`; the tests read what they left in a folder."""

import multiprocessing
import runpy
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

from dermssl.parallel import (
    SyncedBatchNorm,
    first_alone,
    gathered,
    local_rank,
    local_world,
    of_the_first,
    own_rows,
    rank,
    summed,
    synced,
    world,
)

PROCESSES = 2
STARTED = ("WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE", "LOCAL_RANK")


def draw(*shape: int, seed: int) -> Tensor:
    """Numbers far from zero mean, on which a variance of one pass would lose digits."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 3


NORMS: dict[str, Callable[[], nn.Module]] = {
    "of rows": lambda: nn.BatchNorm1d(5),
    "of maps": lambda: nn.BatchNorm2d(5, eps=1e-3, momentum=0.3),
    "without affine": lambda: nn.BatchNorm1d(5, affine=False),
    "without running statistics": lambda: nn.BatchNorm2d(5, track_running_stats=False),
    "with a mean of all batches": lambda: nn.BatchNorm2d(5, momentum=None),
    "with timm's activation": lambda: BatchNormAct2d(5, act_layer=nn.SiLU),
    "with an activation in place": lambda: BatchNormAct2d(5, act_layer=nn.ReLU, inplace=True),
}


OF_ROWS = ("of rows", "without affine")


def draw_images(name: str, seed: int) -> Tensor:
    """Rows or maps of eight images, whose mean moves from the first to the last."""
    images = draw(8, 5, seed=seed) if name in OF_ROWS else draw(8, 5, 3, 2, seed=seed)
    return images + torch.arange(8).view(8, *[1] * (images.ndim - 1))


def normalise_twice(name: str, norm: nn.Module, part: int = 0, parts: int = 1) -> dict[str, Tensor]:
    """Outputs, gradients and statistics of two batches, of which a process sees a part."""
    for index, parameter in enumerate(norm.parameters()):
        parameter.data = draw(5, seed=index)
    outputs, slopes = [], []
    for seed in (10, 20):
        # A factor is a node of its own in the graph, and a leaf could not be activated in place.
        images = draw_images(name, seed).chunk(parts)[part].clone().requires_grad_()
        normal = norm(images)
        (normal * draw_images(name, seed + 1).chunk(parts)[part]).sum().backward()
        outputs.append(normal.detach())
        slopes.append(images.grad)
    gradients = {f"gradient of {name}": parameter.grad for name, parameter in norm.named_parameters()}
    return {"outputs": torch.stack(outputs), "slopes": torch.stack(slopes)} | gradients | dict(norm.named_buffers())


def take_part(folder: Path, number: int) -> None:
    """What a process does with its share; its findings are left in the folder."""
    meeting = f"file://{folder}/meeting"
    patience = timedelta(seconds=60)
    dist.init_process_group("gloo", init_method=meeting, rank=number, world_size=PROCESSES, timeout=patience)
    found: dict[str, Any] = {"world": world(), "rank": rank(), "answer": of_the_first(f"of {number}")}
    rows = draw(6, 2, seed=0).chunk(PROCESSES)[number].clone().requires_grad_()
    everyone = gathered(rows)
    (everyone * draw(6, 2, seed=1 + number)).sum().backward()
    found |= {"everyone": everyone.detach(), "own": own_rows(everyone.detach()), "slope of rows": rows.grad}
    term = draw(3, seed=5 + number).requires_grad_()
    total = summed(term)
    (total * draw(3, seed=7 + number)).sum().backward()
    found |= {"total": total.detach(), "slope of term": term.grad}
    with first_alone():
        found["there already"] = (folder / "work").exists()
        (folder / "work").touch()
    for name, build in NORMS.items():
        found[name] = normalise_twice(name, synced(build().double()), number, PROCESSES)
    half = SyncedBatchNorm(5)(draw_images("of maps", 10).chunk(PROCESSES)[number].bfloat16())
    found["half"] = half.detach()
    torch.save(found, folder / f"found.{number}")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process found."""
    folder = tmp_path_factory.mktemp("processes")
    context = multiprocessing.get_context("spawn")
    given = [{"folder": folder, "number": number} for number in range(PROCESSES)]
    processes = [context.Process(target=runpy.run_path, args=(__file__, names, "process")) for names in given]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    return [torch.load(folder / f"found.{number}", weights_only=False) for number in range(PROCESSES)]


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which nobody has started processes."""
    for name in STARTED:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_one_process_is_the_first_of_one(nobody: pytest.MonkeyPatch) -> None:
    assert (world(), rank(), local_world(), local_rank()) == (1, 0, 1, 0)


def test_torchrun_says_who_is_who_before_the_processes_meet(nobody: pytest.MonkeyPatch) -> None:
    for name, value in zip(STARTED, ("8", "5", "4", "1"), strict=True):
        nobody.setenv(name, value)
    assert (world(), rank(), local_world(), local_rank()) == (8, 5, 4, 1)


def test_one_process_gathers_and_sums_itself(nobody: pytest.MonkeyPatch) -> None:
    rows = draw(3, 2, seed=0)
    assert gathered(rows) is rows
    assert summed(rows) is rows
    assert own_rows(rows) is rows or torch.equal(own_rows(rows), rows)
    assert of_the_first(rows) is rows
    with first_alone():
        pass


@pytest.mark.slow
def test_processes_that_have_met_know_who_they_are(found: list[dict[str, Any]]) -> None:
    assert [(each["world"], each["rank"]) for each in found] == [(2, 0), (2, 1)]


@pytest.mark.slow
def test_all_processes_hear_the_answer_of_the_first(found: list[dict[str, Any]]) -> None:
    assert [each["answer"] for each in found] == ["of 0", "of 0"]


@pytest.mark.slow
def test_what_the_first_process_does_alone_is_done_when_the_others_come(found: list[dict[str, Any]]) -> None:
    assert [each["there already"] for each in found] == [False, True]


@pytest.mark.slow
def test_gathered_rows_stand_in_the_order_of_the_ranks(found: list[dict[str, Any]]) -> None:
    for number, each in enumerate(found):
        assert torch.equal(each["everyone"], draw(6, 2, seed=0))
        assert torch.equal(each["own"], draw(6, 2, seed=0).chunk(2)[number])


@pytest.mark.slow
def test_a_gathered_row_has_the_gradients_of_all_that_was_done_with_it(found: list[dict[str, Any]]) -> None:
    slope = draw(6, 2, seed=1) + draw(6, 2, seed=2)
    assert torch.equal(torch.cat([each["slope of rows"] for each in found]), slope)


@pytest.mark.slow
def test_a_sum_and_its_gradient_are_those_of_all_processes(found: list[dict[str, Any]]) -> None:
    for each in found:
        assert torch.equal(each["total"], draw(3, seed=5) + draw(3, seed=6))
        assert torch.equal(each["slope of term"], draw(3, seed=7) + draw(3, seed=8))


@pytest.mark.slow
@pytest.mark.parametrize("name", NORMS)
def test_batch_norm_over_processes_is_that_of_the_whole_batch(name: str, found: list[dict[str, Any]]) -> None:
    whole = normalise_twice(name, NORMS[name]().double())
    for key, expected in whole.items():
        parts = [each[name][key] for each in found]
        if key in ("outputs", "slopes"):
            torch.testing.assert_close(torch.cat(parts, dim=1), expected)
        elif key.startswith("gradient"):
            torch.testing.assert_close(torch.stack(parts).sum(dim=0), expected)  # which DDP does
        else:  # running statistics
            for part in parts:
                torch.testing.assert_close(part, expected)


@pytest.mark.slow
def test_batch_norm_over_processes_computes_in_float32_and_gives_what_it_got(found: list[dict[str, Any]]) -> None:
    images = draw_images("of maps", 10).bfloat16()
    half = torch.cat([each["half"] for each in found])
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half, nn.BatchNorm2d(5)(images.float()).detach().bfloat16())


@pytest.mark.parametrize("name", NORMS)
def test_one_process_computes_to_the_bit_what_it_did_before(name: str, nobody: pytest.MonkeyPatch) -> None:
    before, after = NORMS[name]().double(), synced(NORMS[name]().double())
    assert isinstance(after, SyncedBatchNorm)
    assert before.state_dict().keys() == after.state_dict().keys()
    expected, got = normalise_twice(name, before), normalise_twice(name, after)
    for key in expected:
        assert torch.equal(expected[key], got[key]), key
    images = draw_images(name, 30)
    assert torch.equal(before.eval()(images), after.eval()(images))


def test_every_batch_norm_of_a_network_is_synced_and_keeps_its_name() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.Sequential(nn.BatchNorm1d(5), nn.LayerNorm(5)))
    before = network.state_dict()
    after = synced(network).state_dict()
    assert list(before) == list(after)
    assert all(before[name] is after[name] or torch.equal(before[name], after[name]) for name in before)
    assert [type(child).__name__ for child in network.modules()].count("SyncedBatchNorm") == 2


if __name__ == "process":  # `folder` and `number` are given by `found`
    torch.set_num_threads(1)
    take_part(folder, number)  # type: ignore[name-defined]  # noqa: F821
