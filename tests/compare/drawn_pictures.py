"""Reports of drawn studies in a browser that can reach no network, and the studies that a report must cope with."""

import base64
from html.parser import HTMLParser
from typing import Any

from drawn_study import Design

EVERYTHING = frozenset(
    (i, d, f, s) for i in ("ssl", "imagenet", "random") for d in ("unet", "fpn") for f in (0.1, 1.0) for s in (0, 1)
)
VOID = {"meta", "link", "img", "br", "hr"}
WIDE = Design(
    arms="loss",
    contrast=("lovasz", "bce_dice"),
    loss=("bce_dice", "lovasz", "focal_tversky_under_a_name_that_is_long", "dice"),
    init=("ssl",),
    decoder=("unet", "fpn", "deeplabv3plus"),
    label_fraction=(0.05, 0.1, 0.5, 1.0),
    failed=frozenset({("ssl", "fpn", 0.1, 1)}),
    images=40,
)
"""Four arms in twelve cells, with long names."""


class Tags(HTMLParser):
    """Open tags that were never closed, addresses that would need a network, and ids that are there twice."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open += [tag] if tag not in VOID else []
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.remove(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def screen(driver: Any, width: int, height: int, *, dark: bool = False, medium: str = "") -> None:
    """Lets the page believe in a screen, or a sheet, of that many CSS pixels."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium, "features": scheme})


def printed(driver: Any) -> bytes:
    """The page as a PDF, as its own style sheet asks."""
    made = driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    return base64.b64decode(made["data"])
