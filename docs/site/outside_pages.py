"""What documents link to outside of docs/, as pages of the site: `../README.md` is `outside/README.md` there."""

import re
from pathlib import Path
from posixpath import normpath, relpath
from urllib.parse import unquote

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OUTSIDE = "outside"
LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")
PICTURE = re.compile(r'((?:src|srcset)=")([^":]+)(")')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds every file outside of docs/ that a document links to, and those that these pages link to in turn."""
    waiting = [ROOT / "docs" / file.src_uri for file in files.documentation_pages()]
    while waiting:
        page = waiting.pop()
        for name in outside_files(page):
            uri = f"{OUTSIDE}/{name}"
            if files.get_file_from_path(uri) is None:
                files.append(File.generated(config, uri, abs_src_path=str(ROOT / name)))
                waiting += [ROOT / name] if name.endswith(".md") else []
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with its links to files of the checkout, and its pictures, as links to where the site has them."""
    here = page.file.src_uri
    source = here.removeprefix(f"{OUTSIDE}/") if here.startswith(f"{OUTSIDE}/") else f"docs/{here}"
    for link in (LINK, PICTURE):
        markdown = link.sub(lambda match: match[1] + moved(match[2], source, here) + match[3], markdown)
    return markdown


def moved(link: str, source: str, here: str) -> str:
    """A link of the file `source` of the checkout, from the page `here` of the site."""
    target = normpath(f"{Path(source).parent.as_posix()}/{unquote(link)}")
    place = target.removeprefix("docs/") if target.startswith("docs/") else f"{OUTSIDE}/{target}"
    return relpath(place, Path(here).parent.as_posix())


def outside_files(page: Path) -> list[str]:
    """The files of the checkout, not in docs/, to which a page links; mkdocs names those that do not exist."""
    targets = [normpath(f"{page.parent}/{unquote(match[2])}") for match in LINK.finditer(page.read_text())]
    names = [relpath(target, ROOT) for target in targets if Path(target).is_file()]
    return [name for name in dict.fromkeys(names) if not name.startswith(("docs/", ".."))]
