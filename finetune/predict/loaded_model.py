"""A trained network for programs of one's own: the masks that `finetune.predict` writes, of arrays or of files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from dermssl.data.images import Pixels, shrink
from dermssl.errors import UserError
from finetune.network.model_file import ModelCard
from finetune.predict.inputs import DamagedPicture, InputPicture, read_squares
from finetune.predict.member import Member, open_member
from finetune.scoring.inference import Mask, Predictor, Probability


class Prediction(NamedTuple):
    """What a network finds in a picture, at the picture's own size."""

    mask: Mask
    """Lesion, (H, W) bool."""
    probability: Probability
    """Of lesion, (H, W) float32 in [0, 1]."""


@dataclass(frozen=True)
class LoadedModel:
    """A network with all it takes to go from a picture to its mask, as its run was scored."""

    member: Member

    @property
    def card(self) -> ModelCard:
        """What the model file says of itself."""
        return self.member.card

    def predict(self, picture: Pixels | str | Path) -> Prediction:
        """The mask of a picture, the same as `python -m finetune.predict` writes of its file.

        Args:
            picture: An upright RGB picture (H, W, 3) of uint8, or the path of one. Of an array the pixels are shrunk
                where the run shrank them as it read; a JPEG's file is read smaller at once, which differs by roundings.

        Raises:
            UserError: If it is no such array, or the file cannot be read.
        """
        view = self.member.preprocessing
        if isinstance(picture, np.ndarray):
            refuse_other_array(picture)
            pixels = picture if view.cache_size is None else shrink(picture, view.cache_size)
            square, (height, width) = view.fit.square(pixels), picture.shape[:2]
        else:
            read = read_squares(InputPicture(Path(picture), Path(picture).stem), [view])
            if isinstance(read, DamagedPicture):
                raise UserError(f"{picture}: {read.reason}")
            (square,), height, width = read.squares, read.height, read.width
        probability = view.fit.native(self._predictor.on_squares([square])[0], height, width)
        return Prediction(self.card.cut(probability), probability)

    @property
    def _predictor(self) -> Predictor:
        return self.member.predictor(1, None)


def load_model(run: str | Path, *, device: Literal["auto", "cpu", "cuda"] = "auto") -> LoadedModel:
    """The network of a run, to predict with.

    Args:
        run: A run folder of `python -m finetune`, its model.safetensors, or a file of `python -m finetune.export`.
        device: Where it runs; `auto` takes a GPU where there is one.

    Raises:
        UserError: If there is none, it is damaged, or there is no such device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("load_model: torch finds no GPU here; take device='cpu', or 'auto'")
    placed = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    return LoadedModel(open_member(Path(run), placed, gpu=device == "cuda"))


def refuse_other_array(picture: Pixels) -> None:
    """Stops at an array that is no picture of a camera: a network would take anything."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise UserError(
            f"predict: takes a picture as an array (height, width, 3) of uint8 in RGB, got {picture.shape} of "
            f"{picture.dtype}"
        )
