"""The pool: which images may be trained on without labels. None that is held out, nor a near-duplicate of one."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dermssl.data.manifest import Manifest, read_manifest, refuse_masks_of_none
from dermssl.data.sources import ImageSource, is_data_set, labelled_source
from dermssl.errors import UserError
from dermssl.parallel import world
from dermssl.splits.drawn import Split
from dermssl.splits.guarded import split_sentence
from dermssl.splits.leaks import Verdict, guard, leaking_pairs
from dermssl.splits.official import split_of
from dermssl.wording import counted
from pretrain.config import PretrainConfig

MASKED = 400  # labelled images that the doctor looks at: more than it needs where each is a lesion of its own


@dataclass(frozen=True)
class Pool:
    """The images to train on, and how it was made sure that they may be."""

    manifest: Manifest
    verdict: Verdict | None
    """None where no labelled images are known that anything could leak into."""
    left_out: int
    """Held-out images of the very set that is trained on."""
    split: Split | None = None
    """Of the labelled images, whose held-out part is not trained on."""
    labels: Manifest | None = None
    """The labelled images, where they are others than those to train on."""

    @property
    def masked(self) -> Manifest | None:
        """Labelled images beside those to train on that are not held out, at most MASKED; None where there are none."""
        if self.labels is None or self.split is None:
            return None
        usable = set(self.labels.table.loc[self.labels.table["problem"] == "", "image_id"])
        return self.labels.take(sorted([image for image in self.split.train if image in usable][:MASKED]))

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is held out and how that was drawn, and what leaks."""
        held_out = (f"held out: {split_sentence(self.split)}",) if self.split is not None else ()
        return (*held_out, self.sentence)

    @property
    def sentence(self) -> str:
        """What was left out and what leaks."""
        if self.verdict is None:
            return (
                "leaks: there are no labelled images to compare with (--protect names some); "
                "python -m finetune will compare its own with these"
            )
        left_out = (
            f"; {self.left_out} held-out images of this very folder are left out of training" if self.left_out else ""
        )
        return f"leaks: {self.verdict.sentence('the images to pretrain on')}{left_out}"


def pool_of(everything: Manifest, source: ImageSource, config: PretrainConfig) -> Pool:
    """The images to train on: without held-out ones and what leaks into them, and no more than `--limit`.

    Raises:
        UserError: If images leak and `--on_leak` does not say what to do.
    """
    folder = protected(everything, source, config)
    if folder is None:
        refuse_masks_of_none(config.masks, everything)
        return Pool(at_most_limit(everything, config), None, 0)
    same = folder.resolve() == everything.place.resolve()
    labels = everything if same else read_manifest(folder, config)
    refuse_masks_of_none(config.masks, everything, labels)
    split = split_of(labels, config)
    held_out = labels.take(sorted(split.val + split.aside))
    own_ids = set(held_out.table["image_id"]) if same and config.on_leak != "allow" else set()
    candidates = without_images(everything, own_ids)
    leaks = leaking_pairs(candidates.table, candidates.root, held_out)
    verdict = guard(leaks, len(held_out), config.on_leak, str(source.folder))
    manifest = at_most_limit(without_images(candidates, set(verdict.dropped)), config)
    return Pool(manifest, verdict, len(own_ids), split, None if same else labels)


def protected(everything: Manifest, source: ImageSource, config: PretrainConfig) -> Path | None:
    """The labelled images whose held-out part is not to be trained on; None where there are none."""
    if config.protect is not None:
        if not is_data_set(config.protect):
            raise UserError(
                f"--protect {config.protect}: no such folder or list; give a folder of images with masks, or their CSV"
            )
        return config.protect
    if everything.has_masks:
        return everything.place
    default = labelled_source(None)
    return default.folder if default.folder.is_dir() and default.synthetic == source.synthetic else None


def without_images(manifest: Manifest, image_ids: set[str]) -> Manifest:
    """The images but these."""
    return manifest.take([image for image in manifest.table["image_id"] if image not in image_ids])


def at_most_limit(manifest: Manifest, config: PretrainConfig) -> Manifest:
    """No more than `--limit` images, drawn by the seed."""
    ids = manifest.table["image_id"].tolist()
    if config.limit is None or config.limit >= len(ids):
        return manifest.take(ids)
    chosen = np.random.default_rng([config.seed, 0x117]).choice(ids, config.limit, replace=False)
    return manifest.take(sorted(chosen.tolist()))


def refuse_what_does_not_fit(manifest: Manifest, config: PretrainConfig) -> None:
    """Stops where the images do not fill a single batch, the processes do not share it, or a queue outgrows them."""
    count, batch_size = len(manifest), config.batch_size
    if count < batch_size:
        smaller = largest_batch(config, count // 2)
        fitting = f" or --batch_size {smaller}" if smaller else ""
        more = "raise --limit" if config.limit == count else "give more"
        raise UserError(
            f"{manifest.place}: images to train on: {count}, too few for a batch of {batch_size}; {more}{fitting}"
        )
    if batch_size % world() or batch_size // world() < 2:
        raise UserError(
            f"--batch_size {batch_size}: cannot be shared equally by {world()} processes, each with 2 images or more; "
            f"give a multiple of {world()} from {2 * world()} on"
        )
    if config.queue_size > count:
        raise UserError(
            f"--queue_size {config.queue_size}: {manifest.place} has only {counted(count, 'image')}, so an image would "
            f"meet itself in the queue; give --queue_size {count // batch_size * batch_size}"
        )


def largest_batch(config: PretrainConfig, most: int) -> int:
    """The largest batch of up to `most` images that the other options and the processes take; 0 where there is none."""
    for size in range(most - most % world(), 2 * world() - 1, -world()):
        with suppress(ValueError):
            return replace(config, batch_size=size).batch_size
    return 0
