from collections import Counter
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import get_args

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dermssl.data.images import skin_colour
from dermssl.data.pixel_cache import PixelCache
from dermssl.training.randomness import order_of
from finetune.augmentation.augmented_images import AugmentedImages, augmented_loader, collate
from finetune.network.build import build_model
from finetune.options.augment import PRESETS, AugmentConfig, FitName, Padding

Picture = NDArray[np.uint8]
Keep = Callable[[list[Picture]], PixelCache]
SKIN, LESION = (205, 160, 140), (90, 50, 40)
PADDINGS, FITS = get_args(Padding), get_args(FitName)


def disc(x: int, y: int, radius: int, side: int = 128) -> Picture:
    """A mask of 0 and 1 with one disc."""
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (x, y), radius, 1, -1)
    return mask


def photograph(mask: Picture) -> Picture:
    """Skin of one colour, and a lesion of another where the mask says so."""
    image = np.empty((*mask.shape, 3), np.uint8)
    image[:] = SKIN
    image[mask > 0] = LESION
    return image


def labelled(
    keep: Keep, masks: list[Picture], padding: Padding = "skin", preset: str = "dermoscopy", *, colour: bool = True
) -> AugmentedImages:
    pictures = [photograph(mask) for mask in masks]
    made = AugmentedImages(keep(pictures), keep(masks), preset=preset, padding=padding, size=128, seed=4)
    if not colour:
        assert isinstance(made.pipeline.transforms.pop(), A.ColorJitter)
    return made


@pytest.mark.parametrize("preset", ["dermoscopy", "strong"])
@pytest.mark.parametrize("padding", PADDINGS)
def test_image_and_mask_move_together(keep: Keep, padding: Padding, preset: str) -> None:
    mask = disc(50, 70, 25)
    white_on_black = np.repeat(mask[..., None] * np.uint8(255), 3, axis=-1)
    made = AugmentedImages(keep([white_on_black]), keep([mask]), preset=preset, padding=padding, size=128, seed=4)
    kinds = A.DualTransform  # neither colour nor blur, nor lines
    made.pipeline.transforms = [
        t for t in made.pipeline.transforms if isinstance(t, kinds) and not isinstance(t, A.CoarseDropout)
    ]
    for number in range(25):
        image, found = made[number, 0]
        white, lesion = image[..., 0] > 127, found > 0
        assert (white & lesion).sum() / (white | lesion).sum() > 0.95


# How a square is cut has nothing to do with what the preset then does to it.
@pytest.mark.parametrize(
    ("preset", "padding", "fit"),
    [
        *((preset, "skin", "letterbox") for preset in PRESETS),
        *(("strong", padding, "letterbox") for padding in PADDINGS if padding != "skin"),
        *(("strong", "reflect", fit) for fit in FITS if fit != "letterbox"),
    ],
)
def test_masks_stay_zero_and_one_and_squares_keep_their_size(
    keep: Keep, preset: str, padding: Padding, fit: FitName
) -> None:
    masks = [disc(50, 70, 25)[20:120], disc(20, 64, 15)[:, :40]]
    pictures = AugmentedImages(
        keep([photograph(mask) for mask in masks]),
        keep(masks),
        preset=preset,
        padding=padding,
        size=128,
        seed=4,
        fit=fit,
    )
    for number in range(6):
        image, mask = pictures[number, number % 2]
        assert (image.shape, image.dtype, mask.shape, mask.dtype) == ((128, 128, 3), np.uint8, (128, 128), np.uint8)
        assert set(np.unique(mask)) == {0, 1}


def test_a_draw_is_a_function_of_seed_pass_and_image(keep: Keep) -> None:
    one, other = (labelled(keep, [disc(50, 70, 25), disc(30, 30, 12)]) for _ in range(2))
    other[0, 0], other[5, 1]  # whatever was drawn before
    expected, found = one[3, 1], other[3, 1]
    assert all(np.array_equal(*pair) for pair in zip(expected, found, strict=True))


def test_another_pass_image_or_seed_is_another_draw(keep: Keep) -> None:
    pictures = labelled(keep, [disc(50, 70, 25), disc(50, 70, 25)])
    shown = [pictures[0, 0], pictures[1, 0], pictures[0, 1]]
    pictures.seed = 5
    shown.append(pictures[0, 0])
    assert len({mask.tobytes() for _, mask in shown}) == 4


def test_transforms_draw_apart(keep: Keep) -> None:
    """Albumentations' own seeding lets all transforms draw the same numbers: both flips or none."""
    pictures = labelled(keep, [disc(30, 40, 12)])
    pictures.pipeline = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)])
    pictures.filled_with_skin = []
    shown = Counter(pictures[number, 0][1].tobytes() for number in range(100))
    assert len(shown) == 4
    assert min(shown.values()) > 12


