"""Threads, allocator, memory layout and precision, set in one place by what was measured (docs/architecture.md)."""

import ctypes
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import cv2
import torch
from torch import nn

from dermssl.parallel import local_rank, local_world
from dermssl.runs.control_group import usable_cores
from dermssl.weights.encoder import pooled

Precision = Literal["32-true", "bf16-mixed"]


def prepare(threads: int) -> torch.device:
    """Sets threads and allocator for this process; returns the device to train on.

    Args:
        threads: CPU threads of this process; 0 shares all cores between the processes of this host. Threads times
            processes must not exceed the cores: two threads beside anything that keeps the second core busy are up to
            ten times slower than one.
    """
    threads = threads or max(1, usable_cores() // local_world())
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    keep_freed_memory()
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")
        device = torch.device("cuda", local_rank())
        torch.cuda.set_device(device)
        return device
    return torch.device("cpu")


@contextmanager
def whole_float32() -> Iterator[None]:
    """Lets a GPU multiply float32 numbers as they are while the body runs, and not rounded to ten bits (TF32).

    TF32 is what training in float32 is quick by, and moves probabilities by more than the 1e-3 that are promised.
    """
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions


def keep_freed_memory() -> None:
    """Stops glibc from handing every large tensor back to the kernel, which then faults it in anew at each step.

    1.1 to 3 times faster steps for 5 to 10 % more memory; Linux with glibc only, nothing happens elsewhere.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # names of malloc.h
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, -1)
    mallopt(top_pad, 64 * 1024 * 1024)


def quickest_precision(model: nn.Module, images: torch.Tensor) -> Precision:
    """The precision in which forward and backward of `model` take less time on `images`, (B, 3, H, W).

    Timed and not looked up: on a CPU bf16 is twice as fast for a ResNet and slower for depthwise convolutions. On a
    GPU it is bf16. The gradients that the trial leaves are removed; BatchNorm statistics move and are put back.
    """
    if images.device.type == "cuda":
        return "bf16-mixed"
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    seconds = {choice: time_steps(model, images, choice) for choice in ("32-true", "bf16-mixed")}
    model.zero_grad(set_to_none=True)
    for name, buffer in model.named_buffers():
        buffer.copy_(before[name])
    return "bf16-mixed" if seconds["bf16-mixed"] < seconds["32-true"] else "32-true"


def time_steps(model: nn.Module, images: torch.Tensor, precision: str, steps: int = 3) -> float:
    """Median seconds of a forward and backward pass, after one that does not count."""
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            features = pooled(model, images)
        torch.autograd.backward(features.float().square().mean())
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


class DepthwiseInFloat32(nn.Module):
    """Laid over a depthwise convolution: half precision is left for it, and taken up again behind it."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The convolution with float32 numbers, whatever autocast says; half precision comes back as such."""
        with torch.autocast(images.device.type, enabled=False):
            convolved: torch.Tensor = super().forward(images.float())
        halved = torch.is_autocast_enabled(images.device.type)
        return convolved.to(torch.get_autocast_dtype(images.device.type)) if halved else convolved


def depthwise_in_float32(model: nn.Module) -> nn.Module:
    """Lets depthwise convolutions run in float32 under bf16: on a CPU their bf16 kernels are several times slower.

    EfficientNet-lite0 then trains a quarter faster in bf16 than in float32, and not a fifth slower. Names, tensors and
    float32 results stay as they are.
    """
    for child in model.modules():
        if isinstance(child, nn.Conv2d) and 1 < child.groups == child.in_channels:
            kind = type(child)
            if not issubclass(kind, DepthwiseInFloat32):
                child.__class__ = type(kind.__name__, (DepthwiseInFloat32, kind), {})
    return model


def channels_last(model: nn.Module) -> nn.Module:
    """Lays convolution weights out as (O, H, W, I), in which CPU and GPU kernels are fastest."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[no-any-return,call-overload]
