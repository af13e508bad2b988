import math

import pytest
import torch
from torch import Tensor

from dermssl.features.representation import alignment, rankme, spread, uniformity


def draw(count: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def test_collapsed_projections_have_no_spread() -> None:
    assert spread(torch.ones(8, 16)).item() == pytest.approx(0, abs=1e-6)


def test_projections_that_fill_the_sphere_have_a_spread_of_one() -> None:
    assert spread(draw(4000, 64)).item() == pytest.approx(1, abs=0.02)


def test_spread_does_not_ask_how_long_the_rows_are() -> None:
    assert spread(7 * draw(8, 4)).item() == pytest.approx(spread(draw(8, 4)).item(), rel=1e-5)


@pytest.mark.parametrize("dim", [1, 3, 8])
def test_rankme_counts_directions_of_equal_length(dim: int) -> None:
    assert rankme(torch.eye(8)[:, :dim].repeat(2, 1)).item() == pytest.approx(dim, rel=1e-5)


def test_points_on_a_line_through_zero_have_a_rankme_of_one() -> None:
    assert rankme(draw(20, 1) * torch.arange(1.0, 6.0)).item() == pytest.approx(1, abs=1e-3)


def test_features_of_zeros_have_no_rank() -> None:
    assert rankme(torch.zeros(5, 3)).item() == 0


def test_rankme_matches_its_definition() -> None:
    values = torch.linalg.svdvals(draw(30, 6).double())
    shares = [float(value / values.sum()) for value in values]
    expected = math.exp(-sum(share * math.log(share) for share in shares))
    assert rankme(draw(30, 6)).item() == pytest.approx(expected, rel=1e-5)


def test_alignment_is_0_for_one_view_and_4_for_opposite_ones() -> None:
    assert alignment(draw(5, 3), 2 * draw(5, 3)).item() == pytest.approx(0, abs=1e-6)
    assert alignment(draw(5, 3), -draw(5, 3)).item() == pytest.approx(4, rel=1e-6)


def test_uniformity_matches_its_definition() -> None:
    z = draw(9, 4).double()
    unit = z / z.norm(dim=1, keepdim=True)
    pairs = [math.exp(-2 * float((unit[i] - unit[j]).square().sum())) for i in range(9) for j in range(i)]
    assert uniformity(z).item() == pytest.approx(math.log(sum(pairs) / len(pairs)), rel=1e-5)


def test_uniformity_is_0_for_a_point_and_near_minus_4_for_a_sphere() -> None:
    assert uniformity(torch.ones(6, 3)).item() == pytest.approx(0, abs=1e-5)
    assert uniformity(draw(500, 256)).item() == pytest.approx(-4, abs=0.1)
