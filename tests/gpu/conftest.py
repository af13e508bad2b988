"""What the tests marked `gpu` share: they run on a GPU where there is one, else on the CPU, and so stay true."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from small_methods import draw_batch, draw_photographs, keep, small_method

from dermssl.training.device import whole_float32
from finetune.network.build import build_model
from finetune.network.model_file import ModelCard, write_model

__all__ = ["draw_batch", "draw_photographs", "keep", "small_method"]  # fixtures, which the tests of this folder name


@pytest.hookimpl(tryfirst=True)  # before slow tests are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a GPU a test holds that it runs at all; that of one case is fast, and those of the others are slow."""
    met: set[str] = set()
    for item in items if not torch.cuda.is_available() else []:
        test = item.nodeid.partition("[")[0]
        if Path(__file__).parent in item.path.parents and test in met:
            item.add_marker(pytest.mark.slow)
        met.add(test)


@pytest.fixture(scope="module", autouse=True)
def _apart(apart: None) -> None:
    """Every module of this folder keeps what it decodes to itself."""


@pytest.fixture
def device() -> torch.device:
    """The first GPU; the CPU where there is none."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


@pytest.fixture
def exact() -> Iterator[None]:
    """Products of float32 numbers on the GPU are those of float32, which training rounds for speed."""
    with whole_float32():
        yield


@pytest.fixture
def sure_model(tmp_path: Path) -> Callable[..., Path]:
    """The model file of a Unet with random weights that is sure of itself: its probabilities are far apart."""

    def write(encoder: str, side: int) -> Path:
        torch.manual_seed(0)
        card = ModelCard(encoder=encoder, decoder="unet", image_size=side, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25),
                         init="random", encoder_sha256="", data="", commit="")  # fmt: skip
        network = build_model(card.encoder, card.decoder, card.options)
        with torch.no_grad():
            network.segmentation_head[0].weight.mul_(10)
        file = tmp_path / "sure" / "model.safetensors"
        file.parent.mkdir()
        write_model(file, network, card)
        return file

    return write
