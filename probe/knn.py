"""Nearest neighbours: is an image's class that of the images whose features point the same way?"""

from dataclasses import dataclass

import faiss
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from probe.features import Features
from probe.intervals import Interval, class_mean
from probe.labels import Labelled

TEMPERATURE = 0.1  # of Wu et al. 2018; MoCo's and lightly's evaluations took it over


@dataclass(frozen=True)
class Neighbours:
    """What the vote of the neighbours got right."""

    accuracy: Interval
    """Balanced: the mean over classes of the share of images recognised."""
    k: int
    """Neighbours that voted: those asked for, or all there are."""
    confusion: pd.DataFrame
    """Held-out images by true class (rows) and voted class (columns)."""


def probe_neighbours(features: Features, images: Labelled, k: int, seed: int) -> Neighbours:
    """Lets the training images vote on the held-out ones.

    Args:
        features: Of all images, (N, C).
        images: Which of them train and are held out, and their classes; at least two classes.
        k: Neighbours; more than the training images are clamped to these.
        seed: Of the interval.
    """
    k = min(k, len(images.train))
    votes = vote(features[images.train.rows], images.train.classes, features[images.val.rows], len(images.names), k)
    voted = votes.argmax(axis=1)
    hits = voted == images.val.classes
    accuracy = class_mean(hits, images.val.classes, images.val.lesions, seed)
    return Neighbours(accuracy, k, confusion(images.val.classes, voted, images.names))


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


def confusion(truth: NDArray[np.int64], guess: NDArray[np.int64], names: tuple[str, ...]) -> pd.DataFrame:
    """Images by true class (rows) and guessed class (columns)."""
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (truth, guess), 1)
    return pd.DataFrame(counts, index=pd.Index(names, name="truth"), columns=pd.Index(names))
