"""How the tables of a study stand in its report: which columns, in whose words, and what to know when reading them."""

from collections.abc import Callable
from math import nan
from typing import Any

import pandas as pd

from compare.page.blocks import (
    Column,
    Row,
    Table,
    counted,
    duration,
    interval,
    labels,
    number,
    p_value,
    plain,
    points,
    rate,
    records,
    share,
    table,
    words,
)
from compare.page.captions import CAPTIONS
from compare.tables.arms import FAILURE
from compare.tables.study import Study

SPOKEN = {"lr": "learning rate", "label_fraction": "label fraction", "image_size": "image size"}
PROBE = {"knn": "kNN", "jaccard": "IoU", "balanced_accuracy": "balanced accuracy", "all": "mean of cells"}


def unsigned(difference: float) -> str:
    """Points without a sign."""
    return points(difference, sign=False)


def tenths(value: float) -> str:
    """One decimal."""
    return share(value, 1)


def whole(value: float) -> str:
    """No decimals."""
    return share(value, 0)


def hundredths(value: float) -> str:
    """Two decimals."""
    return share(value, 2)


def chance(probability: float) -> str:
    """A probability from draws, which are too few to tell it from none below a percent."""
    return "< 1 %" if probability < 0.0095 else rate(probability)


def gigabytes(megabytes: float) -> str:
    """Memory in GB, one decimal."""
    return share(megabytes / 1024, 1)


PLACE = [words("setting", "Setting"), number("label_fraction", "Labels", labels)]
PAIR = Column("Contrast", lambda row: f"{row['a']} − {row['b']}", lambda row: f"{row['a']} {row['b']}", True, "pair")  # noqa: RUF001
DIFFERENCE = [number("difference", "Difference", points), interval("95 % interval", points)]

COLUMNS: dict[str, list[Column]] = {
    "contrasts": [
        PAIR, *PLACE, *DIFFERENCE, number("p", "p", p_value), number("adjusted_p", "Holm p", p_value),
        words("verdict", "Verdict", "verdict"), number("false_claim", "False claim", chance),
        number("improvement", "Runs won", rate), number("images", "Images"), number("seeds", "Seeds"),
        number("smallest_detectable", "Detectable", unsigned),
    ],
    "arms": [
        words("arm", "Arm", "arm"), *PLACE, number("n_train", "Training images", whole), number("images", "Images"),
        number("seeds", "Seeds"), number("lr", "Learning rate"), number("jaccard", "Mean IoU", share),
        interval("95 % interval", share), number("isic_jaccard", "Threshold Jaccard", share),
        number("dice", "Dice", share), number("failure_rate", "Failures", rate),
        number("encoder_share_used", "Encoder used", rate),
    ],
    "more": [
        words("arm", "Arm", "arm"), *PLACE, number("interquartile_mean", "IQM of runs", share),
        number("surface_dice", "Surface Dice", share), number("hd95", "HD95, pixels", tenths),
        number("calibration_error", "Calibration error", share), number("invented", "Mirrored lesions per 1000", whole),
    ],
    "arm_ranks": [
        words("arm", "Arm", "arm"), number("mean_rank", "Mean rank", hundredths), number("wins", "Cells won"),
        number("cells", "Cells"), words("alike", "Not told from"), number("friedman_p", "Friedman p", p_value),
    ],
    "factors": [
        words("factor", "Factor", spoken=SPOKEN), number("levels", "Levels", lambda n: plain(n or nan)),
        number("range", "Best − worst", unsigned), number("spread", "Spread", unsigned),  # noqa: RUF001
        number("share", "Share of the variance", rate),
    ],
    "levels": [
        words("factor", "Factor", spoken=SPOKEN), words("level", "Level"), number("cells", "Cells"),
        number("mean", "Mean IoU", share), number("effect", "Effect", points), interval("95 % interval", points),
    ],
    "padding": [
        words("padding", "Padding"), words("arm", "Arm", "arm"), number("runs", "Runs"),
        number("jaccard", "Mean IoU", share), number("invented", "Mirrored lesions per 1000 draws", whole),
        number("of_lesion", "Lesion beyond", rate), number("filled", "Square filled", rate),
        number("failure_rate", "Failures", rate),
    ],
    "subgroups": [
        words("by", "By"), words("subgroup", "Subgroup"), number("images", "Images"), number("lesions", "Lesions"),
        number("mean_a", "First arm", share), number("mean_b", "Second arm", share), *DIFFERENCE,
    ],
    "subgroup_arms": [
        words("by", "By"), words("subgroup", "Subgroup"), words("arm", "Arm", "arm"), number("images", "Images"),
        number("jaccard", "Mean IoU", share), interval("95 % interval", share),
        number("failure_rate", "Failures", rate),
    ],
    "probes": [
        words("arm", "Encoder from", "arm"), words("probe", "Probe", spoken=PROBE),
        words("measure", "Measure", spoken=PROBE), number("value", "Value", share), interval("95 % interval", share),
        number("n", "n"), words("detail", "Settings"),
    ],
    "probe_ranks": [
        words("probe", "Probe", spoken=PROBE), words("measure", "Measure", spoken=PROBE),
        words("decoder", "Decoder", spoken=PROBE), number("label_fraction", "Labels", labels),
        number("encoders", "Encoders"), number("rho", "Rank correlation", hundredths),
    ],
    "costs": [
        words("stage", "Stage"), words("arm", "Arm"), number("runs", "Runs"), number("failed", "Failed"),
        number("attempts", "Attempts"), number("median_seconds", "Median time", duration),
        number("total_seconds", "Total time", duration), number("images_per_second", "Images/s", whole),
        number("memory_mb", "Memory, GB", gigabytes), number("gpu_memory_mb", "GPU memory, GB", gigabytes),
        number("energy_wh", "Energy, Wh"), number("hosts", "Machines"),
    ],
    "lineage": [
        words("arm", "Arm", "arm"), words("method", "Method"), words("encoder", "Encoder"),
        words("sha256", "sha256", "code"), words("parents", "From"), number("epochs", "Epochs"),
        number("images_seen", "Images seen"),
        number("image_size", "Pixels"), number("images", "Images"), words("manifest", "Manifest", "code"),
        words("licence", "Licence"), words("commit", "Commit", "code"),
    ],
    "data_card": [words("fact", "Fact"), words("labelled", "With masks"), words("unlabelled", "To pretrain on")],
    "leaks": [
        words("stage", "Stage"), words("arm", "Arm"), words("side", "Side"), number("runs", "Runs"),
        words("action", "Done"), number("held_out", "Held out"), number("leaking_held_out", "Held out, leaking"),
        number("leaking_training", "Trained on, leaking"), number("same_file", "Same file"),
        number("same_image_id", "Same image id"), number("same_lesion", "Same lesion"),
        number("same_patient", "Same patient"), number("near_duplicate", "Near-duplicate"),
    ],
    "fairness": [words("what", "What"), Column("The same", lambda row: same(row), lambda row: same(row), True, "same"),
                 words("detail", "Detail")],
    "search": [
        words("arm", "Arm", "arm"), *PLACE, number("fold", "Fold"), words("strategy", "Strategy"),
        number("trials", "Trials"),
        number("seeds", "Seeds"), number("lowest", "Lowest rate"), number("highest", "Highest rate"),
        number("best_lr", "Best rate"),
        number("jaccard", "IoU of the best, inner split", share),
        Column("At the edge", lambda row: "yes" if row["at_the_edge"] is True else "no",
               lambda row: str(row["at_the_edge"]), left=True),
        words("scored", "Scored on"),
    ],
    "deviations": [words("kind", "Kind"), words("what", "What"), words("when", "When")],
    "failed": [words("name", "Run"), words("error", "Last line of the error", "error"), number("attempts", "Attempts")],
    "runs": [
        words("stage", "Stage"), words("name", "Name"), words("hash", "Hash", "code"), words("state", "State"),
        number("jaccard", "Mean IoU", share), number("seconds", "Time", duration),
    ],
}  # fmt: skip


