"""The presets, and a YAML of one's own: what is drawn, and what is refused before training."""

import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import albumentations as A
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dermssl.errors import UserError
from finetune.augmentation.borders import beyond, bordered, pad_nothing
from finetune.augmentation.fit import BORDERS
from finetune.augmentation.preset_transforms import preset
from finetune.augmentation.recipe import TRANSFORMS, augmentation_of, transforms_of
from finetune.options.augment import PRESETS, AugmentConfig, Padding

Picture = NDArray[np.uint8]
PADDINGS = get_args(Padding)
SHIPPED = sorted((Path(__file__).parents[3] / "configs" / "augmentation").glob("*.yaml"))
SIZE = 64


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str], str]:
    """A YAML file with this text."""

    def written(text: str) -> str:
        path = tmp_path / "own.yaml"
        path.write_text(text)
        return str(path)

    return written


def draws(steps: list[A.BasicTransform], image: Picture, mask: Picture, count: int = 40) -> list[dict[str, Picture]]:
    pipeline = A.Compose(steps, seed=0)
    found = []
    for seed in range(count):
        pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
        found.append(pipeline(image=image, mask=mask))
    return found


def grey(value: int = 128) -> Picture:
    return np.full((SIZE, SIZE, 3), value, np.uint8)


def ones() -> Picture:
    return np.ones((SIZE, SIZE), np.uint8)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_shows_nothing_from_beyond_under_padding_none(name: str) -> None:
    steps = preset(name, "none", SIZE)
    pad_nothing(steps)
    assert not any(beyond(drawn["mask"]).any() for drawn in draws(steps, grey(), ones()))


@pytest.mark.parametrize("name", ["dermoscopy", "strong"])
def test_every_padding_turns_and_bends_alike_and_black_uncovers(name: str) -> None:
    board = np.kron(np.indices((4, 4)).sum(axis=0) % 2, np.ones((16, 16))).astype(np.uint8)
    shown = {}
    for padding in ("skin", "black", "reflect", "edge"):
        steps = preset(name, padding, SIZE)
        pad_nothing(steps)
        shown[padding] = [drawn["mask"] for drawn in draws(steps, grey(), board)]
    assert all(np.array_equal(shown["black"], masks) for masks in shown.values())
    assert beyond(draws(preset(name, "black", SIZE), grey(), ones())[0]["mask"]).any()


def spread(name: str) -> tuple[float, float]:
    """How far a preset moves a grey picture's mean, and how rough it makes it, in grey values."""
    shown = [drawn["image"].astype(float) for drawn in draws(preset(name, "edge", SIZE), grey(), ones(), count=120)]
    return float(np.std([image.mean() for image in shown])), float(np.mean([image.std() for image in shown]))


def test_each_preset_moves_colour_more_than_the_one_before_it() -> None:
    (none, _), (light, _), (middle, smooth), (most, rough) = map(spread, PRESETS)
    assert none == light == 0 < middle < most
    assert smooth < 1e-9 < rough


def test_strong_turns_in_every_direction_and_dermoscopy_to_45_degrees() -> None:
    limits = [next(t for t in preset(name, "skin", SIZE) if isinstance(t, A.Affine)) for name in PRESETS[2:]]
    assert [affine.rotate for affine in limits] == [(-45, 45), (-180, 180)]
    assert [affine.scale["x"] for affine in limits] == [(0.8, 1.25), (0.7, 1.4)]


def test_bending_uncovers_no_more_than_a_row_and_a_column_at_any_size() -> None:
    """Albumentations' normalised grid leaves a last row and column out at most, whatever the size."""
    for size in (32, 96, 224, 512):
        bent = next(t for t in preset("strong", "black", size) if isinstance(t, A.GridDistortion))
        assert bent.border_mode == cv2.BORDER_REPLICATE
        pad_nothing([bent])
        bent.p = 1
        for drawn in draws([bent], np.zeros((size, size, 3), np.uint8), np.ones((size, size), np.uint8), count=5):
            assert drawn["mask"][:-1, :-1].all()