def test_light_shows_the_eight_symmetries_and_nothing_else(keep: Keep) -> None:
    mask = disc(30, 40, 12) | disc(90, 25, 9)
    pictures = labelled(keep, [mask], preset="light")
    turned = [np.rot90(side, k) for side in (mask, mask.T) for k in range(4)]
    shown = [pictures[number, 0] for number in range(60)]
    assert {found.tobytes() for _, found in shown} == {np.ascontiguousarray(expected).tobytes() for expected in turned}
    assert all(np.array_equal(image, photograph(found)) for image, found in shown)


def test_no_augmentation_shows_the_picture_itself(keep: Keep) -> None:
    mask = disc(30, 40, 12)
    image, found = labelled(keep, [mask], preset="none")[7, 0]
    assert np.array_equal(found, mask)
    assert np.array_equal(image, photograph(mask))


def test_skin_colour_is_the_rims_median_whatever_the_corners_hold() -> None:
    image = photograph(disc(64, 64, 60))
    image[:30, :30] = image[-30:, -30:] = 0
    assert skin_colour(image) == SKIN


def test_skin_fills_with_the_colour_of_this_picture(keep: Keep) -> None:
    pale, dark = (np.full((128, 128, 3), value, np.uint8) for value in (220, 90))
    empty = disc(0, 0, 0) * 0
    made = AugmentedImages(
        keep([pale, dark]), keep([empty, empty]), preset="dermoscopy", padding="skin", size=128, seed=0
    )
    made.pipeline.transforms.pop()
    for number in range(20):
        assert set(np.unique(made[number, 0][0])) == {220}
        assert set(np.unique(made[number, 1][0])) == {90}


def test_black_fills_with_black_and_calls_it_skin(keep: Keep) -> None:
    pictures = labelled(keep, [disc(64, 64, 20)], "black", colour=False)
    black = [(image == 0).all(axis=-1) for image, _ in (pictures[number, 0] for number in range(20))]
    assert max(corner.mean() for corner in black) > 0.02
    assert not any((corner & (pictures[n, 0][1] > 0)).any() for n, corner in enumerate(black))


def most_lesions(keep: Keep, padding: Padding) -> int:
    """The most regions that one lesion near a corner became in fifty draws; a tip of some pixels is none."""
    pictures = labelled(keep, [disc(16, 16, 12)], padding)
    found = [cv2.connectedComponentsWithStats(pictures[number, 0][1])[2][1:, cv2.CC_STAT_AREA] for number in range(50)]
    return max(int((areas > 20).sum()) for areas in found)


def test_mirrored_padding_paints_lesions_that_are_not_there(keep: Keep) -> None:
    assert most_lesions(keep, "reflect") > 1


@pytest.mark.parametrize("padding", sorted({*PADDINGS} - {"reflect"}))
def test_no_other_padding_paints_lesions(keep: Keep, padding: Padding) -> None:
    assert most_lesions(keep, padding) <= 1


def test_a_lesion_grows_by_zoom_alone_under_skin_and_by_more_under_reflection(keep: Keep) -> None:
    mask = disc(10, 10, 20)  # cut by the corner

    def growth(padding: Padding) -> float:
        pictures = labelled(keep, [mask], padding)
        return max(float(pictures[number, 0][1].sum() / mask.sum()) for number in range(50))

    assert growth("skin") < 1.25**2 * 1.05 < growth("reflect")


def test_padding_none_shows_real_pixels_only(keep: Keep) -> None:
    """Red is x and green is y: a view is a turned part of it, or the fit of an affine map is off."""
    x, y = np.meshgrid(np.arange(128), np.arange(128))
    coordinates = np.stack([x, y, x], axis=-1).astype(np.uint8)
    made = AugmentedImages(
        keep([coordinates]), keep([disc(64, 64, 20)]), preset="dermoscopy", padding="none", size=128, seed=0
    )
    made.pipeline.transforms.pop()
    own = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], axis=1)
    for number in range(40):
        shown = made[number, 0][0][..., :2].reshape(-1, 2).astype(float)
        affine = np.linalg.lstsq(own, shown, rcond=None)[0]
        assert np.abs(own @ affine - shown).max() < 3


def test_a_batch_is_channels_last_and_masks_have_a_channel(keep: Keep) -> None:
    pictures = labelled(keep, [disc(50, 70, 25), disc(30, 30, 12)])
    pairs = [pictures[0, 0], pictures[0, 1]]
    images, masks = collate(pairs)
    assert (images.shape, masks.shape) == ((2, 3, 128, 128), (2, 1, 128, 128))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(images[1].permute(1, 2, 0).numpy(), pairs[1][0])
    assert np.array_equal(masks[1, 0].numpy(), pairs[1][1])


