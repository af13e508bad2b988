"""Chromium without a window and without a network, and what a page did in it."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Debian's chromium and chromium-driver")


@contextmanager
def chromium(size: str = "1280,800") -> Iterator[Any]:
    """A browser that may not reach any network."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    quiet = ("disable-background-networking", "disable-component-update", "disable-sync", "no-first-run")
    alone = ("headless", "no-sandbox", "disable-gpu", f"window-size={size}", "host-resolver-rules=MAP * ~NOTFOUND")
    for word in (*quiet, *alone, "hide-scrollbars"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


def opened_page(driver: Any, page: Path) -> Any:
    """The driver at a page, with logs that begin there."""
    driver.get_log("browser")
    driver.get_log("performance")
    driver.get(page.as_uri())
    return driver


def complaints(driver: Any) -> list[str]:
    """Errors of the console, and what a policy has forbidden."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def requests(driver: Any) -> list[str]:
    """Every address that was asked for: none that holds its content itself, and none that a policy stopped."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    stopped = {event["params"]["requestId"] for event in events if event["params"].get("blockedReason") == "csp"}
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    urls = [event["request"]["url"] for event in sent if event["requestId"] not in stopped]
    return [url for url in urls if not url.startswith("data:")]
