"""Which documents are written from kept studies, and what between their markers."""

from pathlib import Path

from compare.publish.screening import trial_tables
from compare.publish.study_page import PublishedStudy, published_study
from compare.records.run_files import KEPT_RUNS
from compare.records.study import read_study
from dermssl.errors import UserError
from dermssl.files import write_text

RESULTS = Path("docs/results")
SCREENING = "screening_"  # studies that search for a recipe have one page together


def publish_results(root: Path) -> None:
    """Writes a page and figures a study, the findings of README.md and docs/results.md, and the page of the screening.

    Args:
        root: The folder that README.md and docs stand in.

    Raises:
        UserError: If no study is kept there, or a document has lost its markers.
    """
    folders = kept_folders(root / RESULTS)
    studies = [read_study(folder) for folder in folders if not folder.name.startswith(SCREENING)]
    pages = sorted((published_study(study, root / RESULTS) for study in studies), key=lambda page: -page.images)
    if pages:
        fill_between_markers(root / "README.md", "findings", findings(pages, "docs/results/"))
        fill_between_markers(root / "docs/results.md", "findings", findings(pages, "results/"))
    trials = [read_study(folder) for folder in folders if folder.name.startswith(SCREENING)]
    if trials:
        fill_between_markers(root / RESULTS / "screening.md", "trials", trial_tables(trials))


def kept_folders(results: Path) -> list[Path]:
    """The folders of kept studies.

    Raises:
        UserError: If there is none.
    """
    folders = sorted(path.parent for path in results.glob(f"*/{KEPT_RUNS}"))
    if not folders:
        raise UserError(f"{results}: no kept study here; `python -m compare keep STUDY --kept {results}` keeps one")
    return folders


def findings(pages: list[PublishedStudy], place: str) -> str:
    """A line a study with its verdict and a link to its page, and the figures of the first."""
    lines = [f"* [`{page.name}`]({place}{page.name}.md) ({page.what}): {page.sentence}" for page in pages]
    return "\n".join([*lines, "", *pages[0].pictures(place)]).strip()


def fill_between_markers(document: Path, name: str, text: str) -> None:
    """Replaces what stands between the markers `<!-- name: begin -->` and `<!-- name: end -->`."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, opening, remainder = document.read_text(encoding="utf-8").partition(begin)
    _, closing, after = remainder.partition(end)
    if not opening or not closing:
        raise UserError(f"{document}: has no '{begin}' and '{end}' to write between; put them back")
    write_text(document, f"{before}{begin}\n{text}\n{end}{after}")
