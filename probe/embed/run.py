"""The story of features to take along: pictures one batch after the other, and a row for each."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import dermssl
from dermssl.data.images import Pixels, read_rgb
from dermssl.data.manifest import Manifest, read_manifest
from dermssl.data.sources import draw_if_absent, unlabelled_source
from dermssl.errors import UserError, first_ten
from dermssl.features.frozen import FrozenEncoder
from dermssl.files import whole_file
from dermssl.log import bar_is_off, say
from dermssl.places import try_places
from dermssl.runs.environment import commit
from dermssl.runs.folder import closing
from dermssl.training.device import prepare
from dermssl.weights.encoder import Start, start_from
from dermssl.wording import counted, room
from probe.embed.config import EmbedConfig
from probe.embed.feature_files import Columns, feature_writer
from probe.maps.umap_map import FEWEST_MAPPED, umap_table

READERS = 4  # threads that decode pictures ahead of the encoder
LONG = 500  # pictures; fewer need no bar


def embed_pictures(config: EmbedConfig) -> Path:
    """Writes the file; returns where it is.

    Raises:
        UserError: For a wrong folder, weights that cannot be had, or where no picture can be read.
    """
    try_places(
        {"--data": config.data, "--init": config.init, "--checkpoints": config.checkpoints}, files={"--out": config.out}
    )
    source = unlabelled_source(config.data)
    device = prepare(config.threads)
    draw_if_absent(source, workers=torch.get_num_threads())
    manifest = read_manifest(source.folder)
    say(f"images: {len(manifest)} from {source.why}")
    for sentence in manifest.sentences(masks=False):
        say(sentence)
    manifest = readable_images(manifest)
    start = start_from(config.init, config.encoder, config.seed, config.checkpoints)
    tensors = len(start.encoder.state_dict())
    say(f"encoder: {config.encoder} with the weights of {config.init}; all {tensors} tensors fit")

    frozen_encoder = FrozenEncoder(start, config.image_size, config.batch_size, device)
    rows = batches_of_rows(frozen_encoder, manifest, config)
    with whole_file(config.out) as part, feature_writer(part, config.out.suffix.lower(), facts(start, config)) as file:
        for columns in with_map(rows, config) if config.umap else rows:
            file.write(columns)
    width = int(start.encoder.out_channels[-1])  # type: ignore[index]
    say(f"features: {counted(len(manifest), 'row')} of {width} numbers, {room(config.out.stat().st_size)}")
    say(closing(config.out, "python -m probe --help"))
    return config.out


def readable_images(manifest: Manifest) -> Manifest:
    """The images that can be read; what is left out is said.

    Raises:
        UserError: If none is left.
    """
    broken = manifest.table["width"] == 0
    if broken.all():
        raise UserError(
            f"{manifest.place}: none of its {counted(len(manifest), 'picture')} can be read; give another --data"
        )
    if broken.any():
        names = first_ten(manifest.table.loc[broken, "path"].tolist())
        say(f"left out: {counted(int(broken.sum()), 'picture')} that cannot be read ({names})")
    return manifest.take(manifest.table.loc[~broken, "image_id"].tolist())


class PicturesOnDisk:
    """Pictures of a manifest, decoded as they are asked for, some of them ahead: no cache, and no more in memory."""

    def __init__(self, manifest: Manifest, short_side: int, ahead: int) -> None:
        self.paths, self.short_side, self.ahead = manifest.paths(), short_side, ahead
        self.pool = ThreadPoolExecutor(READERS)
        self.coming: dict[int, object] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Pixels:
        for place in range(index, min(index + self.ahead, len(self))):
            if place not in self.coming:
                self.coming[place] = self.pool.submit(read_rgb, self.paths[place], self.short_side)
        pixels: Pixels = self.coming.pop(index).result()  # type: ignore[attr-defined]
        return pixels


def batches_of_rows(frozen_encoder: FrozenEncoder, manifest: Manifest, config: EmbedConfig) -> Iterator[Columns]:
    """Ids, paths and features of the pictures, a batch after the other."""
    table, size = manifest.table, config.batch_size
    pictures = PicturesOnDisk(manifest, config.image_size, 2 * size)
    for first in tqdm(range(0, len(manifest), size), desc="features", disable=len(manifest) < LONG or bar_is_off()):
        indices = range(first, min(first + size, len(manifest)))
        stages = stage_means(frozen_encoder, pictures, indices)
        named = {f"stage_{number}": stage for number, stage in enumerate(stages, 1)} if config.stages else {}
        ids, paths = (table[name].to_numpy(str)[indices.start : indices.stop] for name in ("image_id", "path"))
        yield {"image_id": ids, "path": paths, "features": stages[-1], **named}


def stage_means(frozen_encoder: FrozenEncoder, pictures: PicturesOnDisk, indices: range) -> list[np.ndarray]:
    """Every stage averaged over its positions, finest first, (B, C) each; the last one is what probes take."""
    rows = [[stage.mean(dim=(2, 3)) for stage in stages] for stages in frozen_encoder.stages(pictures, indices)]
    return [torch.cat(stage).cpu().numpy() for stage in zip(*rows, strict=True)]


def with_map(rows: Iterator[Columns], config: EmbedConfig) -> Iterator[Columns]:
    """All rows in one, with each picture's place on the map."""
    batches = list(rows)
    whole = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    if len(whole["image_id"]) < FEWEST_MAPPED:
        raise UserError(
            f"--umap: a map takes {FEWEST_MAPPED} pictures or more, got {len(whole['image_id'])}; leave it out"
        )
    places = umap_table(whole["features"], whole["image_id"].tolist(), {}, config.seed)
    yield whole | {axis: places[axis].to_numpy(np.float32) for axis in ("x", "y")}


def facts(start: Start, config: EmbedConfig) -> dict[str, object]:
    """What the features are of."""
    return {
        "encoder": config.encoder,
        "init": start.init,
        "method": start.card.method,
        "encoder_sha256": start.sha256,
        "image_size": config.image_size,
        "dermssl": dermssl.__version__,
        "commit": commit(),
    }
