"""The report in headless Chromium: no errors, no requests, and what a reader, a keyboard and a printer meet."""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browser import browser, chromium, complaints, opened_page, requests
from drawn_pictures import WIDE, printed, screen
from drawn_study import Design, draw_study

from compare.page import report
from compare.page.report import write_report

pytestmark = browser
BOTH = pytest.mark.parametrize("name", ["rich", pytest.param("wide", marks=pytest.mark.slow)])
A4 = 688  # CSS pixels between the margins of an upright sheet
RICH = Design(
    pictures=True,
    searched=True,
    padding=("skin", "reflect"),
    label_fraction=(0.1,),
    failed=frozenset({("ssl", "fpn", 0.1, 1)}),
    history=(("retried", "finetune, fpn: killed"),),
)


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The page of the rich or the wide study, drawn when it is first asked for."""
    place = tmp_path_factory.mktemp("pages")

    @cache
    def drawn(name: str) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(report, "DRAWS", 100)
            patch.setenv("DERMSSL_CACHE", str(place / "cache"))
            return write_report(draw_study(place / name, {"rich": RICH, "wide": WIDE}[name])).page

    return drawn


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


def show(driver: Any, page: Path, width: int = 1280, height: int = 800, **how: Any) -> Any:
    screen(driver, width, height, **how)
    return opened_page(driver, page)


def column(driver: Any, table: str, index: int) -> list[str]:
    rows = f"[...document.querySelectorAll('{table} tbody tr:not(.group)')]"
    return list(driver.execute_script(f"return {rows}.map((row) => row.cells[{index}].textContent)"))


def those(driver: Any, parts: str, test: str) -> list[str]:
    """The beginning of every part of the page that a test in JavaScript is true of."""
    found = f"[...document.querySelectorAll(arguments[0])].filter((part) => {test})"
    return list(driver.execute_script(f"return {found}.map((part) => part.outerHTML.slice(0, 90))", parts))


@BOTH
def test_a_page_opens_without_errors_and_without_requests(
    driver: Any, page_of: Callable[[str], Path], name: str
) -> None:
    show(driver, page_of(name))
    assert complaints(driver) == []
    assert requests(driver) == [page_of(name).as_uri()]
    assert page_of(name).stat().st_size < 5_000_000


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
@BOTH
def test_the_first_screen_holds_the_verdict_and_what_it_rests_on(
    driver: Any, page_of: Callable[[str], Path], name: str, width: int, height: int
) -> None:
    show(driver, page_of(name), width, height)
    for part in ("h1", ".word", ".gap", ".strip", ".meaning", ".provenance"):
        box = driver.find_element("css selector", part).rect
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= height, part
        assert box["x"] + box["width"] <= width, part
    assert driver.execute_script("return document.documentElement.scrollWidth") == width


def test_nothing_on_the_strip_lies_outside_it(driver: Any, page_of: Callable[[str], Path]) -> None:
    show(driver, page_of("rich"), 390, 844)
    whole = driver.find_element("css selector", ".track").rect
    for part in (".reach", ".mean", ".zero", ".margin"):
        box = driver.find_element("css selector", part).rect
        assert whole["x"] <= box["x"] <= box["x"] + box["width"] <= whole["x"] + whole["width"], part


def test_a_click_on_a_head_sorts_a_table_and_a_second_turns_it_round(
    driver: Any, page_of: Callable[[str], Path]
) -> None:
    show(driver, page_of("rich"))
    heads = driver.find_elements("css selector", "#table-arms th")
    place = [head.text for head in heads].index("Mean IoU")
    before = column(driver, "#table-arms", place)
    heads[place].find_element("tag name", "button").click()
    assert column(driver, "#table-arms", place) == sorted(before)
    assert heads[place].get_attribute("aria-sort") == "ascending"
    heads[place].find_element("tag name", "button").click()
    assert column(driver, "#table-arms", place) == sorted(before, reverse=True)
    heads[0].find_element("tag name", "button").click()
    assert [head.get_attribute("aria-sort") for head in heads].count("ascending") == 1
    assert before != sorted(before)


@pytest.mark.slow
def test_a_key_sorts_as_a_click_does_and_groups_stay_together(driver: Any, page_of: Callable[[str], Path]) -> None:
    show(driver, page_of("wide"))
    titles = "return [...document.querySelectorAll('#table-contrasts .group')].map(row => row.textContent.trim())"
    first = "return document.querySelectorAll('#table-contrasts tbody')[0].rows.length"
    pooled = driver.execute_script(first)
    heads = driver.find_elements("css selector", "#table-contrasts th")
    place = next(i for i, head in enumerate(heads) if head.text.strip() == "Difference")
    heads[place].find_element("tag name", "button").send_keys("\ue007")  # enter
    assert driver.execute_script(titles) == ["Pooled over cells", "By cell"]
    assert driver.execute_script(first) == pooled
    values = [float(text.replace("−", "-")) for text in column(driver, "#table-contrasts", place)]  # noqa: RUF001
    assert values[: pooled - 1] == sorted(values[: pooled - 1])
    assert values[pooled - 1 :] == sorted(values[pooled - 1 :])


CONTRAST = """
const light = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (part) => {
  for (; part; part = part.parentElement) {
    const colour = getComputedStyle(part).backgroundColor;
    if (!/, 0\\)$/.test(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
};
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), poor = [];
while (walk.nextNode()) {
  const part = walk.currentNode.parentElement;
  if (!walk.currentNode.textContent.trim() || part.closest("script, style")) continue;
  const style = getComputedStyle(part), ink = part.closest("svg") ? style.fill : style.color;
  const [a, b] = [light(ink), light(ground(part))].sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) poor.push([part.outerHTML.slice(0, 90), ink, ground(part)]);
}
return poor;
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@BOTH
def test_every_word_can_be_read_on_its_ground(
    driver: Any, page_of: Callable[[str], Path], name: str, dark: bool
) -> None:
    show(driver, page_of(name), dark=dark)
    ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") is not dark
    assert driver.execute_script(CONTRAST) == []


@BOTH
def test_nothing_is_cut_on_paper_and_folded_parts_are_open(
    driver: Any, page_of: Callable[[str], Path], name: str
) -> None:
    show(driver, page_of(name), A4, 900, medium="print")
    wide = f"part.getBoundingClientRect().right > {A4} + 0.5"
    assert those(driver, "table, .drawing svg, .grid, pre, .answer", wide) == []
    assert driver.execute_script("return document.documentElement.scrollWidth") <= A4
    assert those(driver, "details > *", "!part.checkVisibility()") == []
    assert printed(driver).startswith(b"%PDF")


def test_the_page_reads_without_script(driver: Any, page_of: Callable[[str], Path]) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(driver, page_of("rich"))
        assert driver.find_element("css selector", ".word").is_displayed()
        assert driver.find_element("css selector", "#table-arms th").text == "Arm"
        assert driver.find_elements("css selector", "th button") == []
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@BOTH
def test_titles_stand_in_order_and_pictures_are_told_in_words(
    driver: Any, page_of: Callable[[str], Path], name: str
) -> None:
    show(driver, page_of(name))
    titles = driver.find_elements("css selector", "h1, h2, h3, h4")
    levels = [int(title.tag_name[1]) for title in titles]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    told = "part.alt || part.closest('[role=img]')?.getAttribute('aria-label')"
    assert those(driver, "img, main svg:not(.defs)", f"!({told})") == []
    assert those(driver, "a[href^='#']", "!document.querySelector(part.getAttribute('href'))") == []
    assert those(driver, "[tabindex]:not(pre)", "!part.getAttribute('aria-label')") == []
