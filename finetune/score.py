"""Scores of the held-out images, each at its native size, and what is kept to look at them."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from dermssl.cache import PixelCache
from dermssl.files import whole_folder
from dermssl.images import Pixels, read_rgb
from dermssl.manifest import Manifest
from dermssl.masks import read_mask
from dermssl.plots import predictions_figure, save_figure, thumbnail
from dermssl.scores import count, row
from finetune.inference import Predictor

Masks = dict[int, tuple[Pixels, Pixels]]  # truth and prediction of image i, as thumbnails of its native size


def score(predictor: Predictor, val: Manifest, pixels: PixelCache) -> tuple[pd.DataFrame, Masks]:
    """Scores of every held-out image, a row each, and its truth and prediction as thumbnails."""
    table, paths = val.table, val.paths("mask_path")
    sizes = list(zip(table["height"].tolist(), table["width"].tolist(), strict=True))
    rows, masks = [], {}
    for index, mask in predictor.masks(lambda i: np.asarray(pixels[i]), sizes):
        truth = read_mask(paths[index])
        known = table.iloc[index][["image_id", "lesion_id", "width", "height"]].to_dict()
        rows.append(known | row(count(truth, mask)))
        masks[index] = (thumbnail(truth), thumbnail(mask))
    return pd.DataFrame(rows), masks


def draw_predictions(path: Path, val: Manifest, scores: pd.DataFrame, masks: Masks) -> None:
    """Saves a figure of the best, the median and the worst held-out images."""
    photographs, jaccard = val.paths(), scores["jaccard"].to_numpy()
    order = np.argsort(-jaccard, kind="stable")
    middle = max(0, len(order) // 2 - 2)
    chosen = {"best": order[:4], "median": order[middle : middle + 4], "worst": order[-4:]}
    drawn = {
        name: [(thumbnail(read_rgb(photographs[i])), *masks[i], float(jaccard[i])) for i in indices]
        for name, indices in chosen.items()
    }
    save_figure(predictions_figure(drawn, len(scores)), path)


def keep_examples(folder: Path, val: Manifest, masks: Masks, examples: int) -> None:
    """Leaves small copies of the first few images with truth and prediction, so that a report needs no data set.

    The three pictures of an image have one size: all are made from what has its native size, not from the cache.
    """
    if folder.exists():
        return
    with whole_folder(folder) as part:
        first = zip(val.table["image_id"][:examples], val.paths()[:examples], strict=True)
        for index, (image_id, path) in enumerate(first):
            name = image_id.replace("/", "_")
            image = cv2.cvtColor(thumbnail(read_rgb(path)), cv2.COLOR_RGB2BGR)
            truth, prediction = masks[index]
            drawn = {f"{name}.jpg": image, f"{name}_truth.png": truth, f"{name}_prediction.png": prediction}
            for file, picture in drawn.items():  # not imwrite, which says nothing of a full disk
                (part / file).write_bytes(cv2.imencode(Path(file).suffix, picture)[1].tobytes())
