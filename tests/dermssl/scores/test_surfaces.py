"""Boundaries and their distances, on masks that a reader can check by eye and against all pairs of pixels."""

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from dermssl.scores.surfaces import boundary, boundary_distances, hd95, surface_scores

Mask = NDArray[np.bool_]


def drawn(picture: str) -> Mask:
    """A mask from lines of # and . for lesion and skin."""
    return np.array([[letter == "#" for letter in line] for line in picture.split()])


def dots(shape: tuple[int, int], *places: tuple[int, int]) -> Mask:
    """A mask of single pixels, each given by row and column."""
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    return mask


def of_boundary(mask: Mask) -> Mask:
    """The boundary as a picture."""
    picture = np.zeros_like(mask)
    x, y = boundary(mask).T
    picture[y, x] = True
    return picture


SQUARE = drawn("##.. ##.. .... ....")
SHIFTED = drawn(".##. .##. .... ....")
EMPTY = drawn(".... .... .... ....")
FULL = drawn("#### #### #### ####")
DIAGONAL = math.hypot(4, 4)


def by_loop(truth: Mask, prediction: Mask) -> dict[str, float]:
    """Every score from its definition, a pair of pixels at a time."""
    a, b, diagonal = edge_by_loop(truth), edge_by_loop(prediction), math.hypot(*truth.shape)
    there = [min((math.dist(p, q) for q in b), default=diagonal) for p in a]
    back = [min((math.dist(p, q) for q in a), default=diagonal) for p in b]
    within = [50 * 50 * round(gap**2) <= truth.shape[0] ** 2 + truth.shape[1] ** 2 for gap in there + back]
    farthest = max((percentile_by_hand(gaps) for gaps in (there, back) if gaps), default=0.0)
    return {
        "surface_dice": sum(within) / len(within) if within else 1.0,
        "hd95": farthest,
        "hd95_share": farthest / diagonal,
    }


def edge_by_loop(mask: Mask) -> list[tuple[int, int]]:
    height, width = mask.shape
    found = []
    for y in range(height):
        for x in range(width):
            around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            inside = all(0 <= v < height and 0 <= u < width and mask[v, u] for v, u in around)
            if mask[y, x] and not inside:
                found.append((y, x))
    return found


def percentile_by_hand(gaps: list[float]) -> float:
    rising = sorted(gaps)
    place = 0.95 * (len(rising) - 1)
    below, above = rising[math.floor(place)], rising[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))


def random_masks(seed: int) -> tuple[Mask, Mask]:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 14, 2))
    return rng.random(shape) < rng.random(), rng.random(shape) < rng.random()


def blobs(seed: int) -> tuple[Mask, Mask]:
    """Two masks of a few ellipses that may be cut by the frame."""
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(2):
        mask = np.zeros((90, 120), np.uint8)
        for _ in range(int(rng.integers(1, 4))):
            centre, axes = rng.integers(0, (120, 90)), rng.integers(2, 40, 2)
            cv2.ellipse(mask, centre.tolist(), axes.tolist(), float(rng.uniform(0, 180)), 0, 360, 1, -1)
        masks.append(mask > 0)
    return masks[0], masks[1]


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("..... .###. .###. .###. .....", "..... .###. .#.#. .###. ....."),
        ("##### ##### ##### ##### #####", "##### #...# #...# #...# #####"),
        ("..... ..#.. .###. ..#.. .....", "..... ..#.. .#.#. ..#.. ....."),
        ("##### ##### ##.## ##### #####", "##### #.#.# ##.## #.#.# #####"),
        ("##... ##... ..... ..... ...##", "##... ##... ..... ..... ...##"),
        ("..... ..... ..#.. ..... .....", "..... ..... ..#.. ..... ....."),
        ("..... ..... ##### ..... .....", "..... ..... ##### ..... ....."),
        ("..... ..... ..... ..... .....", "..... ..... ..... ..... ....."),
    ],
    ids=["square", "full", "cross", "hole", "corners", "pixel", "line", "empty"],
)
def test_a_boundary_is_the_pixels_with_skin_or_the_frame_beside_them(mask: str, expected: str) -> None:
    assert of_boundary(drawn(mask)).tolist() == drawn(expected).tolist()


def test_a_boundary_has_each_pixel_once_as_x_and_y_in_reading_order() -> None:
    assert boundary(drawn("...# .#.. ....")).tolist() == [[3, 0], [1, 1]]
    assert boundary(EMPTY).shape == (0, 2)


def test_a_square_shifted_by_one_has_half_its_boundary_in_place_and_half_of_it_a_pixel_off() -> None:
    found = surface_scores(SQUARE, SHIFTED)
    assert found == {"surface_dice": 4 / 8, "hd95": 1.0, "hd95_share": 1 / DIAGONAL}


def test_a_lesion_that_fills_the_frame_has_its_boundary_at_the_frame() -> None:
    there, back = boundary_distances(FULL, SQUARE)
    knight = math.sqrt(5)
    assert there.tolist() == pytest.approx([0, 0, 1, 2, 0, 2, 1, knight, 2, 2, knight, math.sqrt(8)])
    assert back.tolist() == [0, 0, 0, 1]
    assert surface_scores(FULL, SQUARE)["surface_dice"] == (3 + 3) / (12 + 4)


