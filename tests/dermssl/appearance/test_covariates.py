"""The cheap detectors, against drawings that say what they show."""

import cv2
import numpy as np
import pytest

from dermssl.appearance.covariates import THRESHOLDS, covariates, dark_corners_score, rhythm, ruler_score, sticker_score
from dermssl.synthetic import artefacts
from dermssl.synthetic.dataset import draw_image

DRAWN = 80
Truth = dict[str, tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def told() -> Truth:
    """Of each covariate: what is in the drawings, and what is found in them."""
    real, seen = artefacts.artefacts_of, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artefacts, "artefacts_of", lambda rng: seen.append(real(rng)) or seen[-1])
        scores = [covariates(draw_image(11, index, 192).image) for index in range(DRAWN)]
    return {
        name: (np.array([name in there for there in seen]), np.array([score[name] >= least for score in scores]))
        for name, least in THRESHOLDS.items()
    }


@pytest.mark.parametrize(("name", "least"), [("dark corners", 0.8), ("ruler", 0.75), ("sticker", 0.6)])
def test_most_of_what_is_drawn_is_found(name: str, least: float, told: Truth) -> None:
    there, found = told[name]
    assert (there & found).sum() >= least * there.sum()


@pytest.mark.parametrize("name", THRESHOLDS)
def test_most_of_what_is_found_is_there(name: str, told: Truth) -> None:
    there, found = told[name]
    assert (there & found).sum() >= 0.85 * found.sum() > 0


def skin(height: int = 192, width: int = 192) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 2, (height, width, 1))
    return (np.array([215, 170, 150]) + noise).clip(0, 255).astype(np.uint8)


def test_plain_skin_has_no_covariate() -> None:
    assert all(score < 0.2 for score in covariates(skin()).values())


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_picture_of_one_value_has_no_covariate(value: int) -> None:
    assert set(covariates(np.full((40, 50, 3), value, np.uint8)).values()) == {0.0}


@pytest.mark.parametrize("size", [(1, 1), (3, 90), (21, 40), (45, 45), (60, 400)])
def test_a_picture_of_any_size_has_scores(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert all(0 <= score <= 1 for score in covariates(noise).values())


def test_a_round_aperture_has_dark_corners() -> None:
    image = skin(150, 200)
    image[cv2.circle(np.zeros((150, 200), np.uint8), (100, 75), 85, 1, -1) == 0] = 5
    assert dark_corners_score(image) > 0.9


def test_a_dark_lesion_in_two_corners_is_no_aperture() -> None:
    image = skin()
    image[:, :60] = 20
    assert dark_corners_score(image) < 0.2


@pytest.mark.parametrize("angle", [0, 17, 90, 205])
def test_a_scale_is_found_at_any_angle(angle: int) -> None:
    image = skin()
    layer = np.zeros((192, 192), np.uint8)
    cv2.line(layer, (30, 150), (160, 150), 255, 1)
    for x in range(30, 161, 8):
        cv2.line(layer, (x, 150), (x, 143), 255, 1)
    turned = cv2.warpAffine(layer, cv2.getRotationMatrix2D((96, 96), angle, 1), (192, 192))
    assert ruler_score((image * (1 - 0.7 * turned[..., None] / 255)).astype(np.uint8)) > THRESHOLDS["ruler"]


def test_a_straight_hair_is_no_ruler() -> None:
    image = skin()
    cv2.line(image, (10, 30), (180, 120), (60, 40, 30), 2, cv2.LINE_AA)
    assert ruler_score(image) < THRESHOLDS["ruler"]


def test_a_comb_repeats_itself_after_its_period() -> None:
    comb = (np.arange(120) % 8 == 0).astype(np.float32)[None] * 50
    score, period = rhythm(comb - comb.mean())
    assert (score[0] > 0.6, round(float(period[0]))) == (True, 8)


@pytest.mark.parametrize("colour", [(240, 220, 40), (60, 160, 70), (40, 110, 200), (250, 140, 30)])
def test_a_disc_that_the_frame_cuts_is_a_sticker(colour: tuple[int, int, int]) -> None:
    image = cv2.circle(skin(), (190, 90), 40, colour, -1)
    assert sticker_score(image) > 0.9


def test_a_brown_lesion_that_the_frame_cuts_is_no_sticker() -> None:
    assert sticker_score(cv2.circle(skin(), (190, 90), 40, (110, 65, 45), -1)) == 0
