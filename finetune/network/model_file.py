"""The model file: a trained network with a card that says all it takes to go from pictures to masks."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast, get_type_hints

from torch import nn

from dermssl.bounds import numbers
from dermssl.errors import UserError
from dermssl.runs.seal import RESULT
from dermssl.weights.card_schema import LARGEST_SIDE, Rule, as_tuple, between, card_of, is_of, json_in_a_line
from dermssl.weights.encoder import Normalise, Three, build_encoder
from dermssl.weights.loading import load_strictly, meta_state, refuse_misfit
from dermssl.weights.tensor_file import read_tensors, write_tensors
from finetune.augmentation.fit import Fit
from finetune.network.build import build_model
from finetune.options.augment import FitName, Padding
from finetune.options.decoder import ARGUMENTS, DECODERS, Decoder, DecoderConfig
from finetune.scoring.inference import Cut

ENCODER = "encoder."  # begins the names of the encoder's tensors in a network of smp
NO_CARD = "give a run folder of `python -m finetune`"
WIDEST = 2**13  # channels of a decoder's map, and any other number of its options
RULES: Mapping[str, Rule] = {
    "decoder": Rule(lambda name: name in DECODERS, f"one of {', '.join(DECODERS)}"),
    "image_size": between(1, LARGEST_SIDE),
    "cache_size": between(1, LARGEST_SIDE),
    "threshold": Rule(lambda number: 0 <= number <= 1, "a probability in [0, 1]"),
}


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
    card = card_of(ModelCard, fields, RULES, f"{origin}: holds no segmentation network", NO_CARD)
    refuse_other_decoder(card, f"{origin}: holds no segmentation network")
    return card


def refuse_other_decoder(card: ModelCard, origin: str) -> None:
    """Stops at options that the card's decoder does not take, or that no machine holds."""
    hints = get_type_hints(DecoderConfig)
    options = {name: as_tuple(value, hints.get(name)) for name, value in card.options.items()}
    for name, value in options.items():
        widest = max(numbers(value), default=0)
        if name not in ARGUMENTS or not is_of(value, hints[name]) or widest > WIDEST:
            raise UserError(
                f"{origin}: its card's {name} is {json_in_a_line(card.options[name])}, which no "
                f"decoder takes; {NO_CARD}"
            )
    try:
        DecoderConfig(decoder=cast(Decoder, card.decoder), **cast("dict[str, Any]", options))
    except ValueError as error:
        raise UserError(f"{origin}: its card does not hold together ({error}); {NO_CARD}") from error


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
    expected = meta_state(partial(build_encoder, card.encoder))  # no memory is taken for what a card alone promises
    own = {name.removeprefix(ENCODER): tensor for name, tensor in tensors.items() if name.startswith(ENCODER)}
    refuse_misfit({name: tensor for name, tensor in expected.items() if name in own}, own, str(path))
    build = partial(build_model, card.encoder, card.decoder, card.options)
    refuse_misfit(meta_state(build), tensors, str(path))
    return load_strictly(build(), tensors, str(path)), card
