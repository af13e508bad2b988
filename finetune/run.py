"""The story of a fine-tuning, from an encoder's weights to scores per image."""

import shlex
from pathlib import Path

import torch

from dermssl.data.manifest import Manifest, read_manifest, refuse_problems
from dermssl.data.pixel_cache import cached_images, cached_masks
from dermssl.data.sources import draw_if_absent, labelled_source
from dermssl.files import need_room, short_hash, write_text
from dermssl.parallel import first_alone, meet, world
from dermssl.places import try_places
from dermssl.runs.costs import forget_peak, peak_memory
from dermssl.runs.environment import commit
from dermssl.runs.folder import Run, closing, identity, need_run_folder, open_run, write_table
from dermssl.scores.counts import ISIC_THRESHOLD, summary
from dermssl.shipped import shipped_file
from dermssl.splits.drawn import Split, limited_split
from dermssl.splits.guarded import guarded_split
from dermssl.training.device import prepare
from dermssl.training.logger_config import need_loggers
from dermssl.training.loggers import loggers_of
from dermssl.weights.encoder import Start, start_from
from dermssl.wording import counted, percentage
from finetune.augmentation.recipe import augmentation_of
from finetune.network.build import Network, build_network
from finetune.network.model_file import ModelCard, write_model
from finetune.options.augment import PRESETS
from finetune.options.config import FinetuneConfig
from finetune.options.decoder import decoder_options_of
from finetune.options.training_length import schedule_of
from finetune.page.run_page import RunFindings, write_run_page
from finetune.scoring.calibration import calibration_error
from finetune.scoring.image_scores import mask_table, score
from finetune.scoring.inference import Cut
from finetune.scoring.run_figures import best_median_worst, draw_figures
from finetune.training.chosen_threshold import threshold_of
from finetune.training.inner_part import Parts, set_aside
from finetune.training.loop import TrainingMaterial, train
from finetune.training.training_schedule import refuse_unequal_parts


