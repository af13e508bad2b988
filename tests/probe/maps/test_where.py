from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dermssl.data.manifest import read_manifest
from dermssl.data.pixel_cache import cached_images
from dermssl.features.frozen import FrozenEncoder
from dermssl.weights.encoder import start_from
from probe.maps.where import coloured, directions, fine_enough, maps_of, shown_pictures, where_figure

Draw = Callable[..., Path]


def draw_rows(count: int, dim: int) -> torch.Tensor:
    rows = torch.randn(count, dim, generator=torch.Generator().manual_seed(0)).double()
    return rows - rows.mean(dim=0)


def test_directions_are_the_main_ones_with_a_sign_that_stays() -> None:
    rows = draw_rows(200, 5) * torch.tensor([1.0, 9.0, 2.0, 5.0, 1.0])
    main = directions(rows)
    truth = torch.linalg.svd(rows, full_matrices=False).Vh[:3].T
    assert (main * truth).sum(dim=0).abs().numpy() == pytest.approx(np.ones(3), abs=1e-6)
    assert (main.gather(0, main.abs().argmax(dim=0, keepdim=True)) > 0).all()


def test_fewer_channels_than_colours_leave_colours_out() -> None:
    assert directions(draw_rows(20, 2))[:, 2].abs().sum() == 0


def test_what_differs_most_is_the_first_colour() -> None:
    half = torch.zeros(4, 6, 6)
    half[0, :, 3:] = 10  # the right half is another thing
    half += 0.1 * torch.randn(half.shape, generator=torch.Generator().manual_seed(1))
    red = coloured([half])[0][..., 0]
    assert red.shape == (6, 6)
    assert red[:, 3:].min() > 200
    assert red[:, :3].max() < 55


def test_a_colour_means_the_same_in_every_picture() -> None:
    first, second = torch.zeros(3, 4, 4), torch.zeros(3, 2, 2)
    first[0, :2], second[0] = 5, 5
    a, b = coloured([first, second])
    assert (b.shape, len(np.unique(b[..., 0]))) == ((2, 2, 3), 1)
    assert b[0, 0, 0] == a[0, 0, 0] != a[3, 3, 0]


def test_features_without_any_difference_are_grey() -> None:
    assert (coloured([torch.ones(3, 2, 2)])[0] == 128).all()


def test_every_encoder_has_its_column(draw: Draw) -> None:
    manifest = read_manifest(draw())
    images, rows = cached_images(manifest, 64), [0, 5, 7]
    encoders = [FrozenEncoder(start_from("random", "resnet18", s), 64, 2, torch.device("cpu")) for s in (0, 1)]
    maps = {f"seed {seed}": maps_of(encoder, images, rows) for seed, encoder in enumerate(encoders)}
    assert {drawn.shape for column in maps.values() for drawn in column} == {(16, 16, 3)}  # of stride 4
    figure = where_figure(shown_pictures(images, rows, 64), ["a", "b", "c"], maps)
    assert len(figure.axes) == 12  # two images a line
    assert [axes.get_title() for axes in figure.axes[:6]] == 2 * ["picture", "seed 0", "seed 1"]
    assert sum(len(axes.images) for axes in figure.axes) == 9


def test_the_last_map_that_is_fine_enough_is_shown() -> None:
    maps = [torch.zeros(1, 2, side, side) for side in (32, 16, 12, 8)]
    assert fine_enough(maps) is maps[2]
    assert fine_enough(maps[3:]) is maps[3]
