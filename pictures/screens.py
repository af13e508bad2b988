"""Pages as a reader's browser shows them, on light and on dark."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

SCHEMES = ("light", "dark")
SCALE = 2  # pixels of a picture to a CSS pixel of the page, so that letters stay sharp on fine screens
PATIENCE = 60  # seconds
BOX = """
    const boxes = arguments[0].flatMap((part) => [...document.querySelectorAll(part)]);
    const sides = boxes.map((part) => part.getBoundingClientRect());
    const [top, bottom] = [Math.min(...sides.map((s) => s.top)), Math.max(...sides.map((s) => s.bottom))];
    return [top + scrollY, bottom - top];
"""


class Screen(NamedTuple):
    """A part of a page as a picture."""

    name: str
    page: Path
    width: int
    """CSS pixels."""
    parts: Sequence[str]
    """Selectors: the picture reaches from the first of these parts to the last, over the whole width."""
    height: int = 900
    """Of the window, CSS pixels."""
    ready: str = "body"
    """What is there once the page has been drawn."""
    script: str = ""
    """What a reader would have clicked."""


def screenshot(driver: Any, screen: Screen, scheme: str) -> bytes:
    """The part of the page as a PNG, on `light` or `dark`."""
    from selenium.webdriver.support.ui import WebDriverWait

    size = {"width": screen.width, "height": screen.height, "deviceScaleFactor": SCALE, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    driver.get(screen.page.absolute().as_uri())
    WebDriverWait(driver, PATIENCE).until(lambda page: page.find_elements("css selector", screen.ready))
    if screen.script:
        driver.execute_script(screen.script)
        driver.execute_async_script("setTimeout(arguments[0], 800)")  # maps are drawn anew a moment later
    top, height = driver.execute_script(BOX, list(screen.parts))
    margin = 0 if height >= screen.height else 12
    clip = {"x": 0, "y": max(0, top - margin), "width": screen.width, "height": height + 2 * margin, "scale": 1}
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
    return base64.b64decode(shot["data"])