def draws_of(pictures: AugmentedImages, batch_size: int, steps: int, epoch: int) -> list[list[tuple[int, int]]]:
    loader = augmented_loader(pictures, batch_size, 0, steps)
    loader.batch_sampler.sampler.set_epoch(epoch)
    return list(loader.batch_sampler)


@pytest.mark.parametrize(("images", "batch_size", "steps"), [(3, 8, 5), (5, 2, 100), (7, 3, 4)])
def test_batches_are_full_and_go_through_all_images_in_turn(
    keep: Keep, images: int, batch_size: int, steps: int
) -> None:
    pictures = labelled(keep, [disc(30, 30, 12)] * images)
    for epoch in (0, 2):
        batches = draws_of(pictures, batch_size, steps, epoch)
        assert batches
        assert {len(batch) for batch in batches} == {batch_size}
        flat = [draw for batch in batches for draw in batch]
        passes = ceil(len(flat) / images)
        first = epoch * max(ceil(batch_size / images), steps * batch_size // (10 * images))
        expected = [(n, int(i)) for n in range(first, first + passes) for i in order_of(images, 4, n)]
        assert flat == expected[: len(flat)]


def test_an_epoch_is_about_a_tenth_of_the_training(keep: Keep) -> None:
    pictures = labelled(keep, [disc(30, 30, 12)] * 5)
    assert len(draws_of(pictures, batch_size=4, steps=1000, epoch=0)) == 100


def batches(
    pictures: AugmentedImages, batch_size: int = 3, workers: int = 0, epoch: int = 0
) -> list[tuple[Picture, Picture]]:
    """Every image and mask of an epoch in order, whatever the batches."""
    loader = augmented_loader(pictures, batch_size, workers, steps=4)
    loader.batch_sampler.sampler.set_epoch(epoch)
    return [(i.numpy(), m.numpy()) for images, masks in loader for i, m in zip(images, masks, strict=True)]


def equal(ours: list[tuple[Picture, Picture]], theirs: list[tuple[Picture, Picture]]) -> bool:
    """Whether the shorter of both is the head of the other, pixel for pixel."""
    assert min(len(ours), len(theirs)) >= 3
    return all(
        np.array_equal(a, b) for one, other in zip(ours, theirs, strict=False) for a, b in zip(one, other, strict=True)
    )


@pytest.fixture
def strong(keep: Keep) -> Callable[..., AugmentedImages]:
    """Six pictures under the preset that draws most."""
    return lambda: labelled(keep, [disc(30, 30 + i, 12) for i in range(6)], preset="strong")


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_workers_draw_what_this_process_draws(strong: Callable[..., AugmentedImages]) -> None:
    assert equal(batches(strong()), batches(strong(), workers=2))


def test_other_batch_sizes_draw_the_same_pictures_in_the_same_order(strong: Callable[..., AugmentedImages]) -> None:
    assert equal(batches(strong(), batch_size=2), batches(strong(), batch_size=5))


def test_another_arm_sees_the_same_pictures(strong: Callable[..., AugmentedImages]) -> None:
    ours = batches(strong())
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    network = build_model("tu-test_efficientnet", "fpn", None)
    network(torch.zeros(2, 3, 32, 32))
    assert equal(ours, batches(strong()))


def test_a_resumed_training_sees_what_the_unbroken_one_saw(strong: Callable[..., AugmentedImages]) -> None:
    unbroken = strong()
    first, second = (batches(unbroken, epoch=epoch) for epoch in (0, 1))
    assert equal(second, batches(strong(), epoch=1))
    assert not equal(first, second)


def test_skin_fills_corners_inside_groups_of_a_file_too(keep: Keep, tmp_path: Path) -> None:
    path = tmp_path / "turned.yaml"
    path.write_text("- OneOf: {p: 1, transforms: [Rotate: {limit: [45, 45], p: 1}]}")
    empty = disc(0, 0, 0) * 0
    made = AugmentedImages(keep([photograph(empty)]), keep([empty]), preset=str(path), padding="skin", size=128, seed=0)
    assert set(np.unique(made[0, 0][0])) == set(SKIN)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"image_size": 31}, "at least 32, got 31"),
        ({"augmentation": "dermascopy"}, "or a YAML file .* got 'dermascopy'; did you mean 'dermoscopy'"),
        ({"cache_size": 0}, "--cache_size must be at least 1"),
    ],
)
def test_a_wrong_option_is_told_with_its_remedy(option: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        AugmentConfig(**option)
