"""What tests of several processes share: how they are started, in which numbers they compute, how outcomes compare."""

import multiprocessing
import runpy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor


def start_together(file: str, given: Sequence[Mapping[str, object]], preload: Sequence[str]) -> list[int | None]:
    """Has a process for each of `given` run a file once, as `process`; returns their exit codes when all have ended.

    Args:
        file: Of the test.
        given: Names that the file finds there, of each process.
        preload: Modules that are loaded once for all.
    """
    context = multiprocessing.get_context("forkserver")  # a fork of this process would inherit what torch has running
    context.set_forkserver_preload(["pytest", "torch.nn.parallel", *preload])
    processes = [context.Process(target=runpy.run_path, args=(file, dict(names), "process")) for names in given]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def single_at_least(tensor: Tensor) -> Tensor:
    """Stands in for `Tensor.float`, which guards losses against half precision and would round doubles as well."""
    return tensor if tensor.dtype == torch.float64 else tensor.to(torch.float32)


@contextmanager
def in_doubles() -> Iterator[None]:
    """Computes in float64, so that what differs is no rounding."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "float", single_at_least)
        torch.set_default_dtype(torch.float64)
        yield
    torch.set_default_dtype(torch.float32)


def apart(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], share: float) -> float:
    """The largest distance of two tensors of one name, relative to their norm.

    Where that is next to nothing, as for a bias before BatchNorm, relative to a `share` of all tensors' norm.
    """
    assert ours.keys() == theirs.keys()
    norms = {name: tensor.double().norm() for name, tensor in theirs.items()}
    least = share * torch.stack(list(norms.values())).norm()
    gaps = [(ours[name].double() - theirs[name].double()).norm() / norm.maximum(least) for name, norm in norms.items()]
    return torch.stack(gaps).max().item()
