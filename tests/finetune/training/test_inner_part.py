"""The inner part: whose images it takes, and how a network is scored on them."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from dermssl.data.manifest import Manifest, read_manifest
from dermssl.data.pixel_cache import cached_images
from dermssl.errors import UserError
from finetune.augmentation.fit import Fit
from finetune.scoring.inference import Cut, Predictor, Probability
from finetune.training.inner_part import mean_iou, set_aside


@pytest.fixture(scope="module")
def manifest(photographs: Path) -> Manifest:
    return read_manifest(photographs)


def train_of(manifest: Manifest, lesions: int = 6) -> list[str]:
    """The images of the first lesions, last ones first."""
    return manifest.table["image_id"].tolist()[: 2 * lesions][::-1]


def lesions_of(manifest: Manifest, images: tuple[str, ...]) -> set[str]:
    return set(manifest.take(images).table["lesion_id"])


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5])
def test_a_part_of_the_training_images_is_set_aside_by_whole_lesions(manifest: Manifest, fraction: float) -> None:
    train = train_of(manifest)
    parts = set_aside(manifest, train, fraction, split_seed=0)
    assert sorted(parts.train + parts.inner) == sorted(train)
    assert not lesions_of(manifest, parts.train) & lesions_of(manifest, parts.inner)
    assert len(parts.inner) == 2 * max(1, round(fraction * 6))
    assert list(parts.train) == [image for image in train if image in parts.train]  # in the order that they had


def test_the_draw_is_a_function_of_the_images_and_the_split_seed(manifest: Manifest) -> None:
    train = train_of(manifest, 8)
    drawn = [set(set_aside(manifest, train, 0.25, seed).inner) for seed in range(6)]
    assert drawn[0] == set(set_aside(manifest, train[::-1], 0.25, 0).inner)
    assert len({tuple(sorted(inner)) for inner in drawn}) > 1


def test_held_out_images_have_no_part_in_it(manifest: Manifest) -> None:
    train = train_of(manifest)
    alone = Manifest(manifest.root, manifest.take(train).table, ())
    assert set_aside(manifest, train, 0.25, 0) == set_aside(alone, train, 0.25, 0)


def test_copies_of_a_picture_stay_on_one_side(photographs: Path, tmp_path: Path) -> None:
    shutil.copytree(photographs, tmp_path / "set", ignore=shutil.ignore_patterns("metadata.csv", ".dermssl"))
    for part in ("images", "masks"):
        for index in range(8):  # under names that say nothing
            shutil.copy(
                tmp_path / "set" / part / f"picture_{index:02d}.png", tmp_path / "set" / part / f"z_{index}.png"
            )
    manifest = read_manifest(tmp_path / "set")
    train = manifest.table["image_id"].tolist()
    for seed in range(4):
        inner = set(set_aside(manifest, train, 0.3, seed).inner)
        assert all((f"z_{index}" in inner) == (f"picture_{index:02d}" in inner) for index in range(8))


def test_one_lesion_cannot_be_divided(manifest: Manifest) -> None:
    with pytest.raises(UserError, match=r"2 training images of one lesion or one patient, .* cannot be parted"):
        set_aside(manifest, train_of(manifest, 1), 0.1, 0)


def test_too_few_images_left_are_refused(manifest: Manifest) -> None:
    table = manifest.table.assign(lesion_id=["large"] * 14 + ["small"] * 2)
    lopsided = Manifest(manifest.root, table, ())
    found = []
    for seed in range(6):  # which of the two lesions is drawn depends on the seed
        try:
            found.append(len(set_aside(lopsided, table["image_id"].tolist(), 0.1, seed).inner))
        except UserError as error:
            found.append(str(error))
    refusal = (
        "--inner_fraction 0.1: lesions stay whole, so 14 of 16 training images would be set aside and 2 left to train "
        "on; take more labelled images, or leave --patience, --threshold_search and --score_on inner out"
    )
    assert set(found) == {2, refusal}


class Halves:
    """Calls the left half of every square lesion."""

    beside_cpu = False

    def __call__(self, squares: np.ndarray) -> Probability:
        found = np.zeros(squares.shape[:3], np.float32)
        found[:, :, : squares.shape[2] // 2] = 1
        return found


def test_the_score_is_the_mean_jaccard_at_native_size(manifest: Manifest) -> None:
    images = manifest.take(train_of(manifest, 3))
    pixels = cached_images(manifest, 40).take(manifest.rows(train_of(manifest, 3)))
    found = mean_iou(Predictor(Halves(), Fit("resize", 32, "skin"), 4), Cut(0.5), images, pixels)
    wanted = []
    for path in images.paths("mask_path"):
        truth = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 127
        half = np.zeros_like(truth)
        half[:, : truth.shape[1] // 2] = True
        wanted.append((truth & half).sum() / (truth | half).sum())
    assert found == pytest.approx(np.mean(wanted), abs=1e-12)
