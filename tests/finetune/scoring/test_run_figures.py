"""The figures of a run folder: that they show the numbers of its files, and are written whole."""

from pathlib import Path

import cv2
import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dermssl.data.manifest import Manifest, read_manifest
from dermssl.scores.thumbnails import png_bytes, thumbnail
from finetune.scoring import run_figures as module
from finetune.scoring.calibration import bin_shares, calibration_table
from finetune.scoring.image_scores import MaskThumbnails
from finetune.scoring.run_figures import (
    best_median_worst,
    calibration_curve,
    draw_figures,
    iou_histogram,
    learning_curves,
)

METRICS = pd.DataFrame(
    {"epoch": [0, 1, 2], "loss": [3.0, 2.0, 1.0], "lr": [1e-3, 5e-4, 0.0], "seconds": [9.0, 9.0, 9.0]}
)


def curves(axis: Axes) -> dict[str, list[float]]:
    """What each line of a figure shows, by its label or else its place."""
    return {str(line.get_label()): [float(y) for y in line.get_ydata()] for line in axis.lines}


def words(axis: Axes) -> str:
    """The legend's text."""
    legend = axis.get_legend()
    return " | ".join(text.get_text() for text in legend.get_texts()) if legend else ""


def calibration() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return calibration_table(bin_shares(rng.random((50, 50), dtype=np.float32), rng.random((50, 50)) < 0.5))


def test_learning_curves_show_the_loss_the_rate_and_nothing_else() -> None:
    figure = learning_curves(METRICS, "Training")
    loss, rate = figure.axes
    assert curves(loss) == {"loss": [3.0, 2.0, 1.0]}
    assert list(curves(rate).values()) == [[1e-3, 5e-4, 0.0]]
    assert [float(x) for x in loss.lines[0].get_xdata()] == [1, 2, 3]


def test_learning_curves_show_the_terms_of_a_sum_and_the_best_inner_score() -> None:
    metrics = METRICS.assign(dice=[0.9, 0.5, 0.4], bce=[2.1, 1.5, 0.6], inner_iou=[0.5, 0.7, 0.6])
    loss, _, inner = learning_curves(metrics, "Training").axes
    assert curves(loss) == {
        "loss": [3.0, 2.0, 1.0],
        "dice": [0.9, 0.5, 0.4],
        "bce": [2.1, 1.5, 0.6],
    }
    assert [0.5, 0.7, 0.6] in curves(inner).values()
    assert curves(inner)["best: 0.700 in row 2"] == [0.7]


def test_a_single_epoch_can_be_seen() -> None:
    assert learning_curves(METRICS[:1], "Training").axes[0].lines[0].get_marker() == "o"


def test_the_histogram_counts_every_image_once_and_marks_what_failed() -> None:
    jaccard = pd.Series([0.0, 0.1, 0.6499, 0.65, 0.9, 1.0])
    (axis,) = iou_histogram(jaccard, "IoU").axes
    heights = {str(group.get_label()): sum(bar.get_height() for bar in group) for group in axis.containers}
    assert heights == {"failed: 50.0 %": 3, "not failed: 50.0 %": 3}
    failed = list(axis.containers[0])
    assert max(bar.get_x() + bar.get_width() for bar in failed) == pytest.approx(0.65)
    assert "mean 0.550" in words(axis)
    assert "median 0.650" in words(axis)
    assert "failure threshold of ISIC 0.650" in words(axis)
    assert [line.get_xdata()[0] for line in axis.lines] == pytest.approx([jaccard.mean(), jaccard.median(), 0.65])


@pytest.mark.parametrize("value", [0.65, 0.7, 0.6499999, 0.15, 0.35])
def test_an_image_on_the_edge_of_a_bar_is_on_its_side_of_the_threshold(value: float) -> None:
    (axis,) = iou_histogram(pd.Series([value]), "IoU").axes
    failed = sum(bar.get_height() for bar in axis.containers[0])
    assert failed == (value < 0.65)


def test_the_calibration_curve_shows_the_table_and_its_error() -> None:
    table = calibration()
    upper, lower = calibration_curve(table, "Calibration").axes
    label = next(label for label in curves(upper) if "error" in label)
    assert curves(upper)[label] == table["lesion"].tolist()
    error = (table["pixels"] * (table["probability"] - table["lesion"]).abs()).sum()
    assert label.endswith(f"{error:.3f}")
    assert sum(bar.get_height() for bar in lower.patches) == pytest.approx(100)


