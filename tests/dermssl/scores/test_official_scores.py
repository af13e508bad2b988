"""Our scores beside those of isic-challenge-scoring, the official scorer of the challenge, to twelve digits."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from dermssl.data.masks import read_lesion
from dermssl.scores.counts import measures, summary

Mask = NDArray[np.bool_]
Pair = tuple[Mask, Mask]
Official = Callable[[Mask, Mask], Mapping[str, float]]

MASKS = Path(__file__).parents[4] / "shared" / "data" / "isic2018" / "masks"
NAMES = {  # theirs -> ours
    "jaccard": "jaccard",
    "threshold_jaccard": "isic_jaccard",
    "dice": "dice",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "accuracy": "accuracy",
}
TIGHT = 1e-12

# Of the official scorer's own code: pandas 3 wants it to say rename without inplace.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword in Series.rename")


@pytest.fixture
def official(official_scorer: ModuleType) -> Official:
    """The official scores of one pair of masks, under our names."""

    def scores(truth: Mask, prediction: Mask) -> Mapping[str, float]:
        images = {"truth_image": truth * np.uint8(255), "prediction_image": prediction * np.uint8(255)}
        return ours_named(official_scorer.SegmentationScore([SimpleNamespace(image_id="ISIC_0000000", **images)]))

    return scores


def ours_named(score: object) -> dict[str, float]:
    """The official means over images, under our names."""
    found: pd.Series = vars(score)["macro_average"]
    assert set(found.index) == set(NAMES)
    return {ours: float(found[theirs]) for theirs, ours in NAMES.items()}


def part(found: Mapping[str, float]) -> dict[str, float]:
    """Of our scores those that the official scorer has."""
    return {name: found[name] for name in NAMES.values()}


def pairs(count: int) -> list[Pair]:
    """Masks of two ellipses, of many sizes and from far apart to alike, and now and then empty or full."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        height, width = rng.integers(3, 90, 2).tolist()
        nearness = rng.random()
        first = rng.random(5)
        second = nearness * first + (1 - nearness) * rng.random(5)
        found.append((ellipse(first, height, width), ellipse(second, height, width)))
    return found


def ellipse(numbers: NDArray[np.float64], height: int, width: int) -> Mask:
    """One of centre, axes and angle in [0, 1]; empty below a twentieth of the first axis and full above nine tenths."""
    x, y, long, short, angle = numbers.tolist()
    if long > 0.9 or long < 0.05:
        return np.full((height, width), long > 0.9)
    canvas = np.zeros((height, width), np.uint8)
    centre, axes = (int(x * width), int(y * height)), (int(long * width), int(short * height))
    return cv2.ellipse(canvas, centre, axes, 180 * angle, 0, 360, 1, -1) > 0


def write(folder: Path, masks: list[Mask]) -> Path:
    """Masks as PNG under the names of the challenge."""
    folder.mkdir()
    for number, mask in enumerate(masks):
        assert cv2.imwrite(str(folder / f"ISIC_{number:07d}_segmentation.png"), mask * np.uint8(255))
    return folder


def pack(folder: Path) -> Path:
    """The folder's files as a zip archive beside it."""
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(folder.iterdir()):
            opened.write(path, path.name)
    return archive


def read(truths: Path, predictions: Path) -> list[dict[str, float]]:
    """Our scores of every pair of files."""
    return [
        measures(*(read_lesion(place) for place in (path, predictions / path.name)))
        for path in sorted(truths.iterdir())
    ]


def test_the_drawn_pairs_have_what_they_are_drawn_for() -> None:
    found = pd.DataFrame([measures(*pair) for pair in pairs(200)])
    assert ((found["area"] == 0) & (found["area_predicted"] == 0)).any()
    assert ((found["area"] == 0) != (found["area_predicted"] == 0)).any()
    assert ((found["area"] == 1) | (found["area_predicted"] == 1)).any()
    assert found["jaccard"].between(0.65, 0.99).sum() > 20
    assert found["jaccard"].between(0.01, 0.64).sum() > 20


def test_drawn_pairs_have_the_official_scores_one_by_one(official: Official) -> None:
    for truth, prediction in pairs(200):
        assert part(measures(truth, prediction)) == pytest.approx(official(truth, prediction), abs=TIGHT)


