from collections.abc import Callable
from math import dist

import pytest
import torch
from lightly.loss import VICRegLLoss
from torch import Tensor

from dermssl.weights.encoder import Start, feature_maps
from pretrain.dense_recipes import VICRegLConfig
from pretrain.methods.vicreg import vicreg_terms
from pretrain.methods.vicregl import Places, VICRegL, nearest_pairs, pairwise_distances, place_terms, positions, rows_at
from pretrain.views.batch import Batch

Starts = Callable[..., Start]
WHOLE = torch.eye(2, 3)  # a view that shows its picture as it is
MIRRORED = torch.tensor([[-1.0, 0, 0], [0, 1, 0]])
LOWER_RIGHT = torch.tensor([[0.5, 0, 0.5], [0, 0.5, 0.5]])


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch_of(images: int, seed: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    views = torch.randint(0, 256, (2 * images, 3, 8, 8), dtype=torch.uint8, generator=generator)
    maps = torch.stack([WHOLE] * images + [LOWER_RIGHT] * images)
    return Batch(views, views[:0], maps, torch.arange(images))


def vicregl(start: Start, **options: object) -> VICRegL:
    small = {"projection_dim": 16, "map_dim": 8, "matches": 5, "batch_size": 4}
    torch.manual_seed(1)
    return VICRegL(start, VICRegLConfig(**(small | options)), steps=10)


def draw_places(images: int, places: int, width: int, seed: int) -> Places:
    return Places(draw(images, places, width, seed=seed), draw(images, places, 2, seed=seed + 10))


def pairs_by_loops(rows: Tensor, columns: Tensor, count: int) -> list[tuple[int, int]]:
    """Each row's nearest column, and of these pairs the `count` nearest, in the order of the rows."""
    found = []
    for r, row in enumerate(rows.tolist()):
        reach = [dist(row, column) for column in columns.tolist()]
        found.append((min(reach), r, reach.index(min(reach))))
    return sorted((r, c) for _, r, c in sorted(found)[:count])


def terms_by_loops(a: Places, b: Places, count: int) -> Tensor:
    """L_s and L_d, from lists of pairs."""
    total = torch.zeros(3, dtype=torch.float64)
    for kind in ("positions", "embeddings"):
        for asking, asked in ((a, b), (b, a)):
            left, right = [], []
            for image in range(len(a.embeddings)):
                pairs = pairs_by_loops(getattr(asking, kind)[image], getattr(asked, kind)[image], count)
                left.append(torch.stack([asking.embeddings[image, row] for row, _ in pairs]))
                right.append(torch.stack([asked.embeddings[image, column] for _, column in pairs]))
            total += vicreg_terms(torch.stack(left), torch.stack(right)) / 2
    return total


@pytest.mark.parametrize("matches", [1, 3, 6])
@pytest.mark.parametrize("width", [2, 9])
def test_the_terms_of_places_match_their_definition(matches: int, width: int) -> None:
    a, b = draw_places(4, 6, width, seed=1), draw_places(4, 6, width, seed=2)
    assert torch.allclose(place_terms(a, b, matches), terms_by_loops(a, b, matches))


@pytest.mark.parametrize("matches", [1, 4, 6])
def test_invariance_is_lightlys_which_orders_pairs_otherwise_and_so_has_another_variance(matches: int) -> None:
    a, b = draw_places(4, 6, 5, seed=1), draw_places(4, 6, 5, seed=2)
    criterion = VICRegLLoss(mu_param=0.0, nu_param=0.0, alpha=0.0, num_matches=(matches, matches))
    features = [(p.embeddings.mean(dim=1), p.embeddings.unflatten(1, (2, 3))) for p in (a, b)]
    grids = [p.positions.unflatten(1, (2, 3)) for p in (a, b)]
    assert 25 * place_terms(a, b, matches)[0].item() == pytest.approx(criterion(features, grids).item(), rel=1e-6)


def test_cells_of_a_whole_view_lie_at_their_centres_x_before_y() -> None:
    where = positions(WHOLE[None], 2, 4)[0]
    expected = [[x, y] for y in (-0.5, 0.5) for x in (-0.75, -0.25, 0.25, 0.75)]
    assert where.tolist() == expected


def test_cells_of_a_crop_lie_inside_the_crop() -> None:
    where = positions(LOWER_RIGHT[None], 2, 2)[0]
    assert where.tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]


def test_positions_are_not_rounded_under_autocast() -> None:
    maps = torch.tensor([[[0.3337, 0, 0.5011], [0, 0.3337, -0.2003]]])
    with torch.autocast("cpu", torch.bfloat16):
        where = positions(maps, 7, 7)
    assert torch.equal(where, positions(maps, 7, 7))


def test_a_mirrored_view_is_matched_with_its_mirror_image() -> None:
    apart = pairwise_distances(positions(WHOLE[None], 2, 3), positions(MIRRORED[None], 2, 3))
    rows, columns = nearest_pairs(apart, 6)
    assert rows.tolist() == [[0, 1, 2, 3, 4, 5]]
    assert columns.tolist() == [[2, 1, 0, 5, 4, 3]]


def test_only_places_that_a_crop_shows_are_matched_with_it() -> None:
    whole, crop = positions(WHOLE[None], 4, 4), positions(LOWER_RIGHT[None], 2, 2)
    rows, columns = nearest_pairs(pairwise_distances(whole, crop), 4)
    assert rows.tolist() == [[10, 11, 14, 15]]  # the lower right quarter
    assert columns.tolist() == [[0, 1, 2, 3]]