@pytest.mark.parametrize("mask", [SQUARE, EMPTY, FULL, dots((4, 4), (2, 1))], ids=["square", "empty", "full", "pixel"])
def test_a_mask_lies_on_itself(mask: Mask) -> None:
    assert surface_scores(mask, mask) == {"surface_dice": 1.0, "hd95": 0.0, "hd95_share": 0.0}


@pytest.mark.parametrize("mask", [SQUARE, FULL, dots((4, 4), (3, 3))], ids=["square", "full", "pixel"])
def test_an_empty_mask_is_a_diagonal_away_from_any_other(mask: Mask) -> None:
    nowhere = {"surface_dice": 0.0, "hd95": DIAGONAL, "hd95_share": 1.0}
    assert surface_scores(mask, EMPTY) == nowhere
    assert surface_scores(EMPTY, mask) == nowhere


def test_nothing_is_farther_than_an_empty_mask() -> None:
    corners = surface_scores(dots((30, 40), (0, 0)), dots((30, 40), (29, 39)))
    assert corners["hd95"] == math.hypot(29, 39) < 50
    assert corners["hd95_share"] == pytest.approx(math.hypot(29, 39) / 50)


def test_two_pixels_are_as_far_apart_as_their_centres() -> None:
    found = surface_scores(dots((8, 8), (1, 2)), dots((8, 8), (4, 6)))
    assert found == {"surface_dice": 0.0, "hd95": 5.0, "hd95_share": 5 / math.hypot(8, 8)}


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 4), (3, 5), (10, 6), (11, 8), (9, 12)])
def test_a_distance_of_just_two_percent_of_the_diagonal_is_within_the_tolerance(rows: int, columns: int) -> None:
    shape = (50 * rows, 50 * columns)
    assert surface_scores(dots(shape, (0, 0)), dots(shape, (rows, columns)))["surface_dice"] == 1


def test_the_tolerance_is_two_percent_of_the_diagonal_and_no_more() -> None:
    truth = dots((300, 400), (100, 100))  # a diagonal of 500 pixels and a tolerance of 10
    assert surface_scores(truth, dots((300, 400), (106, 108)))["surface_dice"] == 1
    assert surface_scores(truth, dots((300, 400), (100, 110)))["surface_dice"] == 1
    assert surface_scores(truth, dots((300, 400), (101, 110)))["surface_dice"] == 0


def test_the_surface_dice_counts_the_pixels_of_both_boundaries_together() -> None:
    truth, prediction = drawn("####.... ........ ........"), drawn("#....... ........ ........")
    assert surface_scores(truth, prediction)["surface_dice"] == (1 + 1) / (4 + 1)


def test_hd95_is_the_worse_of_the_two_directions() -> None:
    truth, prediction = dots((8, 8), (0, 0)), dots((8, 8), (0, 0), (0, 4))
    there, back = boundary_distances(truth, prediction)
    assert (there.tolist(), back.tolist()) == ([0], [0, 4])
    assert hd95((there, back)) == hd95((back, there)) == pytest.approx(0.95 * 4)


def test_a_stray_pixel_in_forty_does_not_move_hd95() -> None:
    line = dots((9, 50), *((0, column) for column in range(40)))
    stray = line | dots((9, 50), (8, 49))
    assert surface_scores(line, stray)["hd95"] == 0
    assert surface_scores(line, stray)["surface_dice"] == 80 / 81


def test_surface_scores_equal_looking_at_all_pairs_of_pixels() -> None:
    for seed in range(60):
        truth, prediction = random_masks(seed)
        assert surface_scores(truth, prediction) == pytest.approx(by_loop(truth, prediction), rel=1e-12), seed


@pytest.mark.parametrize("seed", range(6))
def test_boundaries_and_distances_equal_erosion_and_the_exact_distance_transform(seed: int) -> None:
    truth, prediction = blobs(seed)
    edges = [mask & ~binary_erosion(mask) for mask in (truth, prediction)]
    assert of_boundary(truth).tolist() == edges[0].tolist()
    there, back = boundary_distances(truth, prediction)
    assert there == pytest.approx(distance_transform_edt(~edges[1])[edges[0]], abs=1e-12)
    assert back == pytest.approx(distance_transform_edt(~edges[0])[edges[1]], abs=1e-12)
    within = np.concatenate([there, back]) <= 3  # of a diagonal of 150
    assert surface_scores(truth, prediction)["surface_dice"] == within.mean()


@pytest.mark.parametrize("seed", range(10))
def test_surface_scores_do_not_know_who_is_the_truth_nor_how_the_picture_is_turned(seed: int) -> None:
    truth, prediction = blobs(seed)
    found = surface_scores(truth, prediction)
    assert surface_scores(prediction, truth) == pytest.approx(found, rel=1e-12)
    for turned in (np.flipud, np.fliplr, np.transpose, np.rot90):
        assert surface_scores(turned(truth), turned(prediction)) == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize(("down", "right"), [(0, 1), (3, 4), (7, -2)])
def test_a_shift_moves_no_pixel_farther_than_itself(down: int, right: int) -> None:
    disc = cv2.circle(np.zeros((80, 100), np.uint8), (50, 40), 20, 1, -1) > 0
    found = surface_scores(disc, np.roll(disc, (down, right), (0, 1)))
    assert 0 < found["hd95"] <= math.hypot(down, right)


def test_masks_of_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"truth is \(4, 4\) and prediction \(2, 4\); both must have the native size"):
        surface_scores(SQUARE, SQUARE[:2])
