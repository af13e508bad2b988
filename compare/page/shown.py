"""How the tables of a study stand in its report: which columns, in whose words, and what to know when reading them."""

from collections.abc import Callable
from dataclasses import replace
from math import nan

import pandas as pd

from compare.page.blocks import (
    Column,
    Row,
    Table,
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
        number("of_lesion", "of the lesion", rate), number("filled", "Square made up", rate),
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


def same(row: Row) -> str:
    """Whether a thing was the same in all arms, in a word."""
    return {"True": "yes", "False": "no"}.get(str(row["same"]), "not told")


LONG = 16  # rows of contrasts that are read one by one
BRIEF = {"runs", "more", "levels", "subgroup_arms", "lineage"}  # that do not stand in report.md
FOLDED: dict[str, Callable[[int], str]] = {
    "runs": lambda n: f"Runs ({n:,})",
    "more": lambda n: f"More measures of each arm ({n} rows)",
    "levels": lambda n: f"Effect of each level ({n})",
    "subgroup_arms": lambda n: f"Every arm by subgroup ({n} rows)",
}


def shown(study: Study, name: str, frame: pd.DataFrame) -> Table:
    """A table as the report has it; every column that says nothing is left out."""
    caption = CAPTIONS[name].format(margin=unsigned(study.margin), failure=FAILURE)
    made = table(name, caption, frame, COLUMNS[name])
    folded = FOLDED[name](len(frame)) if name in FOLDED else ""
    groups = _groups(study, name, frame)
    return Table(name, made.caption, made.columns, groups, short=name not in BRIEF, folded=folded)


def contrast_tables(study: Study, frame: pd.DataFrame) -> list[Table]:
    """The table of contrasts; where that is long, those of single cells that are not the primary one stand folded."""
    of_primary = (frame["a"] == frame["a"].iloc[0]) & (frame["b"] == frame["b"].iloc[0])
    first = frame["pooled"].astype(bool) | of_primary
    if len(frame) <= LONG or first.all():
        return [shown(study, "contrasts", frame)]
    rest = table("contrasts_by_cell", "The other contrasts by cell.", frame[~first], COLUMNS["contrasts"])
    folded = f"Other contrasts by cell ({len(frame) - first.sum()})"
    return [shown(study, "contrasts", frame[first]), replace(rest, short=False, folded=folded)]


def _groups(study: Study, name: str, frame: pd.DataFrame) -> dict[str, list[Row]]:
    """Rows that belong together: pooled contrasts and those by cell, the rows of an arm."""
    if name == "contrasts" and len(study.cells) > 1:
        keys = frame["pooled"].map({True: "Pooled over cells", False: "By cell"})
    elif name in ("arms", "more", "probes") and len(frame):
        keys = frame["probe" if name == "probes" else "arm"].map(lambda value: f"\0{value}")
    else:
        return {"": records(frame)}
    return {str(key): records(frame[keys == key]) for key in dict.fromkeys(keys)}
