"""The pages of the documentation, and what stands in them: blocks, code between backticks, links, headings, tables."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
DOCS = ROOT / "docs"
ARCHITECTURE = DOCS / "architecture.md"
SECURITY = ROOT / "SECURITY.md"
MEASURED = [DOCS / "results" / f"{name}.md" for name in ("error_rates", "faults", "encoder_shares", "processes")]
DOCUMENTS = [README, CONTRIBUTING, SECURITY, *sorted(DOCS.glob("*.md")), *MEASURED]
PAGES = [*DOCUMENTS, ROOT / "benchmarks" / "README.md", ROOT / "checkpoints" / "README.md"]


def blocks(path: Path, language: str = "sh") -> list[str]:
    """Fenced blocks of a language, continued lines joined."""
    fenced = re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    return [block.replace("\\\n", " ") for block in fenced]


def prose(path: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def spans(path: Path) -> list[str]:
    """Code between single backticks, outside of fences; one may run over a line's end."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(path))]


def typed(path: Path) -> list[str]:
    """What a page gives to type: the lines of its `sh` blocks, and code between backticks."""
    return [line.strip() for block in blocks(path) for line in block.splitlines() if line.strip()] + spans(path)


def words(path: Path) -> list[str]:
    """Every word that a page gives to type or shows in a `text` block."""
    return [word for text in [*typed(path), *blocks(path, "text")] for word in text.split()]


def links(path: Path) -> list[str]:
    """Where a page's links lead that stay among these files: `data.md`, `data.md#splits`, `#splits`."""
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)", prose(path))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(path: Path) -> set[str]:
    """What may stand behind `#` in a link to the page: its headings as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def rows(path: Path) -> list[list[str]]:
    """The cells of every row of a page's tables, heads left out."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def table_values(path: Path) -> set[str]:
    """All code between backticks in a page's tables."""
    return {span for row in rows(path) for cell in row for span in re.findall(r"`([^`]+)`", cell)}
