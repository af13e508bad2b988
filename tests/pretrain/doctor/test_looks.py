"""What a look finds on drawn pictures, against plain oracles; and that it leaves no trace."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dermssl.data.manifest import read_manifest
from dermssl.data.pixel_cache import cached_images
from dermssl.weights.encoder import Start
from dermssl.weights.encoder_file import EncoderCard
from pretrain.doctor.looks import (
    Look,
    Rows,
    batch_of_pairs,
    dense_change,
    dense_pictures,
    dense_scores,
    features_of_views,
    first_of_lesion,
    pair_losses,
    shared_companions,
    slow_copy_distance,
    two_batches,
    untouched,
    vote_of_neighbours,
)
from pretrain.methods.method import Method
from pretrain.views.batch import Batch

Builds = Callable[..., Method]


class Colours(nn.Module):
    """An encoder whose only feature map is the picture, at half size."""

    def forward(self, pixels: Tensor) -> list[Tensor]:
        return [pixels, nn.functional.avg_pool2d(pixels, 2)]


@pytest.fixture
def look(draw_photographs: Callable[..., Path], tmp_path: Path) -> Callable[..., Look]:
    """Photographs of discs, two of a lesion; a lesion's class is whether its number is odd."""

    def made(count: int = 24, masks: bool = True, classes: bool = False) -> Look:
        manifest = read_manifest(draw_photographs(tmp_path / "set", count, masks))
        pictures = cached_images(manifest, 64)
        if classes:
            lesions = manifest.table["lesion_id"].str.removeprefix("lesion_").astype(int)
            manifest.table["label"] = np.where(lesions % 2 == 1, "mel", "nv")
        card = EncoderCard(encoder="colours", method="random", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        return Look(Start(Colours(), card, "0"), pictures, manifest, views_of(count), 64, 0)

    return made


def views_of(count: int) -> Callable[[Rows], Batch]:
    """Noise about a colour of each image's own."""
    colours = torch.rand(count, 3, 1, 1, generator=torch.Generator().manual_seed(0)) * 200

    def draw(rows: Rows) -> Batch:
        noise = torch.rand(2 * len(rows), 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 55
        views = (colours[rows].repeat(2, 1, 1, 1) + noise).byte()
        maps = torch.eye(2, 3).repeat(2 * len(rows), 1, 1)
        return Batch(views, torch.empty(0, 3, 32, 32).byte(), maps, torch.from_numpy(rows))

    return draw


def test_views_of_one_colour_each_lie_together_and_apart_from_others(look: Callable[..., Look]) -> None:
    found = features_of_views(look(masks=False), torch.device("cpu"))
    assert found["alignment"] < 0.01
    assert found["uniformity"] < -0.5
    assert 1 < found["rankme"] <= 3


def test_a_mask_that_is_a_matter_of_colour_is_found_by_the_dense_probe(look: Callable[..., Look]) -> None:
    scores = dense_scores(look(), torch.device("cpu"))
    assert scores is not None
    assert scores.mean() > 0.8


def test_other_pictures_with_masks_are_taken_where_there_are_some(look: Callable[..., Look]) -> None:
    masked = look()
    bare = replace(masked.manifest, table=masked.manifest.table.assign(mask_path=""))
    assert dense_scores(replace(masked, manifest=bare), torch.device("cpu")) is None
    here = replace(masked, manifest=bare, masked=(masked.pictures, masked.manifest))
    ours, theirs = dense_scores(here, torch.device("cpu")), dense_scores(masked, torch.device("cpu"))
    assert ours is not None
    assert theirs is not None
    assert np.array_equal(ours, theirs)


def test_a_change_of_the_dense_probe_is_paired() -> None:
    first = np.array([0.2, 0.5, 0.9, 0.6])
    moved = dense_change(first - 0.1, first)
    assert moved["dense_change"] == pytest.approx(-0.1)
    assert moved["dense_error"] == pytest.approx(0, abs=1e-12)
    apart = np.array([0.1, -0.3, 0.0, 0.2])
    assert dense_change(first + apart, first)["dense_error"] == pytest.approx(np.std(apart, ddof=1) / 2)


def test_without_masks_or_classes_neither_probe_gives_a_score(look: Callable[..., Look]) -> None:
    here = look(masks=False)
    assert dense_scores(here, torch.device("cpu")) is None
    assert vote_of_neighbours(here, torch.device("cpu")) == {}


def test_pictures_that_score_show_no_lesion_that_was_fitted_on(look: Callable[..., Look]) -> None:
    here = look()
    pictures = dense_pictures(here, here.manifest)
    assert len(pictures.train) == len(pictures.val) == 12
    assert not set(pictures.lesions(pictures.train)) & set(pictures.lesions(pictures.val))


@pytest.mark.parametrize(("place", "expected"), [(0, 0), (1, 2), (2, 2), (3, 5), (5, 5)])
def test_no_lesion_is_cut_in_two(place: int, expected: int) -> None:
    assert first_of_lesion(["a", "a", "b", "b", "b"], place) == expected


def test_neighbours_recognise_classes_that_features_tell_apart(look: Callable[..., Look]) -> None:
    here = look(classes=True)
    told = {row: 200 if label == "mel" else 20 for row, label in enumerate(here.manifest.table["label"])}
    pixels = np.concatenate([np.tile(np.array([told[row], 90, 90], np.uint8), h * w)
                             for row, (h, w, _) in enumerate(here.pictures.shapes)])  # fmt: skip
    painted = type(here.pictures)(pixels, here.pictures.starts, here.pictures.shapes)
    assert vote_of_neighbours(Look(**vars(here) | {"pictures": painted}), torch.device("cpu")) == {"knn_accuracy": 1.0}


def test_strangers_are_paired_with_all_that_belongs_to_their_view() -> None:
    maps = torch.arange(12.0).view(12, 1, 1).expand(12, 2, 3)
    batch = Batch(torch.arange(8).view(8, 1), torch.arange(4).view(4, 1), maps, torch.arange(4))
    found = batch_of_pairs(batch, np.array([0, 1]), np.array([2, 3]))
    assert found.views.flatten().tolist() == [0, 1, 6, 7]
    assert found.local.flatten().tolist() == [0, 1]
    assert found.maps[:, 0, 0].tolist() == [0, 1, 6, 7, 8, 9]
    assert found.images.tolist() == [0, 1]


def test_too_few_images_for_two_batches_give_none(look: Callable[..., Look]) -> None:
    here = look(masks=False)
    assert two_batches(here, 13) is None
    assert len(two_batches(here, 12).images) == 24  # type: ignore[union-attr]


def test_views_of_strangers_cost_more_than_views_of_one_image(small_method: Builds) -> None:
    method = small_method("simclr", image_size=32)
    found = pair_losses(method, views_of(16)(np.arange(16)), nullcontext)
    assert found["pair_loss"] < found["stranger_loss"]


@pytest.mark.parametrize(("groups", "low", "high"), [(1, 1.0, 1.0), (2, 0.1, 0.8), (4, 0.0, 0.6)])
def test_companions_are_shared_as_far_as_groups_are(groups: int, low: float, high: float, small_method: Builds) -> None:
    method = small_method("moco", image_size=32, norm_groups=groups)
    assert low <= shared_companions(method, views_of(16)(np.arange(16)))["shared_companions"] <= high


def test_methods_without_keys_have_no_companions(small_method: Builds) -> None:
    assert shared_companions(small_method("simclr"), views_of(16)(np.arange(16))) == {}


def test_a_slow_copy_is_found_and_follows(small_method: Builds) -> None:
    method = small_method("moco", image_size=32, momentum=0.5)
    with torch.no_grad():
        for weight in method.encoder.parameters():
            weight.mul_(1.1)
    found = slow_copy_distance(method, views_of(16)(np.arange(16)), nullcontext)
    assert found["teacher_distance"] == pytest.approx(0.1 / 1.1 / 2, rel=1e-3)
    assert slow_copy_distance(small_method("simclr"), views_of(16)(np.arange(16)), nullcontext) == {}


def test_looking_leaves_modes_buffers_slow_copies_and_random_states(small_method: Builds) -> None:
    method = small_method("moco", image_size=32)
    method.head.eval()
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    modes = [child.training for child in method.modules()]
    state = torch.random.get_rng_state()
    with untouched(method):
        method.training_step(views_of(8)(np.arange(8)), 0)
        method.eval()
    assert all(torch.equal(before[name], tensor) for name, tensor in method.state_dict().items())
    assert [child.training for child in method.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), state)
