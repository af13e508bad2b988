"""The explorer in headless Chromium: no errors, no requests, and it shows what is hovered, clicked and sought."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from browser import browser, chromium, complaints, opened_page, requests

from dermssl.data.manifest import read_manifest
from dermssl.data.pixel_cache import cached_images
from probe.maps.columns import columns_of
from probe.maps.explorer import EncoderMap, ExplorerData, contents, thumbs, write_explorer

Draw = Callable[..., Path]


@pytest.fixture
def explored(draw: Draw, tmp_path: Path) -> ExplorerData:
    """Twelve discs on two maps: on a grid, and on a circle; one has a predicted mask."""
    manifest = read_manifest(draw())
    images = cached_images(manifest, 64)
    columns = columns_of(manifest, images, dict(zip(manifest.table["image_id"], manifest.table["label"], strict=True)))
    columns.insert(2, "age", [np.nan, *range(30, 41)])
    grid = np.array([(x, y) for x in range(4) for y in range(3)], float)
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    near = np.array([[(row + step) % 12 for step in range(1, 6)] for row in range(12)])
    views = [
        EncoderMap("imagenet", grid, near),
        EncoderMap("random", np.stack([np.cos(turn), np.sin(turn)], axis=1), near[:, ::-1]),
    ]
    (tmp_path / "predicted").mkdir()
    cv2.imwrite(str(tmp_path / "predicted" / "picture_03_segmentation.png"), np.eye(64, dtype=np.uint8) * 255)
    return ExplorerData(manifest, images, columns, views, tmp_path / "predicted")


@pytest.fixture
def page(explored: ExplorerData, tmp_path: Path) -> Path:
    path = tmp_path / "explorer.html"
    write_explorer(path, explored, "drawn <discs>")
    return path


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with chromium("1400,900") as opened:
        yield opened


@pytest.fixture
def opened(driver: Any, page: Path) -> Any:
    """The page, once its maps are drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    opened_page(driver, page)
    WebDriverWait(driver, 60).until(lambda driver: driver.find_element("css selector", "body[data-ready]"))
    return driver


def text(driver: Any, place: str) -> str:
    return str(driver.find_element("id", place).text)


def point_of(driver: Any, image: int, view: int) -> tuple[int, int]:
    """Where a point lies on the screen, pixels, as bokeh has drawn it."""
    script = """
        const [image, view] = arguments, plot = Bokeh.documents[0].get_model_by_name("map" + view);
        const drawn = Bokeh.index.find_one(plot), data = Bokeh.documents[0].get_model_by_name("images").data;
        const box = drawn.frame.bbox, at = drawn.el.getBoundingClientRect();
        const share = (range, value) => (value - range.start) / (range.end - range.start);
        const x = share(plot.x_range, data["x" + view][image]), y = share(plot.y_range, data["y" + view][image]);
        return [at.left + box.left + x * box.width, at.top + box.top + (1 - y) * box.height];
    """
    x, y = driver.execute_script(script, image, view)
    return round(x), round(y)


def move_to(driver: Any, place: tuple[int, int], *, click: bool = False) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    actions = ActionChains(driver)
    actions.w3c_actions.pointer_action.move_to_location(*place)
    if click:
        actions.w3c_actions.pointer_action.click()
    actions.pause(0.4).perform()


@browser
def test_it_loads_without_errors_and_asks_for_nothing(opened: Any, page: Path) -> None:
    assert complaints(opened) == []
    assert requests(opened) == [page.as_uri()]
    assert text(opened, "status") == "12 images"


@browser
@pytest.mark.parametrize("view", [0, 1])
def test_hovering_shows_the_picture_of_the_point(opened: Any, view: int) -> None:
    move_to(opened, point_of(opened, 7, view))
    tip = opened.find_element("id", "tip")
    assert tip.is_displayed()
    assert tip.text == "picture_07"
    assert tip.find_element("tag name", "img").size["width"] > 50
    move_to(opened, (700, 20))
    assert not tip.is_displayed()


@browser
def test_a_click_shows_the_neighbours_mask_and_prediction_and_selects_on_both_maps(opened: Any) -> None:
    move_to(opened, point_of(opened, 3, 0), click=True)
    assert text(opened, "status") == "1 of 12 images selected"
    panel = opened.find_element("id", "image")
    assert panel.find_element("tag name", "h2").text == "picture_03"
    assert [h.text for h in panel.find_elements("tag name", "h3")] == [
        f"nearest to it for {n}" for n in ("imagenet", "random")
    ]
    shown = [button.get_attribute("title") for button in panel.find_elements("css selector", ".row button")]
    assert shown == [f"picture_{(3 + step) % 12:02d}" for step in (1, 2, 3, 4, 5, 5, 4, 3, 2, 1)]
    assert len(panel.find_elements("css selector", "path.truth")) == 1
    assert len(panel.find_elements("css selector", "path.prediction")) == 1
    panel.find_elements("css selector", ".row button")[0].click()
    assert opened.find_element("css selector", "#image h2").text == "picture_04"


@browser
def test_a_class_of_the_legend_is_selected_and_counted(opened: Any) -> None:
    buttons = opened.find_elements("css selector", "#legend button")
    assert sorted(button.text for button in buttons) == ["mel (6)", "nv (6)"]
    buttons[0].click()
    assert text(opened, "status") == "6 of 12 images selected"
    assert len(opened.find_elements("css selector", "#strip button")) == 6
    opened.find_element("id", "clear").click()
    assert text(opened, "status") == "12 images"


