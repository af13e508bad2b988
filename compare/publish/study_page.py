"""A study as a page of the documents: its report in Markdown, and its figures on light and on dark."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from compare.figures.drawing import SvgDrawing
from compare.page.report import StudyReport, study_report
from compare.publish.svg_file import DARK, LIGHT, svg_file
from compare.records.study import Study
from dermssl.files import write_text

FIGURES = {"efficiency": "How mean IoU grows with the labels", "forest": "Differences between the arms"}


@dataclass(frozen=True)
class PublishedStudy:
    """What documents say of a study beside its page."""

    name: str
    what: str
    """Methods, data and commit, in words."""
    sentence: str
    """The verdict, and where folds had a part in the choice what it is without them."""
    images: int
    """How many are scored."""
    figures: dict[str, SvgDrawing] = field(repr=False)

    def pictures(self, place: str) -> list[str]:
        """The figures for a document that stands `place` above them."""
        return [picture(place, self.name, name, drawing) for name, drawing in self.figures.items()]


def published_study(study: Study, results: Path) -> PublishedStudy:
    """Writes the page and figures of a study."""
    report = study_report(study)
    name = study.folder.name
    figures = {figure: report.drawings[figure] for figure in FIGURES if figure in report.drawings}
    for figure, drawing in figures.items():
        for theme, colours in (("light", LIGHT), ("dark", DARK)):
            write_text(results / "figures" / f"{name}-{figure}-{theme}.svg", svg_file(drawing, colours))
    sentence = " ".join(filter(None, [report.sentence, str(report.context["fresh"])]))
    published = PublishedStudy(name, what_was_compared(study), sentence, len(study.lesions), figures)
    write_text(results / f"{name}.md", page(report, published))
    return published


def page(report: StudyReport, published: PublishedStudy) -> str:
    """The report as a document of its own, with figures below the verdict."""
    text = re.sub(r"^Figures and pictures: .*\n\n", "", report.markdown, flags=re.MULTILINE)
    head, contrasts, rest = text.partition("\n## ")
    return "\n\n".join([head.strip(), *published.pictures(""), (contrasts + rest).strip()]) + "\n"


def picture(place: str, study: str, figure: str, drawing: SvgDrawing) -> str:
    """A figure that follows the reader's light or dark."""
    file = f"{place}figures/{study}-{figure}"
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{file}-dark.svg">'
        f'<img alt="{drawing.alt}" src="{file}-light.svg" width="{drawing.width}"></picture>'
    )


def what_was_compared(study: Study) -> str:
    """Methods, data and commit of a study, in words."""
    methods = sorted({method for method in study.plan["method"] if method})
    commit = str(study.environment.get("commit", ""))[:10] or "unknown"
    ssl = f"ssl is {' or '.join(methods)}, " if methods else ""
    return f"{ssl}images from {study.options.get('data')}, commit {commit}"
