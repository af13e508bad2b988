"""Scores of predicted masks on one core: ours beside isic-challenge-scoring and beside plain scipy.

    python -m benchmarks.scores

Truths are drawn lesions, predictions are those turned, shifted and zoomed a little. The official scorer has counts
alone. The plain side takes boundaries by erosion, and distances by transforms of the whole picture, as MONAI and medpy
do.
"""

import math
import statistics
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from benchmarks.timing import alternate, conditions, one_core, ratio, refuse_options, table
from dermssl.data.masks import read_lesion
from dermssl.scores.counts import count, measures, scores_of_counts, summary
from dermssl.synthetic.dataset import draw_image

IMAGES, ROUNDS, SIZES = 32, 7, ((256, 256), (450, 600), (767, 1022))  # height, width
WHOLE = 2594  # images of ISIC 2018's training set

Mask = NDArray[np.bool_]
Pair = tuple[Mask, Mask]
Scores = Callable[[Mask, Mask], dict[str, float]]
OURS, OFFICIAL, PLAIN = "ours", "isic-challenge-scoring", "plain scipy"


def main() -> None:
    refuse_options(__doc__)
    one_core()
    rows: list[list[str]] = []
    for height, width in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            pairs = drawn(height, width)
            refuse_difference(pairs)
            places = written(Path(folder), pairs)
            for what, sides in comparisons(pairs, places, official_scorer()).items():
                rates = alternate(sides, ROUNDS)
                rows += [cells(f"{width} x {height}", what, name, rates) for name in rates]
    print(table(["masks", "scores", "side", "ms an image", f"s for {WHOLE} images", "ours is faster by"], rows))
    libraries = ["numpy", "scipy", "opencv-python-headless", "pandas", "isic-challenge-scoring"]
    counts = f"{IMAGES} images; medians of {ROUNDS} alternating rounds (least to largest)"
    print(f"\n{conditions(libraries, counts)}")


def official_scorer() -> ModuleType:
    """`isic_challenge_scoring.segmentation`, but for its reader of an odd kind of zip, which needs a compiler."""
    sys.modules.setdefault("zipfile_deflate64", zipfile)
    from isic_challenge_scoring import segmentation

    return segmentation


def drawn(height: int, width: int) -> list[Pair]:
    """Truths and predictions, (height, width)."""
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(IMAGES):
        truth = cv2.resize((draw_image(0, index, 256).mask > 0).astype(np.uint8), (width, height))
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-10, 10), rng.uniform(0.9, 1.1))
        turn[:, 2] += rng.normal(0, 0.02, 2) * (width, height)
        pairs.append((truth > 0, cv2.warpAffine(truth, turn, (width, height)) > 0))
    return pairs


def written(folder: Path, pairs: Sequence[Pair]) -> tuple[Path, Path]:
    """Folders of truths and of predictions under the names of the challenge."""
    places = folder / "truths", folder / "predictions"
    for side, place in enumerate(places):
        place.mkdir()
        for index, pair in enumerate(pairs):
            cv2.imwrite(str(place / f"ISIC_{index:07d}_segmentation.png"), grey(pair[side]))
    return places


def grey(mask: Mask) -> NDArray[np.uint8]:
    """0 and 255."""
    return mask * np.uint8(255)


def read(places: tuple[Path, Path]) -> Iterator[Pair]:
    """The pairs of two folders."""
    for path in sorted(places[0].iterdir()):
        yield read_lesion(path), read_lesion(places[1] / path.name)


def comparisons(
    pairs: Sequence[Pair], places: tuple[Path, Path], official: ModuleType
) -> dict[str, dict[str, Callable[[], int]]]:
    """What is measured: of each kind of scores its sides."""
    score = official.SegmentationScore
    images = [SimpleNamespace(image_id="", truth_image=grey(t), prediction_image=grey(p)) for t, p in pairs]
    return {
        "counts, of arrays": {OURS: lambda: of(pairs, counts), OFFICIAL: lambda: done(score(images))},
        "counts, of files": {OURS: lambda: of(read(places), counts), OFFICIAL: lambda: done(score.from_dir(*places))},
        "all, of arrays": {OURS: lambda: of(pairs, measures), PLAIN: lambda: of(pairs, plain)},
        "all, of files": {OURS: lambda: of(read(places), measures), PLAIN: lambda: of(read(places), plain)},
    }


def of(pairs: Iterable[Pair], scores: Scores) -> int:
    """Scores every pair and sums them up."""
    return done(summary(pd.DataFrame([scores(*pair) for pair in pairs])))


def done(_: object) -> int:
    """How many images were scored."""
    return IMAGES


def counts(truth: Mask, prediction: Mask) -> dict[str, float]:
    return scores_of_counts(count(truth, prediction))


def plain(truth: Mask, prediction: Mask) -> dict[str, float]:
    """Ours in the usual way: a distance transform of the whole picture for either boundary."""
    edges = [mask & ~binary_erosion(mask) for mask in (truth, prediction)]
    there, back = (distance_transform_edt(~edges[1 - side])[edges[side]] for side in range(2))
    farthest, diagonal = max(np.percentile(there, 95), np.percentile(back, 95)), math.hypot(*truth.shape)
    within = np.concatenate([there, back]) <= 0.02 * diagonal
    found = {"surface_dice": float(within.mean()), "hd95": float(farthest), "hd95_share": float(farthest / diagonal)}
    return counts(truth, prediction) | found


def refuse_difference(pairs: Sequence[Pair]) -> None:
    """Stops where the two sides would not score the same."""
    for pair in pairs:
        usual, found = plain(*pair), measures(*pair)
        assert all(math.isclose(found[name], value, rel_tol=1e-9) for name, value in usual.items()), (usual, found)


def cells(masks: str, what: str, name: str, rates: dict[str, list[float]]) -> list[str]:
    """A row of the table."""
    seconds = 1 / statistics.median(rates[name])
    return [
        masks,
        what,
        name,
        f"{1000 * seconds:.2f}",
        f"{WHOLE * seconds:.1f}",
        "" if name == OURS else ratio(rates, OURS, name),
    ]


if __name__ == "__main__":
    main()