@browser
def test_a_lasso_selects_what_it_encloses(opened: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    opened.execute_script(
        """
        const tools = Bokeh.documents[0].get_model_by_name("map0").toolbar.tools;
        tools.find(tool => tool.type == "PanTool").active = false;
        tools.find(tool => tool.type == "LassoSelectTool").active = true;
        """
    )
    left, right = np.array(point_of(opened, 0, 0)), np.array(point_of(opened, 11, 0))  # corners of the grid
    middle = (left + right) // 2
    around = [
        (left[0] - 12, left[1] + 25),
        (left[0] - 12, right[1] - 25),
        (middle[0], right[1] - 25),
        (middle[0], left[1] + 25),
    ]
    actions = ActionChains(opened, duration=60)
    pointer = actions.w3c_actions.pointer_action
    pointer.move_to_location(*map(int, around[0])).pointer_down()
    for place in around[1:]:
        pointer.move_to_location(*map(int, place))
    pointer.pointer_up()
    actions.pause(0.4).perform()
    assert text(opened, "status") == "6 of 12 images selected"  # two columns of three


@browser
@pytest.mark.parametrize(
    ("sought", "status"),
    [
        ("picture_08", "1 of 12 images selected"),
        ("_1", "2 of 12 images selected"),
        ("nobody", "no image id contains 'nobody'"),
    ],
)
def test_search_finds_by_id_and_by_a_part_of_it(opened: Any, sought: str, status: str) -> None:
    box = opened.find_element("id", "search")
    box.send_keys(sought, "\n")
    assert text(opened, "status") == status


@browser
def test_colours_follow_any_column(opened: Any) -> None:
    from selenium.webdriver.support.ui import Select

    read = "return Bokeh.documents[0].get_model_by_name('images').data.colour"
    choice = Select(opened.find_element("id", "colour"))
    assert [option.text for option in choice.options] == ["class", "age", "lesion area", "mean colour"]
    assert len(set(opened.execute_script(read))) == 2
    choice.select_by_visible_text("age")
    ages = opened.execute_script(read)
    assert ages[0] == "#B0B0B0"  # unknown
    assert len(set(ages[1:])) > 8
    choice.select_by_visible_text("mean colour")
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in opened.execute_script(read))


@browser
def test_titles_and_frames_of_maps_have_the_colours_of_light_and_of_dark(opened: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    read = """
        const plot = Bokeh.documents[0].get_model_by_name("map1"), style = getComputedStyle(document.documentElement);
        const page = ["--ink", "--line", "--line"].map((name) => style.getPropertyValue(name));
        return [[plot.title.text_color, plot.outline_line_color, plot.center[0].grid_line_color], page];
    """
    seen = []
    for scheme in ("light", "dark", "light"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        WebDriverWait(opened, 20).until(lambda page: len({*map(tuple, page.execute_script(read))}) == 1)
        seen.append(opened.execute_script(read)[0])
    assert seen[0] == seen[2] != seen[1]


@browser
def test_keys_do_what_the_mouse_does(opened: Any) -> None:
    body = opened.find_element("tag name", "body")
    spans = "const r = Bokeh.documents[0].get_model_by_name('map0').x_range; return r.end - r.start"
    before = opened.execute_script(spans)
    body.send_keys("+")
    assert opened.execute_script(spans) == pytest.approx(0.8 * before)
    body.send_keys("\ue014")  # the right arrow
    body.send_keys("\ue014")
    assert opened.find_element("css selector", "#image h2").text == "picture_01"
    body.send_keys("/")
    assert opened.switch_to.active_element.get_attribute("id") == "search"
    opened.switch_to.active_element.send_keys("\ue00c")  # escape
    assert text(opened, "status") == "12 images"


def test_a_large_set_gets_smaller_thumbnails_and_stays_light(
    keep_drawn: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = keep_drawn(30)
    whole = sum(map(len, thumbs(images)))
    monkeypatch.setattr("probe.maps.explorer.ROOM", 30 * 1000)
    light = sum(map(len, thumbs(images)))
    assert light < whole
    assert light < 1.4 * 30 * 1000


def test_texts_cannot_end_the_script_that_holds_them(explored: ExplorerData, tmp_path: Path) -> None:
    columns = explored.columns.assign(**{"class": ["</script><b>"] + ["nv"] * 11})
    path = tmp_path / "page.html"
    write_explorer(path, explored._replace(columns=columns), "drawn")
    written = path.read_text()
    assert "</script><b>" not in written
    data = json.loads(re.search(r'id="data">(.*?)</script>', written, re.DOTALL).group(1))  # type: ignore[union-attr]
    assert data["columns"][0]["values"][0] == "</script><b>"


def test_unknown_numbers_are_none_and_images_without_masks_have_no_outline(explored: ExplorerData) -> None:
    (explored.manifest.root / explored.manifest.table["mask_path"][5]).unlink()
    manifest = read_manifest(explored.manifest.root)
    found: dict[str, Any] = contents(explored._replace(manifest=manifest, predictions=None))
    assert found["columns"][1]["values"][0] is None
    assert found["truth"][5] == ""
    assert found["truth"][4].startswith("M")
    assert set(found["prediction"]) == {""}
    assert pd.Series(found["thumbs"]).nunique() == 12
