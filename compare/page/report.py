"""The report of a study: one page that opens without a network, the same in Markdown, and the tables behind both."""

import os.path
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment

from compare.figures.drawing import SvgDrawing, colours
from compare.figures.encoder_names import with_short_encoder_names
from compare.figures.strip import strip
from compare.page import prose, report_figures
from compare.page.blocks import Row, Table, decimals, fraction_label, points
from compare.page.fresh import fresh_in_words
from compare.page.gallery import gallery
from compare.page.methods_text import methods, software
from compare.page.pooled import average_in_words, pooled_over
from compare.page.sections import Findings, sections
from compare.records.kept import kept_on
from compare.records.study import Study, read_study
from compare.tables.all_tables import all_tables
from dermssl.data.images import read_rgb
from dermssl.files import write_text
from dermssl.scores.thumbnails import thumbnail
from dermssl.web_page import filled_page, page_templates, web_picture
from dermssl.wording import counted

DRAWS = 10_000
PAGE = Path(__file__).parent


@dataclass(frozen=True)
class Report:
    """Where a report was written, and what it says in one line."""

    sentence: str
    """The verdict on the primary contrast with its numbers, for a terminal to print."""
    verdict: str
    """better, worse, equivalent or undecided."""
    page: Path
    markdown: Path
    tables: Path


@dataclass(frozen=True)
class StudyReport:
    """All that a report says, before it is written anywhere."""

    context: dict[str, object]
    """What the templates fill in."""
    tables: dict[str, pd.DataFrame]
    drawings: dict[str, SvgDrawing]

    @property
    def sentence(self) -> str:
        """The verdict with its numbers."""
        return str(self.context["sentence"])

    @property
    def markdown(self) -> str:
        """The report in Markdown."""
        return _markdown(self.context)


def study_report(study: Study) -> StudyReport:
    """The report of a study, complete or not."""
    tables = all_tables(study, DRAWS)
    short_study, short_tables = with_short_encoder_names(study, tables)
    drawings = report_figures.drawings(short_study, short_tables)
    return StudyReport(_context(short_study, short_tables, drawings), tables, drawings)


def write_report(study_folder: Path) -> Report:
    """Write report.html, report.md and tables/*.csv from what a study folder holds, complete or not.

    Each file appears whole or not at all; an older one stands until then.

    Raises:
        UserError: If the folder holds no study, or its scores name an image twice.
    """
    report = study_report(read_study(study_folder))
    for name, table in report.tables.items():
        write_text(study_folder / "tables" / f"{name}.csv", table.to_csv(index=False))
    style, script = ((PAGE / f"report.{suffix}").read_text(encoding="utf-8") for suffix in ("css", "js"))
    page = filled_page(_templates(), "report.html.j2", report.context, style=style, scripts={"report": script})
    write_text(study_folder / "report.html", page)
    write_text(study_folder / "report.md", report.markdown)
    return Report(
        sentence=report.sentence,
        verdict=_verdict(report.tables["contrasts"]),
        page=study_folder / "report.html",
        markdown=study_folder / "report.md",
        tables=study_folder / "tables",
    )


def _context(study: Study, tables: dict[str, pd.DataFrame], drawings: dict[str, SvgDrawing]) -> dict[str, object]:
    """All that the templates fill in."""
    contrasts, sheets, maps = tables["contrasts"], gallery(study), _maps(study)
    findings = Findings(study, tables, drawings, bool(sheets), bool(maps))
    lacking = prose.why_nothing(study, contrasts)
    tint = colours(study.levels("arm"))
    fresh = [] if lacking else fresh_in_words(study, tables["fresh_contrasts"])
    return {
        "study": study,
        "question": prose.question(study),
        "sentence": prose.verdict_sentence(study, contrasts),
        "verdict": _verdict(contrasts),
        "primary": None if lacking else contrasts.iloc[0].to_dict(),
        "strip": None if lacking else strip(contrasts.iloc[0], study.margin),
        "meaning": [*_meaning(study, contrasts), *fresh],
        "fresh": " ".join(fresh),
        "pooled_over": "" if lacking else pooled_over(study, contrasts.iloc[0]),
        "provenance": prose.provenance(study, tables["arms"], _date(study)),
        "warnings": prose.warnings(study),
        "failures": bool((study.plan["state"] == "failed").any()),
        "scored": bool(len(tables["arms"])),
        "sections": sections(findings),
        "runs": findings.table("runs")[0] if len(tables["runs"]) else None,
        "tints": {arm: f"var(--c{colour[1:]})" for arm, colour in tint.items()},
        "sheets": sheets,
        "pictures": {row.image_id: row for sheet in sheets for row in sheet.rows},
        "maps": maps,
        "methods": methods(study, contrasts, DRAWS),
        "software": software(study),
        "source": (study.folder / "study.yaml").read_text(encoding="utf-8"),
    }


