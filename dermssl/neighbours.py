"""The vote of nearest neighbours: images whose features point the same way are of one class, or are not."""

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from dermssl.frozen import Features

TEMPERATURE = 0.1  # of Wu et al. 2018; MoCo's and lightly's evaluations took it over


def vote(
    bank: Features, classes: NDArray[np.int64], queries: Features, count: int, k: int, temperature: float = TEMPERATURE
) -> NDArray[np.float64]:
    """The weighted vote of the `k` nearest of `bank` (Wu et al. 2018, https://arxiv.org/abs/1805.01978, section 3.4).

    Args:
        bank: Features of known images, (N, C); need not be normalised.
        classes: Their classes, (N,), each below `count`.
        queries: Features of the images to classify, (Q, C).
        count: Number of classes.
        k: Neighbours, at most N.
        temperature: Divides cosine similarities; lower makes the nearest count more.

    Returns:
        Each class's share of the votes, (Q, count); a neighbour's vote weighs exp(similarity / temperature).
    """
    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatIP(bank.shape[1])
    index.add(unit(bank))
    similarities, neighbours = index.search(unit(queries), k)  # (Q, k) each
    weights = np.exp((similarities - similarities.max(axis=1, keepdims=True)) / temperature)
    votes = np.zeros((len(queries), count))
    np.add.at(votes, (np.arange(len(queries))[:, None], classes[neighbours]), weights)
    return np.asarray(votes / votes.sum(axis=1, keepdims=True))


def unit(features: Features) -> Features:
    """Rows of length 1; a row of zeros stays one, and is as near to all as to none."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.ascontiguousarray(features / np.where(lengths > 0, lengths, 1), dtype=np.float32)
