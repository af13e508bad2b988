"""What these images do not allow to be asked, and what a reader of the scores should know beforehand."""

from collections.abc import Iterator, Mapping

import numpy as np

from dermssl.features.dense import Masked
from probe.config import ProbeConfig
from probe.maps.umap_map import FEWEST
from probe.scores.labels import Labelled
from probe.scores.similarity import FEWEST as FEWEST_COMPARED


def reasons(config: ProbeConfig, known: Labelled, pictures: Masked, lesions: np.ndarray, count: int) -> dict[str, str]:
    """The probes that these images do not allow or nobody wants, with the reason.

    Args:
        config: What is wanted.
        known: The images with classes.
        pictures: Those with masks.
        lesions: Of the images whose two views would be compared.
        count: All images.
    """
    alone = "" if len(config.inits) > 1 else "there is one encoder; --against names others"
    few = f"{len(lesions)} held-out images are too few to compare stages on" if len(lesions) < FEWEST_COMPARED else ""
    strangers = "" if len(set(lesions)) > 1 else "held-out images of two lesions are needed"
    unwanted = "" if config.pairs else "not asked for"
    every = {
        "knn": known.refusal,
        "linear": known.refusal,
        "dense": pictures.refusal,
        "invariance": unwanted or strangers,
        "cka": unwanted or alone or few,
        "umap": (f"{count} images are too few for a map" if count < FEWEST else "") if config.umap else "not asked for",
    }
    return {name: reason for name, reason in every.items() if reason}


def remarks(config: ProbeConfig, known: Labelled, pictures: Masked, skipped: Mapping[str, str]) -> Iterator[str]:
    """What was left out and why, a line each."""
    for name, reason in skipped.items():
        yield f"skipped: {name}: {reason}"
    if "knn" not in skipped:
        if known.unknown:
            yield f"left out of kNN and linear: {known.unknown} images without a class"
        for name, reason in known.left_out.items():
            yield f"left out of kNN and linear: class {name} ({reason})"
        if config.k > len(known.train):
            yield f"--k {config.k}: there are {len(known.train)} images to vote, and all of them do"
    if "dense" not in skipped:
        wanted, there = max(config.dense_images), len(pictures.train)
        if pictures.without:
            yield f"left out of dense: {pictures.without} images whose mask is missing or unusable"
        if wanted > there:
            yield f"--dense_images {wanted}: there are {there} masks to fit on, and all of them are taken"
