"""Every figure that a study has numbers for, by name, with what each shows in a sentence."""

from collections.abc import Callable
from functools import partial
from io import StringIO

import pandas as pd
from matplotlib.figure import Figure

from compare.figures.boxes import image_boxes, run_boxes
from compare.figures.curves import factor_curves, label_efficiency, loss_curves
from compare.figures.drawing import SvgDrawing, percent, spare_colours, svg_drawing
from compare.figures.encoder_names import with_short_encoder_names
from compare.figures.failures import failure_dots, seed_failures
from compare.figures.heat_map import heat_map
from compare.figures.rank_diagram import critical_difference_diagram
from compare.page.blocks import enumerated
from compare.page.forest import forest, subgroup_forest
from compare.records.run_files import run_text
from compare.records.study import Study
from compare.study.factors import level, phrase
from compare.tables.arms import FAILURE
from compare.tables.factor_tables import arm_ranks

Tables = dict[str, pd.DataFrame]
AVERAGED = ("method", "label_fraction", "fold", "seed")
FOLD = r", fold \d+"  # in a run's name
CURVES = {"lr": "learning rate", "image_size": "image size"}


def drawings(study: Study, tables: Tables) -> dict[str, SvgDrawing]:
    """The figures of a report, by name; one that there is nothing to draw in is absent.

    Args:
        study: Complete or not.
        tables: Of `all_tables`.
    """
    figures = {name: maker(study, tables) for name, maker in MAKERS.items()}
    return {name: svg_drawing(*pair) for name, pair in figures.items() if pair}


def figure(study: Study, tables: Tables, name: str) -> Figure | None:
    """One figure of a report, for a notebook; None where there is nothing to draw.

    Args:
        study: Complete or not.
        tables: Of `all_tables`.
        name: Of `MAKERS`: forest, runs, images, efficiency, heat_map, lr, image_size, failures, ranks, trials,
            subgroups, losses.
    """
    pair = MAKERS[name](*with_short_encoder_names(study, tables))
    return pair[0] if pair else None


def run_rows(study: Study) -> pd.DataFrame:
    """A row per finished run, folds together: `arm`, `setting`, its mean IoU as `jaccard`, and what varies in words.

    What the study does not vary may still differ between the folds of a run, as a rate that each of them searched.
    """
    factors = [factor for factor in study.varying if factor not in ("fold", "seed")]
    scores = study.scores.assign(**{name: [level(name, value) for value in study.scores[name]] for name in factors})
    return scores.groupby([*factors, "arm", "setting", "seed"], sort=False)["jaccard"].mean().reset_index()


def shown_factors(study: Study) -> list[str]:
    """What the box plots of runs are drawn by: the arms, and every factor beside that varies."""
    beside = [f for f in study.varying if f not in (*AVERAGED, study.arms)]
    return ["arm", *beside]


def loss_tables(study: Study) -> Tables:
    """metrics.csv of every pretraining run that has one, by the run's name; a run that several folds share is one."""
    runs = study.runs("pretrain")
    shared, runs = runs["folder"].duplicated(keep=False), runs.drop_duplicates("folder")
    foldless = runs["name"].str.replace(FOLD, "", regex=True)
    names = foldless.where(shared[runs.index] & ~foldless.duplicated(keep=False), runs["name"])
    texts = {name: run_text(folder, "metrics.csv") for name, folder in zip(names, runs["folder"], strict=True)}
    read = {name: pd.read_csv(StringIO(text)) for name, text in texts.items() if text}
    return {name: metrics for name, metrics in read.items() if "loss" in metrics and metrics["loss"].notna().any()}


def _forest_figure(study: Study, tables: Tables) -> tuple[Figure, str] | None:
    contrasts = tables["contrasts"]
    if not contrasts["difference"].notna().any():
        return None
    return forest(
        contrasts, study.margin
    ), "Forest plot of the differences of the table of contrasts, with 95 % intervals."


def _run_figure(study: Study, tables: Tables) -> tuple[Figure, str] | None:
    rows, factors = run_rows(study), shown_factors(study)
    if rows.empty:
        return None
    for factor in factors[1:]:
        rows[factor] = pd.Categorical(rows[factor], study.levels(factor))
    rows = rows.sort_values(factors[1:], kind="stable") if factors[1:] else rows
    names = [study.arms if factor == "arm" else factor for factor in factors]
    figure = run_boxes(rows, factors, study.levels("arm"))
    figure.axes[0].set_title(study.arms.replace("_", " "))
    return figure, f"Mean IoU of every run by {enumerated(names)}; the means stand in the table of arms.".replace(
        "_", " "
    )


def _image_figure(study: Study, tables: Tables) -> tuple[Figure, str] | None:
    arms = tables["arms"]
    if arms.empty:
        return None
    titles = {fraction: _panel_title(arms, fraction) for fraction in sorted(set(arms["label_fraction"]))}
    figure = image_boxes(study.scores, study.levels("arm"), study.levels("setting"), titles)
    return (
        figure,
        f"Box plots of IoU per image for {enumerated(study.levels('arm'))}; the means stand in the table of arms.",
    )


