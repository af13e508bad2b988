"""The page of a data check: one HTML file that opens without a network, with a thumbnail of each finding."""

import base64
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermssl.check.findings import KINDS
from dermssl.data.images import Pixels, read_rgb
from dermssl.data.manifest import Manifest
from dermssl.data.masks import Lesion, lesion_of, read_labels
from dermssl.data.roles import file_at
from dermssl.errors import UserError
from dermssl.files import write_text
from dermssl.runs.control_group import usable_cores
from dermssl.web_page import filled_page, page_templates

HERE = Path(__file__).parent
LONGEST = 150  # pixels of a thumbnail's longer side
CYAN = (0, 255, 255)
BINS = 24
CLOSED = ("unreadable", "truncated")  # faults that leave nothing to show

TableRow = Mapping[Hashable, str]


@dataclass(frozen=True)
class Thumbnail:
    """A small picture as a data address in `source`, which is empty where it cannot be read."""

    source: str
    name: str


@dataclass(frozen=True)
class FindingPicture:
    """A finding on the page: its picture, or two side by side, and its detail."""

    thumbnails: list[Thumbnail]
    detail: str


@dataclass(frozen=True)
class Histogram:
    """Bars of a distribution, their heights in [0, 1], and the values at both ends and in the middle."""

    title: str
    bars: list[tuple[float, str]]
    low: str
    median: str
    high: str


def write_page(
    path: Path, manifest: Manifest, findings: pd.DataFrame, facts: Mapping[str, object], thumbnails: int
) -> None:
    """Writes the page whole.

    Args:
        path: The file.
        manifest: The data set.
        findings: As `findings_of` gives them.
        facts: What check.json says.
        thumbnails: Most to show of a kind.
    """
    templates = page_templates(HERE)
    templates.filters["slug"] = lambda name: name.lower().replace(" ", "-")
    context = {
        "facts": facts,
        "name": manifest.root.resolve().name,
        "kinds": KINDS,
        "pictures": {
            str(kind): pictures_of_kind(manifest, rows, thumbnails) for kind, rows in findings.groupby("kind")
        },
        "histograms": histograms(manifest.table),
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "thumbnails": thumbnails,
    }
    style = (HERE / "page.css").read_text(encoding="utf-8")
    write_text(path, filled_page(templates, "page.html.j2", context, style=style))


def pictures_of_kind(manifest: Manifest, findings: pd.DataFrame, most: int) -> tuple[list[FindingPicture], int]:
    """The first pictures of a kind's findings, and how many more there are; a pair is shown once, not by each image."""
    rows = findings[
        findings["beside"] != findings["image_id"]
    ]  # the first of equal files stands beside each of the others
    ends = [tuple(sorted([row["image_id"], row["beside"] or row["path"]])) for row in rows.to_dict("records")]
    once = rows[~pd.Series(ends, index=rows.index, dtype=object).duplicated()]
    by_id = {row["image_id"]: row for row in manifest.table.to_dict("records")}
    with ThreadPoolExecutor(usable_cores()) as pool:
        first = [row for _, row in once.head(most).iterrows()]
        pictures = list(pool.map(lambda row: finding_picture(manifest, by_id, row), first))
    return pictures, max(0, len(once) - most)


def finding_picture(manifest: Manifest, by_id: Mapping[str, TableRow], finding: TableRow) -> FindingPicture:
    """The picture of a finding with the one that stands beside it; `by_id` holds the manifest's rows."""
    ids = [finding["image_id"]] + [finding["beside"]] * bool(finding["beside"])
    thumbnails = []
    for image_id in ids:
        if finding["kind"] == "mask without image":
            thumbnails.append(
                Thumbnail(jpeg_thumbnail(file_at(manifest.root, finding["path"]), None), Path(finding["path"]).name)
            )
        else:
            thumbnails.append(Thumbnail(thumbnail_of(manifest, by_id[image_id]), image_id))
    return FindingPicture(thumbnails, finding["detail"])


def thumbnail_of(manifest: Manifest, row: TableRow) -> str:
    """The thumbnail of a manifest's row, with its mask's outline where there is one."""
    if row["fault"] in CLOSED:
        return ""
    masked = row["mask_path"] and row["fault"] != "mask unreadable"
    lesion = lesion_of(read_labels(file_at(manifest.root, row["mask_path"])), manifest.lesion_value) if masked else None
    return jpeg_thumbnail(file_at(manifest.root, row["path"]), lesion)


def jpeg_thumbnail(path: Path, lesion: Lesion | None) -> str:
    """A small JPEG as a data address, the mask's outline in cyan; nothing where the file cannot be read."""
    try:
        pixels = read_rgb(path, 2 * LONGEST)
    except (UserError, OSError):
        return ""
    scale = min(1.0, LONGEST / max(pixels.shape[:2]))
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    if lesion is not None:
        shrunk = cv2.resize(lesion.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 127
        outlines, _ = cv2.findContours(shrunk.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(small, outlines, -1, CYAN, 1)
    return data_address(np.asarray(small, np.uint8))


def data_address(pixels: Pixels) -> str:
    """An RGB picture as a JPEG in the page itself."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 75])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def histograms(table: pd.DataFrame) -> list[Histogram]:
    """How sizes, shapes and lesions are spread; nothing of what the set does not have."""
    readable = table[table["width"] > 0]
    sides, areas = readable[["width", "height"]].to_numpy(float), table["mask_area"].dropna().to_numpy(float)
    distributions = [
        ("Shorter side, pixels", sides.min(axis=1), "{:.0f}"),
        ("Width over height", sides[:, 0] / sides[:, 1], "{:.2f}"),
        ("Lesion, share of the picture", areas, "{:.0%}"),
    ]
    return [histogram(title, values, form) for title, values, form in distributions if len(values)]


def histogram(title: str, values: NDArray[np.float64], form: str) -> Histogram:
    """Bars over the range of `values`; all in the middle one where they are equal."""
    counts, edges = np.histogram(values, BINS)
    captions = [f"{form.format(low)} to {form.format(high)}: {count}"
            for (low, high), count in zip(pairwise(edges), counts, strict=True)]  # fmt: skip
    bars: Sequence[tuple[float, str]] = list(zip((counts / counts.max()).tolist(), captions, strict=True))
    low, median, high = (form.format(value) for value in (values.min(), np.median(values), values.max()))
    return Histogram(title, list(bars), low, median, high)
