"""The story of a fine-tuning, from an encoder's weights to scores per image."""

import time
from pathlib import Path

import torch
from pytorch_lightning import seed_everything

from dermssl.cache import cached_images, cached_masks
from dermssl.checkpoint import Checkpoints, newest_whole
from dermssl.device import channels_last, prepare
from dermssl.encoder import Start, start_from
from dermssl.files import need_room
from dermssl.held_out import guarded_split
from dermssl.manifest import Manifest, read_manifest, refuse_problems
from dermssl.randomness import CountedRandomness
from dermssl.runs import Run, closing, commit, identity, open_run, write_table
from dermssl.scores import summary
from dermssl.sources import draw_if_absent, labelled
from dermssl.splits import limited
from dermssl.trainer import Progress, fit
from finetune.augment import Labelled, labelled_loader
from finetune.config import FinetuneConfig
from finetune.inference import Predictor
from finetune.model import Network, network
from finetune.model_file import ModelCard, write_model
from finetune.score import draw_predictions, keep_examples, score
from finetune.segment import Segment


def run(config: FinetuneConfig, *, standing_is_fine: bool = False) -> Path:
    """Trains and scores as `config` says; returns the run folder.

    Args:
        config: The resolved options.
        standing_is_fine: Whether to continue a run that stands, or to return it finished, without `--resume`.

    Raises:
        UserError: For everything that can be known to be wrong before training starts.
    """
    # Images with masks: found and checked.
    source = labelled(config.data)
    device = prepare(config.threads)
    draw_if_absent(source, count=400, size=192, workers=torch.get_num_threads())
    manifest = read_manifest(source.folder)
    refuse_problems(manifest, masks=True)

    # Weights to start from, and images that neither they nor the training have seen.
    start = start_from(config.init, config.encoder, config.seed, config.checkpoints)
    guarded = guarded_split(manifest, config, start)
    split = limited(guarded.split, config.limit)
    train, val = manifest.take(split.labelled(config.label_fraction)), manifest.take(split.val)

    # The folder that this very run has and no other.
    what = identity(config, config.ELSEWHERE, data=manifest.hash, encoder=start.sha256, split=split.hash)
    with open_run(config, f"{config.decoder}-{start.init}", what, standing_is_fine=standing_is_fine) as work:
        if work.result is not None:
            return work.folder
        net = network(start, config.decoder, config.encoder_depth, config.seed, config.image_size)
        report_start(work, config, net, f"{len(train)} to train and {len(val)} held out, from {source.why}")
        work.say(str(guarded))
        split.write(work.folder / "split.json")
        if len(guarded.found):
            write_table(work.folder / "leaks.csv", guarded.found)

        # Training, a tenth at a time kept.
        seed_everything(config.seed, verbose=False)
        used = manifest if config.limit is None else manifest.take(sorted(split.train + split.val))
        images, masks = cached_images(used, config.cache_size), cached_masks(used, config.cache_size)
        rows = used.rows(split.labelled(config.label_fraction))
        pictures = Labelled(
            images.take(rows),
            masks.take(rows),
            preset=config.augmentation,
            padding=config.padding,
            size=config.image_size,
            seed=config.seed,
        )
        channels_last(net.model)
        began = time.perf_counter()
        fit(
            Segment(net.model, start.normalise, config),
            labelled_loader(pictures, config.batch_size, config.workers, config.steps),
            steps=config.steps,
            precision=config.precision,
            callbacks=[
                CountedRandomness(config.seed),
                Progress(work.folder / "metrics.csv", config.batch_size, work.say),
                Checkpoints(work.folder / "checkpoints", {"threads": torch.get_num_threads()}),
            ],
            resume=newest_whole(work.folder / "checkpoints"),
        )
        trained = time.perf_counter() - began
        write_model(work.folder / "model.safetensors", net.model, card_of(config, start, manifest))

        # Scores of the held-out images, each at its native size; no choice was made by looking at them.
        predictor = Predictor(
            net.model.to(device), start.normalise, config.image_size, config.threshold, config.batch_size
        )
        scores, drawn = score(predictor, val, images.take(used.rows(split.val)))
        write_table(work.folder / "scores.parquet", scores)
        draw_predictions(work.folder / "figures" / "predictions.png", val, scores, drawn)
        keep_examples(work.folder / "examples", val, drawn, config.examples)
        result = summary(scores)
        work.finish(
            {
                **result,
                "n_train": len(train),
                "n_val": len(val),
                "init": start.init,
                "encoder_sha256": start.sha256,
                "tensors_compared": net.tensors_compared,
                "encoder_share_used": net.share_used,
                "split": split.hash,
                "leaks": guarded.summary,
                "seconds": trained,
            }
        )
        work.say(
            f"held out: mean IoU {result['jaccard']:.3f}, ISIC threshold Jaccard {result['isic_jaccard']:.3f}, "
            f"Dice {result['dice']:.3f}, failed {result['failure_rate']:.0%} "
            f"(n = {len(val)} images at native size, seed {config.seed}, split {split.hash})"
        )
        work.say(closing(work.folder, f"python -m finetune.predict --model {work.folder} --images DIR --out DIR"))
    return work.folder


def report_start(work: Run, config: FinetuneConfig, net: Network, images: str) -> None:
    """Says what is about to be trained on what, and stops where the disk is too full for it."""
    work.say(f"images: {images}")
    work.say(
        f"network: {config.decoder} on {config.encoder}, all {net.tensors_compared} encoder tensors compared; "
        f"the decoder uses {net.share_used:.0%} of the encoder's parameters"
        + (
            f" and starts from its pretraining, all {net.decoder_compared} tensors compared"
            * bool(net.decoder_compared)
        )
    )
    size = sum(parameter.numel() for parameter in net.model.parameters()) * 4
    # Weights and two moments in each; for a moment there are three, before the oldest is removed.
    need_room(work.folder, 10 * size, "three checkpoints of training and the network")


def card_of(config: FinetuneConfig, start: Start, manifest: Manifest) -> ModelCard:
    """What the model file says of itself."""
    return ModelCard(
        encoder=config.encoder,
        decoder=config.decoder,
        encoder_depth=config.encoder_depth,
        image_size=config.image_size,
        mean=start.card.mean,
        std=start.card.std,
        init=start.init,
        encoder_sha256=start.sha256,
        data=manifest.hash,
        commit=commit(),
    )
