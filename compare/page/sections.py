"""The sections of a report, in the order in which they are read; one that has nothing to say is left out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from compare.figures.curves import method_in
from compare.figures.drawing import SvgDrawing
from compare.page import captions
from compare.page.blocks import FigureBlock, Section, Table, enumerated, points, whole_percent
from compare.page.borrowed import without_borrowing
from compare.page.contrast_rows import LONG, contrast_tables, leading_rows, left_out, readable_contrasts
from compare.page.prose import why_nothing
from compare.page.report_figures import loss_tables
from compare.page.table_columns import report_table, whole_number
from compare.records.study import Study
from dermssl.wording import counted

Block = Table | FigureBlock | str


@dataclass(frozen=True)
class Findings:
    """All that a report is written from: the study, its tables and its figures, both by name."""

    study: Study
    tables: dict[str, pd.DataFrame]
    drawings: dict[str, SvgDrawing]
    pictures: bool
    """Whether there are pictures for a gallery."""
    maps: bool
    """Whether a probe has drawn a map."""

    def table(self, name: str) -> list[Block]:
        """The table, unless it is empty."""
        frame = self.tables[name]
        return [report_table(self.study, name, frame)] if len(frame) else []

    def picture(self, name: str, caption: str) -> list[Block]:
        """The figure, if it was drawn."""
        return [FigureBlock(self.drawings[name], caption)] if name in self.drawings else []


def sections(findings: Findings) -> list[Section]:
    """Every section that says something."""
    makers: list[Callable[[Findings], Section]] = [
        _contrast_section, _score_section, _arm_section, _factor_section, _padding_section, _subgroup_section,
        _gallery_section, _probe_section, _pretraining_section, _fairness_section, _deviation_section, _cost_section,
        _lineage_section, _data_section,
    ]  # fmt: skip
    drafts = [maker(findings) for maker in makers]
    return [section for section in drafts if section.blocks or section.special]


def _contrast_section(findings: Findings) -> Section:
    frame = findings.tables["contrasts"]
    if not frame["difference"].notna().any():
        lacking = f"Nothing to compare: {why_nothing(findings.study, frame)}."
        return Section("contrasts", "Contrasts", [lacking] if len(findings.tables["arms"]) else [])
    lacking = left_out(findings.study, frame)
    blocks = [*findings.picture("forest", _forest_caption(findings)), *contrast_tables(findings.study, frame)]
    more = [lacking, without_borrowing(frame)]
    fresh = _fresh_contrasts(findings)
    return Section("contrasts", "Contrasts", [*blocks, *filter(None, more), *fresh])


def _fresh_contrasts(findings: Findings) -> list[Block]:
    """The primary contrast without the images that it was chosen on, once fresh ones are scored."""
    frame = findings.tables["fresh_contrasts"]
    return findings.table("fresh_contrasts") if frame["difference"].notna().any() else []


def _forest_caption(findings: Findings) -> str:
    """What stands under the forest plot."""
    frame = readable_contrasts(findings.tables["contrasts"])
    pooled, first = frame["pooled"].astype(bool), leading_rows(frame)
    several = "Diamonds are pooled over cells, dots are single cells. " * bool((first & ~pooled).any())
    primary = enumerated(frame[["a", "b"]].iloc[0].tolist()).replace(" and ", " or ")
    drawn = f" Of {len(findings.study.contrasts)} pairs of arms those with {primary} are drawn." * bool(
        (pooled & ~first).any()
    )
    margin = points(findings.study.margin, sign=False)
    return captions.FOREST.format(pooled=several, margin=margin, drawn=drawn)


def _score_section(findings: Findings) -> Section:
    study = findings.study
    sizes = f"n = {counted(len(study.lesions.index), 'image')}, {counted(len(study.seeds), 'seed')}"
    named = {
        "runs": captions.RUNS, "efficiency": captions.EFFICIENCY, "heat_map": captions.HEAT_MAP, "lr": captions.LR,
        "image_size": captions.IMAGE_SIZE, "images": captions.IMAGES, "failures": captions.FAILURES,
    }  # fmt: skip
    blocks = [block for name, text in named.items() for block in findings.picture(name, text.format(sizes=sizes))]
    return Section("scores", "IoU of runs and images", blocks, short="Scores")


def _arm_section(findings: Findings) -> Section:
    frame = findings.tables["arms"]
    more = [report_table(findings.study, "more", frame)] if len(frame) else []
    return Section(
        "arms", "Arms", [*findings.table("arms"), *more, *_rank_diagram(findings), *findings.table("arm_ranks")]
    )


def _rank_diagram(findings: Findings) -> list[Block]:
    rows = findings.tables["arm_ranks"]
    if rows.empty:
        return []
    cells = counted(int(rows["cells"].iloc[0]), "cell")
    beyond = float(rows["distance"].iloc[0]) > len(rows) - 1
    return findings.picture(
        "ranks", captions.RANKS.format(cells=cells, too_few=captions.TOO_FEW_CELLS if beyond else "")
    )


def _factor_section(findings: Findings) -> Section:
    blocks = [*findings.table("factors"), *findings.table("levels")] if len(findings.tables["factors"]) > 2 else []
    return Section("factors", "Which factor moves IoU how much", blocks, short="Factors")


def _padding_section(findings: Findings) -> Section:
    counts = findings.tables["padding"]
    is_worth_a_table = counts["padding"].nunique() > 1 or bool((counts["invented"] > 0).any())
    return Section(
        "padding",
        "Padding and mirrored lesions",
        findings.table("padding") if is_worth_a_table else [],
        short="Padding",
    )


def _subgroup_section(findings: Findings) -> Section:
    margin = points(findings.study.margin, sign=False)
    caption = f"The primary contrast by subgroup, with n; the grey band is ±{margin} points."
    blocks = [*findings.picture("subgroups", caption), *findings.table("subgroups"), *findings.table("subgroup_arms")]
    return Section("subgroups", "Subgroups", blocks)


def _gallery_section(findings: Findings) -> Section:
    return Section("gallery", "Pictures", special="gallery" if findings.pictures else "")


def _probe_section(findings: Findings) -> Section:
    ranks = findings.tables["probe_ranks"]
    ranks = ranks if len(ranks) <= LONG else ranks[ranks["label_fraction"].isna()]
    blocks = findings.table("probes")
    blocks += [report_table(findings.study, "probe_ranks", ranks)] if ranks["rho"].notna().any() else []
    title = "Probes of the frozen encoders"
    return Section("probes", title, blocks, special="maps" if findings.maps else "", short="Probes")


def _pretraining_section(findings: Findings) -> Section:
    named = loss_tables(findings.study) if "losses" in findings.drawings else {}
    tables, apart = list(named.values()), captions.APART * (len(set(map(method_in, named))) > 1)
    epochs = [len(metrics.dropna(subset=["loss"])) for metrics in tables]
    facts = [
        f"{_span(epochs, whole_number)} {'epochs' if max(epochs, default=0) > 1 else 'epoch'}",
        f"{_span(_medians(tables, 'images_per_second'), whole_number)} images/s",
        f"{_span(_medians(tables, 'data_wait_share'), whole_percent)} of the time waiting for data",
    ]
    runs = f"{counted(len(tables), 'run')} of {', '.join(fact for fact in facts if fact[0] != ' ')}"
    caption = captions.LOSSES.format(apart=apart, runs=runs)
    return Section("pretraining", "Pretraining", findings.picture("losses", caption))


def _medians(tables: list[pd.DataFrame], column: str) -> list[float]:
    return [float(metrics[column].median()) for metrics in tables if column in metrics]


def _span(values: Sequence[float], as_text: Callable[[float], str]) -> str:
    """The least and the largest, or the one that all are; '' of none."""
    return " to ".join(dict.fromkeys(as_text(end) for end in (min(values), max(values)))) if values else ""


def _fairness_section(findings: Findings) -> Section:
    trials = findings.tables["trials"]
    counts = {noun: trials[column].nunique() for noun, column in (("seed", "seed"), ("fold", "fold"))}
    over = enumerated([counted(count, noun) for noun, count in counts.items() if count > 1])
    several = f"means over {over}, with lines from the worst to the best of them" if over else "one of each rate"
    caption = captions.TRIALS.format(several=several)
    blocks = [*findings.table("fairness"), *findings.table("search"), *findings.picture("trials", caption)]
    return Section("fairness", "Fairness", blocks)


def _deviation_section(findings: Findings) -> Section:
    runs = findings.tables["runs"]
    failed = runs[runs["state"] == "failed"]
    failed = failed.assign(error=failed["error"].where(failed["error"] != "", "no error was recorded"))
    blocks = findings.table("deviations")
    if len(runs) and not blocks:
        blocks = ["Nothing that the runs and the study's history tell of."]
    blocks += [report_table(findings.study, "failed", failed)] if len(failed) else []
    return Section("deviations", "Deviations and failed runs", blocks, short="Deviations")


def _cost_section(findings: Findings) -> Section:
    return Section("costs", "Costs", findings.table("costs"))


def _lineage_section(findings: Findings) -> Section:
    return Section("lineage", "Lineage of the encoders", findings.table("lineage"), short="Lineage")


def _data_section(findings: Findings) -> Section:
    blocks = [*findings.table("data_card"), *findings.table("leaks")]
    return Section("data", "Data", blocks)
