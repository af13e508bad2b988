"""The model file: a trained network with a card that says all it takes to go from pictures to masks."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from dermssl.errors import UserError
from dermssl.runs.seal import RESULT
from dermssl.weights.encoder import Normalise, Three, load_strictly
from dermssl.weights.encoder_file import read_tensors, write_tensors
from finetune.augmentation.fit import Fit
from finetune.network.build import build_model
from finetune.options.augment import FitName, Padding
from finetune.scoring.inference import Cut


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a model file says of itself; fields with a default are missing from older files."""

    encoder: str
    decoder: str
    encoder_depth: int | None = None
    decoder_options: Mapping[str, object] = field(default_factory=dict)
    """Options of the decoder that are not its own defaults (`finetune.options.decoder.decoder_options_of`)."""
    image_size: int
    """Side of the network's square, pixels."""
    mean: Three
    std: Three
    fit: FitName = "resize"
    """How a picture becomes the square."""
    padding: Padding = "skin"
    """What fills a letterbox."""
    cache_size: int | None = None
    """Shorter side that larger pictures are brought to before they become squares, pixels; None for none."""
    threshold: float = 0.5
    """Probability above which a pixel is lesion: of the run's scoring, as the three that follow."""
    symmetries: bool = False
    largest: bool = False
    fill_holes: bool = False
    init: str
    encoder_sha256: str
    data: str
    """Hash of the manifest it was trained on."""
    commit: str
    sha256: str = ""

    @property
    def normalise(self) -> Normalise:
        """Pixels to what the network takes."""
        return Normalise(self.mean, self.std)

    @property
    def fitted(self) -> Fit:
        """How pictures become its squares."""
        return Fit(self.fit, self.image_size, self.padding)

    @property
    def cut(self) -> Cut:
        """How its probabilities became the masks that the run scored."""
        return Cut(self.threshold, self.largest, self.fill_holes)

    @property
    def options(self) -> dict[str, object]:
        """Every option of the decoder, for `finetune.network.build.build_model`."""
        return {"encoder_depth": self.encoder_depth, **self.decoder_options}


def model_card_from(fields: Mapping[str, object], origin: str) -> ModelCard:
    """The card in these fields; those of a later version are left out.

    Raises:
        UserError: If they are no card of a segmentation network.
    """
    names = {entry.name for entry in dataclasses.fields(ModelCard)}
    values = {key: tuple(value) if key in ("mean", "std") else value for key, value in fields.items()}  # type: ignore[arg-type]
    try:
        return ModelCard(**{key: value for key, value in values.items() if key in names})  # type: ignore[arg-type]
    except TypeError as error:
        raise UserError(
            f"{origin}: holds no segmentation network; give a run folder of `python -m finetune`"
        ) from error


def write_model(path: Path, model: nn.Module, card: ModelCard) -> None:
    """Writes the network with its card, whole or not at all."""
    write_tensors(path, model.state_dict(), dataclasses.asdict(card))


def model_path(path: Path) -> Path:
    """The model file of a run folder, or the file itself.

    Raises:
        UserError: If there is none.
    """
    path = path / "model.safetensors" if path.is_dir() else path
    if not path.is_file():
        kind = "that scored held-out images" if (path.parent / RESULT).is_file() else "that is finished"
        raise UserError(f"--model {path}: no such file; give the run folder of a `python -m finetune` {kind}")
    return path


def read_model(path: Path) -> tuple[nn.Module, ModelCard]:
    """The network in a run folder or a model file, every tensor compared.

    Raises:
        UserError: If there is none, it is damaged, or it is another kind of file.
    """
    path = model_path(path)
    fields, tensors = read_tensors(path)
    card = model_card_from(fields, f"--model {path}")
    model = build_model(card.encoder, card.decoder, card.options)
    return load_strictly(model, tensors, str(path)), card
