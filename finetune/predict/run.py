"""The story of a prediction, from one finished run, or several as an ensemble, to a mask for every picture."""

import dataclasses
import json
from collections.abc import Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TypeVar

from tqdm import tqdm

from dermssl.data.listing import PassedOver
from dermssl.errors import UserError, first_ten
from dermssl.files import write_json
from dermssl.log import bar_is_off, say, warn
from dermssl.parallel import meet, of_all, of_the_first, own_part, rank
from dermssl.parts import sweep_parts
from dermssl.places import need_readable, try_places
from dermssl.runs.folder import closing
from dermssl.runs.lock import locked_folder
from finetune.predict.config import EnsembleConfig, PredictConfig, PredictOptions
from finetune.predict.inputs import DamagedPicture, InputPicture, pictures_in
from finetune.predict.mask_files import MaskFiles
from finetune.predict.member import Member, device_of, open_member
from finetune.predict.prediction import PredictionPipeline
from finetune.predict.submission import ids_of_several_masks, official_name, unofficial, write_submission
from finetune.scoring.inference import Cut

RECORD = "prediction.json"
FORMAT = 1  # raised when the same options give other masks
Setting = TypeVar("Setting", float, bool)  # of a run's scoring


@dataclass(frozen=True)
class PredictionOutcome:
    """How a prediction ended."""

    folder: Path
    written: int
    """Pictures whose files were written, now."""
    stood: int
    """Pictures whose files stood already."""
    damaged: Sequence[DamagedPicture]
    passed_over: PassedOver
    to_open: Path | None
    """The file to look at first; None where no picture has one."""

    @property
    def exit_code(self) -> int:
        """1 where a picture got no mask, for it is damaged or of a kind that is not read; else 0."""
        return int(bool(self.damaged or self.passed_over.unread))


def predict_masks(config: PredictConfig) -> PredictionOutcome:
    """Writes the mask of every picture by one network; what stands already is left alone.

    Raises:
        UserError: If the model or the images cannot be used, or `--out` holds masks of another prediction.
    """
    need_places(config, [config.model])
    device = device_of(config.device, config.threads)
    member = open_member(config.model, device, config.precision, gpu=config.device == "cuda")
    return write_masks([member], config, f"python -m finetune.predict --model {quote(str(config.model))}")


def predict_masks_by_ensemble(config: EnsembleConfig) -> PredictionOutcome:
    """Writes the masks by several networks: the mean of their probabilities, each network with equal weight.

    Raises:
        UserError: If a model or the images cannot be used, a model is given twice, or `--out` holds other masks.
    """
    need_places(config, config.models)
    device = device_of(config.device, config.threads)
    gpu = config.device == "cuda"
    members = [open_member(path, device, config.precision, gpu=gpu) for path in config.models]
    refuse_twice(members)
    command = f"python -m finetune.ensemble --models {' '.join(quote(str(path)) for path in config.models)}"
    # In the order of their hashes: sums of three depend on the order, and that of the flags must not matter.
    return write_masks(sorted(members, key=lambda member: member.card.sha256), config, command)


def need_places(config: PredictOptions, models: Sequence[Path]) -> None:
    """Stops before the work where a place that an option names cannot be read, or not be written to."""
    for model in models:
        need_readable("--model", model)
    try_places({"--images": config.images}, folders={"--out": config.out}, files={"--submission": config.submission})


def refuse_twice(members: Sequence[Member]) -> None:
    """Stops where one network is given twice, under whatever name: it would have twice the weight."""
    first: dict[str, Member] = {}
    for member in members:
        twin = first.setdefault(member.card.sha256, member)
        if twin is not member:
            raise UserError(f"--models: {twin.path} and {member.path} are the same network; give each one once")


def write_masks(members: Sequence[Member], options: PredictOptions, command: str) -> PredictionOutcome:
    """Writes the mask of every picture, of its own size, that the mean of the networks' probabilities gives.

    Processes that torchrun started together share the pictures; the first does all that is not a picture's.

    Args:
        members: The networks, one or more, in the order in which they are summed.
        options: What is asked for.
        command: What the user typed as far as the images, for the next command.
    """
    cut = cut_of(members, options)
    inputs = pictures_in(options.images, options.out)
    pictures = inputs.pictures
    files = MaskFiles(options.out, options.overlay, options.probability)
    if options.submission is not None:
        refuse_names(pictures, options.submission)
    meet()
    with locked_folder(options.out, "prediction") if rank() == 0 else nullcontext():
        if rank() == 0:
            sweep_parts(options.out)  # also where every file stands and none is written
            record_identity(
                members, options, cut, any(path.exists() for picture in pictures for path in files.paths_of(picture))
            )
        remaining = of_the_first([picture for picture in pictures if not files.stand(picture)])
        predictors = [member.predictor(options.batch_size, options.symmetries) for member in members]
        pipeline = PredictionPipeline(predictors, [member.preprocessing for member in members], cut, files)
        damaged = of_all(run_behind_bar(pipeline, own_part(remaining), options))
        if options.submission is not None and not damaged and rank() == 0:
            write_submission(options.submission, options.out, [picture.name for picture in pictures])
    written, stood = len(remaining) - len(damaged), len(pictures) - len(remaining)
    to_open = files.to_look_at(pictures)
    outcome = PredictionOutcome(options.out, written, stood, damaged, inputs.passed_over, to_open)
    print_outcome(outcome, options, command)
    return outcome


