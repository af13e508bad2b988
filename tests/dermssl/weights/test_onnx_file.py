"""An ONNX file is what onnxruntime was seen to compute, or it is not there."""

from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.weights import onnx_file
from dermssl.weights.onnx_file import relative_difference, write_onnx


class Two(nn.Module):
    """uint8 pixels to a map and its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3, padding=1)
        self.drop = nn.Dropout()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        found = self.drop(self.layer(pixels.float() / 255))
        return found, found.mean(dim=(2, 3))


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randint(256, (1, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def written(pixels: Tensor, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module, float]:
    torch.set_num_threads(1)
    path, module = tmp_path_factory.mktemp("onnx") / "two.onnx", Two()
    return path, module, write_onnx(path, module, pixels, "pixels", ["map", "mean"], {"input": "RGB"})


def test_it_gives_what_torch_gives_for_any_batch(written: tuple[Path, nn.Module, float], pixels: Tensor) -> None:
    path, module, difference = written
    batch = torch.cat([pixels, pixels.flip(2), pixels.flip(3), 255 - pixels])
    given = onnxruntime.InferenceSession(path).run(["map", "mean"], {"pixels": batch.numpy()})
    assert 0 <= difference <= 1e-5
    for its, ours in zip(given, module(batch), strict=True):
        assert torch.allclose(torch.from_numpy(its), ours, atol=1e-6)


def test_it_carries_its_texts_and_no_path_of_this_machine(written: tuple[Path, nn.Module, float]) -> None:
    path = written[0]
    assert {entry.key: entry.value for entry in onnx.load(path).metadata_props} == {"input": "RGB"}
    data = path.read_bytes()
    assert str(Path(__file__).parent).encode() not in data
    assert str(Path(torch.__file__).parent).encode() not in data


def test_a_file_that_onnxruntime_computes_otherwise_is_not_written(
    tmp_path: Path, pixels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    class Drifting(Two):
        def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
            return tuple(found + 0.1 * calls for found in super().forward(pixels))  # type: ignore[return-value]

    module = Drifting()
    keep = onnx_file.disagreement

    def drift(path: Path, module: nn.Module, batch: Tensor) -> float:
        nonlocal calls
        calls += 1
        return keep(path, module, batch)

    monkeypatch.setattr(onnx_file, "disagreement", drift)
    with pytest.raises(UserError, match="onnxruntime differs from torch"):
        write_onnx(tmp_path / "two.onnx", module, pixels, "pixels", ["map", "mean"], {})
    assert not list(tmp_path.iterdir())


def test_weights_beyond_what_a_protobuf_holds_are_refused_first(tmp_path: Path, pixels: Tensor) -> None:
    with torch.device("meta"):
        large = nn.Linear(30_000, 20_000)
    with pytest.raises(UserError, match=r"take 2\.4 GB and an ONNX file holds 2 GB"):
        write_onnx(tmp_path / "large.onnx", large, pixels, "pixels", ["out"], {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "wanted", "difference"),
    [([0.0, 0.0], [0.0, 0.0], 0.0), ([1.0, 5.0], [2.0, 4.0], 0.25), ([1.0], [0.0], float("inf"))],
)
def test_differences_are_relative_to_the_largest_value(
    given: list[float], wanted: list[float], difference: float
) -> None:
    assert relative_difference(torch.tensor(given), torch.tensor(wanted)) == difference


def test_nan_is_no_agreement(tmp_path: Path) -> None:
    assert not relative_difference(torch.tensor([torch.nan]), torch.tensor([torch.nan])) <= 1e-5
