"""Drawn dermoscopy: the same from the same seed, in the layout of ISIC, and not to be had with a threshold."""

from __future__ import annotations

import csv
from dataclasses import fields
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dermssl.synthetic import artefacts, dataset
from dermssl.synthetic.dataset import DrawnImage, draw_image, write_dataset

SIZE = 96


@cache
def drawings() -> list[DrawnImage]:
    return [draw_image(seed=0, index=index, size=SIZE) for index in range(240)]


def darker_than_otsu(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    darkest = np.ascontiguousarray(image.min(axis=2))
    threshold, _ = cv2.threshold(darkest, 0, 255, cv2.THRESH_OTSU)
    return np.asarray(darkest <= threshold)


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def metadata_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_seed_and_index_draw_the_same_picture() -> None:
    first, second = draw_image(3, 5, SIZE), draw_image(3, 5, SIZE)
    for field in fields(DrawnImage):
        assert np.array_equal(getattr(first, field.name), getattr(second, field.name))


@pytest.mark.parametrize(("seed", "index"), [(4, 5), (3, 6)])
def test_another_seed_or_index_draws_another_picture(seed: int, index: int) -> None:
    assert not np.array_equal(draw_image(3, 5, SIZE).image, draw_image(seed, index, SIZE).image)


def test_the_global_random_state_does_not_move() -> None:
    np.random.seed(0)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    draw_image(0, 0, SIZE)
    assert np.random.random() == expected  # noqa: NPY002


def test_another_size_shows_the_same_scene() -> None:
    overlaps, gaps = [], []
    for index in range(12):
        small, large = draw_image(0, index, 96), draw_image(0, index, 192)
        halved = cv2.resize(large.image, (96, 96), interpolation=cv2.INTER_AREA).astype(float)
        overlaps.append(iou(small.mask > 0, cv2.resize(large.mask, (96, 96), interpolation=cv2.INTER_AREA) > 127))
        gaps.append(np.abs(halved - small.image).mean())
    assert min(overlaps) > 0.8
    assert np.mean(overlaps) > 0.95
    assert np.mean(gaps) < 6  # grey levels; two scenes differ by some 50


def test_pictures_are_square_colour_and_masks_are_two_valued_and_never_empty() -> None:
    for drawing in drawings():
        assert drawing.image.shape == (SIZE, SIZE, 3)
        assert drawing.mask.shape == (SIZE, SIZE)
        assert drawing.image.dtype == drawing.mask.dtype == np.uint8
        assert set(np.unique(drawing.mask)) <= {0, 255}
        assert drawing.mask.any()


def test_two_photographs_of_a_lesion_share_its_name_and_class_and_differ_in_pixels() -> None:
    by_lesion: dict[str, list[DrawnImage]] = {}
    for drawing in drawings():
        by_lesion.setdefault(drawing.lesion_id, []).append(drawing)
    pairs = [photographs for photographs in by_lesion.values() if len(photographs) > 1]
    assert len(pairs) == len(drawings()) // dataset.REPEAT
    for first, second in pairs:
        assert first.image_id != second.image_id
        assert (first.dx, first.fitzpatrick) == (second.dx, second.fitzpatrick)
        assert np.abs(first.image.astype(int) - second.image).mean() > 2


def test_a_threshold_finds_the_lesion_sometimes_but_not_well() -> None:
    mean = np.mean([iou(darker_than_otsu(drawing.image), drawing.mask > 0) for drawing in drawings()])
    assert 0.2 < mean <= 0.70


def test_the_lesion_differs_from_the_skin_around_it_in_nearly_every_picture() -> None:
    gaps = []
    for drawing in drawings():
        lesion = drawing.mask > 0
        ring = cv2.dilate(drawing.mask, np.ones((9, 9), np.uint8)) > 0
        skin = np.median(drawing.image[ring & ~lesion], axis=0) if (ring & ~lesion).any() else np.zeros(3)
        gaps.append(np.abs(skin - np.median(drawing.image[lesion], axis=0)).max())
    assert np.quantile(gaps, 0.05) > 4  # grey levels


def test_the_frame_cuts_some_lesions_and_not_most() -> None:
    borders = [np.concatenate([d.mask[0], d.mask[-1], d.mask[:, 0], d.mask[:, -1]]).any() for d in drawings()]
    assert 0.1 < np.mean(borders) < 0.4


def test_lesions_are_small_and_large() -> None:
    shares = np.array([(drawing.mask > 0).mean() for drawing in drawings()])
    assert np.quantile(shares, 0.1) < 0.08
    assert np.quantile(shares, 0.9) > 0.4


def test_every_skin_type_and_class_occurs() -> None:
    assert {drawing.fitzpatrick for drawing in drawings()} == {1, 2, 3, 4, 5, 6}
    assert {drawing.dx for drawing in drawings()} == {"nv", "mel", "bkl"}


def test_skin_darkens_with_the_fitzpatrick_type() -> None:
    light: dict[int, list[float]] = {kind: [] for kind in range(1, 7)}
    for drawing in drawings():
        skin = drawing.image[drawing.mask == 0]
        if len(skin) > SIZE:
            light[drawing.fitzpatrick].append(float(np.median(skin @ [0.299, 0.587, 0.114])))
    means = [np.mean(light[kind]) for kind in range(1, 7)]
    assert means == sorted(means, reverse=True)


def test_every_artefact_is_drawn_at_about_its_rate() -> None:
    rng = np.random.default_rng(0)
    present = [artefacts.artefacts_of(rng) for _ in range(2000)]
    for name, rate in artefacts.RATES.items():
        assert np.mean([name in names for names in present]) == pytest.approx(rate, abs=0.04)


@pytest.mark.parametrize("size", [0, 31])
def test_a_size_without_room_for_a_lesion_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"size {size}"):
        draw_image(0, 0, size)


