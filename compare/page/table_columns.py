"""How the tables of a study stand in its report: which columns, in whose words, and what to know when reading them."""

from collections.abc import Callable
from math import nan
from typing import Any

import pandas as pd

from compare.page.blocks import (
    Column,
    Row,
    Table,
    decimals,
    fraction_label,
    interval_column,
    number_column,
    p_value,
    plain_number,
    points,
    single_group_table,
    table_rows,
    time_taken,
    whole_percent,
    word_column,
)
from compare.page.captions import CAPTIONS
from compare.records.study import Study
from compare.tables.arms import FAILURE
from dermssl.wording import counted

SPOKEN = {"lr": "learning rate", "label_fraction": "label fraction", "image_size": "image size"}
PROBE = {"knn": "kNN", "jaccard": "IoU", "balanced_accuracy": "balanced accuracy", "all": "mean of cells"}


def unsigned(difference: float) -> str:
    """Points without a sign."""
    return points(difference, sign=False)


def tenths(value: float) -> str:
    """One decimal."""
    return decimals(value, 1)


def whole_number(value: float) -> str:
    """No decimals."""
    return decimals(value, 0)


def hundredths(value: float) -> str:
    """Two decimals."""
    return decimals(value, 2)


def chance(probability: float) -> str:
    """A probability from draws, which are too few to tell it from none below a percent."""
    return "< 1 %" if probability < 0.0095 else whole_percent(probability)


def gigabytes(megabytes: float) -> str:
    """Memory in GB, one decimal."""
    return decimals(megabytes / 1024, 1)


PLACE = [word_column("setting", "Setting"), number_column("label_fraction", "Labels", fraction_label)]
PAIR = Column("Contrast", lambda row: f"{row['a']} − {row['b']}", lambda row: f"{row['a']} {row['b']}", True, "pair")  # noqa: RUF001
DIFFERENCE = [number_column("difference", "Difference", points), interval_column("95 % interval", points)]

