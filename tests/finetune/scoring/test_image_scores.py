"""What is collected while the held-out images are scored."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from dermssl.data.images import Pixels
from dermssl.data.manifest import Manifest, read_manifest
from dermssl.data.masks import read_lesion
from dermssl.data.pixel_cache import PixelCache
from dermssl.scores.counts import measures
from finetune.augmentation.fit import Fit
from finetune.scoring.image_scores import ImageScores, batched, mask_table, score
from finetune.scoring.inference import Cut, Predictor, Probability
from finetune.scoring.run_figures import mask_from_png

Keep = Callable[[list[Pixels]], PixelCache]


@dataclass(frozen=True)
class Darkness:
    """A network that says how dark a pixel is."""

    beside_cpu: bool = False

    def __call__(self, squares: Pixels) -> Probability:
        return (1 - squares.mean(axis=3) / 255).astype(np.float32)


@pytest.fixture(scope="module")
def held_out(photographs: Path) -> Manifest:
    return read_manifest(photographs)


@pytest.fixture(scope="module")
def pixels(held_out: Manifest, keep: Keep) -> PixelCache:
    return keep([cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in held_out.paths()])


def scored(held_out: Manifest, pixels: PixelCache, threads: int = 1) -> ImageScores:
    predictor = Predictor(Darkness(), Fit("resize", 64, "black"), batch_size=5)
    return score(predictor, Cut(0.45), held_out, pixels, threads)


def test_every_image_has_a_row_with_its_ids_its_size_and_all_measures(held_out: Manifest, pixels: PixelCache) -> None:
    table = scored(held_out, pixels).table
    ids = ["image_id", "lesion_id", "width", "height"]
    assert list(table) == [*ids, *measures(np.ones((4, 4), bool), np.ones((4, 4), bool))]
    assert table[ids].equals(held_out.table[ids].reset_index(drop=True))
    assert (table["tp"] + table["fp"] + table["fn"] + table["tn"]).equals(table["width"] * table["height"])


def test_the_scores_are_those_of_the_cut_probabilities_at_native_size(held_out: Manifest, pixels: PixelCache) -> None:
    table, fit = scored(held_out, pixels).table, Fit("resize", 64, "black")
    for i in (0, 3, 15):
        truth = read_lesion(held_out.paths("mask_path")[i])
        probability = fit.native(Darkness()(fit.square(np.asarray(pixels[i]))[None])[0], *truth.shape)
        expected = measures(truth, probability > 0.45)
        assert table.iloc[i][list(expected)].to_dict() == expected


def test_the_calibration_is_the_mean_over_images_of_all_their_pixels(held_out: Manifest, pixels: PixelCache) -> None:
    table = scored(held_out, pixels).calibration
    lesion = np.mean([read_lesion(path).mean() for path in held_out.paths("mask_path")])
    assert table["pixels"].sum() == pytest.approx(1)
    assert (table["pixels"] * table["lesion"]).sum() == pytest.approx(lesion)


def test_the_number_of_threads_changes_nothing(held_out: Manifest, pixels: PixelCache) -> None:
    alone, together = scored(held_out, pixels), scored(held_out, pixels, threads=3)
    assert alone.table.equals(together.table)
    assert alone.calibration.equals(together.calibration)
    assert alone.masks == together.masks


def test_what_is_kept_of_a_mask_is_its_picture_in_few_bytes(held_out: Manifest, pixels: PixelCache) -> None:
    for path, kept in zip(held_out.paths("mask_path"), scored(held_out, pixels).masks, strict=True):
        assert np.array_equal(mask_from_png(kept.truth), read_lesion(path) * np.uint8(255))
        assert mask_from_png(kept.prediction).shape == mask_from_png(kept.truth).shape
        assert len(kept.truth) < 1000


def test_the_masks_of_every_image_are_kept_beside_its_name(held_out: Manifest, pixels: PixelCache) -> None:
    found = scored(held_out, pixels)
    table = mask_table(found)
    assert list(table) == ["image_id", "truth", "prediction"]
    assert table["image_id"].tolist() == held_out.table["image_id"].tolist()
    assert list(zip(table["truth"], table["prediction"], strict=True)) == found.masks


@pytest.mark.parametrize(
    ("size", "expected"), [(2, [[0, 1], [2, 3], [4]]), (5, [[0, 1, 2, 3, 4]]), (9, [[0, 1, 2, 3, 4]])]
)
def test_groups_lose_and_repeat_nothing(size: int, expected: list[list[int]]) -> None:
    assert list(batched(range(5), size)) == expected


def test_no_more_pictures_than_threads_are_held_at_once() -> None:
    taken = iter(range(9))
    next(batched(taken, 3))
    assert next(taken) == 3
