"""Names that are HTML or script, wherever a page shows one: nothing runs, nothing is asked for, all is legible."""

import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import drawn_study
import numpy as np
import pandas as pd
import pytest
import yaml
from browser import browser, chromium, complaints, opened_page, requests
from drawn_study import Design, draw_study
from faults.drawn_set import draw_set
from faults.tally import Tally, generator, tallied, trials

from compare.page import report
from compare.page.report import write_report
from dermssl.check import run as check
from dermssl.check.config import CheckConfig
from dermssl.data.manifest import read_manifest
from dermssl.data.pixel_cache import cached_images
from dermssl.scores.plots import save_figure
from probe.maps.columns import columns_of
from probe.maps.explorer import EncoderMap, ExplorerData, write_explorer
from probe.maps.umap_map import umap_figure

pytestmark = browser
PLANTS = (
    "<script>planted=1</script>", '"><img src=x onerror=planted=1>', "'><svg onload=planted=1>", "</script><!--",
    "</script><script>planted=1//", "</style><script>planted=1</script>", "</title><script>planted=1</script>",
    "--><script>planted=1</script>", "]]>", "{{'planted-by'~'-jinja'}}", "{% raw %}", "${planted=1}", "`;planted=1;`",
    "';planted=1;'", '";planted=1;"', "\\", "javascript:planted=1", "&lt;script&gt;planted=1&lt;/script&gt;",
    "<img src=http://planted.example/x>", "![x](http://planted.example/x)",
    "<base href=http://planted.example>",
    "<meta http-equiv=refresh content='0;url=http://planted.example'>", "<style>*{display:none}</style>",
    "<iframe srcdoc='<script>parent.planted=1</script>'>", "<link rel=stylesheet href=http://planted.example/x>",
    "url(http://planted.example)", "<form action=http://planted.example><button>", "\x01\x1b[2J\x7f", "\r\n",
    "\u2028\u202e",
    "$\\frac{$", "$$\\x$$", "_", "|", "%s{0}", "'\"",
)  # fmt: skip
PLANTED = "return [typeof planted, document.title, document.body.innerText.trim().length > 99, document.forms.length]"
Draw = Callable[[Path, Callable[[], str]], Path]


def plant(draw: np.random.Generator) -> str:
    """Two or three of them, one behind the other, with a number that keeps names apart."""
    pieces = draw.choice(PLANTS, int(draw.integers(2, 4)), replace=False)
    return "".join(pieces.tolist()) + str(draw.integers(10**6))


def named(text: str) -> str:
    """A plant that may be the name of a file."""
    return text.replace("/", "\u2215").replace("\r\n", "\n")


def cell_of(text: str) -> str:
    """A plant that may stand in a table, which is refused with line breaks."""
    return "".join(text.splitlines())


def study_page(folder: Path, name: Callable[[], str]) -> Path:
    """The report of a study whose arms, errors, events, hosts and images are called so."""
    arm, ids = name()[-30:], defaultdict[int, str](name)  # a longer one leaves its figure no room
    design = Design(init=("ssl", arm), decoder=("unet",), label_fraction=(0.1, 1.0), contrast=("ssl", arm), images=12,
                    failed=frozenset({("ssl", "unet", 0.1, 1)}), history=(("retried", name()),))  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn_study, "LIFT", {"ssl": 0.03, arm: 0.01})
        patch.setattr(drawn_study, "ENVIRONMENT", {**drawn_study.ENVIRONMENT, "cpu": name()})
        patch.setattr(drawn_study, "image_id", lambda i: ids[i])
        patch.setattr(
            drawn_study,
            "_masks",
            lambda scores: pd.DataFrame({"image_id": scores["image_id"], "truth": b"", "prediction": b""}).iloc[:0],
        )
        patch.setattr(report, "DRAWS", 50)
        draw_study(folder / "study", design)
        plan = pd.read_csv(folder / "study/plan.csv")
        plan.loc[plan["state"] == "failed", "error"] = f"RuntimeError: {name()}"
        plan.assign(host=name()).to_csv(folder / "study/plan.csv", index=False)
        options = yaml.safe_load((folder / "study/study.yaml").read_text())
        options |= {"name": name(), "question": name(), "data": name()}
        (folder / "study/study.yaml").write_text(yaml.safe_dump(options))
        written = write_report(folder / "study")
    told = written.markdown.read_text()
    assert "<" not in told
    assert "![" not in told.replace("!\\[", "")
    return written.page


