"""Whether the images to pretrain on are strangers to all labelled ones, on which the number of pretrainings hangs."""

import shutil
from pathlib import Path

import cv2
import pytest
from small_study import draw_photographs, small_study

from compare.study.images import StudyImages, study_images
from dermssl.synthetic.dataset import draw_image


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    return draw_photographs(tmp_path / "photographs")


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    folder = tmp_path / "strangers"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"stranger_{number}.png"), draw_image(7, 5 * number, 96).image)
    return folder


def images_of(photographs: Path, unlabelled: Path) -> StudyImages:
    return study_images(small_study(photographs.parent / "study", photographs, unlabelled=unlabelled), 1)


def test_images_of_one_folder_are_not_apart(photographs: Path) -> None:
    assert not images_of(photographs, photographs).apart


def test_strangers_are_apart_until_one_labelled_image_is_among_them(photographs: Path, strangers: Path) -> None:
    assert images_of(photographs, strangers).apart
    shutil.copy(photographs / "images" / "picture_07.png", strangers / "renamed.png")
    assert not images_of(photographs, strangers).apart