def _efficiency_figure(study: Study, tables: Tables) -> tuple[Figure, str] | None:
    arms = tables["arms"]
    if arms["label_fraction"].nunique() < 2:
        return None
    figure = label_efficiency(arms, study.levels("arm"), study.levels("setting"))
    return (
        figure,
        f"Mean IoU over the share of training labels for {enumerated(study.levels('arm'))}, with 95 % intervals.",
    )


def _heat_map_figure(study: Study, tables: Tables) -> tuple[Figure, str] | None:
    arms, settings = tables["arms"], study.levels("setting")
    if arms.empty or len(settings) < 2:
        return None
    figure = heat_map(arms, study.levels("arm"), settings)
    return figure, "Heat map of mean IoU by arm and setting, with the share of the encoder that each decoder uses."


def _factor_figure(study: Study, tables: Tables, factor: str) -> tuple[Figure, str] | None:
    rows = curve_rows(study, tables["arms"], factor)
    if rows.empty or rows[factor].nunique() < 2:
        return None
    lines = list(dict.fromkeys(rows["arm"]))
    figure = factor_curves(
        rows, factor, lines, spare_colours(study.levels("arm"), lines) if factor == study.arms else None
    )
    return figure, f"Mean IoU over {CURVES[factor]}, with 95 % intervals; the numbers stand in the table of arms."


def curve_rows(study: Study, arms: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Points of the curves over a factor that is a number: the table of arms with `line` and `panel`.

    Where the factor is what is compared, its levels are the places and not the arms: `arm` is then the setting.
    """
    if factor not in (study.arms, *study.varying):
        return pd.DataFrame(columns=["arm", factor])
    beside = [f for f in study.varying if f not in (*AVERAGED, factor, study.arms)]
    levels = study.scores[["arm", "setting", "label_fraction", *dict.fromkeys([factor, *beside])]].drop_duplicates()
    rows = arms.drop(columns=[name for name in (factor, *beside) if name in arms]).merge(levels)
    line = [", ".join(phrase(f, row[f]) for f in beside) for row in rows.to_dict("records")]
    panel = [f"{percent(fraction)} of the labels" for fraction in rows["label_fraction"]]
    if factor == study.arms:
        return rows.assign(arm=rows["setting"], line="", panel=panel)
    return rows.assign(line=line, panel=panel)


def _failure_figure(study: Study, tables: Tables) -> tuple[Figure, str] | None:
    arms = tables["arms"]
    if not (arms["failure_rate"] > 0).any():
        return None
    figure = failure_dots(seed_failures(study), study.levels("arm"), study.levels("setting"))
    return (
        figure,
        f"Share of images with an IoU below {FAILURE} under every seed; the means stand in the table of arms.",
    )


def _rank_figure(study: Study, tables: Tables) -> tuple[Figure, str] | None:
    rows = tables["arm_ranks"]
    if len(rows) < 3:
        return None
    mean_ranks = [f"{row['arm']} {row['mean_rank']:.2f}" for _, row in rows.iterrows()]
    figure = critical_difference_diagram(arm_ranks(study), study.levels("arm"))
    return (
        figure,
        f"Critical-difference diagram of the mean ranks of {enumerated(mean_ranks)}, as in the table of ranks.",
    )


def _trial_figure(study: Study, tables: Tables) -> tuple[Figure, str] | None:
    trials = tables["trials"]
    if trials.empty:
        return None
    by = ["arm", "setting", "label_fraction", "lr"]
    rows = trials.groupby(by)["jaccard"].agg(jaccard="mean", low="min", high="max").reset_index()
    panel = [f"{setting}, {percent(f)}" for setting, f in zip(rows["setting"], rows["label_fraction"], strict=True)]
    figure = factor_curves(rows.assign(panel=panel, line=""), "lr", study.levels("arm"))
    figure.axes[0].set_ylabel("mean IoU, inner split")
    return figure, "Mean IoU of each trial of the learning-rate search, on an inner split of the training images."


def _subgroup_figure(study: Study, tables: Tables) -> tuple[Figure, str] | None:
    rows = tables["subgroups"]
    if not rows["difference"].notna().any():
        return None
    title = f"{rows['a'].iloc[0]} minus {rows['b'].iloc[0]}"
    return subgroup_forest(rows, study.margin, title), f"Forest plot of {title} by subgroup, with 95 % intervals."


def _loss_figure(study: Study, tables: Tables) -> tuple[Figure, str] | None:
    curves = loss_tables(study)
    return (loss_curves(curves), "Pretraining loss over epochs.") if curves else None


def _panel_title(arms: pd.DataFrame, fraction: float) -> str:
    trained = arms.loc[arms["label_fraction"] == fraction, "n_train"].dropna().unique()
    images = f" ({trained[0]:,.0f} images)" if len(trained) == 1 else ""
    return f"{percent(fraction)} of the labels{images}"


MAKERS: dict[str, Callable[[Study, Tables], tuple[Figure, str] | None]] = {
    "forest": _forest_figure,
    "runs": _run_figure,
    "images": _image_figure,
    "efficiency": _efficiency_figure,
    "heat_map": _heat_map_figure,
    "lr": partial(_factor_figure, factor="lr"),
    "image_size": partial(_factor_figure, factor="image_size"),
    "failures": _failure_figure,
    "ranks": _rank_figure,
    "trials": _trial_figure,
    "subgroups": _subgroup_figure,
    "losses": _loss_figure,
}
