"""The documents as a site: `make docs` builds it strictly, and what its pages link to is there."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from pages import DOCS, README, ROOT, links

NO_MKDOCS = "mkdocs and mkdocs-material are not installed; `make docs` installs them"


class Anchors(HTMLParser):
    """What a page links to, and the places in it that may be linked to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.places = {""}
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.places.add(named.get("id") or "")
        self.targets += [target for key in ("href", "src") if (target := named.get(key))]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    if not (find_spec("mkdocs") and find_spec("material")):
        pytest.skip(NO_MKDOCS)
    place = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(place)],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return place


@pytest.mark.slow
def test_every_link_of_the_site_leads_to_a_file_and_a_place_in_it(site: Path) -> None:
    pages = {page: Anchors(page) for page in site.rglob("*.html")}
    broken = []
    for page, read in pages.items():
        for target in (urlsplit(target) for target in read.targets if page.name != "404.html"):
            if target.scheme or target.netloc:
                continue
            file = (page.parent / unquote(target.path)).resolve() if target.path else page
            places = pages[file].places if file in pages else {""}
            if not file.exists() or (file in pages and unquote(target.fragment) not in places | {"__skip"}):
                broken.append(f"{page.relative_to(site)}: {target.geturl()}")
    assert broken == []


@pytest.mark.slow
def test_the_site_has_every_document_and_asks_no_other_host_for_anything(site: Path) -> None:
    assert {path.stem for path in DOCS.glob("*.md")} - {"README"} <= {page.stem for page in site.glob("*.html")}
    assert (site / "outside" / "index.html").exists()
    scripts = [target for page in site.rglob("*.html") for target in loaded(page)]
    assert [target for target in scripts if urlsplit(target).netloc] == []


def loaded(page: Path) -> list[str]:
    """What a browser fetches for a page: scripts, styles, pictures and fonts."""
    fetched: list[str] = []

    class Fetched(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            named = dict(attrs)
            if tag == "link" and named.get("rel") in ("stylesheet", "preconnect", "icon"):
                fetched.append(named.get("href") or "")
            fetched.extend(filter(None, [named.get("src")]))

    Fetched().feed(page.read_text(encoding="utf-8"))
    return fetched


def test_the_site_names_the_documents_in_the_order_of_the_index() -> None:
    tree = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    named = [name for name in leaves(tree) if "/" not in name and name != README.name]
    assert named == [link for link in links(DOCS / "README.md") if "/" not in link and "#" not in link]


def leaves(tree: object) -> list[str]:
    """The pages of a part of the navigation, in order."""
    if isinstance(tree, dict):
        return [name for part in tree.values() for name in leaves(part)]
    return [name for part in tree for name in leaves(part)] if isinstance(tree, list) else [str(tree)]
