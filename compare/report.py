"""The report of a study: one page that opens without a network, the same in Markdown, and the tables behind both."""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from compare import figures, prose
from compare.gallery import gallery, web_picture
from compare.ranks import rank_table
from compare.study import Study, read_study
from compare.tables import FAILURE, arm_table, contrast_table, probe_table, run_table
from dermssl.files import whole_file

DRAWS = 10_000


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


def write_report(study_folder: Path) -> Report:
    """Write report.html, report.md and tables/*.csv from what a study folder holds, complete or not.

    Each file appears whole or not at all; an older one stands until then.

    Raises:
        UserError: If the folder holds no study, or its scores name an image twice.
    """
    study = read_study(study_folder)
    contrasts, arms = contrast_table(study, DRAWS), arm_table(study, DRAWS)
    probes = probe_table(study)
    tables = {"contrasts": contrasts, "arms": arms, "runs": run_table(study), "probes": probes}
    tables["probe_ranks"] = rank_table(study, probes)
    context = _context(study, tables)
    for name, table in tables.items():
        _write(study_folder / "tables" / f"{name}.csv", table.to_csv(index=False))
    for suffix in ("md", "html"):
        page = _templates().get_template(f"report.{suffix}.j2").render(context)
        _write(study_folder / f"report.{suffix}", page)
    return Report(
        sentence=prose.sentence(study, contrasts),
        verdict=str(contrasts["verdict"].iloc[0]) if len(contrasts) else "undecided",
        page=study_folder / "report.html",
        markdown=study_folder / "report.md",
        tables=study_folder / "tables",
    )


def _context(study: Study, tables: dict[str, pd.DataFrame]) -> dict[str, object]:
    """All that the templates fill in."""
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    contrasts, arms, probes = tables["contrasts"], tables["arms"], tables["probes"]
    runs, sheets = tables["runs"], gallery(study)
    return {
        "study": study,
        "sentence": prose.sentence(study, contrasts),
        "provenance": prose.provenance(study, arms, when),
        "warnings": prose.warnings(study),
        "methods": prose.methods(study, contrasts, DRAWS),
        "drawings": _drawings(study, contrasts, arms),
        "contrasts": contrasts.to_dict("records"),
        "arms": arms.to_dict("records"),
        "probes": probes.to_dict("records"),
        "ranks": tables["probe_ranks"].to_dict("records"),
        "runs": runs.to_dict("records"),
        "failed": runs[runs["state"] == "failed"].to_dict("records"),
        "colours": figures.colours(study.levels("arm")),
        "sheets": sheets,
        "pictures": {row.image_id: row for sheet in sheets for row in sheet.rows},
        "maps": _maps(study),
        "pretraining": _pretraining_speed(study),
        "failure": FAILURE,
        "software": prose.software(study),
        "source": (study.folder / "study.yaml").read_text(encoding="utf-8"),
    }


def _drawings(study: Study, contrasts: pd.DataFrame, arms: pd.DataFrame) -> dict[str, dict[str, object]]:
    """Every figure that there are numbers for, by name."""
    names, networks = study.levels("arm"), study.levels("network")
    made = {}
    if len(arms):
        fractions = sorted(set(arms["label_fraction"]))
        titles = {fraction: _panel_title(arms, fraction) for fraction in fractions}
        made["boxes"] = figures.box_plots(study.scores, names, networks, titles)
        if len(fractions) > 1:
            made["efficiency"] = figures.label_efficiency(arms, names, networks)
    if contrasts["difference"].notna().any():
        made["forest"] = figures.forest(contrasts, study.margin)
    curves = _curves(study)
    if curves:
        made["losses"] = figures.loss_curves(curves)
    return {name: asdict(figures.drawing(figure)) for name, figure in made.items()}


def _panel_title(arms: pd.DataFrame, fraction: float) -> str:
    trained = arms.loc[arms["label_fraction"] == fraction, "n_train"].dropna().unique()
    images = f" ({trained[0]:,.0f} images)" if len(trained) == 1 else ""
    return f"{figures.percent(fraction)} of the labels{images}"


def _curves(study: Study) -> dict[str, pd.DataFrame]:
    """metrics.csv of every pretraining run that has one, by the run's name."""
    runs = study.runs("pretrain")
    paths = {name: Path(folder) / "metrics.csv" for name, folder in zip(runs["name"], runs["folder"], strict=True)}
    read = {name: pd.read_csv(path) for name, path in paths.items() if path.is_file() and path.stat().st_size}
    return {name: metrics for name, metrics in read.items() if "loss" in metrics and metrics["loss"].notna().any()}


def _pretraining_speed(study: Study) -> list[dict[str, object]]:
    """What the caption of the loss curves says of each run: epochs, images per second, share of time waiting."""
    return [
        {"name": name, "epochs": len(metrics.dropna(subset=["loss"]))}
        | {key: float(metrics[key].median()) for key in ("images_per_second", "data_wait_share") if key in metrics}
        for name, metrics in _curves(study).items()
    ]


def _maps(study: Study) -> list[dict[str, object]]:
    """The UMAP figure of every probe that drew one."""
    runs = study.runs("probe")
    maps = []
    for arm, name, folder in zip(runs["arm"], runs["name"], runs["folder"], strict=True):
        path = Path(folder) / "figures" / "umap.png"
        if path.is_file():
            source, width, height = web_picture(path, 900)
            maps.append({"arm": arm, "run": name, "source": source, "width": width, "height": height})
    return maps


def _templates() -> Environment:
    """The two templates' environment: HTML is escaped, a name that is missing is an error."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "points": lambda value, sign=True: prose.points(value, sign).replace("-", "−"),  # noqa: RUF001
        "share": lambda value, digits=3: f"{value:.{digits}f}" if isfinite(value) else "–",  # noqa: RUF001
        "percent": lambda value: figures.percent(value) if isfinite(value) else "all",
        "p": lambda value: "–" if not isfinite(value) else f"{value:.3f}" if value >= 0.001 else "< 0.001",  # noqa: RUF001
        "rate": lambda value: f"{100 * value:.0f} %" if isfinite(value) else "–",  # noqa: RUF001
        "minus": lambda text: re.sub(r"(?<!\w)-(?=\d)", "−", text),  # noqa: RUF001
        "cell": lambda text: " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;"),
        "counted": prose.counted,
        "duration": _duration,
    }
    return templates


def _duration(seconds: float) -> str:
    """Seconds as a reader says them: '41 s', '12 min', '5 h 10 min'; '–' where unknown."""
    if not isfinite(seconds):
        return "–"  # noqa: RUF001
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _write(path: Path, text: str) -> None:
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")
