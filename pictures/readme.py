"""The pictures of the README: segmentations and the explorer of the demo, and the report of its published scores."""

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from compare.figures.drawing import colours
from compare.page.gallery import gallery
from compare.page.report import write_report
from compare.records.study import Study, read_study
from dermssl.errors import UserError
from dermssl.files import whole_file, write_text
from dermssl.web_page import page_templates
from pictures.demo import done_demo
from pictures.outputs import small_png
from pictures.screens import SCHEMES, Screen, screenshot

PUBLISHED = Path("docs/results/demo")
COLOURS = 128  # of a picture's palette
SELECT = """
    const all = JSON.parse(document.getElementById("data").textContent);
    document.getElementById("colour").value = all.columns[0].name;
    explorer.show(%d);
"""
FEW = 2  # arms whose segmentations are shown


def draw_pictures(place: Path) -> list[Path]:
    """Writes every picture, each whole; returns their files.

    Raises:
        UserError: If the demo does not end well, or has left no page or masks to show.
    """
    study = read_study(done_demo())
    written = []
    with tempfile.TemporaryDirectory() as folder, opened_browser() as driver:
        for screen in screens(study, Path(folder)):
            for scheme in SCHEMES:
                shot = Image.open(io.BytesIO(screenshot(driver, screen, scheme)))
                path = place / f"{screen.name}-{scheme}.png"
                with whole_file(path) as part:
                    part.write_bytes(small_png(shot, shot.width, COLOURS))
                written.append(path)
    return written


@contextmanager
def opened_browser() -> Iterator[Any]:
    """The browser that the tests of pages use as well."""
    from browser import chromium  # tests/browser.py, which `make pictures` puts on the path

    with chromium() as driver:
        yield driver


def screens(study: Study, folder: Path) -> list[Screen]:
    """What is shown; pages that are made for it alone go into `folder`."""
    explorers = [Path(name) / "explorer.html" for name in study.runs("probe")["folder"]]
    if not explorers or not explorers[0].is_file():
        raise UserError(f"{study.folder}: its probes have no explorer.html; remove {study.folder} and type again")
    return [
        Screen("segmentations", segmentation_page(study, folder / "segmentations.html"), 960, ["main"]),
        Screen("explorer", explorers[0], 1280, ["body"], 720, "body[data-ready]", SELECT % 7),
        Screen("report", published_report(folder), 960, [".kicker", ".provenance"]),
    ]


def published_report(folder: Path) -> Path:
    """The report of the study that the README's finding is of, so that both say the same."""
    return write_report(Path(shutil.copytree(PUBLISHED, folder / PUBLISHED.name))).page


def segmentation_page(study: Study, path: Path) -> Path:
    """A page with a row of segmentations for each arm of the primary contrast, under the fewest labels."""
    sheets = gallery(study)
    if not sheets:
        raise UserError(f"{study.folder}: its runs have kept no masks to show")
    sheet, tints = sheets[0], colours(study.levels("arm"))
    arms = [arm for arm in study.contrasts[0] if arm in sheet.arms][:FEW]
    facts = {"rows": sheet.rows, "tints": {arm: tints[arm] for arm in arms}, "title": sheet.title}
    text = page_templates(Path(__file__).parent).get_template("segmentations.html.j2").render(facts)
    write_text(path, text)
    return path