def test_strips_of_two_pixels_are_rounding_and_corners_are_not() -> None:
    inside = np.ones((8, 8), np.uint8)
    inside[:, :2] = inside[4] = 0
    assert not beyond(inside).any()
    inside[:3, 5:] = 0
    assert beyond(inside).nonzero()[0].tolist() == [0] * 3 + [1] * 3 + [2] * 3


@pytest.mark.parametrize("padding", [padding for padding in PADDINGS if padding != "none"])
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_is_built_under_every_padding(path: Path, padding: str) -> None:
    steps = transforms_of(str(path), padding, 96)
    assert {step.border_mode for step in bordered(steps)} <= {BORDERS[padding]}
    assert all(set(np.unique(drawn["mask"])) <= {0, 1} for drawn in draws(steps, grey(), ones(), count=10))


def test_a_shipped_recipe_for_padding_none_shows_nothing_from_beyond() -> None:
    zoomed = next(path for path in SHIPPED if path.stem == "zoomed")
    assert all(drawn["mask"].all() for drawn in draws(transforms_of(str(zoomed), "none", SIZE), grey(), ones()))


def test_recipes_are_shipped() -> None:
    assert {path.stem for path in SHIPPED} == {"isic2020_winners", "nnunet", "zoomed"}


def test_a_recipe_draws_what_the_same_transforms_draw(recipe: Callable[[str], str]) -> None:
    path = recipe(
        "- HorizontalFlip: {p: 0.5}\n- Affine: {rotate: [-45, 45], p: 1}\n- RandomResizedCrop: {scale: [0.5, 1]}"
    )
    by_hand = [
        A.HorizontalFlip(p=0.5),
        A.Affine(rotate=(-45, 45), border_mode=cv2.BORDER_REFLECT_101, p=1),
        A.RandomResizedCrop((SIZE, SIZE), scale=(0.5, 1)),
    ]
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    mask = (image[..., 0] > 99).astype(np.uint8)
    ours, theirs = (draws(steps, image, mask, count=8) for steps in (transforms_of(path, "reflect", SIZE), by_hand))
    assert all(np.array_equal(a[key], b[key]) for a, b in zip(ours, theirs, strict=True) for key in ("image", "mask"))


@pytest.mark.parametrize(("padding", "mode"), [("reflect", cv2.BORDER_REFLECT_101), ("edge", 1), ("black", 0)])
def test_padding_reaches_the_members_of_groups(recipe: Callable[[str], str], padding: str, mode: int) -> None:
    path = recipe("- SomeOf: {n: 1, transforms: [Affine: {rotate: 30}, Perspective, HorizontalFlip]}")
    assert [step.border_mode for step in bordered(transforms_of(path, padding, SIZE))] == [mode, mode]


BAD = {
    "- HorizontalFlop": r"entry 1 \(HorizontalFlop\): .* no transform 'HorizontalFlop'; did you mean 'HorizontalFlip'",
    "- Transpose\n- GaussNoise: {std_rnge: [0, 0.1]}": (
        r"entry 2 \(GaussNoise\): the transform has no argument 'std_rnge'; did you mean 'std_range'"
    ),
    "- GaussNoise: {var_limit: [5, 30]}": r"has no argument 'var_limit'; it has std_range, mean_range",
    "- GaussNoise: {std_range: [5, 30]}": r"\(GaussNoise\): std_range .* must be >= 0 and <= 1$",
    "- GaussNoise: {p: often}": r"\(GaussNoise\): p Input should be a valid number, unable to parse [a-z ]+$",
    "- ShiftScaleRotate": r"Please use Affine",
    "- OneOf: {transforms: [HorizontalFlip, VerticalFlipp]}": (
        r"entry 1 \(OneOf\), 2 \(VerticalFlipp\): .* did you mean 'VerticalFlip'"
    ),
    "- OneOf: {p: 1}": "a group takes a list of its own under 'transforms'",
    "- OneOf: {transforms: [HorizontalFlip], often: 1}": r"\(OneOf\): the transform has no argument 'often'",
    "- RandomCrop: {height: 32, width: 48}": "makes 32 x 48 of 64 x 64 pixels; a transform must keep",
    "- Normalize": "gives float32 and not uint8",
    "- CoarseDropout: {fill_mask: 7}": "puts 7 into a mask of 0 and 1",
    "- OverlayElements": "fails on a picture of 64 x 64 pixels .*overlay_metadata",
    "- Affine: {border_mode: 4}": "'border_mode' is what --padding decides; leave it out",
    "- Rotate: {fill: 9}": "'fill' is what --padding decides; leave it out",
    "- Blur: {blur_limit: 99999999}": r"\(Blur\): 'blur_limit' is 99999999, which is above 64; give less",
    "- ThinPlateSpline: {scale_range: [0.1, 1e9]}": "'scale_range' is 1000000000.0, which is above 4096",
    "- ThinPlateSpline: {num_control_points: 256}": "'num_control_points' is 256, which is above 32; give less",
    "- Blur: {blur_limit: 2020-13-45}": r"\(Blur\): ",
    "- &a Transpose\n- *a": r"own\.yaml: line 2 has an alias",
    "- Lambda": "has no transform 'Lambda'",
    "- HorizontalFlip: 0.5": r"entry 1: expected 'NAME: \{argument: value\}'",
    "- 3": "entry 1: expected",
    "augmentation: light": "expected a list of albumentations' transforms.*found dict",
    "": "expected a list .* found NoneType",
    "[": r"own\.yaml: not YAML \(while parsing",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text.replace("\n", " ")[:40])
