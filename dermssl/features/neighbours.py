"""Nearest neighbours, and their vote: images whose features point the same way are of one class, or are not."""

from typing import NamedTuple

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from dermssl.features.frozen import Features

TEMPERATURE = 0.1  # of Wu et al. 2018; MoCo's and lightly's evaluations took it over
EXACT = 100_000  # rows of a bank; beyond them a query is compared with the nearest cells of an inverted file alone
SAMPLE = 256  # queries that both ways answer, to know the recall
RECALL = 0.98  # cells are opened until so many of the true neighbours are found


class NearestNeighbours(NamedTuple):
    """The nearest rows of a bank to each query, nearest first."""

    similarities: NDArray[np.float32]
    """Cosines, (Q, k)."""
    rows: NDArray[np.int64]
    """Rows of the bank, (Q, k)."""
    recall: float
    """Share of the true neighbours that were found, measured on some of the queries; 1 where the search was exact."""


def nearest_neighbours(bank: Features, queries: Features, k: int, exact_up_to: int = EXACT) -> NearestNeighbours:
    """The `k` rows of `bank` whose direction is nearest to each query's.

    A bank of more than `exact_up_to` rows is sorted into cells (faiss' IVF), as many of which are opened as it takes
    to find 98 % of the true neighbours of some queries.

    Args:
        bank: (N, C); need not be normalised.
        queries: (Q, C).
        k: At most N.
        exact_up_to: Rows up to which every query is compared with all of them.
    """
    faiss.omp_set_num_threads(torch.get_num_threads())
    bank_rows, query_rows = unit(bank), unit(queries)
    flat = faiss.IndexFlatIP(bank.shape[1])
    flat.add(bank_rows)
    if len(bank) <= exact_up_to:
        return NearestNeighbours(*flat.search(query_rows, k), recall=1.0)
    sample = query_rows[np.random.default_rng(0).permutation(len(query_rows))[:SAMPLE]]
    truth = flat.search(sample, k)[1]
    cells = inverted_file(bank_rows)
    recall, cells.nprobe = 0.0, 4
    while (recall := recall_of(truth, cells.search(sample, k)[1])) < RECALL and cells.nprobe < cells.nlist:
        cells.nprobe = min(2 * cells.nprobe, cells.nlist)
    return NearestNeighbours(*cells.search(query_rows, k), recall=recall)


def inverted_file(rows: Features) -> "faiss.IndexIVFFlat":
    """An inverted file of unit rows (N, C): 4 sqrt(N) cells, learnt from forty rows a cell, as faiss advises."""
    count = max(1, min(len(rows), round(4 * len(rows) ** 0.5)))
    cells = faiss.IndexIVFFlat(faiss.IndexFlatIP(rows.shape[1]), rows.shape[1], count, faiss.METRIC_INNER_PRODUCT)
    cells.train(rows[np.random.default_rng(0).permutation(len(rows))[: 40 * count]])
    cells.add(rows)
    return cells


def recall_of(truth: NDArray[np.int64], answers: NDArray[np.int64]) -> float:
    """The share of the true neighbours, (Q, k), that stand among those found, (Q, k)."""
    return float(np.mean([np.isin(ours, theirs).mean() for ours, theirs in zip(truth, answers, strict=True)]))


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
    return weighted_vote(nearest_neighbours(bank, queries, k), classes, count, temperature)


def weighted_vote(
    neighbours: NearestNeighbours, classes: NDArray[np.int64], count: int, temperature: float = TEMPERATURE
) -> NDArray[np.float64]:
    """The vote of neighbours that were found; see `vote`."""
    weights = np.exp((neighbours.similarities - neighbours.similarities.max(axis=1, keepdims=True)) / temperature)
    votes = np.zeros((len(neighbours.rows), count))
    np.add.at(votes, (np.arange(len(neighbours.rows))[:, None], classes[neighbours.rows]), weights)
    return np.asarray(votes / votes.sum(axis=1, keepdims=True))


def unit(features: Features) -> Features:
    """Rows of length 1; a row of zeros stays one, and is as near to all as to none."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.ascontiguousarray(features / np.where(lengths > 0, lengths, 1), dtype=np.float32)
