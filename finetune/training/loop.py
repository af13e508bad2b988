"""The training itself: its learning rate, its loop, its end, and the network that comes of it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from pytorch_lightning import Callback, seed_everything
from torch import nn

from dermssl.data.manifest import Manifest
from dermssl.data.pixel_cache import PixelCache
from dermssl.files import write_json
from dermssl.parallel import of_the_first, synced, world
from dermssl.runs.costs import costs, usual_rate
from dermssl.runs.folder import Run
from dermssl.scores.plots import save_figure
from dermssl.training.checkpoint import Checkpoints, context_now, newest_whole, position, resuming
from dermssl.training.device import channels_last, depthwise_in_float32
from dermssl.training.divergence import loss_course, lower_rate
from dermssl.training.loggers import Loggers
from dermssl.training.randomness import CountedRandomness
from dermssl.training.trainer import Progress, Spending, fit
from dermssl.weights.encoder import Start
from finetune.augmentation.augmented_images import AugmentedImages, augmented_loader
from finetune.augmentation.fit import Fit
from finetune.augmentation.mirrored import InventedLesions, count_invented
from finetune.augmentation.sheet import sheet
from finetune.network.build import Network
from finetune.options.config import FinetuneConfig
from finetune.options.training_length import Schedule
from finetune.scoring.inference import Cut, Predictor, TorchSegmenter
from finetune.training.early_stopping import EarlyStopping
from finetune.training.inner_part import Parts, mean_iou
from finetune.training.range_test import learning_rate
from finetune.training.segment import Segment


@dataclass(frozen=True)
class TrainingMaterial:
    """What a training is made of."""

    config: FinetuneConfig
    start: Start
    net: Network
    schedule: Schedule
    manifest: Manifest
    """All images that the caches hold, in their order."""
    images: PixelCache
    masks: PixelCache
    device: torch.device

    def subset(self, image_ids: Sequence[str]) -> tuple[Manifest, PixelCache]:
        """Some of the images with their pixels, in the order given."""
        return self.manifest.take(image_ids), self.images.take(self.manifest.rows(image_ids))

    def augmented(self, image_ids: Sequence[str]) -> AugmentedImages:
        """Some of the images as training draws them."""
        config, rows = self.config, self.manifest.rows(image_ids)
        return AugmentedImages(
            self.images.take(rows), self.masks.take(rows), preset=config.augmentation, padding=config.padding,
            size=config.image_size, seed=config.seed, fit=config.fit,
        )  # fmt: skip

    def predictor(self, model: nn.Module, *, symmetries: bool | None = None) -> Predictor:
        """A network as it is scored: in float32, whatever it was trained in; over the symmetries where it is to be."""
        config = self.config
        network = TorchSegmenter(model.to(self.device), self.start.normalise)
        size = Fit(config.fit, config.image_size, config.padding)
        over = config.symmetries if symmetries is None else symmetries
        return Predictor(network, size, config.batch_size, over)


@dataclass(frozen=True)
class TrainedNetwork:
    """A network whose training has ended, and what there is to say of that."""

    model: nn.Module
    facts: dict[str, object]
    """For result.json; the first process alone has them."""
    divergence: str = ""
    """What to say of a training that diverged; mostly nothing."""


def train(loggers: Loggers, material: TrainingMaterial, parts: Parts) -> TrainedNetwork:
    """Trains the network, from where an earlier attempt was left if there was one.

    Args:
        loggers: Of the run, whose folder gets metrics.csv, checkpoints and figures of what training sees.
        material: What it is made of; its network is trained in place.
        parts: Images to train on, and those set aside, for `patience`.
    """
    work, train_ids, inner_ids = loggers.run, parts.train, parts.inner
    config, net = material.config, material.net
    seed_everything(config.seed, verbose=False)
    pictures = material.augmented(train_ids)
    shown = config.score_on == "held_out" and work.first  # a trial of a search is looked at by its number
    invented = show_pictures(work, pictures, train_ids, config) if shown else None
    channels_last(net.model)
    if world() > 1:
        synced(net.model)
    if material.device.type == "cpu" and config.precision == "bf16-mixed":
        depthwise_in_float32(net.model)
    newest = of_the_first(newest_whole(work.folder / "checkpoints"))
    loader = augmented_loader(pictures, config.batch_size, config.workers, material.schedule.steps, position(newest))
    final_config = config
    if config.lr == "auto":
        trial = Segment(net.model, material.start.normalise, replace(config, lr=1.0), material.schedule)
        rate = learning_rate(trial, loader, material.device, work.folder, work.say)
        final_config = replace(config, lr=rate)
    module = Segment(net.model, material.start.normalise, final_config, material.schedule)

    context = context_now(material.device, config.precision)
    if newest is not None:
        work.say(resuming(newest, context))
    progress = Progress(work.folder / "metrics.csv", config.batch_size, work.say, material.schedule.steps, loggers.row)
    early = early_stopping(work, material, inner_ids, progress)
    callbacks: list[Callback] = [CountedRandomness(config.seed), *([early] if early else []), progress]
    spending = Spending()
    callbacks += [spending, Checkpoints(work.folder / "checkpoints", context)]
    loggers.begin(position(newest) // len(loader))
    fit(
        module,
        loader,
        steps=material.schedule.steps,
        precision=config.precision,
        callbacks=callbacks,
        resume=newest,
        smaller="--batch_size or --image_size",
        slower=slower_options(final_config),
        idle=world() > 1 and module.idles,
    )
    spent = costs(spending.spent, usual_rate(progress.metrics)) if work.first else {}
    if early is not None:
        early.restore(module)
    if not work.first:
        return TrainedNetwork(module.trained, {})
    course = loss_course(progress.first_loss, progress.metrics)
    facts = {"lr": final_config.lr, "steps": material.schedule.steps, "invented_lesions": invented,
             "diverged": course.diverged, **spent}  # fmt: skip
    divergence = course.sentence(slower_options(final_config)) if course.diverged else ""
    return TrainedNetwork(module.trained, facts | ({} if early is None else early.summary), divergence)


def slower_options(config: FinetuneConfig) -> str:
    """The rates to try after a training that diverged, as options are typed."""
    assert config.lr != "auto" != FinetuneConfig.lr  # found before
    lr = lower_rate(config.lr, FinetuneConfig.lr)
    encoder = "" if config.encoder_lr is None else f" --encoder_lr {lower_rate(config.encoder_lr, lr):g}"
    return f"--lr {lr:g}{encoder}"


def show_pictures(
    work: Run, pictures: AugmentedImages, names: Sequence[str], config: FinetuneConfig
) -> dict[str, object]:
    """Leaves a sheet of what training is about to see, and says it where padding invents lesions.

    Sheet and count of an earlier attempt stand: they are a function of the run's options and images.
    """
    sheet_file, count_file = (
        work.folder / "figures" / "augmentation.png",
        work.folder / "tables" / "invented_lesions.json",
    )
    if sheet_file.exists() and count_file.exists():
        invented = InventedLesions(**json.loads(count_file.read_text()))
    else:
        invented = count_invented(pictures)
        title = f"--augmentation {config.augmentation} --padding {config.padding} --fit {config.fit}"
        save_figure(sheet(pictures, names, title), sheet_file, dpi=110)
        write_json(count_file, invented._asdict())
    if warning := invented.warning(config.padding):
        work.say(warning)
    return invented._asdict()


def early_stopping(
    work: Run, material: TrainingMaterial, inner_ids: Sequence[str], progress: Progress
) -> EarlyStopping | None:
    """The callback that scores the inner images after every epoch, where patience is wanted."""
    config = material.config
    if not config.patience:
        return None
    images, pixels = material.subset(inner_ids)
    cut = Cut(config.threshold, config.largest, config.fill_holes)

    def score(model: nn.Module) -> float:
        return mean_iou(material.predictor(model, symmetries=False), cut, images, pixels)  # eight times the time, else

    return EarlyStopping(score, config.patience, progress, work.say)
