"""The explorer with ten thousand points in headless Chromium: its size, and how long hover, pan and colour take.

    python -m benchmarks.explorer

Needs Debian's chromium and chromium-driver, and selenium. Milliseconds from the event to the second frame that the
browser draws after it, measured in the page.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from benchmarks.timing import conditions, table
from dermssl.data.manifest import read_manifest
from dermssl.data.pixel_cache import cached_images
from dermssl.synthetic.dataset import draw_image
from probe.maps.columns import columns_of
from probe.maps.explorer import EncoderMap, ExplorerData, write_explorer

FRAME = """
    const done = arguments[arguments.length - 1], began = performance.now();
    %s
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
"""
HOVER = """
    const map = document.querySelector("#maps").getBoundingClientRect();
    const x = map.left + map.width * (0.1 + 0.3 * Math.random()), y = map.top + map.height * Math.random();
    const at = {clientX: x, clientY: y};
    const plot = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name("map0"));
    const events = plot.canvas_view.events_el;
    events.dispatchEvent(new PointerEvent("pointermove", {...at, bubbles: true, composed: true, pointerType: "mouse"}));
"""
PAN = """
    const range = Bokeh.documents[0].get_model_by_name("map0").x_range, step = (range.end - range.start) * 0.02;
    range.setv({start: range.start + step, end: range.end + step});
"""
PAINT = """
    const choice = document.getElementById("colour");
    choice.selectedIndex = (choice.selectedIndex + 1) % choice.options.length;
    choice.dispatchEvent(new Event("change"));
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=40)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        page = Path(place) / "explorer.html"
        write_explorer(page, explored(Path(place) / "pictures", asked.images), f"{asked.images} drawn pictures")
        driver = browser()
        began = time.perf_counter()
        driver.get(page.as_uri())
        while not driver.find_elements("css selector", "body[data-ready]"):
            time.sleep(0.05)
        opened = time.perf_counter() - began
        rows = [["size of the page", f"{page.stat().st_size / 1e6:.1f} MB"], ["opens in", f"{opened:.1f} s"]]
        for name, event in (("nothing, two frames", ""), ("hover", HOVER), ("pan", PAN), ("colour", PAINT)):
            taken = [driver.execute_async_script(FRAME % event) for _ in range(asked.rounds)]
            middle, slow = statistics.median(taken), float(np.quantile(taken, 0.95))
            rows.append([f"{name}, to the second frame after", f"{middle:.0f} ms (95 %: {slow:.0f} ms)"])
        driver.quit()
    print(table([f"{asked.images} points on two maps", ""], rows))
    print(f"\n{conditions(['bokeh', 'selenium'], f'medians of {asked.rounds}')}")


def explored(folder: Path, count: int) -> ExplorerData:
    """So many drawn pictures of 200 x 150 px on two maps."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    few = [draw_image(0, index, 200).image[25:175] for index in range(64)]
    for index in range(count):
        lit = cv2.convertScaleAbs(few[index % len(few)], alpha=rng.uniform(0.6, 1.2), beta=rng.uniform(-20, 20))
        cv2.imwrite(str(folder / f"{index:05d}.jpg"), lit[..., ::-1])
    manifest = read_manifest(folder)
    images = cached_images(manifest, 128)
    columns = columns_of(
        manifest, images, {image: f"class {row % 7}" for row, image in enumerate(manifest.table["image_id"])}
    )
    columns["age"] = pd.Series(rng.integers(20, 90, count), dtype=float)
    near = rng.integers(0, count, (count, 5))
    return ExplorerData(
        manifest, images, columns, [EncoderMap(n, rng.normal(size=(count, 2)), near) for n in ("one", "two")], None
    )


def browser() -> object:
    """Headless Chromium."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for word in ("headless", "no-sandbox", "window-size=1500,950"):
        options.add_argument(f"--{word}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(shutil.which("chromedriver"))))
    driver.set_script_timeout(60)
    return driver


if __name__ == "__main__":
    main()
