"""What the documents say of studies follows from the scores that are kept beside them, to the last digit."""

import shutil
from pathlib import Path

import pytest

from compare.publish.documents import RESULTS, publish_results

ROOT = Path(__file__).parents[3]
DOCUMENTS = ("README.md", "docs/results.md")
MOST = 8_000_000  # bytes of kept scores in all


@pytest.mark.slow
def test_publishing_again_changes_no_document(tmp_path: Path) -> None:
    for name in DOCUMENTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / RESULTS, tmp_path / RESULTS)
    publish_results(tmp_path)
    pages = [path.relative_to(ROOT) for path in (ROOT / RESULTS).rglob("*") if path.suffix in (".md", ".svg")]
    assert pages
    for page in [*map(Path, DOCUMENTS), *pages]:
        assert (tmp_path / page).read_text() == (ROOT / page).read_text(), page


def test_kept_scores_are_small() -> None:
    assert sum(path.stat().st_size for path in (ROOT / RESULTS).rglob("*.parquet")) < MOST
