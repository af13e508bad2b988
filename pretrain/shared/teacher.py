"""A frozen network that others learn from: where its weights come from, and what it answers."""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.weights.encoder import Start, feature_maps, start_from
from dermssl.weights.encoder_file import read_card
from dermssl.weights.hub import INSTALLED
from dermssl.weights.known_encoders import is_known


class Teacher(nn.Module):
    """An encoder in inference mode that no gradient moves, with its own normalisation of the pixels."""

    def __init__(self, start: Start, size: int) -> None:
        super().__init__()
        self.encoder, self.normalise, self.size = start.encoder.requires_grad_(False), start.normalise, size
        self.eval()

    @torch.no_grad()
    def forward(self, views: Tensor) -> Tensor:
        """Its last map (N, C, h, w) of views (N, 3, S, S) uint8, resized to `size` unless that is 0."""
        images = self.normalise(views)
        if self.size:
            images = F.interpolate(images, size=self.size, mode="bilinear", antialias=True)
        return feature_maps(self.encoder, images)[-1]


def teacher_from(teacher: str) -> Start:
    """The network that `--teacher` names: an encoder file, or the ImageNet weights of an encoder's name.

    Raises:
        UserError: If it is neither, or its weights cannot be had.
    """
    path = Path(teacher)
    if path.suffix == ".safetensors" or path.is_file():
        if not path.is_file():
            raise UserError(f"--teacher {teacher}: no such file; give a file of `python -m pretrain`, or a name")
        return start_from(teacher, read_card(path).encoder, 0)
    if not is_known(teacher):
        raise UserError(
            f"--teacher {teacher}: no such file, and no such encoder; give a file of `python -m pretrain`, one of "
            "smp's names, or a timm model as tu-NAME"
        )
    try:
        return start_from("imagenet", teacher, 0)
    except UserError as error:
        raise UserError(
            f"--teacher {teacher}: its weights could not be had; connect to the network once, or take one whose "
            f"weights are installed ({', '.join(sorted(INSTALLED))})"
        ) from error


def in_identity(teacher: Start | None) -> Mapping[str, object]:
    """What of a teacher makes a run another run: the hash of its weights; nothing where there is none."""
    return {} if teacher is None else {"teacher": teacher.sha256}


def teacher_in_words(teacher: Start | None) -> str:
    """What a card says of it: its name, and `imagenet` or the sha256 of its tensors; empty where there is none."""
    if teacher is None:
        return ""
    return f"{teacher.card.encoder}, {teacher.init if teacher.init != 'ssl' else teacher.sha256}"
