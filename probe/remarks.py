"""The probes that these images do not allow, and what a reader of the scores should know beforehand."""

from collections.abc import Iterator, Mapping

import numpy as np

from dermssl.features.dense import MaskedPictures
from probe.config import ProbeConfig
from probe.maps.umap_map import FEWEST_MAPPED
from probe.scores.labels import ClassSplit
from probe.scores.similarity import FEWEST_COMPARED

TITLES = {
    "knn": "kNN, the vote of nearest neighbours",
    "linear": "the linear probe of classes",
    "dense": "the dense probe of masks",
    "invariance": "the comparison of two views",
    "cka": "CKA, the comparison of two encoders' stages",
    "umap": "UMAP, the map of all images",
}
"""What each probe of result.json is called where people read of it."""


def reasons(
    config: ProbeConfig, classes: ClassSplit, pictures: MaskedPictures, lesions: np.ndarray, count: int
) -> dict[str, str]:
    """The probes that these images do not allow or the options switch off, with the reason.

    Args:
        config: The options of the probe.
        classes: The images with classes.
        pictures: The images with masks.
        lesions: The lesion of each image whose two views would be compared.
        count: The number of all images.
    """
    alone = "" if len(config.inits) > 1 else "there is only one encoder; name others with --against"
    few = f"{len(lesions)} held-out images, of {FEWEST_COMPARED} needed" if len(lesions) < FEWEST_COMPARED else ""
    strangers = "" if len(set(lesions)) > 1 else "it needs held-out images of at least two lesions"
    unwanted = "" if config.pairs else "not asked for (--pairs 0)"
    every = {
        "knn": classes.refusal,
        "linear": classes.refusal,
        "dense": pictures.refusal,
        "invariance": unwanted or strangers,
        "cka": unwanted or alone or few,
        "umap": (f"{count} images, of {FEWEST_MAPPED} needed" if count < FEWEST_MAPPED else "")
        if config.umap
        else "not asked for (--no-umap)",
    }
    return {name: reason for name, reason in every.items() if reason}


def remarks(
    config: ProbeConfig, classes: ClassSplit, pictures: MaskedPictures, skipped: Mapping[str, str]
) -> Iterator[str]:
    """What was left out and why, a line each."""
    for name, reason in skipped.items():
        yield f"skipped: {TITLES[name]}: {reason}"
    if "knn" not in skipped:
        if classes.unknown:
            yield f"left out of the kNN and the linear probe: images without a class ({classes.unknown})"
        for name, reason in classes.left_out.items():
            yield f"left out of the kNN and the linear probe: class {name} ({reason})"
        if config.k > len(classes.train):
            yield f"--k {config.k}: only {len(classes.train)} images with a class can vote, so all of them do"
    if "dense" not in skipped:
        largest, count = max(config.dense_images), len(pictures.train)
        if pictures.without:
            yield f"left out of the dense probe: images whose mask is missing or unusable ({pictures.without})"
        if largest > count:
            yield f"--dense_images {largest}: only {count} images with a mask can be fitted on, so all of them are"
