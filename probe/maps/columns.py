"""What is known of each image beside its features: what a map can be coloured by and an explorer can show."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dermssl.data.manifest import Manifest
from dermssl.data.metadata import BESIDE, joined_words, joins_of
from dermssl.data.pixel_cache import PixelCache

CLASS = "class"
NUMBERS = ("age", "lesion area")
COLOUR = "mean colour"


def columns_of(manifest: Manifest, images: PixelCache, labels: Mapping[str, str]) -> pd.DataFrame:
    """A row an image: image_id, and whatever is known of any of them.

    `class`, `site`, `sex` and `source` are words, '' where unknown; `age` (years) and `lesion area` (share of the
    picture, in [0, 1]) are numbers, nan where unknown; `mean colour` is the picture's own, as #rrggbb. A column that
    says the same of every image is left out.

    Args:
        manifest: The images.
        images: Their pixels, in the same order.
        labels: Classes of those that have one.
    """
    table = manifest.table
    ids = table["image_id"]
    metadata = metadata_columns(manifest)
    columns = {
        CLASS: [labels.get(image, "") for image in ids],
        "site": metadata["site"],
        "age": pd.to_numeric(pd.Series(metadata["age"]), errors="coerce").astype(float).tolist(),
        "sex": metadata["sex"],
        "source": sources(table),
        "lesion area": table["mask_area"].where(table["mask_path"] != "", np.nan).tolist(),
        COLOUR: [mean_colour(images[index]) for index in range(len(images))],
    }
    everything = pd.DataFrame({"image_id": ids.tolist(), **columns})
    telling = [name for name in columns if everything[name].replace("", np.nan).nunique() > 1]
    return everything[["image_id", *telling]]


def metadata_columns(manifest: Manifest) -> dict[str, list[str]]:
    """What the data set's own tables say of each image; '' where they say nothing."""
    ids = manifest.table["image_id"].tolist()
    joins = joins_of(manifest.place, ids)
    words_by_name = {name: joined_words(joins, name) for name in BESIDE}
    return {name: [words.get(image, "") for image in ids] for name, words in words_by_name.items()}


def sources(table: pd.DataFrame) -> list[str]:
    """Where each image is from: the folder that it lies in below the root, with the set's name."""
    folders = table["path"].str.rpartition("/")[0]
    return [f"{source}/{folder}" if folder else source for source, folder in zip(table["source"], folders, strict=True)]


def mean_colour(picture: np.ndarray) -> str:
    """The mean of a picture (H, W, 3) as #rrggbb."""
    red, green, blue = np.rint(picture.reshape(-1, 3).mean(axis=0)).astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"
