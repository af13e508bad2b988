"""The story of a probe, from a frozen encoder to its scores."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from dermssl.cache import cached_images
from dermssl.dense import Masked, masked, probe_dense
from dermssl.device import prepare
from dermssl.encoder import start_from
from dermssl.files import short_hash
from dermssl.frozen import FrozenEncoder
from dermssl.held_out import guarded_split
from dermssl.manifest import read_manifest, refuse_problems
from dermssl.plots import save_figure
from dermssl.runs import closing, identity, open_run, write_table
from dermssl.sources import draw_if_absent
from dermssl.sources import labelled as labelled_source
from dermssl.splits import limited
from probe.config import ProbeConfig
from probe.dense import clamped, summaries
from probe.intervals import Interval
from probe.knn import probe_neighbours
from probe.labels import Labelled, labelled, labels_of
from probe.linear import probe_linear
from probe.umap_map import FEWEST, umap_figure, umap_table

Result = dict[str, object]


class Row(NamedTuple):
    """A score as it is printed."""

    probe: str
    score: str
    interval: Interval
    images: int
    """Held out."""


def run(config: ProbeConfig, *, standing_is_fine: bool = False) -> Path:
    """Probes as `config` says; returns the run folder, with result.json, scores.parquet, tables and figures.

    Args:
        config: The resolved options.
        standing_is_fine: Whether to return the folder of a run that stands, and to do a stopped one again.

    Raises:
        UserError: For everything that can be known to be wrong before the encoder sees a picture.
    """
    began = time.perf_counter()

    # Images and their classes.
    source = labelled_source(config.data)
    device = prepare(config.threads)
    draw_if_absent(source, count=400, size=192, workers=torch.get_num_threads())
    everything = read_manifest(source.folder)
    refuse_problems(everything, masks=False)
    labels = labels_of(everything, config.labels)

    # Weights, images that they have not seen, and the folder that this very run has and no other.
    start = start_from(config.init, config.encoder, config.seed, config.checkpoints)
    guarded = guarded_split(everything, config, start)
    split = limited(guarded.split, config.limit)
    manifest = everything.take(sorted(split.train + split.val))
    classes = short_hash([labels.get(image, "") for image in manifest.table["image_id"]])
    hashes = {"data": manifest.hash, "labels": classes, "encoder_sha256": start.sha256, "split": split.hash}
    what = identity(config, config.ELSEWHERE, **hashes)
    with open_run(config, f"{start.init}-{config.encoder}", what, standing_is_fine=standing_is_fine) as work:
        if work.result is not None:
            return work.folder
        work.say(f"images: {len(manifest)} from {source.why}; {len(split.train)} to fit on, {len(split.val)} held out")
        work.say(str(guarded))
        tensors = len(start.encoder.state_dict())
        work.say(f"encoder: {config.encoder} with {start.init} weights, all {tensors} tensors compared")
        result: Result = {
            "init": start.init, "encoder": config.encoder, "encoder_sha256": start.sha256, "data": manifest.hash,
            "split": split.hash, "leaks": guarded.summary,
            "n_images": len(manifest), "n_train": len(split.train), "n_val": len(split.val),
        }  # fmt: skip
        rows = []

        # What these images allow to be asked, said before the work.
        known = labelled(manifest, split, labels)
        pictures = masked(manifest, split.train, split.val)
        skipped = reasons(config, known, pictures, len(manifest))
        for line in remarks(config, known, pictures, skipped):
            work.say(line)

        # Features: every picture through the encoder once.
        whole = manifest if config.limit else everything
        images = cached_images(whole, config.image_size).take(whole.rows(manifest.table["image_id"].tolist()))
        eye = FrozenEncoder(start, config.image_size, config.batch_size, device)
        features = eye.features(images)

        # Classes: by the vote of neighbours and by a linear classifier.
        if "knn" not in skipped:
            neighbours = probe_neighbours(features, known, config.k, config.seed)
            write_table(work.folder / "tables" / "knn_confusion.csv", neighbours.confusion.reset_index())
            hits, asked = neighbours.accuracy, len(known.val)
            result["knn"] = scored("balanced_accuracy", hits, asked, k=neighbours.k, classes=list(known.names))
            rows.append(Row(f"kNN, k = {neighbours.k}", "balanced accuracy", hits, asked))
            linear = probe_linear(features, known, config.seed)
            result["linear"] = scored("balanced_accuracy", linear.accuracy, asked, C=linear.strength)
            rows.append(Row(f"linear, C = {linear.strength:g}", "balanced accuracy", linear.accuracy, asked))

        # Masks: by a linear map from feature maps, fitted on ever more pictures.
        if "dense" not in skipped:
            table = probe_dense(eye, images, pictures, clamped(config.dense_images, len(pictures.train)))
            write_table(work.folder / "scores.parquet", table)
            by_images, held = summaries(table, config.seed), len(pictures.val)
            rows += [Row(f"dense, {size} masks", "IoU per image", by_images[size], held) for size in by_images]
            dense = {str(size): scored("jaccard", by_images[size], held, n_train=size) for size in by_images}
            result |= {"dense": dense[str(max(by_images))], "dense_by_images": dense}

        # The map of all images.
        if "umap" not in skipped:
            places = umap_table(features, manifest.table["image_id"].tolist(), labels, config.seed)
            write_table(work.folder / "tables" / "umap.csv", places)
            title = f"{config.encoder}, {start.card.method} weights, n = {len(manifest)}"
            legend = config.labels.rpartition(":")[2] if config.labels else "diagnosis"
            save_figure(umap_figure(places, title, legend), work.folder / "figures" / "umap.png", dpi=200)

        seconds = round(time.perf_counter() - began, 1)
        work.say(as_table(rows) if rows else "no probe gave a score")
        work.finish(result | {"skipped": skipped, "left_out": dict(known.left_out), "seconds": seconds})
        work.say(f"took {seconds:.0f} s")
        work.say(closing(work.folder, f"python -m finetune --init {config.init} --encoder {config.encoder}"))
    return work.folder


def reasons(config: ProbeConfig, known: Labelled, pictures: Masked, count: int) -> dict[str, str]:
    """The probes that these images do not allow or nobody wants, with the reason."""
    few = f"{count} images are too few for a map" if count < FEWEST else ""
    every = {
        "knn": known.refusal,
        "linear": known.refusal,
        "dense": pictures.refusal,
        "umap": few if config.umap else "not asked for",
    }
    return {name: reason for name, reason in every.items() if reason}


def remarks(config: ProbeConfig, known: Labelled, pictures: Masked, skipped: Mapping[str, str]) -> Iterator[str]:
    """What a reader of the scores should know beforehand, a line each."""
    for name, reason in skipped.items():
        yield f"skipped: {name}: {reason}"
    if "knn" not in skipped:
        if known.unknown:
            yield f"left out of kNN and linear: {known.unknown} images without a class"
        for name, reason in known.left_out.items():
            yield f"left out of kNN and linear: class {name} ({reason})"
        if config.k > len(known.train):
            yield f"--k {config.k}: there are {len(known.train)} images to vote, and all of them do"
    if "dense" not in skipped:
        wanted, there = max(config.dense_images), len(pictures.train)
        if pictures.without:
            yield f"left out of dense: {pictures.without} images whose mask is missing or unusable"
        if wanted > there:
            yield f"--dense_images {wanted}: there are {there} masks to fit on, and all of them are taken"


def scored(score: str, interval: Interval, count: int, **more: object) -> Result:
    """A score with its interval and the number of images it is of, as result.json holds them."""
    return {score: interval.mean, "low": interval.low, "high": interval.high, "n": count} | more


def as_table(rows: Sequence[Row]) -> str:
    """The scores for people, a line each."""
    lines = [f"{'probe':<22}{'score':<20}{'mean':>6}   {'95 % interval':<16}{'images':>6}"]
    for row in rows:
        interval = f"{row.interval.low:.3f} to {row.interval.high:.3f}"
        lines.append(f"{row.probe:<22}{row.score:<20}{row.interval.mean:>6.3f}   {interval:<16}{row.images:>6}")
    return "\n".join(lines)
