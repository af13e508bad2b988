"""What would stop a run of the study, found before the first of them: all of it at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from compare.forecast.weights import encoders_from_imagenet, missing_weights
from compare.study.config import WEIGHTS, StudyConfig
from compare.study.grid import fixed_options
from compare.study.images import StudyImages
from compare.study.plan import Task
from compare.study.search_config import SearchConfig
from dermssl.errors import UserError
from dermssl.splits.official import split_of
from dermssl.training.logger_config import need_loggers
from dermssl.weights.encoder import start_from
from dermssl.weights.encoder_file import read_card
from finetune.augmentation.recipe import augmentation_of
from finetune.network.build import build_model, refuse_size
from finetune.options.config import FinetuneConfig
from finetune.options.decoder import decoder_options_of
from pretrain.config import PretrainConfig
from pretrain.pool import pool_of, refuse_what_does_not_fit

NOT_HAD = "no weights for"  # stands in what is said of weights that the hub has not given
Check = Callable[[StudyConfig, StudyImages, Sequence[Task]], Iterator[str]]


def refuse_what_would_stop(study: StudyConfig, study_images: StudyImages, tasks: Sequence[Task]) -> None:
    """Stops before the first run where a later one could not be done.

    Raises:
        UserError: With every complaint of every check, a line each.
    """
    faults = list(dict.fromkeys(text for check in CHECKS for text in check(study, study_images, tasks)))
    if faults:
        raise UserError(*faults)


def encoder_file_faults(study: StudyConfig, study_images: StudyImages, tasks: Sequence[Task]) -> Iterator[str]:
    """Encoder files among the inits must be there and hold the study's encoder."""
    for init in (init for init in study.init if init not in WEIGHTS):
        if not Path(init).is_file():
            yield f"--init {init}: no such file; give ssl, imagenet, random, or an encoder file"
            continue
        others = [encoder for encoder in study.encoder if encoder != read_card(Path(init)).encoder]
        if others:
            yield (
                f"--init {init}: holds {read_card(Path(init)).encoder}, and the study has --encoder {others[0]}; "
                f"leave it out with --exclude or give the encoder of the file"
            )


def weight_faults(study: StudyConfig, study_images: StudyImages, tasks: Sequence[Task]) -> Iterator[str]:
    """ImageNet weights must be had, for arms and for pretrainings that continue from them; they are fetched here."""
    absent = set()
    for encoder in sorted(encoders_from_imagenet(tasks)):
        for text in complaints(start_from, "imagenet", encoder, 0):
            if NOT_HAD in text:
                absent.add(encoder)
            else:
                yield text
    if absent:
        yield missing_weights(study, tasks, absent)
    others = {(one.config.encoder, one.config.init) for one in tasks if isinstance(one.config, PretrainConfig)}
    for encoder, init in sorted(one for one in others if one[1] != "imagenet"):
        yield from complaints(start_from, init, encoder, 0)


def network_faults(study: StudyConfig, study_images: StudyImages, tasks: Sequence[Task]) -> Iterator[str]:
    """Every encoder must go under every decoder, at every size, or be excluded."""
    tried: dict[tuple[object, ...], FinetuneConfig] = {}
    for task in tasks:
        config = task.config
        if isinstance(config, FinetuneConfig):
            tried.setdefault(
                (config.encoder, config.decoder, config.image_size, str(decoder_options_of(config))), config
            )
    for config in tried.values():
        yield from complaints(fit_together, config)


def fit_together(config: FinetuneConfig) -> None:
    """Builds the network and lets it take a picture's shape."""
    refuse_size(build_model(config.encoder, config.decoder, decoder_options_of(config)), config.encoder, config)


def augmentation_faults(study: StudyConfig, study_images: StudyImages, tasks: Sequence[Task]) -> Iterator[str]:
    """Augmentations must paint a picture."""
    base = fixed_options(study)
    for name in study.augmentation or (base.augmentation,):
        for padding in study.padding or (base.padding,):
            yield from complaints(augmentation_of, replace(base, augmentation=name, padding=padding))


def lesion_faults(study: StudyConfig, study_images: StudyImages, tasks: Sequence[Task]) -> Iterator[str]:
    """Both sides of every split must show lesions: a fold without one has nothing to say of them."""
    area = study_images.manifest.table.set_index("image_id")["mask_area"]
    for fold in study.folds_run or (None,):
        config = fixed_options(study) if fold is None else replace(fixed_options(study), fold=fold)
        split = split_of(study_images.manifest, config)
        where = "the split" if fold is None else f"fold {fold} of {study.folds}"
        for side, images in (("holds out", split.val), ("trains on", split.train)):
            if not area.reindex(list(images)).fillna(0).gt(0).any():
                remedy = "fewer --folds" if study.folds else "another --val_fraction or --split"
                yield f"{where} {side} {len(images)} images and none of them shows a lesion; take {remedy}"


def leak_faults(study: StudyConfig, study_images: StudyImages, tasks: Sequence[Task]) -> Iterator[str]:
    """No pretraining may see held-out images, unless --on_leak says what to do; the others must fill what it asks."""
    pools: dict[object, list[PretrainConfig]] = {}
    for task in tasks:
        if isinstance(task.config, PretrainConfig):
            pools.setdefault(task.factors["fold"], []).append(task.config)
    for configs in pools.values():
        try:
            pool = pool_of(study_images.unlabelled_manifest, study_images.unlabelled, configs[0]).manifest
        except UserError as error:
            yield str(error)
            continue
        for config in configs:
            refusals = complaints(refuse_what_does_not_fit, pool, config)
            yield from (f"{config.method}: {text}, in the file of --pretrain" for text in refusals)


def logger_faults(study: StudyConfig, study_images: StudyImages, tasks: Sequence[Task]) -> Iterator[str]:
    """The packages of loggers must be there."""
    for config in (task.config for task in tasks):
        tuning = config.tuning if isinstance(config, SearchConfig) else config
        if isinstance(tuning, PretrainConfig | FinetuneConfig):
            yield from complaints(need_loggers, tuning.logger)


def complaints(attempt: Callable[..., object], *arguments: object) -> Iterator[str]:
    """What the attempt complains of, if it does."""
    try:
        attempt(*arguments)
    except (UserError, ValueError) as error:
        yield str(error)


CHECKS: tuple[Check, ...] = (
    encoder_file_faults,
    lesion_faults,
    leak_faults,
    weight_faults,
    network_faults,
    augmentation_faults,
    logger_faults,
)
