"""Which images may be trained on without labels: none that is held out, nor a near-duplicate of one."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dermssl.data.manifest import Manifest, read_manifest
from dermssl.data.sources import SYNTHETIC_UNLABELLED, ImageSource
from dermssl.errors import UserError
from dermssl.splits.official import split_of
from dermssl.synthetic.dataset import draw_image
from pretrain.pool import Pool, pool_of
from pretrain.recipes import SimCLRConfig

Options = dict[str, object]


@pytest.fixture(autouse=True)
def _apart(workplace: Path) -> None:
    """No data set stands where commands look by default."""


def drawn(index: int) -> NDArray[np.uint8]:
    return cv2.cvtColor(draw_image(11, index, 128).image, cv2.COLOR_RGB2BGR)


def lesions(folder: Path, indices: range, *, masks: bool = False, parts: tuple[str, ...] = ()) -> Path:
    """Lesions as `name_INDEX.png`; their masks are a square each; in folders of their official parts in turn."""
    for index in indices:
        home = folder / "images" / (parts[index % len(parts)] if parts else "")
        home.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(home / f"{folder.name}_{index}.png"), drawn(index))
        if masks:
            (folder / "masks").mkdir(exist_ok=True)
            mask = np.zeros((128, 128), np.uint8)
            mask[40:90, 40:90] = 255
            cv2.imwrite(str(folder / "masks" / f"{folder.name}_{index}.png"), mask)
    return folder


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six lesions with masks, kept apart from the pools of the tests."""
    torch.set_num_threads(1)
    return lesions(tmp_path_factory.mktemp("sets") / "labelled", range(6), masks=True)


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lesions(tmp_path_factory.mktemp("sets") / "pool", range(8, 14))


def pool(folder: Path, **options: object) -> Pool:
    return pool_of(read_manifest(folder), ImageSource(folder, "given", synthetic=False), SimCLRConfig(**options))


def ids(manifest: Manifest) -> set[str]:
    return set(manifest.table["image_id"])


def held_out(folder: Path, **options: object) -> set[str]:
    """What fine-tuning with the same options holds out."""
    return set(split_of(read_manifest(folder), SimCLRConfig(**options)).val)


@pytest.fixture
def planted(labelled: Path, tmp_path: Path) -> Callable[..., Path]:
    """A pool of two strangers, with a near-duplicate of a held-out image and one of a training image."""

    def plant(**options: object) -> Path:
        folder = lesions(tmp_path / "planted", range(8, 10))
        held = held_out(labelled, **options)
        others = ids(read_manifest(labelled)) - held
        for name, image in (("twin_of_held_out", min(held)), ("twin_of_training", min(others))):
            pixels = cv2.imread(str(labelled / "images" / f"{image}.png"))
            cv2.imwrite(str(folder / "images" / f"{name}.jpg"), cv2.flip(pixels, 1), [cv2.IMWRITE_JPEG_QUALITY, 70])
        return folder

    return plant


STRANGERS = {"planted_8", "planted_9", "twin_of_training"}


@pytest.mark.parametrize("options", [{}, {"val_fraction": 0.5, "split_seed": 3}, {"folds": 3, "fold": 2}], ids=str)
def test_the_held_out_part_of_the_very_set_is_left_out(options: Options, labelled: Path) -> None:
    found, held = pool(labelled, **options), held_out(labelled, **options)
    assert ids(found.manifest) == ids(read_manifest(labelled)) - held
    assert found.left_out == len(held)
    assert found.verdict is not None
    assert found.verdict.action == "clean"
    assert found.sentence == (
        f"leaks: none of the {len(held)} held-out images, and no near-duplicate, lesion or patient of theirs, is among "
        f"the images to pretrain on; {len(held)} held-out images of this very folder are left out of training"
    )


def test_official_test_images_are_left_out_with_what_is_held_out(tmp_path: Path) -> None:
    folder = lesions(tmp_path / "set", range(6), masks=True, parts=("train", "test"))
    found, held = pool(folder), held_out(folder)
    assert ids(found.manifest) == {"set_0", "set_2", "set_4"} - held
    assert found.left_out == 3 + len(held)


def test_the_own_held_out_part_stays_in_where_the_user_allows_it(labelled: Path) -> None:
    found = pool(labelled, on_leak="allow")
    assert ids(found.manifest) == ids(read_manifest(labelled))
    assert found.left_out == 0
    assert found.verdict is not None
    assert found.verdict.action == "allowed"
    assert set(found.verdict.pairs["held_out"]) == held_out(labelled)