def test_drawn_pairs_have_the_official_means_from_folders_and_archives(
    official_scorer: ModuleType, tmp_path: Path
) -> None:
    truths, predictions = (
        write(tmp_path / name, list(of)) for name, of in zip("tp", zip(*pairs(200), strict=True), strict=True)
    )
    ours = part(summary(pd.DataFrame(read(truths, predictions))))
    score = official_scorer.SegmentationScore
    assert ours == pytest.approx(ours_named(score.from_dir(truths, predictions)), abs=TIGHT)
    assert ours == pytest.approx(ours_named(score.from_zip_file(pack(truths), pack(predictions))), abs=TIGHT)


EMPTY, FULL, SQUARE = np.zeros((4, 4), bool), np.ones((4, 4), bool), np.pad(np.ones((2, 2), bool), (0, 2))


@pytest.mark.parametrize("truth", [EMPTY, FULL, SQUARE], ids=["empty", "full", "square"])
@pytest.mark.parametrize("prediction", [EMPTY, FULL, SQUARE], ids=["empty", "full", "square"])
def test_empty_and_full_masks_have_the_official_scores(official: Official, truth: Mask, prediction: Mask) -> None:
    assert part(measures(truth, prediction)) == pytest.approx(official(truth, prediction), abs=TIGHT)


@pytest.mark.parametrize("wrong", [34, 35, 36], ids=["above", "at", "below"])
def test_the_threshold_of_the_official_score_is_ours(official: Official, wrong: int) -> None:
    truth = np.ones((10, 10), bool)
    prediction = truth.copy()
    prediction.flat[:wrong] = False
    assert measures(truth, prediction)["isic_jaccard"] == official(truth, prediction)["isic_jaccard"]


@pytest.mark.parametrize("value", [129, 200, 254, 255])
def test_a_mask_of_0_and_a_value_above_128_is_read_as_the_official_scorer_reads_it(
    official_scorer: ModuleType, tmp_path: Path, value: int
) -> None:
    assert areas(official_scorer, tmp_path, value) == (4 / 16, 4 / 16)


@pytest.mark.parametrize("value", [1, 7, 128])
def test_a_mask_of_0_and_a_small_value_is_a_lesion_to_us_and_empty_to_the_official_scorer(
    official_scorer: ModuleType, tmp_path: Path, value: int
) -> None:
    assert areas(official_scorer, tmp_path, value) == (4 / 16, 0)


def areas(official_scorer: ModuleType, folder: Path, value: int) -> tuple[float, float]:
    """The lesion's share of a mask of 0 and `value`, as we read it and as the official scorer does."""
    (truths := folder / "t").mkdir()
    cv2.imwrite(str(truths / "ISIC_0000000_segmentation.png"), SQUARE * np.uint8(value))
    full = write(folder / "p", [FULL])
    ours = float(read_lesion(truths / "ISIC_0000000_segmentation.png").mean())
    return ours, ours_named(official_scorer.SegmentationScore.from_dir(truths, full))["jaccard"]


def altered(masks: list[Mask]) -> list[Mask]:
    """Predictions as networks make them and worse: shifted, shrunk, grown, another image's, empty or full ones."""
    found = []
    for index, mask in enumerate(masks):
        lesion, kernel = mask.astype(np.uint8), np.ones((2 + index % 9,) * 2, np.uint8)
        other = cv2.resize(masks[index - 1].astype(np.uint8), mask.shape[::-1], interpolation=cv2.INTER_NEAREST)
        shifted = np.roll(lesion, (index % 31 - 15, index % 23 - 11), (0, 1))
        ways = [shifted, cv2.erode(lesion, kernel), cv2.dilate(lesion, kernel), other, shifted & other]
        found.append((0 * lesion if index == 7 else 0 * lesion + 1 if index == 8 else ways[index % len(ways)]) > 0)
    return found


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.skipif(not MASKS.is_dir(), reason="the masks of ../shared/data are not here")
def test_real_pairs_have_the_official_scores_one_by_one_and_on_average(
    official_scorer: ModuleType, tmp_path: Path
) -> None:
    from isic_challenge_scoring.load_image import iter_image_pairs  # once the fixture has made it importable

    chosen = [read_lesion(path) for path in sorted(MASKS.glob("*_segmentation.png"))[::12][:200]]
    truths, predictions = write(tmp_path / "t", chosen), write(tmp_path / "p", altered(chosen))
    ours, score = read(truths, predictions), official_scorer.SegmentationScore
    assert len(ours) == 200
    for found, pair in zip(ours, iter_image_pairs(truths, predictions), strict=True):
        assert part(found) == pytest.approx(ours_named(score([pair])), abs=TIGHT)
    official = ours_named(score.from_dir(truths, predictions))
    assert part(summary(pd.DataFrame(ours))) == pytest.approx(official, abs=TIGHT)
    assert 0.2 < official["jaccard"] < 0.95
