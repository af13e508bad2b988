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
from probe.maps.explorer import Explored, View, write_explorer
from probe.maps.sheets import Album, neighbour_figure, stranger_figure, stranger_table, strangers_first
from probe.maps.umap_map import columns_figure, umap_figure, umap_table
from probe.maps.where import maps_of, shown_pictures, where_figure
from probe.scores.measures import Probed
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
    probed: Sequence[Probed]

    @property
    def album(self) -> Album:
        """The images as sheets show them."""
        table = self.manifest.table
        ids = table["image_id"].tolist()
        return Album(ids, table["lesion_id"].to_numpy(str), [self.labels.get(i, "") for i in ids], self.images)

    def title(self, one: Probed) -> str:
        """What a figure is of."""
        return f"{self.config.encoder}, {one.label} weights, n = {len(self.manifest)}"

    def place(self, file: str, one: Probed) -> Path:
        """Where a file of this encoder goes."""
        return self.folder / one.file(file)


def compare_stages(drawn: Gallery, rows: np.ndarray) -> dict[str, object]:
    """CKA of every stage of every two encoders on these images, drawn and tabled; equal stages' for the result."""
    pictures = drawn.images.take(rows.tolist())
    stages = {one.short: one.eye.stage_features(pictures) for one in drawn.probed}
    found: dict[str, object] = {}
    for a, b in combinations(stages, 2):
        matrix = cka_by_stage(stages[a], stages[b])
        write_table(drawn.folder / "tables" / f"cka_{a}_{b}.csv", similarity_table(matrix))
        save_figure(similarity_figure(matrix, a, b, len(rows)), drawn.folder / "figures" / f"cka_{a}_{b}.png", dpi=200)
        found[f"{a} and {b}"] = [float(value) for value in matrix.diagonal()]
    return found


def draw_sheets(drawn: Gallery) -> None:
    """Neighbours and nearest strangers of each encoder, and where all of them look."""
    album = drawn.album
    for one in drawn.probed:
        table = stranger_table(one.features, album)
        write_table(drawn.place("nearest_strangers.csv", one), table)
        figure = neighbour_figure(one.features, album, drawn.config.seed, drawn.title(one))
        save_figure(figure, drawn.place("neighbours.png", one))
        save_figure(stranger_figure(table, album, drawn.title(one)), drawn.place("nearest_strangers.png", one))
    count = len(drawn.manifest)
    rows = np.unique(np.linspace(0, count - 1, min(LOOKED_AT, count)).round().astype(int)).tolist()
    maps = {one.label: maps_of(one.eye, drawn.images, rows) for one in drawn.probed}
    pictures = shown_pictures(drawn.images, rows, drawn.config.image_size)
    names = [album.image_ids[row] for row in rows]
    save_figure(where_figure(pictures, names, maps), drawn.folder / "figures" / "where_it_looks.png")


def draw_maps(drawn: Gallery) -> None:
    """The map of all images for each encoder: its table, its figures, and the page to look around in."""
    album, config = drawn.album, drawn.config
    columns = columns_of(drawn.manifest, drawn.images, drawn.labels)
    legend = config.labels.rpartition(":")[2] if config.labels else "diagnosis"
    views = []
    for one in drawn.probed:
        places = umap_table(one.features, album.image_ids, drawn.labels, config.seed)
        write_table(drawn.place("umap.csv", one), places.merge(columns, on="image_id"))
        save_figure(umap_figure(places, drawn.title(one), legend), drawn.place("umap.png", one), dpi=200)
        if len(columns.columns) > 1:
            save_figure(columns_figure(places, columns, drawn.title(one)), drawn.place("umap_columns.png", one))
        near = strangers_first(one.features, np.array(album.image_ids), NEAREST)[0]
        views.append(View(one.label, places[["x", "y"]].to_numpy(), near))
    if config.explorer:
        explored = Explored(drawn.manifest, drawn.images, columns, views, config.predictions)
        write_explorer(drawn.folder / "explorer.html", explored, f"{config.encoder}, n = {len(drawn.manifest)}")