COLUMNS: dict[str, list[Column]] = {
    "contrasts": [
        PAIR, *PLACE, *DIFFERENCE, number_column("p", "p", p_value), number_column("adjusted_p", "Holm p", p_value),
        word_column("verdict", "Verdict", "verdict"), number_column("false_claim", "False claim", chance),
        number_column("improvement", "Runs won", whole_percent), number_column("images", "Images"),
        number_column("seeds", "Seeds"), number_column("smallest_detectable", "Detectable", unsigned),
    ],
    "arms": [
        word_column("arm", "Arm", "arm"), *PLACE, number_column("n_train", "Training images", whole_number),
        number_column("images", "Images"), number_column("seeds", "Seeds"), number_column("lr", "Learning rate"),
        number_column("jaccard", "Mean IoU", decimals), interval_column("95 % interval", decimals),
        number_column("isic_jaccard", "Threshold Jaccard", decimals), number_column("dice", "Dice", decimals),
        number_column("failure_rate", "Failures", whole_percent),
        number_column("encoder_share_used", "Encoder used", whole_percent),
    ],
    "more": [
        word_column("arm", "Arm", "arm"), *PLACE, number_column("interquartile_mean", "IQM of runs", decimals),
        number_column("surface_dice", "Surface Dice", decimals), number_column("hd95", "HD95, pixels", tenths),
        number_column("calibration_error", "Calibration error", decimals),
        number_column("invented", "Mirrored lesions per 1000", whole_number),
    ],
    "arm_ranks": [
        word_column("arm", "Arm", "arm"), number_column("mean_rank", "Mean rank", hundredths),
        number_column("wins", "Cells won"), number_column("cells", "Cells"), word_column("alike", "Not told from"),
        number_column("friedman_p", "Friedman p", p_value),
    ],
    "factors": [
        word_column("factor", "Factor", names=SPOKEN),
        number_column("levels", "Levels", lambda n: plain_number(n or nan)),
        number_column("range", "Best − worst", unsigned),  # noqa: RUF001
        number_column("spread", "Spread", unsigned),
        number_column("share", "Share of the variance", whole_percent),
    ],
    "levels": [
        word_column("factor", "Factor", names=SPOKEN), word_column("level", "Level"), number_column("cells", "Cells"),
        number_column("mean", "Mean IoU", decimals), number_column("effect", "Effect", points),
        interval_column("95 % interval", points),
    ],
    "padding": [
        word_column("padding", "Padding"), word_column("arm", "Arm", "arm"), number_column("runs", "Runs"),
        number_column("jaccard", "Mean IoU", decimals),
        number_column("invented", "Mirrored lesions per 1000 draws", whole_number),
        number_column("of_lesion", "Lesion beyond", whole_percent),
        number_column("filled", "Square filled", whole_percent),
        number_column("failure_rate", "Failures", whole_percent),
    ],
    "subgroups": [
        word_column("by", "By"), word_column("subgroup", "Subgroup"), number_column("images", "Images"),
        number_column("lesions", "Lesions"), number_column("mean_a", "First arm", decimals),
        number_column("mean_b", "Second arm", decimals), *DIFFERENCE,
    ],
    "subgroup_arms": [
        word_column("by", "By"), word_column("subgroup", "Subgroup"), word_column("arm", "Arm", "arm"),
        number_column("images", "Images"), number_column("jaccard", "Mean IoU", decimals),
        interval_column("95 % interval", decimals), number_column("failure_rate", "Failures", whole_percent),
    ],
    "probes": [
        word_column("arm", "Encoder from", "arm"), word_column("probe", "Probe", names=PROBE),
        word_column("measure", "Measure", names=PROBE), number_column("value", "Value", decimals),
        interval_column("95 % interval", decimals), number_column("n", "n"), word_column("detail", "Settings"),
    ],
    "probe_ranks": [
        word_column("probe", "Probe", names=PROBE), word_column("measure", "Measure", names=PROBE),
        word_column("detail", "Settings"), word_column("decoder", "Decoder", names=PROBE),
        number_column("label_fraction", "Labels", fraction_label), number_column("encoders", "Encoders"),
        number_column("rho", "Rank correlation", hundredths),
    ],
    "costs": [
        word_column("stage", "Stage"), word_column("arm", "Arm"), number_column("runs", "Runs"),
        number_column("failed", "Failed"), number_column("attempts", "Attempts"),
        number_column("median_seconds", "Median time", time_taken),
        number_column("total_seconds", "Total time", time_taken),
        number_column("images_per_second", "Images/s", whole_number),
        number_column("memory_mb", "Memory, GB", gigabytes),
        number_column("gpu_memory_mb", "GPU memory, GB", gigabytes), number_column("energy_wh", "Energy, Wh"),
        number_column("machines", "Machines"),
    ],
    "lineage": [
        word_column("arm", "Arm", "arm"), word_column("method", "Method"), word_column("encoder", "Encoder"),
        word_column("sha256", "sha256", "code"), word_column("parents", "From"), number_column("epochs", "Epochs"),
        number_column("images_seen", "Images seen"), number_column("image_size", "Pixels"),
        number_column("images", "Images"), word_column("manifest", "Manifest", "code"),
        word_column("licence", "Licence"), word_column("commit", "Commit", "code"),
    ],
    "data_card": [
        word_column("fact", "Fact"), word_column("labelled", "With masks"), word_column("unlabelled", "To pretrain on"),
    ],
    "leaks": [
        word_column("stage", "Stage"), word_column("side", "Side"),
        number_column("runs", "Runs"), word_column("action", "Done"), number_column("held_out", "Held out"),
        number_column("leaking_held_out", "Held out, leaking"),
        number_column("leaking_training", "Trained on, leaking"), number_column("same_file", "Same file"),
        number_column("same_image_id", "Same image id"), number_column("same_lesion", "Same lesion"),
        number_column("same_patient", "Same patient"), number_column("near_duplicate", "Near-duplicate"),
    ],
    "fairness": [
        word_column("what", "What"),
        Column("The same", lambda row: sameness(row), lambda row: sameness(row), True, "same"),
        word_column("detail", "Detail"),
    ],
    "search": [
        word_column("arm", "Arm", "arm"), *PLACE, number_column("fold", "Fold"), word_column("strategy", "Strategy"),
        number_column("trials", "Trials"), number_column("seeds", "Seeds"), number_column("lowest", "Lowest rate"),
        number_column("highest", "Highest rate"), number_column("best_lr", "Best rate"),
        number_column("jaccard", "IoU of the best, inner split", decimals),
        Column("At the edge", lambda row: "yes" if row["at_the_edge"] is True else "no",
               lambda row: str(row["at_the_edge"]), left=True),
        word_column("scored", "Scored on"),
    ],
    "deviations": [word_column("kind", "Kind"), word_column("what", "What"), word_column("when", "When")],
    "failed": [
        word_column("name", "Run"), word_column("error", "Last line of the error", "error"),
        number_column("attempts", "Attempts"),
    ],
    "runs": [
        word_column("stage", "Stage"), word_column("name", "Name"), word_column("hash", "Hash", "code"),
        word_column("state", "State"), number_column("jaccard", "Mean IoU", decimals),
        number_column("seconds", "Time", time_taken),
    ],
}  # fmt: skip
COLUMNS["fresh_contrasts"] = COLUMNS["contrasts"]
CONTRAST_TABLES = ("contrasts", "fresh_contrasts")