def test_near_duplicates_inside_the_very_set_are_no_leak(tmp_path: Path) -> None:
    folder = lesions(tmp_path / "set", range(4), masks=True)
    for index in range(3):
        pixels = cv2.rotate(drawn(index), cv2.ROTATE_180)
        cv2.imwrite(str(folder / "images" / f"again_{index}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 70])
    for fold in range(3):
        found = pool(folder, folds=3, fold=fold)
        assert found.verdict is not None
        assert found.verdict.action == "clean"
        assert ids(found.manifest) == ids(read_manifest(folder)) - held_out(folder, folds=3, fold=fold)


def test_another_set_is_protected_and_strangers_may_be_trained_on(labelled: Path, unlabelled: Path) -> None:
    found = pool(unlabelled, protect=labelled)
    assert ids(found.manifest) == ids(read_manifest(unlabelled))
    assert found.left_out == 0
    assert found.sentence.startswith(f"leaks: none of the {len(held_out(labelled))} held-out images, ")


def test_a_near_duplicate_of_a_held_out_image_stops(labelled: Path, planted: Callable[..., Path]) -> None:
    folder, held = planted(), len(held_out(labelled))
    with pytest.raises(UserError) as caught:
        pool(folder, protect=labelled)
    assert str(caught.value).startswith(f"{folder}: 1 training images show what 1 of the {held} held-out images show")
    assert "--on_leak drop" in str(caught.value)
    assert "--on_leak allow" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"folds": 3, "fold": 1}], ids=str)
def test_drop_leaves_out_exactly_the_near_duplicate(
    options: Options, labelled: Path, planted: Callable[..., Path]
) -> None:
    found = pool(planted(**options), protect=labelled, on_leak="drop", **options)
    assert ids(found.manifest) == STRANGERS
    assert found.verdict is not None
    assert found.verdict.pairs[["trained_on", "why"]].values.tolist() == [["twin_of_held_out", "near-duplicate"]]


def test_allow_keeps_the_near_duplicate_and_says_so(labelled: Path, planted: Callable[..., Path]) -> None:
    found = pool(planted(), protect=labelled, on_leak="allow")
    assert ids(found.manifest) == {*STRANGERS, "twin_of_held_out"}
    assert found.sentence.endswith("trained on all the same (--on_leak allow)")


def test_what_a_split_file_holds_out_is_protected(labelled: Path, unlabelled: Path, tmp_path: Path) -> None:
    images = sorted(ids(read_manifest(labelled)))
    (tmp_path / "split.csv").write_text(
        "\n".join(["image_id,split", *(f"{image},train" for image in images[:3]), *(f"{i},val" for i in images[3:])])
    )
    assert ids(pool(labelled, split=str(tmp_path / "split.csv")).manifest) == set(images[:3])


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 99])
def test_the_limit_is_of_what_is_left(limit: int, labelled: Path, planted: Callable[..., Path]) -> None:
    found = pool(planted(), protect=labelled, on_leak="drop", limit=limit)
    assert len(found.manifest) == min(limit, len(STRANGERS))
    assert ids(found.manifest) <= STRANGERS


def test_what_a_limit_takes_depends_on_the_seed_alone(unlabelled: Path) -> None:
    first, again, *others = (pool(unlabelled, limit=3, seed=seed).manifest for seed in (0, 0, 1, 2, 3))
    assert first.table["image_id"].tolist() == again.table["image_id"].tolist()
    assert any(ids(other) != ids(first) for other in others)


def test_without_any_labelled_images_nothing_is_crossed(unlabelled: Path) -> None:
    found = pool(unlabelled)
    assert found.verdict is None
    assert ids(found.manifest) == ids(read_manifest(unlabelled))
    assert found.sentence.startswith("leaks: there are no labelled images to compare with (--protect names some); ")


def test_the_labelled_set_in_its_usual_place_is_protected(
    labelled: Path, planted: Callable[..., Path], workplace: Path
) -> None:
    (workplace / "data").mkdir()
    (workplace / "data" / "isic2018").symlink_to(labelled)
    assert ids(pool(planted(), on_leak="drop").manifest) == STRANGERS


def test_a_drawn_pool_is_not_crossed_with_real_photographs(labelled: Path, unlabelled: Path, workplace: Path) -> None:
    (workplace / "data").mkdir()
    (workplace / "data" / "isic2018").symlink_to(labelled)
    source = ImageSource(SYNTHETIC_UNLABELLED, "drawn", synthetic=True)
    assert pool_of(read_manifest(unlabelled), source, SimCLRConfig()).verdict is None


def test_a_protected_folder_that_is_not_there_is_named_with_its_option(unlabelled: Path) -> None:
    with pytest.raises(UserError, match="--protect nowhere: no such folder"):
        pool(unlabelled, protect=Path("nowhere"))


def test_of_copies_of_held_out_images_nothing_is_left(labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    for image in held_out(labelled):
        (tmp_path / "copies" / f"{image}.png").write_bytes((labelled / "images" / f"{image}.png").read_bytes())
    found = pool(tmp_path / "copies", protect=labelled, on_leak="drop")
    assert len(found.manifest) == 0
    assert found.verdict is not None
    assert set(found.verdict.pairs["why"]) == {"same file"}