SHARED: dict[str, tuple[str, Callable[[Any], str]]] = {  # title of the column, and how a sentence says it
    "setting": ("Setting", str),
    "label_fraction": ("Labels", lambda fraction: f"{labels(fraction)} of the labels"),
    "n_train": ("Training images", lambda count: counted(int(count), "training image")),
    "images": ("Images", lambda count: counted(count, "scored image")),
    "seeds": ("Seeds", lambda count: counted(count, "seed")),
    "lr": ("Learning rate", lambda rate: f"learning rate {plain(rate)}"),
}


def same(row: Row) -> str:
    """Whether a thing was the same in all arms, in a word."""
    return {"True": "yes", "False": "no"}.get(str(row["same"]), "not told")


BRIEF = {"runs", "more", "levels", "subgroup_arms", "lineage"}  # that do not stand in report.md
FOLDED: dict[str, Callable[[int], str]] = {
    "runs": lambda n: f"Runs ({n:,})",
    "more": lambda n: f"More measures of each arm ({n} rows)",
    "levels": lambda n: f"Effect of each level ({n})",
    "subgroup_arms": lambda n: f"Every arm by subgroup ({n} rows)",
}


def shown(study: Study, name: str, frame: pd.DataFrame, among: pd.DataFrame | None = None) -> Table:
    """A table as the report has it; every column that says nothing is left out.

    Args:
        study: Complete or not.
        name: Of `COLUMNS`.
        frame: Its rows.
        among: Rows that several tables share out, for what all of them have in common.
    """
    caption = CAPTIONS[name].format(margin=unsigned(study.margin), failure=FAILURE)
    said, titles = _shared(frame if among is None else among) if name in ("contrasts", "arms") else ("", [])
    columns = [column for column in _columns(study, name) if column.title not in titles]
    made = table(name, " ".join(filter(None, [caption, said])), frame, columns)
    folded = FOLDED[name](len(frame)) if name in FOLDED else ""
    groups = _groups(study, name, frame)
    return Table(name, made.caption, made.columns, groups, short=name not in BRIEF, folded=folded)


def _columns(study: Study, name: str) -> list[Column]:
    """The columns of a table in this study: that of the arms goes where another one has them."""
    twice = name == "padding" and study.arms == "padding"
    return [column for column in COLUMNS[name] if not (twice and column.title == "Padding")]


def _shared(frame: pd.DataFrame) -> tuple[str, list[str]]:
    """What all rows of a table have in common, as a sentence, and the titles of the columns that it stands for."""
    alike = {
        name: frame[name].iloc[0]
        for name in SHARED
        if name in frame and len(frame) > 1 and frame[name].nunique() == 1 and frame[name].notna().all()
    }
    said = [SHARED[name][1](value) for name, value in alike.items()]
    return f"All rows: {', '.join(said)}." if said else "", [SHARED[name][0] for name in alike]


def _groups(study: Study, name: str, frame: pd.DataFrame) -> dict[str, list[Row]]:
    """Rows that belong together: pooled contrasts and those by cell, the rows of an arm."""
    if name == "contrasts" and len(study.cells) > 1:
        keys = frame["pooled"].map({True: "Pooled over cells", False: "By cell"})
    elif name in ("arms", "more", "probes") and len(frame):
        keys = frame["probe" if name == "probes" else "arm"].map(lambda value: f"\0{value}")
    else:
        return {"": records(frame)}
    return {str(key): records(frame[keys == key]) for key in dict.fromkeys(keys)}
