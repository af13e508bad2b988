"""The story of a pretraining, from a folder of images to an encoder file."""

import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name

import torch
from pytorch_lightning import seed_everything

from dermssl import flags
from dermssl.data.manifest import Manifest, read_manifest, refuse_problems
from dermssl.data.pixel_cache import PixelCache, cached_images
from dermssl.data.sources import draw_if_absent, unlabelled_source
from dermssl.files import need_room, whole_file
from dermssl.parallel import first_alone, meet, of_the_first, rank, synced, world
from dermssl.places import try_places
from dermssl.runs.costs import costs, forget_peak, usual_rate
from dermssl.runs.environment import commit
from dermssl.runs.folder import closing, identity, need_run_folder, open_run, write_table
from dermssl.splits.leaks import seen_rows
from dermssl.training.checkpoint import (
    Checkpoints,
    context_now,
    newest_whole,
    position,
    precision_of_checkpoint,
    resuming,
)
from dermssl.training.device import channels_last, depthwise_in_float32, prepare, quickest_precision
from dermssl.training.divergence import loss_course, lower_rate
from dermssl.training.logger_config import need_loggers
from dermssl.training.loggers import loggers_of
from dermssl.training.randomness import CountedRandomness
from dermssl.training.trainer import Progress, Spending, fit
from dermssl.weights.encoder import Start, start_from
from dermssl.weights.encoder_file import EncoderCard, write_encoder_file
from dermssl.wording import counted
from pretrain.config import PretrainConfig
from pretrain.doctor.callback import Doctor
from pretrain.doctor.looks import Look
from pretrain.methods.method import Method
from pretrain.pool import Pool, pool_of, refuse_what_does_not_fit
from pretrain.pull import PullToStart
from pretrain.shared.teacher import in_identity, teacher_from, teacher_in_words
from pretrain.views.batches import Views, view_loader
from pretrain.views.sheet import show_views


