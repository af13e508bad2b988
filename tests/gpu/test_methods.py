"""Every method on the GPU: its loss and gradients are those of the CPU, it waits for nothing, and it learns in bf16."""

from collections.abc import Callable, Mapping

import pytest
import torch
from pytorch_lightning import Callback
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader

from dermssl.training.randomness import CountedRandomness
from dermssl.training.trainer import fit
from pretrain.known_methods import METHODS
from pretrain.methods.method import Method
from pretrain.views.batch import Batch

pytestmark = pytest.mark.gpu

MOST = 1e-4  # of the loss, and of all gradients together
STEPS = 20
BRISK: dict[str, object] = {"optimiser": "adamw", "lr": 2e-3, "lr_scaling": "none", "warmup": 0.1}
DRAWS = {torch.rand, torch.randn, torch.randint, torch.randperm}
Record = Callable[[str, object], None]


class DrawnOnTheCpu(TorchFunctionMode):
    """What a method draws is drawn on the CPU and brought: a GPU's generator gives other numbers."""

    def __torch_function__(
        self, func: Callable[..., Tensor], types: object, args: tuple[object, ...] = (), kwargs: object = None
    ) -> Tensor:
        options = dict(kwargs or {})  # type: ignore[call-overload]
        if func not in DRAWS:
            return func(*args, **options)
        device = options.pop("device", None)
        return func(*args, **options).to(device or "cpu")


def on(device: torch.device, batch: Batch) -> Batch:
    """The batch there."""
    return Batch(*(part.to(device) for part in batch))


def loss_and_gradients(method: Method, batch: Batch) -> tuple[float, Tensor]:
    """The loss of a step, and all gradients one behind the other, on the CPU."""
    torch.manual_seed(5)
    with DrawnOnTheCpu():
        loss = method.training_step(batch, 0)["loss"]
    loss.backward()
    gradients = [p.grad.flatten().cpu() for p in method.parameters() if p.grad is not None]
    return loss.item(), torch.cat(gradients)


@pytest.mark.parametrize("name", METHODS)
def test_loss_and_gradients_on_the_gpu_are_those_of_the_cpu(
    name: str,
    small_method: Callable[..., Method],
    draw_batch: Callable[..., Batch],
    device: torch.device,
    exact: None,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    """Gradients that nearly cancel (decoder, decon, spark) are held against what rounding alone makes of them."""
    here, there = small_method(name), small_method(name).to(device)
    batch = draw_batch(here.recipe)
    expected, gradients = loss_and_gradients(here, batch)
    loss, brought = loss_and_gradients(there, on(device, batch))
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    rounded = apart(loss_and_gradients(small_method(name), batch)[1], gradients)  # the CPU's own other kernels
    off, turned = abs(loss - expected) / max(1.0, abs(expected)), apart(brought, gradients)
    record_property("difference of a loss (1e-4 is allowed)", off)
    record_property("difference of all gradients, of their length", turned)
    record_property("what other kernels of the CPU make of them (1e-4, or 5 times this, is allowed)", rounded)
    assert off < MOST
    assert turned < max(MOST, 5 * rounded)


def apart(some: Tensor, others: Tensor) -> float:
    """The length of the difference, of the others' length."""
    return float((some - others).norm() / others.norm())


class Losses(Callback):
    """Keeps the loss of every step, without waiting for the device."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def on_train_batch_end(self, trainer: object, module: object, outputs: Mapping[str, Tensor], *_: object) -> None:
        self.seen.append(outputs["loss"].detach())


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_the_loss_falls_in_bf16(
    name: str, small_method: Callable[..., Method], draw_batch: Callable[..., Batch], device: torch.device
) -> None:
    method, losses = small_method(name, steps=STEPS, **BRISK), Losses()
    loader = DataLoader([draw_batch(method.recipe)] * STEPS, batch_size=None)  # type: ignore[arg-type]
    fit(method, loader, steps=STEPS, precision="bf16-mixed", callbacks=[CountedRandomness(0), losses], resume=None)
    assert losses.seen[0].device.type == device.type
    values = torch.stack(losses.seen).tolist()
    before, after = sum(values[2:7]) / 5, sum(values[-5:]) / 5  # by then a queue is full
    assert after < before - 0.05 * abs(before), values


@pytest.mark.parametrize("name", METHODS)
def test_a_step_on_the_gpu_waits_for_nothing(
    name: str, small_method: Callable[..., Method], draw_batch: Callable[..., Batch], device: torch.device
) -> None:
    if device.type != "cuda":
        pytest.skip("there is no GPU to wait for; tests/pretrain/methods/test_contract.py has the like on a CPU")
    method = small_method(name).to(device)
    batch = on(device, draw_batch(method.recipe))
    method.training_step(batch, 0)["loss"].backward()  # libraries set themselves up at the first step
    torch.cuda.set_sync_debug_mode("error")
    try:
        method.training_step(batch, 0)["loss"].backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
