"""A page to look around the map in: one file that opens in any browser without a network.

bokeh draws the maps and links their selections; explorer.js shows what is hovered, clicked, selected and searched for.
"""

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from bokeh.embed import components
from bokeh.layouts import row
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.plotting import figure
from bokeh.resources import Resources

from dermssl.appearance.outlines import svg_outline
from dermssl.data.images import Pixels
from dermssl.data.manifest import Manifest
from dermssl.data.masks import Lesion, read_lesion
from dermssl.data.pixel_cache import PixelCache
from dermssl.data.roles import image_id_of
from dermssl.files import write_text
from dermssl.scores.thumbnails import thumbnail
from dermssl.web_page import filled_page, page_templates
from probe.maps.columns import COLOUR, NUMBERS

SIDES = (128, 96, 72, 56, 40)  # sides of thumbnails, pixels: the first with which the page stays light is taken
ROOM = 24_000_000  # bytes for all thumbnails; a third more once they are letters
TRIED = 100  # thumbnails from which the bytes of all are reckoned
OUTLINED = 96  # pixels: longer side of the masks that outlines are taken from
QUALITY = 70  # WebP's own scale, to 100
HERE = Path(__file__).parent


class EncoderMap(NamedTuple):
    """One encoder's map."""

    name: str
    places: np.ndarray
    """(N, 2)."""
    neighbours: np.ndarray
    """Rows of the nearest images, (N, 5), nearest first; -1 where there are fewer."""


class ExplorerData(NamedTuple):
    """What the page shows, all of it in the manifest's order."""

    manifest: Manifest
    images: PixelCache
    columns: pd.DataFrame
    """What `probe.maps.columns.columns_of` returns."""
    views: Sequence[EncoderMap]
    """One, or two and more side by side with one selection."""
    predictions: Path | None
    """Folder of predicted masks, named as `python -m finetune.predict` names them."""


def write_explorer(path: Path, data: ExplorerData, title: str) -> None:
    """Writes the page whole. Ten thousand images with thumbnails stay under 40 MB."""
    source = source_of(data)
    plots = [map_of(view, place, source) for place, view in enumerate(data.views)]
    drawing, maps = components(row(plots, sizing_mode="stretch_both"), wrap_script=False)
    facts = {
        "title": title,
        "count": len(data.manifest),
        "columns": [name for name in data.columns.columns if name != "image_id"],
        "maps": maps,
        "data": as_json(contents(data)),
    }
    style, code = ((HERE / f"explorer.{suffix}").read_text(encoding="utf-8") for suffix in ("css", "js"))
    bokeh = "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)
    scripts = {"bokeh": bokeh, "explorer": code, "maps": drawing}
    templates = page_templates(HERE)
    write_text(
        path, filled_page(templates, "explorer.html.j2", facts, style=style, scripts=scripts, writes_styles=True)
    )


def source_of(data: ExplorerData) -> ColumnDataSource:
    """The places of all images on all maps; that all maps share it is what links their selections."""
    places = {f"{axis}{place}": view.places[:, column].astype(np.float32)
              for place, view in enumerate(data.views) for column, axis in enumerate("xy")}  # fmt: skip
    return ColumnDataSource({**places, "colour": ["#0072B2"] * len(data.manifest)}, name="images")


def map_of(view: EncoderMap, place: int, source: ColumnDataSource) -> figure:
    """One encoder's map.

    On a canvas and not by WebGL, which is five times slower where a machine without a GPU does it in software.
    """
    tools = "pan,wheel_zoom,box_zoom,lasso_select,tap,reset"
    plot = figure(title=view.name, tools=tools, active_scroll="wheel_zoom", match_aspect=True,
                  sizing_mode="stretch_both", min_width=320, min_height=320, name=f"map{place}",
                  background_fill_alpha=0, border_fill_alpha=0)  # fmt: skip
    size = float(np.clip(260 / np.sqrt(len(view.places)), 4, 12))
    points = plot.scatter(f"x{place}", f"y{place}", source=source, color="colour", size=size, alpha=0.85,
                          line_width=0, nonselection_alpha=0.15, selection_alpha=1.0)  # fmt: skip
    plot.add_tools(HoverTool(renderers=[points], tooltips=None))  # explorer.js hears of what is hovered
    plot.axis.visible = False
    plot.grid.grid_line_alpha = 0.6
    plot.toolbar.logo = None
    return plot


def contents(data: ExplorerData) -> dict[str, object]:
    """All that explorer.js looks up by an image's number."""
    return {
        "ids": data.columns["image_id"].tolist(),
        "thumbs": thumbs(data.images),
        "columns": [
            column_of(name, data.columns[name].tolist()) for name in data.columns.columns if name != "image_id"
        ],
        "views": [{"name": view.name, "neighbours": view.neighbours.tolist()} for view in data.views],
        "truth": [outline(mask) for mask in masks_of(data.manifest)],
        "prediction": [outline(mask) for mask in predictions_of(data)],
    }


def column_of(name: str, values: Sequence[object]) -> dict[str, object]:
    """A column with how it is coloured: words, numbers (None where unknown), or colours of their own."""
    kind = "colour" if name == COLOUR else "number" if name in NUMBERS else "word"
    plain = [None if isinstance(value, float) and np.isnan(value) else value for value in values]
    return {"name": name, "kind": kind, "values": plain}


def thumbs(images: PixelCache) -> list[str]:
    """Every picture as WebP in base64, as large as leaves the page light enough to open."""
    tried = np.unique(np.linspace(0, len(images) - 1, min(TRIED, len(images))).astype(int)).tolist()
    for side in SIDES:
        mean = np.mean([len(webp_bytes(images[index], side)) for index in tried])
        if mean * len(images) <= ROOM:
            break
    return [base64.b64encode(webp_bytes(images[index], side)).decode() for index in range(len(images))]


def webp_bytes(picture: Pixels, side: int) -> bytes:
    """A thumbnail's bytes."""
    small = cv2.cvtColor(thumbnail(picture, side), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1].tobytes()


def masks_of(manifest: Manifest) -> Iterator[Lesion | None]:
    """The mask of each image that has a usable one."""
    table = manifest.table
    for index, (path, problem) in enumerate(zip(table["mask_path"], table["problem"], strict=True)):
        yield manifest.lesion(index) if path and not problem else None


def predictions_of(data: ExplorerData) -> Iterator[Lesion | None]:
    """The predicted mask of each image that has one."""
    folder = data.predictions
    path_of = {} if folder is None else {image_id_of(path): path for path in sorted(folder.rglob("*_segmentation.png"))}
    for image in data.manifest.table["image_id"]:
        yield read_lesion(path_of[image]) if image in path_of else None


def outline(lesion: Lesion | None) -> str:
    """A mask's outline as SVG path data in thousandths of its sides; '' where there is no mask."""
    if lesion is None:
        return ""
    mask = thumbnail(lesion, OUTLINED) > 0
    return svg_outline(mask, 1000 / mask.shape[1], 1000 / mask.shape[0])


def as_json(value: object) -> str:
    """JSON that may stand inside a script element: no text in it can end one."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
