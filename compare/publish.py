"""Put the findings of finished studies into README.md and docs/results.md, so that no number is typed by hand.

python -m compare.publish runs/compare/demo runs/compare/isic2018_cpu
"""

import re
import sys
from pathlib import Path

from compare.page.report import write_report
from compare.tables.study import read_study
from dermssl.errors import UserError, one_sentence
from dermssl.files import write_text


def publish_studies(studies: list[Path]) -> None:
    """Writes a line a study between the markers of README.md, and each study's tables between those of the results.

    Raises:
        UserError: If a study is not there, or a document has lost its markers.
    """
    findings, results = [], []
    for study in studies:
        report = write_report(study)
        findings.append(f"* `{study.name}` ({study_in_words(study)}): {report.sentence}")
        text = re.sub(r"^Figures and pictures: .*\n\n", "", report.markdown.read_text("utf-8"), flags=re.MULTILINE)
        results.append(re.sub(r"^(#+ )", r"#\1", text, flags=re.MULTILINE).strip())
    fill_between_markers(Path("README.md"), "findings", "\n".join(findings))
    fill_between_markers(Path("docs/results.md"), "results", "\n\n".join(results))


def study_in_words(folder: Path) -> str:
    """Methods, data and commit of a study, in words."""
    study = read_study(folder)
    methods = sorted({method for method in study.plan["method"] if method})
    commit = str(study.environment.get("commit", ""))[:10] or "unknown"
    return f"ssl is {' or '.join(methods)}, images from {study.options.get('data')}, commit {commit}"


def fill_between_markers(document: Path, name: str, text: str) -> None:
    """Replaces what stands between the markers `<!-- name: begin -->` and `<!-- name: end -->`."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, opening, remainder = document.read_text(encoding="utf-8").partition(begin)
    _, closing, after = remainder.partition(end)
    if not opening or not closing:
        raise UserError(f"{document}: has no '{begin}' and '{end}' to write between; put them back")
    write_text(document, f"{before}{begin}\n{text}\n{end}{after}")


if __name__ == "__main__":
    with one_sentence("python -m compare.publish"):
        folders = [Path(word) for word in sys.argv[1:] if not word.startswith("-")]
        if not folders:
            raise UserError("give the study folders to publish, such as runs/compare/demo")
        publish_studies(folders)