def _date(study: Study) -> str:
    """When this was concluded: now, or when it was kept."""
    return kept_on(study) if study.kept else datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _meaning(study: Study, contrasts: pd.DataFrame) -> list[str]:
    """What the verdict means, and second what it is the mean over."""
    first, *more = prose.meaning(study, contrasts)
    over = "" if prose.why_nothing(study, contrasts) else average_in_words(study, contrasts)
    return [first, *([over] if over else []), *more]


def _verdict(contrasts: pd.DataFrame) -> str:
    return str(contrasts["verdict"].iloc[0]) if len(contrasts) else "undecided"


def _maps(study: Study) -> list[dict[str, object]]:
    """The UMAP figure of every probe that drew one, with a link to its explorer where there is one."""
    runs = study.runs("probe")
    maps = []
    for arm, encoder, folder in zip(runs["arm"], runs["encoder"], runs["folder"], strict=True):
        path = Path(folder) / "figures" / "umap.png"
        if folder and path.is_file():
            pixels = thumbnail(read_rgb(path), 700)
            size = {"width": pixels.shape[1], "height": pixels.shape[0]}
            explorer = _link_to(Path(folder) / "explorer.html", study.folder)
            maps.append({"name": arm or encoder, "source": web_picture(pixels), "explorer": explorer, **size})
    return maps


def _link_to(page: Path, folder: Path) -> str:
    """How a page in `folder` links to another one; '' where that is not there."""
    # As text: a browser takes `..` off the address, and knows of no links between folders.
    return quote(os.path.relpath(page, folder)) if page.is_file() else ""


def _markdown(context: dict[str, object]) -> str:
    """The same in Markdown, in which no name is an element of a page, or a picture from elsewhere."""
    text = _templates().overlay(autoescape=False).get_template("report.md.j2").render(context)
    return re.sub(r"\n{3,}", "\n\n", text).replace("<", "&lt;").replace("![", "!\\[")


def _templates() -> Environment:
    """The templates with the words that they are filled in by."""
    templates = page_templates(PAGE)
    templates.filters |= {
        "points": lambda value, sign=True: _minus(points(value, sign)),
        "share": lambda value, digits=3: decimals(value, digits),
        "percent": fraction_label,
        "minus": _minus,
        "cell": _markdown_cell,
        "head": lambda block: f"| {' | '.join(_lowered(column.title) for column in block.columns)} |",
        "line": _line,
        "counted": counted,
        "key": lambda value: f"{value:.10g}" if isinstance(value, float) and isfinite(value) else str(value),
    }
    return templates


def _line(block: Table, row: Row) -> str:
    """A row of a table in Markdown."""
    cells = [(column.text(row), column.look) for column in block.columns]
    texts = [
        _markdown_cell(text) if look in ("code", "error") else _minus(_markdown_cell(text)) for text, look in cells
    ]
    return f"| {' | '.join(texts)} |"


def _lowered(title: str) -> str:
    """A title without its first capital, unless it begins with a name or an abbreviation."""
    name = title.split()[0].strip(",") in ("Dice", "Holm", "Friedman", "IoU") or title[1:2].isupper()
    return title if name else title[:1].lower() + title[1:]


def _markdown_cell(text: str) -> str:
    """Words that a table in Markdown can hold."""
    return " ".join(text.split()).replace("|", "\\|")


def _minus(text: str) -> str:
    """A hyphen before a number as the minus that it is."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)  # noqa: RUF001
