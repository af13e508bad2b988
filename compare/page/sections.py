"""The sections of a report, in the order in which they are read; one that has nothing to say is left out."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from compare.page.blocks import Picture, Section, Table, counted, points, rate, share
from compare.page.drawing import Drawing
from compare.page.figures import loss_tables
from compare.page.prose import why_nothing
from compare.page.shown import LONG, contrast_tables, shown
from compare.tables.arms import FAILURE
from compare.tables.study import Study

RUNS = (
    "Mean IoU of every run by the levels of what varies, all else mixed in: a box where there are five runs or more, "
    "else points and their mean. Runs differ in more than one thing, so boxes overlap where paired contrasts do not."
)
EFFICIENCY = (
    "Label efficiency: mean IoU ({sizes}) with 95 % intervals over lesions and seeds. The intervals are those of each "
    "arm by itself; arms share their images, so overlapping bands do not make a difference uncertain: contrasts have "
    "paired intervals."
)
HEAT_MAP = (
    "Mean IoU of every arm under every setting, the stronger the colour the better, and the share of the pretrained "
    "parameters that the decoder uses."
)
LR = "Mean IoU over learning rate ({sizes}), with 95 % intervals of each arm by itself."
IMAGE_SIZE = (
    "Mean IoU over image size ({sizes}), with 95 % intervals of each arm by itself. Scores are at the native size of "
    "the images whatever the size of training."
)
IMAGES = (
    "IoU of each image ({sizes}) by setting and arm. Boxes span the quartiles with the median as a line, whiskers "
    "reach the last image within 1.5 box lengths, small dots are single images; a large point per seed is its mean."
)
FAILURES = (
    f"Failures: the share of images ({{sizes}}) with an IoU below {FAILURE}, which the ISIC 2018 challenge counts as "
    "0. A point is a seed, the bar their mean. Points show how trainings differ; they are no interval over lesions."
)
RANKS = (
    "Critical-difference diagram (Demšar 2006): mean ranks over the {cells} that every arm was scored in. A thick bar "
    "joins arms that Nemenyi's test at 5 % cannot tell apart, since their mean ranks differ by less than the ruler is "
    "long.{reach} Cells of one study share their images and seeds: this is a description and no claim."
)
REACH = " The ruler is longer than the scale: so few cells cannot tell any two arms apart, whatever they score."
Block = Table | Picture | str


@dataclass(frozen=True)
class Findings:
    """All that a report is written from: the study, its tables and its figures, both by name."""

    study: Study
    tables: dict[str, pd.DataFrame]
    drawings: dict[str, Drawing]
    pictures: bool
    """Whether there are pictures for a gallery."""
    maps: bool
    """Whether a probe has drawn a map."""

    def table(self, name: str) -> list[Block]:
        """The table, unless it is empty."""
        frame = self.tables[name]
        return [shown(self.study, name, frame)] if len(frame) else []

    def picture(self, name: str, caption: str) -> list[Block]:
        """The figure, if it was drawn."""
        return [Picture(self.drawings[name], caption)] if name in self.drawings else []


def sections(found: Findings) -> list[Section]:
    """Every section that says something."""
    makers: list[Callable[[Findings], Section]] = [
        _contrasts, _scores, _arms, _factors, _padding, _subgroups, _gallery, _probes, _pretraining, _fairness,
        _deviations, _costs, _lineage, _data,
    ]  # fmt: skip
    made = [maker(found) for maker in makers]
    return [section for section in made if section.blocks or section.special]


def _contrasts(found: Findings) -> Section:
    caption = (
        "Contrasts with their 95 % intervals, in points of IoU. Diamonds are pooled over cells; the grey band is the "
        f"margin of ±{points(found.study.margin, sign=False)} points within which arms count as equivalent."
    )
    frame = found.tables["contrasts"]
    tables = contrast_tables(found.study, frame) if frame["difference"].notna().any() else []
    blocks = [*found.picture("forest", caption), *tables, *_left_out(found)]
    if not tables:
        blocks = [f"Nothing to compare: {why_nothing(found.study, frame)}."] if len(found.tables["arms"]) else []
    return Section("contrasts", "Contrasts", blocks)


def _left_out(found: Findings) -> list[Block]:
    rows = found.tables["contrasts"]
    rows = rows[rows["pooled"].astype(bool) & (rows["pairs_left_out"] > 0)]
    pairs = len(found.study.cells) * len(found.study.seeds)
    told = [f"{row['a']} − {row['b']} {row['pairs_left_out']:.0f}" for _, row in rows.iterrows()]  # noqa: RUF001
    out = f"Only complete pairs of runs are compared. Pooled contrasts leave out, of {pairs} pairs: {', '.join(told)}."
    return [out] if told else []


def _scores(found: Findings) -> Section:
    study = found.study
    sizes = f"n = {counted(len(study.lesions.index), 'image')}, {counted(len(study.seeds), 'seed')}"
    captions = {"runs": RUNS, "efficiency": EFFICIENCY, "heat_map": HEAT_MAP, "lr": LR, "image_size": IMAGE_SIZE}
    captions |= {"images": IMAGES, "failures": FAILURES}
    blocks = [block for name, text in captions.items() for block in found.picture(name, text.format(sizes=sizes))]
    return Section("scores", "IoU of runs and images", blocks, short="Scores")


def _arms(found: Findings) -> Section:
    frame = found.tables["arms"]
    more = [shown(found.study, "more", frame)] if len(frame) else []
    return Section("arms", "Arms", [*found.table("arms"), *more, *_ranks(found), *found.table("arm_ranks")])


def _ranks(found: Findings) -> list[Block]:
    rows = found.tables["arm_ranks"]
    if rows.empty:
        return []
    cells = counted(int(rows["cells"].iloc[0]), "cell")
    beyond = float(rows["distance"].iloc[0]) > len(rows) - 1
    return found.picture("ranks", RANKS.format(cells=cells, reach=REACH if beyond else ""))


def _factors(found: Findings) -> Section:
    blocks = [*found.table("factors"), *found.table("levels")] if len(found.tables["factors"]) > 2 else []
    return Section("factors", "Which factor moves IoU how much", blocks, short="Factors")


def _padding(found: Findings) -> Section:
    counts = found.tables["padding"]
    told = counts["padding"].nunique() > 1 or counts["invented"].notna().any()
    return Section("padding", "Padding and mirrored lesions", found.table("padding") if told else [], short="Padding")


def _subgroups(found: Findings) -> Section:
    margin = points(found.study.margin, sign=False)
    caption = f"The primary contrast by subgroup, with n; the grey band is ±{margin} points."
    blocks = [*found.picture("subgroups", caption), *found.table("subgroups"), *found.table("subgroup_arms")]
    return Section("subgroups", "Subgroups", blocks)


def _gallery(found: Findings) -> Section:
    return Section("gallery", "Pictures", special="gallery" if found.pictures else "")


def _probes(found: Findings) -> Section:
    ranks = found.tables["probe_ranks"]
    ranks = ranks if len(ranks) <= LONG else ranks[ranks["label_fraction"].isna()]
    blocks = found.table("probes")
    blocks += [shown(found.study, "probe_ranks", ranks)] if ranks["rho"].notna().any() else []
    title = "Probes of the frozen encoders"
    return Section("probes", title, blocks, special="maps" if found.maps else "", short="Probes")


def _pretraining(found: Findings) -> Section:
    told = []
    for name, metrics in loss_tables(found.study).items() if "losses" in found.drawings else ():
        facts = [f"{name}: {counted(len(metrics.dropna(subset=['loss'])), 'epoch')}"]
        facts += (
            [f"{share(metrics['images_per_second'].median(), 0)} images/s"] if "images_per_second" in metrics else []
        )
        waiting = "data_wait_share" in metrics
        facts += [f"{rate(metrics['data_wait_share'].median())} of the time waiting for data"] if waiting else []
        told.append(", ".join(facts))
    return Section("pretraining", "Pretraining", found.picture("losses", f"Loss of pretraining. {'; '.join(told)}."))


def _fairness(found: Findings) -> Section:
    caption = "Trials of the learning-rate search: mean over its seeds, and lines from the worst to the best of them."
    blocks = [*found.table("fairness"), *found.table("search"), *found.picture("trials", caption)]
    return Section("fairness", "Fairness", blocks)


def _deviations(found: Findings) -> Section:
    runs = found.tables["runs"]
    failed = runs[runs["state"] == "failed"]
    failed = failed.assign(error=failed["error"].where(failed["error"] != "", "no error was recorded"))
    blocks = found.table("deviations")
    if len(runs) and not blocks:
        blocks = ["Nothing that the runs and the study's history tell of."]
    blocks += [shown(found.study, "failed", failed)] if len(failed) else []
    return Section("deviations", "Deviations and failed runs", blocks, short="Deviations")


def _costs(found: Findings) -> Section:
    return Section("costs", "Costs", found.table("costs"))


def _lineage(found: Findings) -> Section:
    return Section("lineage", "Lineage of the encoders", found.table("lineage"), short="Lineage")


def _data(found: Findings) -> Section:
    blocks = [*found.table("data_card"), *found.table("leaks")]
    return Section("data", "Data", blocks)