def hostile_set(folder: Path, name: Callable[[], str]) -> Path:
    """A dozen pictures with such ids, lesions and classes."""
    root = draw_set(folder / named(name())[:80])
    ids, cell = [cell_of(named(name())) for _ in range(12)], lambda: cell_of(name())
    for index, new in enumerate(ids):
        for part in ("images", "masks"):
            (root / part / f"picture_{index:02d}.png").rename(root / part / f"{new}.png")
    table = pd.DataFrame({"image_id": ids, "lesion_id": [cell() for _ in ids], "dx": [cell(), cell()] * 6})
    table.to_csv(root / "metadata.csv", index=False)
    return root


def check_page(folder: Path, name: Callable[[], str]) -> Path:
    """The page of a check of a set with all kinds of damage under such names."""
    root = hostile_set(folder, name)
    pictures = sorted((root / "images").iterdir())
    pictures[0].write_text(name())
    shutil.copy(pictures[1], root / "images" / f"{named(name())}.png")
    (root / "masks" / pictures[2].name).write_text(f"<html>{name()}")
    with pytest.raises(SystemExit):
        check.run(CheckConfig(data=root, out=folder / "checked"))
    [page] = (folder / "checked").rglob("check.html")
    return page


def explorer_page(folder: Path, name: Callable[[], str]) -> Path:
    """The explorer of such a set, with the figure of its classes."""
    manifest = read_manifest(hostile_set(folder, name))
    images, labels = (
        cached_images(manifest, 48),
        dict(zip(manifest.table["image_id"], manifest.table["label"], strict=True)),
    )
    columns = columns_of(manifest, images, labels).assign(**{name(): [name() for _ in range(12)]})
    places = np.array([(x, y) for x in range(4) for y in range(3)], float)
    near = np.array([[(row + step) % 12 for step in range(1, 6)] for row in range(12)])
    write_explorer(
        folder / "explorer.html",
        ExplorerData(manifest, images, columns, [EncoderMap(name(), places, near)], None),
        name(),
    )
    table = pd.DataFrame({"x": places[:, 0], "y": places[:, 1], "label": list(labels.values())})
    save_figure(umap_figure(table, "title", "class"), folder / "umap.png")
    return folder / "explorer.html"


PAGES: Mapping[str, Draw] = {"report": study_page, "check": check_page, "explorer": explorer_page}


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


def judge(driver: Any, page: Path, kind: str, tally: Tally) -> None:
    """Opens a page, waits for its scripts, and counts what came of the names."""
    opened_page(driver, page)
    if kind == "explorer":
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(driver, 60).until(lambda page: page.find_element("css selector", "body[data-ready]"))
        driver.execute_script("for (const i of [0, 5, 11]) explorer.show(i); explorer.search('p'); explorer.hover([1])")
    planted, title, legible, forms = driver.execute_script(PLANTED)
    said, asked = complaints(driver), requests(driver)
    if (planted, legible, forms, said, asked) == (
        "undefined",
        True,
        0,
        [],
        [page.as_uri()],
    ) and "planted-by-jinja" not in page.read_text():
        tally.right += 1
    else:
        tally.wrong.append(f"{kind}: {planted} {legible} {forms} {said[:2]} {asked[1:3]} {title}"[:400])


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_no_name_runs_or_asks(driver: Any, tmp_path: Path) -> None:
    draw = generator("pages")
    with tallied("pages") as tally:
        for trial in range(trials(whole=60, sample=2)):
            kind = list(PAGES)[trial % len(PAGES)]
            folder = tmp_path / str(trial)
            folder.mkdir()
            judge(driver, PAGES[kind](folder, lambda: plant(draw)), kind, tally)
            shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("kind", PAGES)
def test_what_got_into_a_page_all_the_same_neither_runs_nor_asks(driver: Any, tmp_path: Path, kind: str) -> None:
    page = PAGES[kind](tmp_path, iter(f"name{i}" for i in range(10**6)).__next__)
    running = [plant for plant in PLANTS if plant[0] == "<" and not re.search("refresh|<style>|<!--", plant)]
    trap = "<p onclick=planted=1 id=trap>trap</p>"
    page.write_text(page.read_text().replace("<body>\n<header>", f"<body>{trap}{''.join(running)}<header>"))
    opened_page(driver, page)
    driver.execute_script("document.getElementById('trap').click()")
    assert driver.execute_script("return typeof planted") == "undefined"
    assert requests(driver) == [page.as_uri()]
    assert len(complaints(driver)) >= 4
