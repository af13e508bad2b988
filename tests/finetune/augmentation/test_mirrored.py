"""What padding invents, counted on the draws of training; and the sheet on which it is seen."""

from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path
from typing import get_args

import albumentations as A
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dermssl.data.pixel_cache import PixelCache
from dermssl.errors import UserError
from dermssl.training.randomness import Order
from finetune.augmentation.augmented_images import AugmentedImages
from finetune.augmentation.mirrored import InventedLesions, TracedSquare, Tracer, count_invented
from finetune.augmentation.sheet import INVENTED, padding_comparison, painted, pictures_to_show, sheet
from finetune.options.augment import FitName, Padding
from finetune.preview.config import PreviewConfig
from finetune.preview.run import preview

Picture = NDArray[np.uint8]
Keep = Callable[[list[Picture]], PixelCache]
PADDINGS = get_args(Padding)


def disc(x: int, y: int, radius: int, height: int = 96, width: int = 96) -> Picture:
    mask = np.zeros((height, width), np.uint8)
    cv2.circle(mask, (x, y), radius, 1, -1)
    return mask


def photograph(mask: Picture) -> Picture:
    return np.where(mask[..., None] > 0, np.uint8([90, 50, 40]), np.uint8([205, 160, 140])).astype(np.uint8)


def labelled(
    keep: Keep, masks: list[Picture], padding: Padding, preset: str = "dermoscopy", fit: FitName = "resize"
) -> AugmentedImages:
    photographs = [photograph(mask) for mask in masks]
    return AugmentedImages(keep(photographs), keep(masks), preset=preset, padding=padding, size=96, seed=3, fit=fit)


CUT, WITHIN, NOTHING = disc(4, 30, 20), disc(48, 48, 6), disc(0, 0, 0) * 0


@pytest.mark.parametrize("preset", ["dermoscopy", "strong"])
@pytest.mark.parametrize("padding", PADDINGS)
def test_what_is_traced_is_what_training_sees(keep: Keep, padding: Padding, preset: str) -> None:
    pictures = labelled(keep, [CUT, WITHIN], padding, preset)
    tracer = Tracer(pictures)
    for draw in [(0, 0), (7, 1), (2, 0)]:
        traced, seen = tracer[draw], labelled(keep, [CUT, WITHIN], padding, preset)[draw]
        assert np.array_equal(traced.image, seen[0])
        assert np.array_equal(traced.mask, seen[1])


@pytest.mark.parametrize("preset", ["dermoscopy", "strong"])
@pytest.mark.parametrize("padding", ["skin", "reflect", "edge"])
def test_outside_of_what_is_filled_every_padding_has_the_mask_of_black(
    keep: Keep, padding: Padding, preset: str
) -> None:
    ours, black = (Tracer(labelled(keep, [CUT], kind, preset)) for kind in (padding, "black"))
    for number in range(20):
        traced, bare = ours[number, 0], black[number, 0]
        assert np.array_equal(traced.filled, bare.filled)
        apart = (traced.mask != bare.mask) & (traced.filled == 0)
        assert apart.mean() < 0.02  # strips of two pixels, which count as the picture
        assert not bare.invented.any()


def test_half_a_lesion_shifted_inwards_is_mirrored_whole(keep: Keep) -> None:
    """Shifted by a half, the left half of the square is the mirror image of its right half."""
    pictures = labelled(keep, [disc(0, 48, 24)], "reflect")
    half = A.Affine(translate_percent={"x": (0.5, 0.5)}, border_mode=cv2.BORDER_REFLECT_101, p=1)
    pictures.pipeline = A.Compose([half], seed=0)
    traced = Tracer(pictures)[0, 0]
    assert traced.filled[:, :48].all()
    assert not traced.filled[:, 49:].any()
    assert traced.of_lesion == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("preset", ["dermoscopy", "strong"])
@pytest.mark.parametrize("padding", ["skin", "black", "none"])
def test_skin_black_and_none_invent_nothing(keep: Keep, padding: Padding, preset: str) -> None:
    found = count_invented(labelled(keep, [CUT, WITHIN], padding, preset), draws=60)
    assert (found.draws, found.pictures, found.of_lesion) == (60, 0, 0)
    assert (found.filled > 0.03) == (padding != "none")
    assert found.warning(padding) == ""


