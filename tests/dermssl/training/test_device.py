"""Threads, memory layout and precision, set in one place."""

import copy
from collections.abc import Iterator
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from dermssl.training import device
from dermssl.training.device import channels_last, depthwise_in_float32, keep_freed_memory, prepare, quickest_precision


class Stages(nn.Module):
    """A convolution and BatchNorm that answers with feature maps, as an encoder does."""

    def __init__(self) -> None:
        super().__init__()
        self.convolve, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images, self.norm(self.convolve(images))]


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_this_process_has_the_threads_that_are_asked_for() -> None:
    prepare(1)
    assert torch.get_num_threads() == 1


def test_no_number_means_all_cores() -> None:
    with patch.object(device, "usable_cores", return_value=2):
        prepare(0)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("there", "name"), [(True, "cuda:1"), (False, "cpu")])
def test_a_gpu_is_taken_where_there_is_one_by_the_number_of_the_process(
    there: bool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with patch.object(torch, "set_float32_matmul_precision"), patch.object(torch.cuda, "set_device"):
        assert str(prepare(1)) == name


def test_the_quicker_precision_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for quicker in ("32-true", "bf16-mixed"):
        monkeypatch.setattr(device, "time_steps", lambda _m, _i, choice, best=quicker: 1.0 if choice == best else 2.0)
        assert quickest_precision(Stages(), torch.rand(2, 3, 8, 8)) == quicker


def test_both_precisions_are_timed_and_the_model_comes_back_as_it_was() -> None:
    model, images = Stages(), torch.rand(2, 3, 8, 8)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with patch.object(device, "time_steps", wraps=device.time_steps) as timed:
        assert quickest_precision(model, images) in {"32-true", "bf16-mixed"}
    assert [call.args[2] for call in timed.call_args_list] == ["32-true", "bf16-mixed"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_trial_moves_the_statistics_that_are_put_back() -> None:
    model = Stages()
    device.time_steps(model, torch.rand(2, 3, 8, 8), "32-true")
    assert model.norm.num_batches_tracked == 4  # three that count and one that does not


def test_convolutions_lie_in_memory_with_their_channels_last() -> None:
    model = channels_last(Stages())
    assert model.convolve.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr,operator]


def test_nothing_happens_where_the_c_library_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.platform, "libc_ver", lambda: ("musl", "1.2"))
    with patch.object(device.ctypes, "CDLL") as library:
        keep_freed_memory()
    library.assert_not_called()


def depthwise() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1))


def test_depthwise_convolutions_keep_float32_under_autocast() -> None:
    model, images = depthwise(), torch.randn(2, 8, 9, 9)
    exact = model[1](images).bfloat16()
    depthwise_in_float32(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model[1](images), exact)
        assert model(torch.randn(2, 3, 9, 9)).dtype == torch.bfloat16


def test_depthwise_convolutions_in_float32_change_no_name_no_float32_result_and_no_other_layer() -> None:
    model, images = depthwise(), torch.randn(2, 3, 9, 9)
    before, kinds, names = model(images), [type(layer) for layer in model], list(model.state_dict())
    depthwise_in_float32(depthwise_in_float32(model))
    assert torch.equal(model(images), before)
    assert list(model.state_dict()) == names
    assert [type(layer) is kind for layer, kind in zip(model, kinds, strict=True)] == [True, False, True]
    assert isinstance(model[1], nn.Conv2d)


def test_a_copy_of_a_depthwise_convolution_has_weights_of_its_own() -> None:
    model = depthwise_in_float32(depthwise())
    copied = copy.deepcopy(model)
    with torch.no_grad():
        copied[1].weight.zero_()
        copied[1].bias.zero_()
    assert copied[1](torch.randn(1, 8, 5, 5)).abs().max() == 0
    assert model[1](torch.randn(1, 8, 5, 5)).abs().max() > 0