def test_the_nearest_pairs_are_kept_in_the_order_of_the_map() -> None:
    apart = torch.tensor([[[5.0, 0.3], [4.0, 7.0], [0.1, 2.0], [0.2, 3.0]]])
    rows, columns = nearest_pairs(apart, 3)
    assert rows.tolist() == [[0, 2, 3]]
    assert columns.tolist() == [[1, 0, 0]]


def test_a_map_with_fewer_places_than_matches_gives_all_of_them() -> None:
    rows, _ = nearest_pairs(pairwise_distances(draw(2, 4, 3, seed=1), draw(2, 5, 3, seed=2)), 20)
    assert rows.tolist() == [[0, 1, 2, 3]] * 2


def test_near_places_are_told_apart_far_from_the_origin() -> None:
    x = torch.full((1, 40, 2), 1000.0) + torch.arange(40).view(1, 40, 1) * 1e-2
    _, columns = nearest_pairs(pairwise_distances(x, x), 40)
    assert columns.tolist() == [list(range(40))]


def test_each_image_gives_places_of_its_own() -> None:
    rows = torch.arange(12.0).view(2, 3, 2)
    assert rows_at(rows, torch.tensor([[2, 0], [1, 1]])).tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]


def test_equal_views_agree_at_every_place() -> None:
    a = draw_places(3, 6, 4, seed=1)
    assert place_terms(a, a, 6)[0].item() == 0


def test_a_planted_shift_is_found_by_position_and_its_features_agree() -> None:
    picture = draw(3, 4, 5, 2, seed=1)  # (B, h, w, D): two windows of four columns, one apart
    where = torch.stack(torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")[::-1], dim=-1)
    where = where.double().expand(3, -1, -1, -1)
    a, b = (Places(picture[:, :, s].flatten(1, 2), where[:, :, s].flatten(1, 2)) for s in (slice(4), slice(1, 5)))
    rows, columns = nearest_pairs(pairwise_distances(a.positions, b.positions), 12)
    assert torch.equal(rows_at(a.embeddings, rows), rows_at(b.embeddings, columns))
    assert place_terms(a, b, 12)[0].item() == 0


def test_both_views_learn_from_the_places_and_the_choice_of_pairs_does_not() -> None:
    a, b = draw_places(4, 6, 5, seed=1), draw_places(4, 6, 5, seed=2)
    for tensor in (*a, *b):
        tensor.requires_grad_()
    place_terms(a, b, 3).sum().backward()
    assert a.embeddings.grad is not None
    assert b.embeddings.grad is not None
    assert a.embeddings.grad.abs().sum() > 0
    assert b.embeddings.grad.abs().sum() > 0
    assert a.positions.grad is None
    assert b.positions.grad is None


def test_the_step_weighs_images_against_places(tiny_start: Starts) -> None:
    module, batch = vicregl(tiny_start(), global_share=0.3), batch_of(4)
    shown = module.training_step(batch, 0)
    assert shown["loss"].item() == pytest.approx(0.3 * shown["images"].item() + 0.7 * shown["places"].item(), rel=1e-5)
    weighed = 25 * shown["invariance"] + 25 * shown["variance"] + 0.5 * shown["covariance"]
    assert shown["images"].item() == pytest.approx(weighed.item(), rel=1e-5)
    assert [name for name, value in shown.items() if value.requires_grad] == ["loss"]


def test_the_step_expands_the_places_of_the_last_map_in_its_order(tiny_start: Starts) -> None:
    module, batch = vicregl(tiny_start(norm=False)).eval(), batch_of(4)
    view = module.normalise(batch.views[:4])
    _, places = module.embedded(view, batch.maps[:4])
    last = feature_maps(module.encoder, view)[-1]
    assert places.embeddings.shape == (4, 64, 8)
    assert torch.allclose(places.embeddings[2, 3 * 8 + 5], module.map_expander(last[2:3, :, 3, 5])[0], atol=1e-6)
    assert places.positions[2, 3 * 8 + 5].tolist() == pytest.approx([2 * 5.5 / 8 - 1, 2 * 3.5 / 8 - 1])


def test_each_view_is_placed_by_its_own_map(tiny_start: Starts) -> None:
    module, batch = vicregl(tiny_start(norm=False)).eval(), batch_of(4)
    crops = batch._replace(maps=batch.maps + torch.rand(8, 2, 3, generator=torch.Generator().manual_seed(1)) / 4)
    views = module.normalise(crops.views)
    (_, a), (_, b) = (module.embedded(views[half], crops.maps[half]) for half in (slice(4), slice(4, 8)))
    shown = [module.training_step(given, 0) for given in (crops, batch)]
    assert shown[0]["places"].item() == pytest.approx(module.weighed(place_terms(a, b, 5)).item(), rel=1e-5)
    assert shown[0]["places"].item() != shown[1]["places"].item()
    assert shown[0]["images"].item() == shown[1]["images"].item()


@pytest.mark.parametrize("share", [0.0, 0.75, 1.0])
def test_a_fixed_batch_is_learned(share: float, tiny_start: Starts) -> None:
    module, batch = vicregl(tiny_start(), global_share=share), batch_of(6)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        losses.append(module.training_step(batch, 0)["loss"])
        losses[-1].backward()
        optimizer.step()
    assert losses[-1].item() < 0.7 * losses[0].item()
