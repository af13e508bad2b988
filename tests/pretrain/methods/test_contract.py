"""What every method keeps to, whatever its paper."""

from collections.abc import Callable

import pytest
import torch
from pytorch_lightning import Trainer
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from pretrain.known_methods import METHODS
from pretrain.methods.method import Method
from pretrain.views.batch import Batch

# What Lightning says of a training this short.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec"),  # torch's own deprecation inside Lightning
    pytest.mark.filterwarnings("ignore:.*GPU available but not used"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval"),
    pytest.mark.filterwarnings("ignore:.*LightningModule. to be in eval"),
]

Builds = Callable[..., Method]
Draws = Callable[..., Batch]

# Options with which a method learns eight images by heart in some tens of steps; the recipe's own optimiser otherwise.
BRISK: dict[str, object] = {"optimiser": "adamw", "lr": 2e-3, "lr_scaling": "none", "warmup": 0.1}


@pytest.fixture(params=METHODS)
def name(request: pytest.FixtureRequest) -> str:
    """A method's name."""
    return str(request.param)


@pytest.fixture
def method(name: str, small_method: Builds) -> Method:
    """A small one of every method."""
    return small_method(name)


@pytest.fixture
def batch(method: Method, draw_batch: Draws) -> Batch:
    """Eight images as the method's options ask for them."""
    return draw_batch(method.recipe)


class NeverWaits(TorchDispatchMode):
    """Refuses what has a program on a GPU wait for a tensor's values: reading them, or a shape that hangs on them."""

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> object:
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2"), name
        if name in ("index", "index_put", "index_put_"):
            assert all(index is None or index.dtype != torch.bool for index in args[1]), f"{name} by a mask"  # type: ignore[attr-defined]
        return func(*args, **(kwargs or {}))


def step(method: Method, batch: Batch, seed: int = 5) -> dict[str, Tensor]:
    """A step's scalars, with what is drawn in it drawn from the seed."""
    torch.manual_seed(seed)
    return method.training_step(batch, 0)


def train(method: Method, batches: list[Batch]) -> list[dict[str, float]]:
    """The scalars of every step of a training by Lightning, hooks and schedule included."""
    seen: list[dict[str, float]] = []
    taken = method.training_step

    def watched(batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        torch.manual_seed(len(seen))
        scalars = taken(batch, batch_idx)
        seen.append({key: value.item() for key, value in scalars.items()})
        return scalars

    method.training_step = watched  # type: ignore[method-assign]
    loader = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(method, loader)
    del method.training_step
    method.trainer = None  # what follows counts its steps from 0
    return seen


def test_every_scalar_is_finite_and_the_loss_asks_for_a_gradient(method: Method, batch: Batch) -> None:
    scalars = step(method, batch)
    assert {"loss", "spread"} <= scalars.keys()
    assert scalars["loss"].requires_grad
    for key, value in scalars.items():
        assert value.shape == (), key
        assert value.isfinite(), key


@pytest.mark.slow
def test_the_loss_falls_on_images_that_are_seen_again_and_again(
    name: str, small_method: Builds, draw_batch: Draws
) -> None:
    """By a tenth: the mean of the last five of twenty steps against that of the first five that find the queue full."""
    method = small_method(name, steps=20, **BRISK)
    losses = [scalars["loss"] for scalars in train(method, [draw_batch(method.recipe)] * 20)]
    before, after = sum(losses[2:7]) / 5, sum(losses[-5:]) / 5
    assert after < before - 0.1 * abs(before), losses


def test_gradients_reach_every_trained_parameter_and_no_slow_copy(method: Method, batch: Batch) -> None:
    step(method, batch)["loss"].backward()
    for key, parameter in method.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, key
    for key, parameter in method.encoder.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


def test_the_optimiser_moves_every_trained_parameter_and_nothing_twice(method: Method) -> None:
    settings = method.configure_optimizers()
    moved = [parameter for group in settings["optimizer"].param_groups for parameter in group["params"]]
    assert len(moved) == len(set(moved))
    assert set(moved) == {parameter for parameter in method.parameters() if parameter.requires_grad}


def test_the_same_seed_gives_the_same_loss_to_the_bit(name: str, small_method: Builds, batch: Batch) -> None:
    first, second = (step(small_method(name), batch)["loss"] for _ in range(2))
    assert torch.equal(first, second)


def test_a_step_after_loading_its_state_is_the_same_to_the_bit(
    name: str, small_method: Builds, method: Method, batch: Batch, draw_batch: Draws
) -> None:
    """Queue, centre and slow copies are in the state: the loaded method began with weights of another seed."""
    train(method, [batch, draw_batch(method.recipe, seed=1)])
    loaded = small_method(name, seed=1)
    loaded.load_state_dict(method.state_dict())
    for seed in (2, 3):
        other = draw_batch(method.recipe, seed)
        assert torch.equal(step(method, other)["loss"], step(loaded, other)["loss"])


def test_bf16_gives_nearly_the_loss_of_float32(name: str, small_method: Builds, batch: Batch) -> None:
    exact = step(small_method(name), batch)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = step(small_method(name), batch)["loss"]
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(exact.item(), rel=0.05, abs=0.05)


def test_a_step_leaves_the_batch_as_it_was(method: Method, batch: Batch) -> None:
    before = [tensor.clone() for tensor in batch]
    step(method, batch)
    assert all(torch.equal(old, new) for old, new in zip(before, batch, strict=True))


def test_a_step_never_waits_for_a_gpu(method: Method, batch: Batch) -> None:
    with NeverWaits():
        step(method, batch)["loss"].backward()


@pytest.mark.parametrize("wait", [lambda x: x.sum().item(), lambda x: bool(x[0] > 0), lambda x: x[x > 0]])
def test_waiting_for_a_gpu_is_noticed(wait: Callable[[Tensor], object]) -> None:
    with NeverWaits(), pytest.raises(AssertionError):
        wait(torch.ones(3))