def run_behind_bar(
    pipeline: PredictionPipeline, remaining: Sequence[InputPicture], options: PredictOptions
) -> list[DamagedPicture]:
    """Does this process's work behind a bar with rate and time left, on a terminal; returns what is damaged."""
    damaged: list[DamagedPicture] = []
    with tqdm(total=len(remaining), unit=" images", disable=bar_is_off(), leave=False) as bar:
        for number, unreadable in enumerate(pipeline.write_masks_of(remaining, options.batch_size, options.threads)):
            damaged += unreadable
            bar.update(min(options.batch_size, len(remaining) - number * options.batch_size))
    return damaged


def cut_of(members: Sequence[Member], options: PredictOptions) -> Cut:
    """How the mean becomes masks: as asked for, else as the members' runs were scored.

    Raises:
        UserError: If they were scored differently and nothing is asked for.
    """
    cards = [member.card for member in members]
    return Cut(
        setting("threshold", options.threshold, {card.threshold for card in cards}),
        setting("largest", options.largest, {card.largest for card in cards}),
        setting("fill_holes", options.fill_holes, {card.fill_holes for card in cards}),
    )


def setting(name: str, option: Setting | None, settings: Set[Setting]) -> Setting:
    """The option where it was typed, else the one setting that all runs were scored with."""
    if option is not None:
        return option
    if len(settings) > 1:
        raise UserError(
            f"--models: their runs were scored with different --{name} ({' and '.join(map(str, sorted(settings)))}); "
            f"give --{name}"
        )
    (same,) = settings
    return same


def refuse_names(pictures: Sequence[InputPicture], archive: Path) -> None:
    """Stops before the work where the masks' names would not do for the challenge."""
    names = [picture.name for picture in pictures]
    strange = unofficial(names)
    if strange:
        raise UserError(f"--submission {archive}: {strange}; rename them, or leave --submission out")
    ambiguous = ids_of_several_masks([official_name(name) for name in names], names)
    if ambiguous:
        raise UserError(
            f"--submission {archive}: several images would give masks of one name ({first_ten(ambiguous)}); rename them"
        )


def record_identity(members: Sequence[Member], options: PredictOptions, cut: Cut, masks_stand: bool) -> None:
    """Leaves in `--out` what its masks were made with, so that others are never mixed with them.

    Raises:
        UserError: If masks stand there that were made otherwise.
    """
    path, current = options.out / RECORD, prediction_identity(members, options, cut)
    if path.exists():
        recorded = json.loads(path.read_text())
        apart = [
            f"{key} is {recorded.get(key)} there and {current[key]} here"
            for key in current
            if recorded.get(key) != current[key]
        ]
        if apart:
            raise UserError(f"--out {options.out}: holds masks made otherwise ({'; '.join(apart)}); give another --out")
    elif masks_stand:
        raise UserError(
            f"--out {options.out}: holds masks, but no {RECORD} that says what made them; give another --out"
        )
    else:
        write_json(path, current)


def prediction_identity(members: Sequence[Member], options: PredictOptions, cut: Cut) -> dict[str, object]:
    """What masks depend on, and the folder of their pictures, as JSON knows it."""
    folder = options.images.parent if options.images.is_file() else options.images
    return {
        "format": FORMAT,
        "models": [identity_of_member(member, options) for member in members],
        **vars(cut),
        "precision": options.precision,
        "images": str(folder.resolve()),
    }


def identity_of_member(member: Member, options: PredictOptions) -> Mapping[str, object]:
    """What tells a network and its way of looking from others."""
    card = member.card
    return {
        "sha256": card.sha256,
        "encoder": card.encoder,
        "decoder": card.decoder,
        "init": card.init,
        "image_size": card.image_size,
        "fit": card.fit,
        "padding": card.padding,
        "cache_size": card.cache_size,
        "form": member.form,
        "symmetries": card.symmetries if options.symmetries is None else options.symmetries,
    }


def print_outcome(outcome: PredictionOutcome, options: PredictOptions, command: str) -> None:
    """Prints what was done, what could not be, and what comes next."""
    counts = f"masks of {outcome.written} images written, {outcome.stood} had theirs already"
    same = f"{command} {flags_of(options)}"
    following = f"{same} --submission submission.zip" if options.overlay else f"{same} --overlay"
    if outcome.damaged:
        counts += f", {len(outcome.damaged)} are damaged"
        following = f"mend or remove the damaged images, then type again: {same}"
        warn(f"{len(outcome.damaged)} damaged images were left out:")
        for damaged in outcome.damaged:
            warn(f"  {damaged.picture.path}: {damaged.reason}")
    if outcome.passed_over.files:
        (warn if outcome.passed_over.unread else say)(outcome.passed_over.sentence)
    if options.submission is not None:
        packed = "not written, as it would lack the damaged images" if outcome.damaged else "holds every mask"
        say(f"{options.submission}: {packed}")
    say(closing(outcome.folder, following, outcome.to_open).replace("\nnext:", f" ({counts})\nnext:", 1))


def flags_of(options: PredictOptions) -> str:
    """The options that are not their defaults, as a person types them."""
    values = vars(options)
    names = [field.name for field in dataclasses.fields(PredictOptions) if values[field.name] != field.default]
    return " ".join(flag_of(name, values[name]) for name in names)


def flag_of(name: str, value: object) -> str:
    """An option as a person types it: `--overlay`, `--no-symmetries`, `--threshold 0.4`."""
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {quote(str(value))}"
