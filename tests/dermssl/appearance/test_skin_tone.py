from math import atan2, degrees, isnan

import cv2
import numpy as np
import pytest

from dermssl.appearance.skin_tone import ANGLES, TONES, skin_around, tone_of, typology_angle

NOTHING = np.zeros((96, 96), bool)


def skin_of(lightness: float, a: float, b: float) -> np.ndarray:
    """A picture of one colour, (96, 96, 3) RGB, from its CIE Lab."""
    lab = np.full((96, 96, 3), (lightness, a, b), np.float32)
    return np.rint(255 * cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)).astype(np.uint8)


def disc(radius: float) -> np.ndarray:
    y, x = np.ogrid[:96, :96]
    return np.asarray(np.hypot(y - 48, x - 48) < radius)


@pytest.mark.parametrize(("lightness", "b"), [(75, 12), (65, 18), (58, 17), (48, 19), (35, 12), (72, -4)])
def test_the_angle_of_a_patch_is_that_of_its_lab(lightness: float, b: float) -> None:
    angle = typology_angle(skin_of(lightness, 12, b), NOTHING)
    assert angle == pytest.approx(degrees(atan2(lightness - 50, b)), abs=2)  # 8 bits a channel


def test_light_skin_has_a_larger_angle_than_dark_skin() -> None:
    angles = [typology_angle(skin_of(lightness, 12, 16), NOTHING) for lightness in (80, 70, 62, 55, 45, 30)]
    assert angles == sorted(angles, reverse=True)
    assert [tone_of(angle) for angle in angles] == list(TONES)


def test_the_classes_are_those_of_chardon() -> None:
    assert [tone_of(angle) for angle in (56, 42, 29, 11, -29, -31)] == list(TONES)
    assert [tone_of(limit) for limit in ANGLES] == list(TONES[1:])
    assert tone_of(float("nan")) == ""


def test_the_lesion_its_halo_shadow_and_glare_do_not_count() -> None:
    picture = skin_of(70, 12, 16)
    plain = typology_angle(picture, NOTHING)
    picture[disc(22)] = (60, 30, 20)
    picture[disc(24) & ~disc(20)] = (120, 70, 60)  # a halo, two pixels beyond the mask
    picture[:10], picture[-6:] = 0, 255
    assert typology_angle(picture, disc(22)) == pytest.approx(plain, abs=0.5)
    assert not skin_around(picture, disc(22))[:10].any()


def test_a_lesion_that_fills_the_picture_leaves_no_skin_to_judge() -> None:
    assert isnan(typology_angle(skin_of(70, 12, 16), ~NOTHING))


def test_a_few_hairs_do_not_move_the_angle() -> None:
    picture = skin_of(70, 12, 16)
    plain = typology_angle(picture, NOTHING)
    for x in range(6, 96, 12):
        cv2.line(picture, (x, 0), (95 - x, 95), (60, 45, 40), 1)
    assert typology_angle(picture, NOTHING) == pytest.approx(plain, abs=1)