def run(config: PretrainConfig, *, standing_is_fine: bool = False) -> Path:
    """Pretrains as `config` says; returns the encoder file.

    Args:
        config: The resolved options.
        standing_is_fine: Whether to continue a run that stands, or to return its encoder, without `--resume`.

    Raises:
        UserError: For everything that can be known to be wrong before training starts.
    """
    # Places: all that the options name, tried before hours of work.
    need_run_folder(config)
    need_loggers(config.logger)
    try_places(
        {
            "--data": config.data,
            "--protect": config.protect,
            "--masks": config.masks,
            "--init": config.init,
            "--teacher": config.teacher or None,
        },
        files={"--checkpoints": published_place(config)},
    )

    # Images: found, checked, and none that is held out or shows what a held-out one shows.
    source = unlabelled_source(config.data)
    device = prepare(config.threads)
    forget_peak()
    meet()
    with first_alone():
        draw_if_absent(source, workers=torch.get_num_threads())
        everything = read_manifest(source.folder, config)
        refuse_problems(everything, masks=False)
        refuse_what_does_not_fit(everything, config)
        pool = pool_of(everything, source, config)
        manifest = pool.manifest
        refuse_what_does_not_fit(manifest, config)

    # Weights to continue from, those to learn from, and the folder that this very run has and no other.
    start = start_from(config.init, config.encoder, config.seed)
    if config.teacher:
        start = replace(start, teacher=teacher_from(config.teacher))
    if device.type == "cpu":
        for origin in start.lineage:
            depthwise_in_float32(origin.encoder)
    hashes = {"data": manifest.hash, "parent": start.sha256, **in_identity(start.teacher)}
    what = identity(config, config.ELSEWHERE, **hashes)
    with (
        open_run(config, f"{config.method}-{start.init}", what, standing_is_fine=standing_is_fine) as work,
        loggers_of(config, work) as loggers,
    ):
        encoder_file = work.folder / "encoder.safetensors"
        if work.result is not None:
            return encoder_file
        work.say(f"images: {len(manifest)} from {source.why}")
        for sentence in (*everything.sentences(masks=False), *pool.sentences):
            work.say(sentence)
        if pool.verdict is not None and len(pool.verdict.pairs) and work.first:
            write_table(work.folder / "leaks.csv", pool.verdict.pairs)
        tensors = len(start.encoder.state_dict())
        work.say(
            f"encoder: {config.encoder} starts from the weights of --init {config.init}; all {tensors} tensors fit"
        )
        if start.teacher is not None:
            work.say(f"teacher: {teacher_in_words(start.teacher)}")
        need_room(
            work.folder.parent, 12 * bytes_of_weights(start), "two checkpoints of training"
        )  # weights, two moments each

        # Where an earlier training was left, and what is not as it was then.
        newest = of_the_first(newest_whole(work.folder / "checkpoints"))
        precision = of_the_first(precision_of(config, start, device, newest))
        context = context_now(device, precision)
        if newest is not None:
            work.say(resuming(newest, context))

        # Views, drawn from pixels that were decoded once.
        with first_alone():
            pixels = cached_images(manifest if config.limit else everything, config.cache_size)
        training_pixels = pixels if config.limit else pixels.take(everything.rows(manifest.table["image_id"].tolist()))
        views = Views(training_pixels, config, device)
        steps_an_epoch = len(manifest) // config.batch_size
        loader = view_loader(views, config, skipped=position(newest) % steps_an_epoch)

        # Training, watched by the doctor, each epoch kept.
        seed_everything(config.seed, verbose=False)
        steps = config.epochs * steps_an_epoch
        together = f" in each of {world()} processes" if world() > 1 else ""
        length = f"{counted(config.epochs, 'epoch')} of {counted(steps_an_epoch, 'step')}"
        threads = f"{counted(torch.get_num_threads(), 'thread')} on {device.type}{together}"
        work.say(f"training: {config.method}, {length}, precision {precision}, {threads}")
        pull = PullToStart(start.encoder, config.l2_sp)
        module = method_of(config, start, steps)
        progress = Progress(work.folder / "metrics.csv", config.batch_size, work.say, tell=loggers.row)
        masked = masked_pictures_of(pool, config) if config.look_every else None
        if masked is not None:
            pictures = counted(len(masked[1]), "picture")
            work.say(f"doctor: its dense probe takes {pictures} with masks of {masked[1].place}, none of them held out")
        look = Look(start, training_pixels, manifest, views.unseen, config.image_size, config.seed, masked)
        doctor = Doctor(config, progress, work.say, look)
        checkpoints = Checkpoints(work.folder / "checkpoints", context, config.save_every)
        spending = Spending()
        if config.logger and work.first:
            show_views(views, work)
        loggers.begin(position(newest) // steps_an_epoch)
        fit(
            module,
            loader,
            steps=steps,
            precision=precision,
            callbacks=[CountedRandomness(config.seed), pull, doctor, progress, spending, checkpoints],
            resume=newest,
            smaller=config.SMALLER,
            slower=remedies_of_divergence(config, precision),
        )
        if rank() > 0:
            return encoder_file
        spent = costs(spending.spent, usual_rate(progress.metrics))
        course = loss_course(progress.first_loss, progress.metrics)

        # The encoder, with a card that says what it is.
        seen_before = [origin.seen for origin in start.lineage if origin.seen is not None]
        seen_images = seen_rows([manifest.table, *seen_before])
        tensors_of = {**module.learned.state_dict(), **module.decoder_tensors()}
        card = write_encoder_file(encoder_file, tensors_of, card_of_pretraining(config, start, manifest), seen_images)
        published = copy_to_checkpoints(encoder_file, config)
        work.finish(
            {
                "encoder_sha256": card.sha256,
                "images": len(manifest),
                "leaks": None if pool.verdict is None else pool.verdict.summary,
                "diagnoses": doctor.reported,
                "diverged": course.diverged,
                **spent,
            }
        )
        if course.diverged:
            work.say(course.sentence(f"--lr {lower_rate(config.lr, type(config).lr):g}"))
        here = f"ssl{flags.as_typed_flags(config, 'checkpoints')}"
        init = here if published != encoder_file else shlex.quote(str(encoder_file))
        decoder = f" --decoder {card.decoder}" if card.decoder else ""
        following = f"python -m finetune --init {init} --encoder {config.encoder}{decoder}"
        work.say(closing(published, following, work.folder / "metrics.csv"))
    return encoder_file


def precision_of(config: PretrainConfig, start: Start, device: torch.device, newest: Path | None) -> str:
    """The precision that is asked for; `auto` is what the newest checkpoint was trained in, else the quickest."""
    if config.precision != "auto":
        return config.precision
    return quickest(config, start, device) if newest is None else precision_of_checkpoint(newest)


def quickest(config: PretrainConfig, start: Start, device: torch.device) -> str:
    """The precision in which a few steps of this encoder at this size take least time."""
    shape = (min(config.batch_size, 32), 3, config.image_size, config.image_size)
    images = torch.randint(0, 256, shape, device=device)
    return quickest_precision(channels_last(start.encoder.to(device)), start.normalise.to(device)(images))


def method_of(config: PretrainConfig, start: Start, steps: int) -> Method:
    """The method's module around the encoder, in the memory layout that convolutions are fastest in."""
    module: Method = resolve_name(config.MODULE)(start, config, steps)
    if world() > 1 and module.synced:
        synced(module)
    channels_last(module)
    return module


def masked_pictures_of(pool: Pool, config: PretrainConfig) -> tuple[PixelCache, Manifest] | None:
    """Labelled pictures for the doctor's dense probe, none of them held out; None where those trained on have masks."""
    manifest = None if pool.manifest.has_masks else pool.masked
    if manifest is None:
        return None
    with first_alone():
        return cached_images(manifest, config.cache_size), manifest


def remedies_of_divergence(config: PretrainConfig, precision: str) -> str:
    """What to start anew with after a training that came to no number."""
    precise = ", or --precision 32-true" if precision != "32-true" else ""
    rate = f"--lr {lower_rate(config.lr, type(config).lr):g}"
    return f"{rate}, or a longer --warmup than {config.warmup:g}{precise}"


def card_of_pretraining(config: PretrainConfig, start: Start, manifest: Manifest) -> EncoderCard:
    """What the encoder file says of itself."""
    licences = sorted(set(manifest.table["licence"]) - {""})
    return EncoderCard(
        encoder=config.encoder,
        method=config.method,
        mean=start.card.mean,
        std=start.card.std,
        image_size=config.image_size,
        epochs=config.epochs,
        images_seen=config.epochs * (len(manifest) // config.batch_size) * config.batch_size,
        parent=start.init if start.init != "ssl" else start.sha256,
        decoder=config.decoder,
        teacher=teacher_in_words(start.teacher),
        config=flags.plain_options(config),
        data={
            "count": len(manifest),
            "manifest": manifest.hash,
            "licence": ", ".join(licences) or "unknown",
            "folder": str(manifest.root),
        },
        seen_whole=all(
            origin.init != "ssl" or (origin.seen is not None and origin.card.seen_whole) for origin in start.lineage
        ),
        commit=commit(),
    )


def published_place(config: PretrainConfig) -> Path | None:
    """Where `--init ssl` looks for the encoder; None where it is not to be found there."""
    return config.checkpoints and config.checkpoints / config.method / "encoder.safetensors"


def copy_to_checkpoints(encoder_file: Path, config: PretrainConfig) -> Path:
    """Copies the encoder to where `--init ssl` looks; returns where a person should look."""
    place = published_place(config)
    if place is None:
        return encoder_file
    with whole_file(place) as part:
        shutil.copyfile(encoder_file, part)
    return place


def bytes_of_weights(start: Start) -> int:
    """Bytes of the encoder's tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in start.encoder.state_dict().values())
