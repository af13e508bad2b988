"""What the pictures of a data set look like: artefacts and skin tone of each, measured once and kept."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermssl.appearance.covariates import SHORT_SIDE, covariates
from dermssl.appearance.hair import hair_score
from dermssl.appearance.skin_tone import typology_angle
from dermssl.data.images import read_rgb
from dermssl.data.kept import kept_folder
from dermssl.data.manifest import Manifest
from dermssl.data.masks import Lesion
from dermssl.files import short_hash
from dermssl.log import say
from dermssl.runs.control_group import usable_cores
from dermssl.runs.parquet import write_parquet

FORMAT = 1  # raised when the same pictures give other numbers
LONG = 500  # images; fewer are looked at before a line could be read
COLUMNS = ["image_id", "dark corners", "ruler", "sticker", "hair", "angle"]


def appearance(manifest: Manifest) -> pd.DataFrame:
    """A row an image, in the order of `manifest`: scores of artefacts in [0, 1], and the typology angle in degrees.

    `THRESHOLDS` of `dermssl.appearance.covariates` and `THRESHOLD` of `dermssl.appearance.hair` say from which score on
    an artefact counts as present. Hair and angle are nan for images without a mask, since both are of the skin outside
    the lesion, and everything is for those that the manifest has a problem with. Kept beside the manifest.
    """
    hashes = manifest.table[["image_id", "sha256", "mask_sha256"]].to_numpy().tolist()
    kept = kept_folder(manifest.root) / f"appearance-{short_hash([FORMAT, hashes])}.parquet"
    if not kept.is_file():
        paths, masks = manifest.paths(), manifest.table["mask_path"].tolist()
        whole = (manifest.table["problem"] == "").tolist()

        def look(row: int) -> dict[str, float]:
            if not whole[row]:
                return {}
            small = read_rgb(paths[row], SHORT_SIDE)
            return appearance_of_picture(small, at_size(manifest.lesion(row), small.shape) if masks[row] else None)

        if len(manifest) >= LONG:
            say(f"looking at {len(manifest)} pictures for artefacts and skin tone; kept in {kept.parent}")
        with ThreadPoolExecutor(usable_cores()) as pool:
            rows = list(pool.map(look, range(len(manifest))))
        table = pd.DataFrame(rows, columns=COLUMNS[1:])
        table.insert(0, "image_id", manifest.table["image_id"].to_numpy())
        write_parquet(kept, table)
    return pd.read_parquet(kept)


def appearance_of_picture(pixels: NDArray[np.uint8], lesion: NDArray[np.bool_] | None) -> dict[str, float]:
    """What is measured of one picture, (H, W, 3) RGB, and its lesion, (H, W)."""
    scores = covariates(pixels)
    if lesion is None:
        return scores
    return scores | {"hair": hair_score(pixels, lesion), "angle": typology_angle(pixels, lesion)}


def at_size(lesion: Lesion, shape: tuple[int, ...]) -> Lesion:
    """A mask at the size of a shrunk picture, (H, W); half-covered pixels are lesion."""
    whole = lesion.astype(np.uint8) * 255
    return np.asarray(cv2.resize(whole, (shape[1], shape[0]), interpolation=cv2.INTER_AREA) > 127)
