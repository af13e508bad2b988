"""The story of a probe, from frozen encoders to their scores, maps and sheets."""

from pathlib import Path

import numpy as np
import torch

from dermssl.data.manifest import read_manifest, refuse_masks_of_none, refuse_problems
from dermssl.data.pixel_cache import cached_images
from dermssl.data.sources import draw_if_absent, labelled_source
from dermssl.errors import UserError
from dermssl.features.dense import masked_pictures
from dermssl.features.frozen import FrozenEncoder
from dermssl.files import short_hash
from dermssl.flags import as_typed_flags
from dermssl.parallel import first_alone, meet
from dermssl.places import try_places
from dermssl.runs.costs import Spent, costs, forget_peak
from dermssl.runs.folder import closing, identity, need_run_folder, open_run, write_table
from dermssl.splits.drawn import limited_split
from dermssl.splits.guarded import guarded_split
from dermssl.training.device import prepare
from dermssl.weights.encoder import start_from
from probe.config import ProbeConfig
from probe.features import kept_features
from probe.given_features import covered_split, given_features, is_feature_file, start_of_features
from probe.maps.drawings import Gallery, compare_stages, draw_maps, draw_sheets
from probe.remarks import reasons, remarks
from probe.scores.labels import class_split, labels_of
from probe.scores.measures import ProbedEncoder, ProbeTask, as_table, measure_encoder