def test_a_mistake_in_a_recipe_is_one_sentence_with_file_and_entry(recipe: Callable[[str], str], text: str) -> None:
    with pytest.raises(UserError, match=BAD[text]) as caught:
        transforms_of(recipe(text), "skin", SIZE)
    assert "own.yaml: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_albumentations_warns_of_is_refused_where_nobody_heeds_warnings(recipe: Callable[[str], str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(UserError, match="Please use Affine"):
            transforms_of(recipe("- ShiftScaleRotate"), "skin", SIZE)


def test_a_missing_recipe_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.yaml: cannot be read \(No such file or directory\); give a list"):
        transforms_of(str(tmp_path / "gone.yaml"), "skin", SIZE)


def test_what_uncovers_corners_is_refused_under_padding_none(recipe: Callable[[str], str]) -> None:
    path = recipe("- HorizontalFlip\n- Affine: {rotate: 20, p: 0.01}")
    assert len(transforms_of(path, "skin", SIZE)) == 2
    with pytest.raises(UserError, match=r"entry 2 \(Affine\): uncovers corners.*take another --padding"):
        transforms_of(path, "none", SIZE)


class Moody(A.ImageOnlyTransform):
    """Draws from numpy's own state, as an older transform may."""

    def apply(self, img: Picture, **params: object) -> Picture:
        return img + np.random.randint(0, 9, img.shape, dtype=np.uint8)  # noqa: NPY002


def test_a_transform_that_draws_on_its_own_is_refused(
    recipe: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRANSFORMS, "Moody", Moody)
    with pytest.raises(
        UserError, match=r"entry 1 \(Moody\): gives another picture when it is drawn again with the same seed"
    ):
        transforms_of(recipe("- Moody"), "skin", SIZE)


def test_the_identity_of_a_preset_is_its_name() -> None:
    assert [augmentation_of(AugmentConfig(augmentation=name)) for name in PRESETS] == list(PRESETS)


def test_the_identity_of_a_recipe_is_what_it_says_and_not_how_or_where(recipe: Callable[[str], str]) -> None:
    texts = [
        "- HorizontalFlip: {p: 0.5}",
        "# a remark\n- HorizontalFlip:\n    p: 0.5\n",
        "- HorizontalFlip: {p: 0.6}",
        "- VerticalFlip: {p: 0.5}",
    ]
    found = [augmentation_of(AugmentConfig(augmentation=recipe(text), image_size=SIZE)) for text in texts]
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_the_identity_of_a_wrong_recipe_is_its_error(recipe: Callable[[str], str]) -> None:
    with pytest.raises(UserError, match="HorizontalFlop"):
        augmentation_of(AugmentConfig(augmentation=recipe("- HorizontalFlop"), image_size=SIZE))
