"""The figures, tables and pages of a probe's run folder."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dermssl.data.manifest import Manifest
from dermssl.data.pixel_cache import PixelCache
from dermssl.runs.folder import write_table
from dermssl.scores.plots import save_figure
from probe.config import ProbeConfig
from probe.maps.columns import columns_of
from probe.maps.explorer import EncoderMap, ExplorerData, write_explorer
from probe.maps.sheets import Album, neighbour_figure, stranger_figure, stranger_table, strangers_first
from probe.maps.umap_map import columns_figure, umap_figure, umap_table
from probe.maps.where import maps_of, shown_pictures, where_figure
from probe.scores.measures import ProbedEncoder
from probe.scores.similarity import cka_by_stage, similarity_figure, similarity_table

LOOKED_AT = 12  # images to show where encoders look
NEAREST = 5  # neighbours that the explorer shows


class Gallery(NamedTuple):
    """What there is to draw, and where."""

    folder: Path
    config: ProbeConfig
    manifest: Manifest
    images: PixelCache
    labels: Mapping[str, str]
    encoders: Sequence[ProbedEncoder]

    @property
    def album(self) -> Album:
        """The images as sheets show them."""
        table = self.manifest.table
        ids = table["image_id"].tolist()
        return Album(ids, table["lesion_id"].to_numpy(str), [self.labels.get(i, "") for i in ids], self.images)

    def title(self, probed: ProbedEncoder) -> str:
        """What a figure is of."""
        source = (
            f"{self.config.encoder}, {probed.label} weights" if probed.frozen_encoder else f"features {probed.label}"
        )
        return f"{source}, n = {len(self.manifest)}"

    def place(self, file: str, probed: ProbedEncoder) -> Path:
        """Where a file of this encoder goes."""
        return self.folder / probed.file(file)


def compare_stages(gallery: Gallery, rows: np.ndarray) -> dict[str, object]:
    """CKA of every stage of every two encoders on these images, as figures and tables; returns equal stages'."""
    pictures = gallery.images.take(rows.tolist())
    stages = {
        probed.short: probed.frozen_encoder.stage_features(pictures)
        for probed in gallery.encoders
        if probed.frozen_encoder
    }
    equal_stages: dict[str, object] = {}
    for a, b in combinations(stages, 2):
        matrix = cka_by_stage(stages[a], stages[b])
        write_table(gallery.folder / "tables" / f"cka_{a}_{b}.csv", similarity_table(matrix))
        save_figure(
            similarity_figure(matrix, a, b, len(rows)), gallery.folder / "figures" / f"cka_{a}_{b}.png", dpi=200
        )
        equal_stages[f"{a} and {b}"] = [float(value) for value in matrix.diagonal()]
    return equal_stages


def draw_sheets(gallery: Gallery) -> None:
    """Neighbours and nearest strangers of each encoder, and where all of them look."""
    album = gallery.album
    for probed in gallery.encoders:
        table = stranger_table(probed.features, album)
        write_table(gallery.place("nearest_strangers.csv", probed), table)
        figure = neighbour_figure(probed.features, album, gallery.config.seed, gallery.title(probed))
        save_figure(figure, gallery.place("neighbours.png", probed))
        save_figure(
            stranger_figure(table, album, gallery.title(probed)), gallery.place("nearest_strangers.png", probed)
        )
    looking = {probed.label: probed.frozen_encoder for probed in gallery.encoders if probed.frozen_encoder}
    if not looking:
        return
    count = len(gallery.manifest)
    rows = np.unique(np.linspace(0, count - 1, min(LOOKED_AT, count)).round().astype(int)).tolist()
    maps = {label: maps_of(encoder, gallery.images, rows) for label, encoder in looking.items()}
    pictures = shown_pictures(gallery.images, rows, gallery.config.image_size)
    names = [album.image_ids[row] for row in rows]
    save_figure(where_figure(pictures, names, maps), gallery.folder / "figures" / "where_it_looks.png")


def draw_maps(gallery: Gallery) -> None:
    """The map of all images for each encoder: its table, its figures, and the page to look around in."""
    album, config = gallery.album, gallery.config
    columns = columns_of(gallery.manifest, gallery.images, gallery.labels)
    legend = config.labels.rpartition(":")[2] if config.labels else "diagnosis"
    views = []
    for probed in gallery.encoders:
        places = umap_table(probed.features, album.image_ids, gallery.labels, config.seed)
        write_table(gallery.place("umap.csv", probed), places.merge(columns, on="image_id"))
        save_figure(umap_figure(places, gallery.title(probed), legend), gallery.place("umap.png", probed), dpi=200)
        if len(columns.columns) > 1:
            save_figure(
                columns_figure(places, columns, gallery.title(probed)), gallery.place("umap_columns.png", probed)
            )
        near = strangers_first(probed.features, np.array(album.image_ids), NEAREST)[0]
        views.append(EncoderMap(probed.label, places[["x", "y"]].to_numpy(), near))
    if config.explorer:
        page_data = ExplorerData(gallery.manifest, gallery.images, columns, views, config.predictions)
        write_explorer(gallery.folder / "explorer.html", page_data, f"{config.encoder}, n = {len(gallery.manifest)}")