def test_colours_are_told_apart_without_their_hue() -> None:
    (axis,) = iou_histogram(pd.Series([0.2, 0.9]), "IoU").axes
    first, second = (next(iter(group)) for group in axis.containers)
    assert matplotlib.colors.to_rgb(first.get_facecolor()) != matplotlib.colors.to_rgb(second.get_facecolor())
    assert first.get_hatch() is not None
    assert second.get_hatch() is None


@pytest.fixture(scope="module")
def held_out(photographs: Path) -> Manifest:
    return read_manifest(photographs)


def masks_of(held_out: Manifest) -> list[MaskThumbnails]:
    found = [thumbnail(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) for path in held_out.paths("mask_path")]
    return [MaskThumbnails(png_bytes(mask), png_bytes(255 - mask)) for mask in found]


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_best_median_and_worst_are_what_they_are_called(count: int, held_out: Manifest) -> None:
    few = held_out.take(held_out.table["image_id"][:count].tolist())
    jaccard = np.random.default_rng(0).permutation(count) / 16
    scores = few.table[["image_id"]].assign(jaccard=jaccard)
    found = best_median_worst(few, scores, masks_of(few))
    values = {name: [one.jaccard for one in shown] for name, shown in found.items()}
    each = max(1, count // 3)
    assert values["best"] == sorted(jaccard, reverse=True)[:each]
    assert values["worst"] == sorted(jaccard)[:each]
    assert len(values["median"]) == each
    assert min(values["median"]) <= np.median(jaccard) <= max(values["median"]) or count == 2
    if count >= 3:
        assert len({one.name for shown in found.values() for one in shown}) == 3 * each


def test_a_picture_stands_beside_its_own_masks_name_and_score(held_out: Manifest) -> None:
    scores = held_out.table[["image_id"]].assign(jaccard=np.arange(16) / 16)
    best = best_median_worst(held_out, scores, masks_of(held_out))["best"][0]
    assert (best.name, best.jaccard) == (held_out.table["image_id"].iloc[15], 15 / 16)
    truth = cv2.imread(str(held_out.paths("mask_path")[15]), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(best.truth, thumbnail(truth))
    assert np.array_equal(best.prediction, 255 - thumbnail(truth))
    assert best.image[best.truth > 0].mean() < best.image[best.truth == 0].mean() - 20  # discs are dark


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "unet-ssl-0123456789"
    (folder / "tables").mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 7\ndecoder: unet\n")
    METRICS.to_csv(folder / "metrics.csv", index=False)
    pd.DataFrame({"image_id": ["a", "b"], "jaccard": [0.2, 0.8]}).to_parquet(folder / "scores.parquet")
    calibration().to_csv(folder / "tables" / "calibration.csv", index=False)
    return folder


def test_a_run_folder_is_enough_to_draw_its_figures_again(run_folder: Path) -> None:
    for _ in range(2):
        draw_figures(run_folder)
    drawn = sorted((run_folder / "figures").iterdir())
    assert [path.name for path in drawn] == ["calibration.png", "iou_histogram.png", "learning_curves.png"]
    assert all(min(cv2.imread(str(path)).shape[:2]) > 500 for path in drawn)


def test_every_title_says_the_run_its_seed_and_how_many_images(
    run_folder: Path, held_out: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: dict[str, str] = {}

    def keep_title(figure: Figure, path: Path, dpi: int) -> None:
        titles[path.stem] = figure.get_suptitle()

    monkeypatch.setattr(module, "save_figure", keep_title)
    scores = held_out.table[["image_id"]].assign(jaccard=np.arange(16) / 16)
    draw_figures(run_folder, best_median_worst(held_out, scores, masks_of(held_out)))
    assert set(titles) == {"learning_curves", "iou_histogram", "calibration", "predictions"}
    assert all("unet-ssl-0123456789, seed 7" in title for title in titles.values())
    assert "2 held-out images" in titles["iou_histogram"]
    assert "2 held-out images" in titles["calibration"]
    assert "n = 2" in titles["predictions"]
