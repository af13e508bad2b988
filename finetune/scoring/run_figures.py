"""The figures of a run folder: learning curves, IoU of the held-out images, calibration, and pictures with outlines."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dermssl import flags
from dermssl.data.images import Pixels, read_rgb
from dermssl.data.manifest import Manifest
from dermssl.scores.counts import ISIC_THRESHOLD
from dermssl.scores.plots import (
    COLOURS,
    FAINT,
    INK,
    OutlinedPicture,
    plain_frame,
    predictions_figure,
    save_figure,
    stacked_axes,
)
from dermssl.scores.thumbnails import thumbnail
from finetune.options.loss import LOSSES
from finetune.scoring.calibration import calibration_error
from finetune.scoring.image_scores import MaskThumbnails

BLUE, RED = COLOURS[:2]
EACH = 8  # pictures of the best, of the median and of the worst
WIDTH = 0.05  # of a bar of IoU; the challenge's threshold is an edge


def draw_figures(folder: Path, lesions: Mapping[str, Sequence[OutlinedPicture]] | None = None) -> None:
    """Draws what the files of a finished run hold, into its `figures/`; what stands there is replaced.

    Args:
        folder: A run folder with config.yaml, metrics.csv, scores.parquet and tables/calibration.csv.
        lesions: `best_median_worst`, drawn as well where it is given: no run folder keeps photographs.
    """
    seed = flags.read_options(folder / "config.yaml")["seed"]
    scores = pd.read_parquet(folder / "scores.parquet")
    run, held_out = f"{folder.name}, seed {seed}", f"{len(scores)} held-out images"
    figures = {
        "learning_curves": learning_curves(pd.read_csv(folder / "metrics.csv"), f"Training\n{run}"),
        "iou_histogram": iou_histogram(scores["jaccard"], f"IoU of {held_out} at native size\n{run}"),
        "calibration": calibration_curve(
            pd.read_csv(folder / "tables" / "calibration.csv"), f"Calibration on all pixels of {held_out}\n{run}"
        ),
    }
    if lesions:
        figures["predictions"] = predictions_figure(lesions, len(scores), run)
    for name, figure in figures.items():
        # Photographs take much room: at 150 dots the pictures of a run would be as large as its network.
        save_figure(figure, folder / "figures" / f"{name}.png", dpi=110 if name == "predictions" else 150)


def learning_curves(metrics: pd.DataFrame, title: str) -> Figure:
    """Loss and its terms, learning rate, and the inner images' score where there is one, over the rows of metrics.csv.

    Args:
        metrics: metrics.csv, a row an epoch.
        title: What was trained.
    """
    inner = "inner_iou" in metrics
    figure, axes = stacked_axes(2 + inner, 2.5, title)
    epochs, marker = metrics["epoch"] + 1, "o" if len(metrics) <= 30 else None
    losses = [name for name in ("loss", *LOSSES) if name in metrics]
    for name, colour, style in zip(losses, (INK, *COLOURS), ["-", "--", "-.", ":"] * 3, strict=False):
        axes[0].plot(epochs, metrics[name], color=colour, linestyle=style, marker=marker, markersize=4, label=name)
    axes[0].set_ylabel("loss, mean of the row" + "\n(terms without their weights)" * (len(losses) > 1))
    if len(losses) > 1:
        axes[0].legend(frameon=False, ncols=5, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    axes[1].plot(epochs, metrics["lr"], color=BLUE, marker=marker, markersize=4)
    axes[1].set_ylabel("learning rate\nat the row's end")
    axes[1].ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    if inner:
        best = int(metrics["inner_iou"].argmax())
        axes[2].plot(epochs, metrics["inner_iou"], color=BLUE, marker=marker, markersize=4)
        axes[2].plot(
            epochs[best],
            metrics["inner_iou"][best],
            "D",
            color=RED,
            markersize=7,
            label=best_epoch_in_words(metrics, best),
        )
        axes[2].set_ylabel("mean IoU of\nthe inner images")
        axes[2].legend(frameon=False, fontsize=9, loc="lower right")
    axes[-1].set_xlabel("row of metrics.csv, a pass over the training images or several")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def best_epoch_in_words(metrics: pd.DataFrame, row: int) -> str:
    """The best inner score in words."""
    return f"best: {metrics['inner_iou'][row]:.3f} in row {metrics['epoch'][row] + 1}"


def iou_histogram(jaccard: "pd.Series[float]", title: str) -> Figure:
    """How many held-out images have which IoU; those below the challenge's threshold hatched.

    Args:
        jaccard: IoU of each image, in [0, 1].
        title: What was scored.
    """
    figure, (axis,) = stacked_axes(1, 4.0, title)
    counts, edges = np.histogram(jaccard, bins=round(1 / WIDTH), range=(0, 1))
    failed = edges[1:] < ISIC_THRESHOLD + WIDTH / 2
    share = (jaccard < ISIC_THRESHOLD).mean()
    for part, colour, hatch, label in (
        (failed, RED, "///", f"failed: {100 * share:.1f} %"),
        (~failed, BLUE, None, f"not failed: {100 - 100 * share:.1f} %"),
    ):
        axis.bar(
            edges[:-1][part],
            counts[part],
            WIDTH,
            align="edge",
            color=colour,
            hatch=hatch,
            edgecolor="white",
            label=label,
        )
    for value, style, colour, name in (
        (jaccard.mean(), "--", INK, "mean"),
        (jaccard.median(), ":", INK, "median"),
        (ISIC_THRESHOLD, "-", RED, "failure threshold of ISIC"),
    ):
        axis.axvline(value, color=colour, linestyle=style, linewidth=1.8, label=f"{name} {value:.3f}")
    axis.set(xlim=(0, 1), xlabel="IoU of an image", ylabel=f"images per {WIDTH} of IoU")
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(frameon=False, loc="upper left", fontsize=9)
    return figure


def calibration_curve(table: pd.DataFrame, title: str) -> Figure:
    """Share of lesion over predicted probability, and below it how many pixels have which.

    Args:
        table: `finetune.scoring.calibration.calibration_table`.
        title: What was predicted.
    """
    figure = Figure(figsize=(5.6, 6.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    figure.suptitle(title, fontsize=11, x=0.02, ha="left")
    upper.plot([0, 1], [0, 1], color=FAINT, linestyle="--", label="perfectly calibrated")
    label = f"network; expected calibration error {calibration_error(table):.3f}"
    upper.plot(table["probability"], table["lesion"], color=BLUE, marker="o", markersize=5, label=label, clip_on=False)
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of pixels that are lesion")
    upper.legend(frameon=False, loc="upper left", fontsize=9)
    lower.bar(
        table["low"], 100 * table["pixels"], table["high"] - table["low"], align="edge", color=BLUE, edgecolor="white"
    )
    lower.set(yscale="log", xlabel="predicted probability of lesion", ylabel="pixels, %")
    lower.yaxis.set_major_formatter("{x:g}")
    for axis in (upper, lower):
        plain_frame(axis)
    return figure


def best_median_worst(
    val: Manifest, scores: pd.DataFrame, masks: Sequence[MaskThumbnails]
) -> dict[str, list[OutlinedPicture]]:
    """Eight held-out images each, or a third of them where there are fewer than 24; from good to bad, the worst first.

    Args:
        val: The held-out images.
        scores: Scores of these images, a row each.
        masks: Truths and predictions of these images.
    """
    order = np.argsort(-scores["jaccard"].to_numpy(), kind="stable")
    count = min(EACH, max(1, len(order) // 3))
    middle = (len(order) - count) // 2
    rows = {"best": order[:count], "median": order[middle : middle + count], "worst": order[::-1][:count]}
    paths = val.paths()

    def lesion(i: int) -> OutlinedPicture:
        row, picture = scores.iloc[i], thumbnail(read_rgb(paths[i]))
        return OutlinedPicture(
            picture, mask_from_png(masks[i].truth), mask_from_png(masks[i].prediction), row["jaccard"], row["image_id"]
        )

    return {name: [lesion(int(i)) for i in indices] for name, indices in rows.items()}


def mask_from_png(png: bytes) -> Pixels:
    """The mask (H, W), 0 and 255, of a PNG's bytes."""
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)