SHARED: dict[str, tuple[str, Callable[[Any], str]]] = {  # title of the column, and how a sentence says it
    "setting": ("Setting", str),
    "label_fraction": ("Labels", lambda fraction: f"{fraction_label(fraction)} of the labels"),
    "n_train": ("Training images", lambda count: counted(int(count), "training image")),
    "images": ("Images", lambda count: counted(count, "scored image")),
    "seeds": ("Seeds", lambda count: counted(count, "seed")),
    "lr": ("Learning rate", lambda rate: f"learning rate {plain_number(rate)}"),
}


def sameness(row: Row) -> str:
    """Whether a thing was the same in all arms, in a word."""
    return {"True": "yes", "False": "no"}.get(str(row["same"]), "not told")


BRIEF = {"runs", "more", "levels", "subgroup_arms", "lineage"}  # that do not stand in report.md
FOLDED: dict[str, Callable[[int], str]] = {
    "runs": lambda n: f"Runs ({n:,})",
    "more": lambda n: f"More measures of each arm ({n} rows)",
    "levels": lambda n: f"Effect of each level ({n})",
    "subgroup_arms": lambda n: f"Every arm by subgroup ({n} rows)",
}


def report_table(study: Study, name: str, frame: pd.DataFrame, among: pd.DataFrame | None = None) -> Table:
    """A table as the report has it; every column that says nothing is left out.

    Args:
        study: Complete or not.
        name: Of `COLUMNS`.
        frame: Its rows.
        among: Rows that several tables share out, for what all of them have in common.
    """
    caption = CAPTIONS[name].format(margin=unsigned(study.margin), failure=FAILURE)
    shared, titles = _shared(frame if among is None else among) if name in (*CONTRAST_TABLES, "arms") else ("", [])
    columns = [column for column in _columns(study, name) if column.title not in titles]
    ungrouped = single_group_table(name, " ".join(filter(None, [caption, shared])), frame, columns)
    folded = FOLDED[name](len(frame)) if name in FOLDED else ""
    groups = _row_groups(study, name, frame)
    return Table(name, ungrouped.caption, ungrouped.columns, groups, short=name not in BRIEF, folded=folded)


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
    words = [SHARED[name][1](value) for name, value in alike.items()]
    return f"All rows: {', '.join(words)}." if words else "", [SHARED[name][0] for name in alike]


def _row_groups(study: Study, name: str, frame: pd.DataFrame) -> dict[str, list[Row]]:
    """Rows that belong together: pooled contrasts and those by cell, the rows of an arm."""
    if name in CONTRAST_TABLES and len(study.cells) > 1:
        keys = frame["pooled"].map({True: "Pooled over cells", False: "By cell"})
    elif name in ("arms", "more", "probes") and len(frame):
        keys = frame["probe" if name == "probes" else "arm"].map(lambda value: f"\0{value}")
    else:
        return {"": table_rows(frame)}
    return {str(key): table_rows(frame[keys == key]) for key in dict.fromkeys(keys)}
