"""Several processes that train as one: who is who, and tensors that all of them share.

Each process holds a share of every batch. What follows makes loss and gradients those of one process that holds the
whole batch: Lightning's DDP averages gradients over processes, so a loss is the mean over a process's own images, with
`gathered` tensors wherever it looks at the others'.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

T = TypeVar("T")


def world() -> int:
    """Processes that train together, as torchrun has started them; 1 where it has not."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_world_size()
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This process among them, from 0; the first one writes the files."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank()
    return int(os.environ.get("RANK", "0"))


def local_world() -> int:
    """Processes on this host."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def local_rank() -> int:
    """This process among those of its host, from 0: the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def meet() -> None:
    """Lets the processes find one another; nothing where there is one."""
    if world() > 1 and not dist.is_initialized():
        dist.init_process_group()


@contextmanager
def first_alone() -> Iterator[None]:
    """The first process does the body alone; the others then find what it left behind."""
    if world() > 1 and rank() > 0:
        dist.barrier()
    yield
    if world() > 1 and rank() == 0:
        dist.barrier()


def of_the_first(answer: T) -> T:
    """What the first process has found, on all of them; for what they could find differently, such as a timing."""
    if world() == 1:
        return answer
    box = [answer]
    dist.broadcast_object_list(box)
    return box[0]


def own_part(items: Sequence[T], process: int | None = None) -> Sequence[T]:
    """This process's part, or another's, of items that need not divide evenly, in their order; perhaps none."""
    count, number = len(items), rank() if process is None else process
    return items[count * number // world() : count * (number + 1) // world()]


def of_all(part: Sequence[T]) -> list[T]:
    """The parts of all processes in the order of ranks, which is that of the items that `own_part` has shared out."""
    if world() == 1:
        return list(part)
    parts: list[list[T]] = [[] for _ in range(world())]
    dist.all_gather_object(parts, list(part))
    return [item for each in parts for item in each]


def gathered(rows: Tensor) -> Tensor:
    """The rows (B, ...) of all processes in the order of ranks, (world * B, ...), through which gradients flow."""
    if world() == 1:
        return rows
    return _Gather.apply(rows)  # type: ignore[no-any-return,no-untyped-call]


def summed(tensor: Tensor) -> Tensor:
    """The sum of a tensor over all processes, through which gradients flow."""
    if world() == 1:
        return tensor
    return _Sum.apply(tensor)  # type: ignore[no-any-return,no-untyped-call]


def own_rows(rows: Tensor) -> Tensor:
    """This process's share, (B, ...), of the rows of all processes, (world * B, ...)."""
    return rows.chunk(world())[rank()]


class _Gather(torch.autograd.Function):
    """All processes' rows; each process's gradient is the sum of what all of them did with its rows."""

    @staticmethod
    def forward(_ctx: Any, rows: Tensor) -> Tensor:
        """(B, ...) -> (world * B, ...)."""
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(world())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        """(world * B, ...) -> (B, ...)."""
        whole = gradient.contiguous()
        dist.all_reduce(whole)
        return own_rows(whole)


class _Sum(torch.autograd.Function):
    """The sum over processes, whose gradient is the sum over processes."""

    @staticmethod
    def forward(_ctx: Any, tensor: Tensor) -> Tensor:
        """Any shape -> the same."""
        total = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        """The same again."""
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


class SyncedBatchNorm(_BatchNorm):
    """BatchNorm over the images of all processes; torch's own SyncBatchNorm refuses to run on a CPU.

    Each process finds mean and variance of its own images, in float32 at least; these are combined, so that no digits
    cancel (Chan, Golub and LeVeque 1983, eq. 2.1 for parts of one size). Processes wait for each other once on the way.
    """

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        """Any shape with channels in its second place."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """(B, C, ...) -> the same."""
        alone = not self.training or world() == 1
        normal = super().forward(input) if alone else self.over_all_processes(input)
        after = [part for part in (self._modules.get("drop"), self._modules.get("act")) if part is not None]
        for part in after:  # timm's BatchNormAct2d drops and activates as well
            normal = part(normal)
        return normal

    def over_all_processes(self, images: Tensor) -> Tensor:
        """Normalises by mean and variance of the images of all processes."""
        shape = [1, -1, *[1] * (images.ndim - 2)]
        x = images.to(torch.promote_types(images.dtype, torch.float32))
        own = torch.var_mean(x, dim=[0, *range(2, images.ndim)], correction=0)
        variances, means = gathered(torch.stack(own).unsqueeze(0)).unbind(1)  # (world, C) each
        mean = means.mean(dim=0)  # (C,)
        variance = (variances + (means - mean).square()).mean(dim=0)
        count = x.numel() // x.shape[1] * world()
        self._remember(mean.detach(), variance.detach() * count / max(1, count - 1))
        scale = (variance + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        shift = -mean * scale if self.bias is None else self.bias - mean * scale
        return (x * scale.view(shape) + shift.view(shape)).to(images.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Moves the running statistics as torch's BatchNorm does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


def synced(module: nn.Module) -> nn.Module:
    """Lets every BatchNorm in `module` see the images of all processes; names and tensors stay as they are."""
    for child in module.modules():
        if isinstance(child, _BatchNorm):
            child.__class__ = SyncedBatchNorm
    return module


class WholeBatchDraws(TorchFunctionMode):
    """Lets dropout and paths that are dropped draw for the images of all processes, of which each takes its own rows.

    All processes draw from one seed. So a step drops what one process with the whole batch drops, and two images never
    share a draw. What is drawn has the images in its first place, or windows of images in their order.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Draws for a whole batch; whatever else is called is called as it is."""
        options = dict(kwargs or {})
        if func in DROPOUTS and options.get("training", True):
            images, inplace = args[0], options.pop("inplace", False)
            kept = own_rows(func(whole_batch_of_ones(images), *args[1:], **options))
            return images.mul_(kept) if inplace else images * kept
        if func is Tensor.bernoulli_:  # timm's DropPath
            return args[0].copy_(own_rows(whole_batch_of_ones(args[0]).bernoulli_(*args[1:], **options)))
        if func is torch.rand and isinstance(args[0], list | tuple):  # smp's drop_connect
            return own_rows(torch.rand([args[0][0] * world(), *args[0][1:]], **options))
        return func(*args, **options)


DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)


def whole_batch_of_ones(images: Tensor) -> Tensor:
    """Ones of the shape that `images`, (B, ...), has with those of all processes, in their layout, which draws obey."""
    ones = torch.ones(len(images) * world(), *images.shape[1:], dtype=images.dtype, device=images.device)
    last = images.ndim == 4 and images.is_contiguous(memory_format=torch.channels_last)
    return ones.contiguous(memory_format=torch.channels_last) if last else ones


def whole_batch_draws() -> AbstractContextManager[object]:
    """`WholeBatchDraws` where several processes train together."""
    return WholeBatchDraws() if world() > 1 else nullcontext()
