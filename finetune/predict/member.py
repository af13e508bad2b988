"""A trained network opened for prediction, from a run folder, a model file or an ONNX file."""

from dataclasses import dataclass
from pathlib import Path

import torch

from dermssl.errors import UserError
from dermssl.training.device import Precision, channels_last, prepare
from finetune.network.model_file import ModelCard, read_model
from finetune.network.onnx_model import OnnxSegmenter
from finetune.predict.inputs import Preprocessing
from finetune.scoring.inference import Predictor, Segmenter, TorchSegmenter


@dataclass(frozen=True)
class Member:
    """A trained network and what its file says of it."""

    path: Path
    """The path that the user typed."""
    form: str
    """Form of the file: safetensors or onnx."""
    card: ModelCard
    network: Segmenter

    @property
    def preprocessing(self) -> Preprocessing:
        """What becomes of a picture before this network sees it."""
        return Preprocessing(self.card.fitted, self.card.cache_size)

    def predictor(self, batch_size: int, symmetries: bool | None) -> Predictor:
        """A predictor by this network; over the symmetries as the run was scored, where nothing else is asked for."""
        averaged = self.card.symmetries if symmetries is None else symmetries
        return Predictor(self.network, self.card.fitted, batch_size, averaged)


def open_member(path: Path, device: torch.device, precision: Precision = "32-true", *, gpu: bool = False) -> Member:
    """The network in `path`, on the device.

    Args:
        path: A run folder, a model file or an ONNX file.
        device: Where it runs.
        precision: Numbers that it computes in.
        gpu: Whether a GPU was asked for by name, so that a network that cannot use it is refused.

    Raises:
        UserError: If there is none, it is damaged, or the device or precision is none for it.
    """
    if path.suffix == ".onnx":
        network = OnnxSegmenter(path, device, precision)
        if gpu and not network.beside_cpu:
            raise UserError(f"--device cuda: onnxruntime finds no GPU for {path}; take --device cpu, or auto")
        return Member(path, "onnx", network.card, network)
    model, card = read_model(path)
    placed = channels_last(model).to(device)
    return Member(path, "safetensors", card, TorchSegmenter(placed, card.normalise, precision))


def device_of(name: str, threads: int) -> torch.device:
    """Sets threads and allocator of this process; returns the device that `auto`, `cpu` or `cuda` means here.

    Raises:
        UserError: If there is no GPU and one is asked for.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no GPU here; take --device cpu, or auto")
    device = prepare(threads)
    return torch.device("cpu") if name == "cpu" else device