def run(config: FinetuneConfig, *, standing_is_fine: bool = False) -> Path:
    """Trains and scores as `config` says; returns the run folder.

    Args:
        config: The resolved options.
        standing_is_fine: Whether to continue a run that stands, or to return it finished, without `--resume`.

    Raises:
        UserError: For everything that can be known to be wrong before training starts.
    """
    # Places: all that the options name, tried before hours of work.
    need_run_folder(config)
    need_loggers(config.logger)
    try_places(
        {
            "--data": config.data, "--masks": config.masks, "--split": config.split, "--init": config.init,
            "--checkpoints": config.checkpoints, "--augmentation": config.augmentation,
        }
    )  # fmt: skip

    # Images with masks: found and checked, and so is what augmentation would make of them.
    augmentation = augmentation_of(config)
    source = labelled_source(config.data)
    device = prepare(config.threads)
    forget_peak()
    refuse_unequal_parts(config.batch_size)
    meet()
    with first_alone():
        draw_if_absent(source, workers=torch.get_num_threads())
        manifest = read_manifest(source.folder, config)
        refuse_problems(manifest, masks=True)

        # Weights to start from, and images that neither they nor the training have seen.
        start = start_from(config.init, config.encoder, config.seed, config.checkpoints)
        guarded = guarded_split(manifest, config, start)
    split = limited_split(guarded.split, config.limit)
    parts = training_parts(manifest, split.labelled(config.label_fraction), config)
    schedule = schedule_of(config, len(parts.train))

    # The folder that this very run has and no other.
    hashes = {"data": manifest.hash, "encoder": start.sha256, "split": split.hash, "augmentation": augmentation}
    run_identity = identity(config, config.ELSEWHERE, **hashes, inner=short_hash(sorted(parts.inner)))
    with (
        open_run(config, f"{config.decoder}-{start.init}", run_identity, standing_is_fine=standing_is_fine) as work,
        loggers_of(config, work) as loggers,
    ):
        if work.result is not None:
            return work.folder
        net = build_network(start, config)
        limited = f" (--limit {config.limit})" if config.limit else ""
        counts = f"{sentence_of(parts)} and {len(split.val)} held out{limited}"
        report_start(work, config, net, f"{counts}, from {source.why}")
        for sentence in manifest.sentences():
            work.say(sentence)
        work.say(str(guarded))
        if world() > 1:
            each = counted(config.batch_size // world(), "image")
            work.say(f"processes: {world()} train as one, with {each} of every batch in each")
        if work.first:
            split.write(work.folder / "split.json")
            keep_augmentation(work, config)
        if work.first and len(guarded.leaks):
            write_table(work.folder / "leaks.csv", guarded.leaks)

        # Training, a tenth at a time kept.
        decoded = images_to_decode(manifest, split, config)
        with first_alone():
            images, masks = cached_images(decoded, config.cache_size), cached_masks(decoded, config.cache_size)
        material = TrainingMaterial(config, start, net, schedule, decoded, images, masks, device)
        trained = train(loggers, material, parts)
        cut = Cut(threshold_of(work, material, trained, parts), config.largest, config.fill_holes)

        # Scores, each at its native size: of the held-out images, which nothing was chosen by, or of inner ones, so
        # that something is chosen and held-out images stay unseen. Then there is nothing but numbers to keep.
        inner = config.score_on == "inner"
        scored_images, pixels = material.subset(parts.inner if inner else split.val)
        scores = score(material.predictor(trained.model), cut, scored_images, pixels, torch.get_num_threads())
        if not work.first:
            return work.folder
        write_table(work.folder / "scores.parquet", scores.table)
        write_table(work.folder / "tables" / "calibration.csv", scores.calibration)
        if not inner:
            write_model(work.folder / "model.safetensors", trained.model, card_of_network(config, start, manifest, cut))
            write_table(work.folder / "masks.parquet", mask_table(scores))
            draw_figures(work.folder, best_median_worst(scored_images, scores.table, scores.masks))
            loggers.pictures()
        measures = summary(scores.table)
        result: dict[str, object] = {
            **measures,
            "scored": config.score_on,
            "n_train": len(parts.train),
            "n_inner": len(parts.inner),
            "n_val": 0 if inner else len(scored_images),
            "init": start.init,
            "encoder_sha256": start.sha256,
            "tensors_compared": net.tensors_compared,
            "encoder_share_used": net.share_used,
            "split": split.hash,
            "leaks": guarded.summary,
            "threshold": cut.threshold,
            "calibration_error": calibration_error(scores.calibration),
            **trained.facts,
            **peak_memory(),
        }
        if not inner:
            said = [f"Images: {counts}, from {source.why}.", *manifest.sentences(), *str(guarded).splitlines()]
            findings = RunFindings(work.folder, scores.table, result, said, command_after_training(work.folder, config))
            write_run_page(config, findings)
        work.finish(result)
        work.say(
            f"{'inner images' if inner else 'held-out images'}: mean IoU {measures['jaccard']:.3f}, "
            f"ISIC threshold Jaccard {measures['isic_jaccard']:.3f}, Dice {measures['dice']:.3f}, "
            f"{percentage(measures['failure_rate'])} failed, with an IoU below {ISIC_THRESHOLD} "
            f"(n = {counted(len(scored_images), 'image')} at native size, seed {config.seed}, "
            f"split {split.hash}" + "; no held-out image was looked at" * inner + ")"
        )
        if trained.divergence:
            work.say(trained.divergence)
        if not inner:
            work.say(f"report:  {work.folder / 'report.html'}")
        curves = work.folder / "metrics.csv" if inner else None  # a choice has no page
        work.say(closing(work.folder, command_after_training(work.folder, config), curves))
    return work.folder


def images_to_decode(manifest: Manifest, split: Split, config: FinetuneConfig) -> Manifest:
    """The images that are decoded: the whole set, so that its cache serves every split; its training side for a choice.

    With `--limit` the images of both sides that it leaves.
    """
    if config.score_on == "inner":
        return manifest.take(sorted(split.train))
    return manifest if config.limit is None else manifest.take(sorted(split.train + split.val))


def command_after_training(folder: Path, config: FinetuneConfig) -> str:
    """What a person would do now: segment with the network, or score what was chosen."""
    if config.score_on == "inner":
        return f"python -m finetune --config {shlex.quote(str(folder / 'config.yaml'))} --score_on held_out"
    return (
        f"python -m finetune.predict --model {shlex.quote(str(folder))} --images FOLDER_OF_IMAGES --out FOLDER_OF_MASKS"
    )


def training_parts(manifest: Manifest, train: tuple[str, ...], config: FinetuneConfig) -> Parts:
    """The images that train, and those of them that are set aside where something is to be chosen by them."""
    if not (config.patience or config.threshold_search or config.score_on == "inner"):
        return Parts(train, ())
    return set_aside(manifest, train, config.inner_fraction, config.split_seed)


def sentence_of(parts: Parts) -> str:
    """How many images train, and how many are set aside."""
    aside = f", {len(parts.inner)} set aside to choose by" if parts.inner else ""
    return f"{len(parts.train)} to train{aside}"


def keep_augmentation(work: Run, config: FinetuneConfig) -> None:
    """Leaves a copy of an augmentation of one's own, for the file may change."""
    if config.augmentation not in PRESETS:
        write_text(
            work.folder / "augmentation.yaml", shipped_file(Path(config.augmentation)).read_text(encoding="utf-8")
        )


def report_start(work: Run, config: FinetuneConfig, net: Network, images: str) -> None:
    """Says what is about to be trained on what, and stops where the disk is too full for it."""
    work.say(f"images: {images}")
    work.say(
        f"network: {config.decoder} on {config.encoder}; all {net.tensors_compared} tensors of the encoder equal those "
        f"of --init {config.init}; the decoder uses {percentage(net.share_used)} of the encoder's parameters"
        + (f" and starts from its pretraining, all {net.decoder_compared} tensors equal" * bool(net.decoder_compared))
    )
    if net.decoder_left:
        work.say(f"decoder: --init holds a {net.decoder_left} as well, which is not used; this one starts at random")
    if not work.first:
        return
    size = sum(parameter.numel() for parameter in net.model.parameters()) * 4
    # Weights and two moments in each, and the average and the best weights; for a moment there are three of them.
    copies = 10 + 4 * bool(config.ema) + 4 * bool(config.patience)
    need_room(work.folder, copies * size, "training, for three checkpoints and the network,")


def card_of_network(config: FinetuneConfig, start: Start, manifest: Manifest, cut: Cut) -> ModelCard:
    """What the model file says of itself."""
    options = decoder_options_of(config)
    return ModelCard(
        encoder=config.encoder,
        decoder=config.decoder,
        encoder_depth=config.encoder_depth,
        decoder_options={name: value for name, value in options.items() if name != "encoder_depth"},
        image_size=config.image_size,
        mean=start.card.mean,
        std=start.card.std,
        fit=config.fit,
        padding=config.padding,
        cache_size=config.cache_size,
        threshold=cut.threshold,
        symmetries=config.symmetries,
        largest=cut.largest,
        fill_holes=cut.fill_holes,
        init=start.init,
        encoder_sha256=start.sha256,
        data=manifest.hash,
        commit=commit(),
    )