@pytest.mark.parametrize(("padding", "verb"), [("reflect", "mirrors"), ("edge", "smears")])
def test_the_count_is_that_of_a_loop_over_the_draws_of_training(keep: Keep, padding: Padding, verb: str) -> None:
    pictures = labelled(keep, [CUT, WITHIN, NOTHING], padding)
    shares, filled = [], []
    bare = labelled(keep, [CUT, WITHIN, NOTHING], "black")
    bare.masks = keep([np.ones_like(CUT)] * 3)
    for draw in islice(Order(3, 3, 20), 50):
        _, mask = pictures[draw]
        beyond = cv2.morphologyEx(1 - bare[draw][1], cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        shares.append((mask & beyond).sum() / max(1, mask.sum()))
        filled.append(beyond.mean())
    expected = np.array(shares)
    found = count_invented(pictures, draws=50)
    assert found.pictures == pytest.approx((expected > 0).mean(), abs=0.021)  # a strip at the frame, once in fifty
    assert found.of_lesion == pytest.approx(expected[expected > 0].mean(), rel=0.1)
    assert found.filled == pytest.approx(np.mean(filled), rel=0.05)
    assert 0.1 < found.pictures < 0.5
    assert f"--padding {padding} {verb} part of a lesion in {found.pictures:.1%} of the pictures" in found.warning(
        padding
    )
    assert found.warning(padding).endswith("--padding skin adds none")


def test_a_lesion_within_is_mirrored_by_none_of_the_small_turns(keep: Keep) -> None:
    assert count_invented(labelled(keep, [WITHIN], "edge"), draws=40).pictures == 0


def test_without_augmentation_nothing_is_filled(keep: Keep) -> None:
    assert count_invented(labelled(keep, [CUT], "reflect", "light"), draws=9) == InventedLesions(9, 0, 0, 0)


@pytest.mark.parametrize(("padding", "invented"), [("reflect", True), ("edge", True), ("skin", False), ("none", False)])
def test_a_letterbox_mirrors_what_its_bars_reflect(keep: Keep, padding: Padding, invented: bool) -> None:
    wide = disc(48, 4, 20, height=48, width=96)  # cut by the upper edge, at which a bar begins
    found = count_invented(labelled(keep, [wide], padding, "none", "letterbox"), draws=4)
    assert found.filled == 0.5
    assert (found.pictures > 0) == (found.of_lesion > 0.2) == invented


def test_a_crop_and_a_resize_add_no_bars(keep: Keep) -> None:
    wide = disc(48, 4, 20, height=48, width=96)
    for fit in ("crop", "resize"):
        assert count_invented(labelled(keep, [wide], "reflect", "none", fit), draws=2).filled == 0


def test_magenta_is_where_lesion_is_invented_and_nowhere_else() -> None:
    image = np.full((8, 8, 3), 100, np.uint8)
    mask, filled = np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)
    mask[2:6], filled[:, 4:] = 1, 1
    drawn = painted(TracedSquare(image, mask, filled)).astype(int)
    height, width = drawn.shape[:2]
    magenta = np.abs(drawn - (50 + np.array(INVENTED) // 2)).max(axis=-1) < 3
    rows, columns = (np.arange(side) * 8 // side for side in (height, width))
    invented = (mask & filled)[np.ix_(rows, columns)] > 0
    assert magenta[invented].mean() > 0.8  # the outline is drawn over it
    assert not magenta[~invented].any()


def test_the_sheet_shows_a_dozen_pictures_the_cut_ones_among_them(keep: Keep) -> None:
    masks = [WITHIN] * 20 + [CUT] * 4
    pictures = labelled(keep, masks, "reflect")
    shown = pictures_to_show(pictures)
    assert len(shown) == len(set(shown)) == 12
    assert {20, 21, 22, 23} <= set(shown)
    figure = sheet(pictures, [f"name_{index}" for index in range(24)], "a title")
    titles = [axis.get_title() for axis in figure.axes if axis.images]
    assert len(titles) == 12 * 5
    assert {f"name_{index}" for index in shown} <= set(titles)
    assert any("of the lesion mirrored" in title for title in titles)
    assert "a title" in figure.get_suptitle()


def test_a_handful_of_pictures_makes_a_smaller_sheet(keep: Keep) -> None:
    assert len(sheet(labelled(keep, [CUT], "skin"), ["only"], "").axes) == 5
    three = sheet(labelled(keep, [CUT, WITHIN, NOTHING], "skin"), ["a", "b", "c"], "")
    assert len([axis for axis in three.axes if axis.images]) == 15


def test_paddings_stand_side_by_side_in_one_draw(keep: Keep) -> None:
    drawn = {padding: labelled(keep, [CUT, WITHIN] * 6, padding) for padding in PADDINGS}
    figure = padding_comparison(drawn, [str(index) for index in range(12)], "")
    titles = [axis.get_title() for axis in figure.axes if axis.images]
    assert titles[1].partition(":")[0] == "skin"
    lesions = [title.partition(", ")[0].partition(": ")[2] for title in titles[1:3]]
    assert lesions[0] == lesions[1]  # skin and black move the lesion alike
    assert any("mirrored" in title for title in titles if title.startswith("reflect"))


def test_titles_keep_apart(keep: Keep) -> None:
    figure = sheet(labelled(keep, [CUT] * 12, "reflect"), ["a_very_long_name_of_an_image_0001"] * 12, "t")
    figure.canvas.draw()
    boxes = [axis.title.get_window_extent() for axis in figure.axes if axis.images][:10]
    gaps = [right.x0 - left.x1 for left, right in pairwise(boxes)]
    assert min(gaps) > 0


def test_a_preview_draws_and_counts_without_training(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sheets" / "sheet.png"
    preview(PreviewConfig(data=photographs, out=out, image_size=32, draws=20, fit="letterbox"))
    picture = cv2.imread(str(out))
    assert min(picture.shape[:2]) > 500
    lines = capsys.readouterr().out.splitlines()
    first = next(number for number, line in enumerate(lines) if "padding" in line)
    assert [line.split()[0] for line in lines[first + 1 : first + 6]] == list(PADDINGS)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"draws": 0}, "--draws must be at least 1"),
        ({"out": Path("sheet.jpg")}, "--out is a PNG file"),
        ({"image_size": 31}, "at least 32"),
        ({"augmentation": "strng"}, "did you mean 'strong'"),
    ],
)
def test_a_wrong_option_of_a_preview_is_told(option: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        PreviewConfig(**option)


def test_a_preview_refuses_a_wrong_recipe_before_it_looks_for_images(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("- HorizontalFlop")
    with pytest.raises(UserError, match="did you mean 'HorizontalFlip'"):
        preview(PreviewConfig(data=tmp_path / "nowhere", augmentation=str(path)))
