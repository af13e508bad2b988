"""What a report shows of an image: its photograph where that is at hand, truth and prediction as runs kept them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compare.records.data_sets import labelled_set
from compare.records.study import Study
from dermssl.data.images import Pixels, read_rgb
from dermssl.scores.thumbnails import thumbnail

MASKS = "masks.parquet"


class MaskPair(NamedTuple):
    """Truth and prediction of one image, (H, W), at most 256 pixels high and wide."""

    truth: NDArray[np.bool_]
    prediction: NDArray[np.bool_]


def kept_masks(folders: Sequence[Path], image_ids: Sequence[str]) -> dict[str, MaskPair]:
    """Truth and prediction of those of the images that these runs, the folds of one arm, have scored."""
    masks: dict[str, MaskPair] = {}
    for path in (folder / MASKS for folder in folders):
        if path.is_file():
            table = pd.read_parquet(path, filters=[("image_id", "in", list(image_ids))])
            rows = zip(table["image_id"], table["truth"], table["prediction"], strict=True)
            masks |= {str(name): MaskPair(_mask(truth), _mask(prediction)) for name, truth, prediction in rows}
    return masks


def photograph_paths(study: Study) -> dict[str, Path]:
    """The photograph of every image of the study's data set; none where the folder is gone or holds other images."""
    manifest = labelled_set(study)
    return {} if manifest is None else dict(zip(manifest.table["image_id"], manifest.paths(), strict=True))


def read_photograph(path: Path) -> Pixels:
    """A photograph (H, W, 3) at the size of its masks."""
    return thumbnail(read_rgb(path))


def _mask(png: bytes) -> NDArray[np.bool_]:
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8) > 127