def test_names_and_folders_are_those_of_isic_2018(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", count=2, size=32, seed=0)
    assert sorted(files_of(tmp_path / "set")) == [
        "ISIC2018_Task1-2_Training_Input/ISIC_000000000.jpg",
        "ISIC2018_Task1-2_Training_Input/ISIC_000000001.jpg",
        "ISIC2018_Task1_Training_GroundTruth/ISIC_000000000_segmentation.png",
        "ISIC2018_Task1_Training_GroundTruth/ISIC_000000001_segmentation.png",
        "LICENSE.txt",
        "metadata.csv",
    ]


def test_the_files_hold_what_was_drawn(tmp_path: Path) -> None:
    write_dataset(tmp_path, count=1, size=64, seed=7)
    drawing = draw_image(7, 0, 64)
    mask = cv2.imread(str(tmp_path / dataset.MASKS / "ISIC_070000000_segmentation.png"), cv2.IMREAD_UNCHANGED)
    image = cv2.imread(str(tmp_path / dataset.IMAGES / "ISIC_070000000.jpg"))
    assert image is not None
    assert mask is not None
    assert np.array_equal(mask, drawing.mask)
    assert np.abs(image[..., ::-1].astype(int) - drawing.image).mean() < 6  # JPEG; swapped channels would give more


def test_metadata_has_a_row_per_picture_and_repeats_lesion_ids(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", count=8, size=32, seed=0)
    rows = metadata_of(tmp_path / "set")
    assert [row["image_id"] for row in rows] == [f"ISIC_00{index:07d}" for index in range(8)]
    assert set(rows[0]) == {"image_id", "lesion_id", "dx", "fitzpatrick"}
    assert rows[6]["lesion_id"] == rows[7]["lesion_id"] != rows[5]["lesion_id"]


def test_a_set_to_pretrain_on_has_no_masks(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", count=1, size=32, seed=0, masks=False)
    assert not (tmp_path / "set" / dataset.MASKS).exists()


def test_the_number_of_workers_does_not_change_a_byte(tmp_path: Path) -> None:
    write_dataset(tmp_path / "alone", count=10, size=32, seed=1)
    write_dataset(tmp_path / "together", count=10, size=32, seed=1, workers=2)
    assert files_of(tmp_path / "alone") == files_of(tmp_path / "together")


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match="is not empty"):
        write_dataset(tmp_path, count=1, size=32, seed=0)
    assert files_of(tmp_path) == {"mine.txt": b"keep"}


@pytest.mark.parametrize(("count", "workers"), [(0, 1), (1, 0)])
def test_no_pictures_and_no_workers_are_refused(tmp_path: Path, count: int, workers: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        write_dataset(tmp_path / "set", count=count, size=32, seed=0, workers=workers)


def test_an_interrupted_drawing_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seed: int, index: int, size: int) -> DrawnImage:
        if index == 2:
            raise KeyboardInterrupt
        return draw_image(seed, index, size)

    monkeypatch.setattr(dataset, "draw_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "set", count=4, size=32, seed=0)
    assert list(tmp_path.iterdir()) == []
