"""Fine-tuning, prediction and export on the GPU, held against the CPU."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dermssl.weights.encoder import Normalise
from finetune.export.config import ModelExportConfig
from finetune.export.run import export_onnx
from finetune.network.build import build_model
from finetune.options.config import FinetuneConfig
from finetune.options.training_length import Schedule
from finetune.predict.config import PredictConfig
from finetune.predict.run import predict_masks
from finetune.run import run
from finetune.training.segment import Segment

pytestmark = pytest.mark.gpu

TINY = "tu-test_efficientnet"
PROMISED = 1e-3  # of a probability
Record = Callable[[str, object], None]


def segment(encoder: str) -> Segment:
    """A Unet in training."""
    torch.manual_seed(0)
    config = FinetuneConfig(encoder=encoder, decoder="unet", image_size=64, lr=1e-3)
    ordinary = Normalise((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return Segment(build_model(encoder, "unet"), ordinary, config, Schedule(6)).train()


def squares() -> tuple[Tensor, Tensor]:
    """Dark squares on noise, with their masks, uint8."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(100, 255, (8, 3, 64, 64), dtype=torch.uint8, generator=rng)
    masks = torch.zeros(8, 1, 64, 64, dtype=torch.uint8)
    masks[..., 16:32, 16:32] = 1
    return images // (1 + masks * 2), masks


def loss_and_gradients(module: Segment, device: torch.device) -> tuple[float, Tensor]:
    """The loss of a step, and all gradients one behind the other, on the CPU."""
    images, masks = squares()
    torch.manual_seed(5)
    loss = module.to(device).training_step((images.to(device), masks.to(device)), 0)["loss"]
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten().cpu() for p in module.parameters() if p.grad is not None])


@pytest.mark.parametrize("encoder", [TINY, "resnet18"])
def test_a_step_of_fine_tuning_is_that_of_the_cpu(
    encoder: str, device: torch.device, exact: None, record_property: Record
) -> None:
    expected, gradients = loss_and_gradients(segment(encoder), torch.device("cpu"))
    loss, brought = loss_and_gradients(segment(encoder), device)
    turned = float((brought - gradients).norm() / gradients.norm())
    record_property("difference of all gradients, of their length (1e-4 is allowed)", turned)
    assert loss == pytest.approx(expected, rel=1e-4)
    assert turned < 1e-4


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three JPEGs of three sizes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("a", (90, 120)), ("b", (64, 48)), ("c", (130, 100))):
        noise = cv2.GaussianBlur(rng.normal(size=(*size, 3)), (0, 0), 5)
        cv2.imwrite(str(folder / f"{name}.jpg"), (128 + 120 * noise / np.abs(noise).max()).astype(np.uint8))
    return folder


def probabilities(model: Path, pictures: Path, out: Path, **more: object) -> list[NDArray[np.float64]]:
    """What a prediction says of each picture."""
    predict_masks(PredictConfig(model=model, images=pictures, out=out, probability=True, threads=1, **more))  # type: ignore[arg-type]
    files = sorted(out.glob("*_probability.png"))
    return [np.asarray(cv2.imread(str(file), cv2.IMREAD_UNCHANGED) / 65535) for file in files]


def furthest(some: list[NDArray[np.float64]], others: list[NDArray[np.float64]]) -> float:
    """The largest difference of a probability."""
    assert len(some) == len(others) == 3
    return max(float(np.abs(one - other).max()) for one, other in zip(some, others, strict=True))


@pytest.mark.parametrize("encoder", [TINY, "resnet18"])
def test_probabilities_of_the_gpu_are_those_of_the_cpu(
    encoder: str, sure_model: Callable[..., Path], pictures: Path, tmp_path: Path, device: torch.device,
    record_property: Record,
) -> None:  # fmt: skip
    model = sure_model(encoder, 96)
    expected = probabilities(model, pictures, tmp_path / "cpu", device="cpu")
    found = probabilities(model, pictures, tmp_path / "gpu", device=device.type)
    record_property("difference of a probability (1e-3 is allowed)", difference := furthest(found, expected))
    assert np.ptp(expected[0]) > 0.1
    assert difference < PROMISED


@pytest.mark.slow
def test_probabilities_of_an_onnx_file_are_those_of_the_gpu(
    sure_model: Callable[..., Path], pictures: Path, tmp_path: Path, device: torch.device, record_property: Record
) -> None:
    model = sure_model(TINY, 96)
    file = export_onnx(ModelExportConfig(model=model, out=tmp_path / "model.onnx", threads=1))
    found = probabilities(file, pictures, tmp_path / "onnx", device="cpu")
    expected = probabilities(model, pictures, tmp_path / "gpu", device=device.type)
    record_property("difference of a probability (1e-3 is allowed)", difference := furthest(found, expected))
    assert difference < PROMISED


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_run_on_the_gpu_predicts_on_the_cpu_what_it_predicts_there(
    precision: str, draw_photographs: Callable[..., Path], pictures: Path, tmp_path: Path, device: torch.device,
    record_property: Record,
) -> None:  # fmt: skip
    data = draw_photographs(tmp_path / "data", masks=True)
    config = FinetuneConfig(
        data=data, out=tmp_path / "runs", encoder=TINY, init="random", image_size=64, cache_size=72, steps=20,
        batch_size=4, lr=3e-3, val_fraction=0.25, precision=precision, threads=1,  # type: ignore[arg-type]
    )  # fmt: skip
    folder = run(config)
    assert (folder / "report.html").is_file()
    expected = probabilities(folder, pictures, tmp_path / "cpu", device="cpu")
    found = probabilities(folder, pictures, tmp_path / "gpu", device=device.type)
    record_property("difference of a probability (1e-3 is allowed)", difference := furthest(found, expected))
    assert difference < PROMISED
