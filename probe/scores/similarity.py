"""Similarity of two encoders, stage by stage: linear CKA of what they see in the same pictures."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

FEWEST_COMPARED = 4  # pictures: the unbiased estimate divides by N - 3


def cka(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Linear centred kernel alignment of features (N, C) and (N, D) of the same N >= 4 pictures.

    1 where one is a rotation and a scaling of the other, 0 where they have nothing to do with each other (Kornblith et
    al. 2019, https://arxiv.org/abs/1905.00414). With the unbiased estimate of HSIC (Song et al. 2012), because the
    plain one nears 1 for any two features as soon as they have more dimensions than there are pictures; it can
    therefore fall a little below 0. nan where either is constant.

    Raises:
        ValueError: If the pictures differ in number or are fewer than four.
    """
    if len(a) != len(b) or len(a) < FEWEST_COMPARED:
        raise ValueError(f"CKA needs the same four pictures or more, got {len(a)} and {len(b)}")
    if np.ptp(a, axis=0).max() == 0 or np.ptp(b, axis=0).max() == 0:
        return float("nan")
    gram_a, gram_b = (gram(np.asarray(features, np.float64)) for features in (a, b))
    own = hsic(gram_a, gram_a) * hsic(gram_b, gram_b)
    return hsic(gram_a, gram_b) / float(np.sqrt(own)) if own > 0 else float("nan")


def gram(features: FloatArray) -> FloatArray:
    """Products of all pairs of rows about their mean, (N, N); the diagonal is 0, as the unbiased estimate wants it."""
    centred = features - features.mean(axis=0)
    products: FloatArray = centred @ centred.T
    np.fill_diagonal(products, 0)
    return products


def hsic(k: FloatArray, l: FloatArray) -> float:  # noqa: E741 - the paper's letters
    """The unbiased estimate of HSIC from Gram matrices with an empty diagonal, up to a factor (Song et al., eq. 5)."""
    n = len(k)
    mean = k.sum() * l.sum() / ((n - 1) * (n - 2))
    return float((k * l).sum() + mean - 2 / (n - 2) * (k.sum(axis=0) @ l.sum(axis=0)))


def cka_by_stage(a: list[NDArray[np.floating]], b: list[NDArray[np.floating]]) -> FloatArray:
    """CKA of every stage of one encoder with every stage of another, (stages of a, stages of b)."""
    return np.array([[cka(stage_a, stage_b) for stage_b in b] for stage_a in a])


def similarity_table(matrix: FloatArray) -> pd.DataFrame:
    """A row a stage of the first encoder, a column a stage of the second; 1 is the finest."""
    stages = [f"stage {stage + 1}" for stage in range(matrix.shape[1])]
    table = pd.DataFrame(matrix, columns=stages)
    table.insert(0, "stage", range(1, len(matrix) + 1))
    return table


def similarity_figure(matrix: FloatArray, a: str, b: str, images: int) -> Figure:
    """The matrix as a heat map with its numbers; the finest stage is at the top left."""
    figure = Figure(figsize=(1.1 + 0.75 * matrix.shape[1], 1.3 + 0.6 * matrix.shape[0]), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(matrix, vmin=0, vmax=1, cmap="cividis")
    for (row, column), value in np.ndenumerate(matrix):
        ink = "white" if not value > 0.5 else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(matrix.shape[1]), [str(stage + 1) for stage in range(matrix.shape[1])])
    axes.set_yticks(range(matrix.shape[0]), [str(stage + 1) for stage in range(matrix.shape[0])])
    axes.set(xlabel=f"stage of {b}", ylabel=f"stage of {a}")
    axes.set_title(f"CKA, n = {images} pictures", fontsize=9, loc="left")
    figure.colorbar(image, ax=axes, shrink=0.8)
    return figure