def run(config: ProbeConfig, *, standing_is_fine: bool = False) -> Path:
    """Probes as `config` says; returns the run folder, with result.json, scores, tables, figures and the explorer.

    Args:
        config: The resolved options.
        standing_is_fine: Whether to return the folder of a run that stands, and to do a stopped one again.

    Raises:
        UserError: For everything that can be known to be wrong before an encoder sees a picture.
    """
    # Places: all that the options name, tried before the work.
    need_run_folder(config)
    try_places(
        {
            "--data": config.data, "--masks": config.masks, "--split": config.split, "--init": config.init,
            "--against": config.against, "--checkpoints": config.checkpoints, "--predictions": config.predictions,
        }
    )  # fmt: skip

    if config.predictions is not None and not config.predictions.is_dir():
        raise UserError(
            f"--predictions {config.predictions}: no such folder; give the --out of a `python -m finetune.predict`"
        )

    # Images and their classes.
    source = labelled_source(config.data)
    device = prepare(config.threads)
    forget_peak()
    spent = Spent()
    meet()
    with first_alone():
        draw_if_absent(source, workers=torch.get_num_threads())
        everything = read_manifest(source.folder, config)
        refuse_problems(everything, masks=False)
        refuse_masks_of_none(config.masks, everything)
        labels = labels_of(everything, config.labels)

        # Weights, images that they have not seen, and the folder that this very run has and no other.
        starts = {
            init: start_of_features(Path(init)) if is_feature_file(init)
            else start_from(init, config.encoder, config.seed, config.checkpoints)
            for init in config.inits
        }  # fmt: skip
        given = {init: given_features(Path(init), everything) for init in config.inits if is_feature_file(init)}
        guards = {init: guarded_split(everything, config, start) for init, start in starts.items()}
    split = limited_split(covered_split(guards[config.init].split, given), config.limit)
    manifest = everything.take(sorted(split.train + split.val))
    label_hash = short_hash([labels.get(image, "") for image in manifest.table["image_id"]])
    hashes = {"data": manifest.hash, "labels": label_hash, "split": split.hash}
    weights = [start.sha256 for start in starts.values()]
    what = identity(config, config.ELSEWHERE, **hashes, encoder_sha256=weights)
    first = starts[config.init]
    with open_run(config, f"{first.init}-{config.encoder}", what, standing_is_fine=standing_is_fine) as work:
        if work.result is not None:
            return work.folder
        limited = f" (--limit {config.limit})" if config.limit else ""
        work.say(
            f"images: {len(manifest)} from {source.why}; "
            f"{len(split.train)} to fit probes on, {len(split.val)} held out to score{limited}"
        )
        for sentence in everything.sentences():
            work.say(sentence)
        for init, guard in guards.items():
            work.say(f"{init}: {guard}" if len(guards) > 1 else str(guard))

        # What these images allow to be asked, said before the work.
        classes = class_split(manifest, split, labels)
        pictures = masked_pictures(manifest, split.train, split.val)
        lesions = manifest.table["lesion_id"].to_numpy(str)
        pairs = np.sort(manifest.rows(split.val))[: config.pairs]
        skipped = reasons(config, classes, pictures, lesions[pairs], len(manifest))
        for vectors in given.values():
            work.say(vectors.sentence(everything))
        for line in remarks(config, classes, pictures, skipped):
            work.say(line)

        # Every encoder: features of all pictures, computed once for these weights, and what they are good for.
        whole = manifest if config.limit else everything
        rows = whole.rows(manifest.table["image_id"].tolist())
        with first_alone():
            images = cached_images(whole, config.image_size).take(rows)
        frozen = {
            init: FrozenEncoder(start, config.image_size, config.batch_size, device)
            for init, start in starts.items() if init not in given
        }  # fmt: skip
        seen = {init: kept_features(frozen[init], starts[init].sha256, whole)[rows] for init in frozen}
        if not work.first:  # the first process measures, and needs no others for it
            return work.folder
        task = ProbeTask(config, images, classes, pictures, pairs, lesions, skipped)
        encoders: list[ProbedEncoder] = []
        for init, start in starts.items():
            if init in given:
                probed = ProbedEncoder(init, start, None, given[init].of(manifest), first=not encoders)
            else:
                tensors = len(start.encoder.state_dict())
                work.say(f"encoder: {config.encoder} with the weights of {init}; all {tensors} tensors fit")
                probed = ProbedEncoder(init, start, frozen[init], seen[init], first=not encoders)
            measure_encoder(probed, task)
            work.say(as_table(probed.rows) if probed.rows else "no probe gave a score, for the reasons above")
            for name, table in probed.tables.items():
                write_table(work.folder / probed.file(name), table)
            encoders.append(probed)

        # What two encoders have in common, what lies beside what, where they look, and the map of all images.
        gallery = Gallery(work.folder, config, manifest, images, labels, encoders)
        similar = {} if "cka" in skipped else compare_stages(gallery, pairs)
        if config.sheets:
            draw_sheets(gallery)
        if "umap" not in skipped:
            draw_maps(gallery)

        seconds = spent.seconds
        work.finish(
            {
                "init": first.init, "encoder": config.encoder, "encoder_sha256": first.sha256, "data": manifest.hash,
                "split": split.hash, "leaks": guards[config.init].summary,
                "n_images": len(manifest), "n_train": len(split.train), "n_val": len(split.val),
                **encoders[0].result, "encoders": [probed.entry for probed in encoders], "cka": similar,
                "skipped": skipped, "left_out": dict(classes.left_out),
                **costs(spent, len(manifest) / seconds), "seconds": seconds,
            }
        )  # fmt: skip
        work.say(f"time: the probe took {seconds:.0f} s")
        work.say(closing(work.folder, what_follows(config, work.folder), file_to_open(work.folder)))
    return work.folder


def file_to_open(folder: Path) -> Path:
    """What shows most of a probe: its explorer, else its map, else its numbers."""
    files = [folder / name for name in ("explorer.html", "figures/umap.png", "result.json")]
    return next(file for file in files if file.is_file())


def what_follows(config: ProbeConfig, folder: Path) -> str:
    """What follows a probe: fine-tuning from the weights, or, of features alone, a look at their page."""
    if is_feature_file(config.init):
        return f"open {folder / 'explorer.html'}" if config.explorer and config.umap else f"open {folder}"
    places = as_typed_flags(config, "data", "checkpoints")
    return f"python -m finetune --init {config.init} --encoder {config.encoder}{places}"
