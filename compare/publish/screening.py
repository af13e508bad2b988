"""The trials of a search for a recipe, round after round, as tables of the page that declares it."""

from collections.abc import Sequence

import pandas as pd

from compare.records.run_files import finished_runs, result_number, run_result
from compare.records.study import Study
from compare.tables.ranks import weights_of

MASKS = (10, 50, 200)  # pictures that the dense probe is fitted on


def trial_tables(rounds: Sequence[Study]) -> str:
    """A table a round, its trials by their mean gain, ImageNet among them."""
    return "\n\n".join(f"### {study.name}\n\n{study.options.get('question')}\n\n{table(study)}" for study in rounds)


def table(study: Study) -> str:
    """A row a trial: IoU of the dense probe, mean IoU of the fine-tunings, and their mean gain over ImageNet."""
    rows = trials(study).sort_values("gain", ascending=False)
    head = ["trial", *(str(name) for name in rows.columns)]
    lines = [[str(trial), *(number(name, value) for name, value in row.items())] for trial, row in rows.iterrows()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] + ["--:"] * (len(head) - 1), *lines])


def number(column: object, value: float) -> str:
    """A cell: points for the gain, shares for the rest; what was not run is said."""
    if value != value:
        return "not run"
    return f"{100 * value:+.1f}" if column == "gain" else f"{value:.3f}"


def trials(study: Study) -> pd.DataFrame:
    """The numbers of every trial, a column a measure, by the name of its arm."""
    probes = finished_runs(study.runs("probe"))
    arms = weights_of(study, probes)
    dense = {
        f"dense, {masks} masks": {
            arm: dense_iou(folder, masks) for arm, folder in zip(arms, probes["folder"], strict=True)
        }
        for masks in MASKS
    }
    scores = study.scores.groupby(["arm", "label_fraction", "seed"])["jaccard"].mean()
    tuned = scores.groupby(["label_fraction", "arm"]).mean()
    fractions = sorted(set(study.scores["label_fraction"]))
    labels = {f"Unet, {100 * fraction:g} %": tuned[fraction] for fraction in fractions}
    table = pd.DataFrame({**dense, **labels})
    return table.assign(gain=(table[list(labels)] - table.loc["imagenet", list(labels)]).mean(axis=1))


def dense_iou(folder: str, masks: int) -> float:
    """IoU of the dense probe that a run has fitted on so many pictures; nan where it has not."""
    return result_number(run_result(folder), f"dense_by_images.{masks}.jaccard")
