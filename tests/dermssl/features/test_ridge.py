import numpy as np
import pytest
import torch
from torch import Tensor

from dermssl.features.ridge import PENALTIES, at_grid, moment, predicted_maps, ridge, ridge_by_folds


def positions(count: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    features = 3 + torch.randn(count, width, generator=draws, dtype=torch.float64) * torch.arange(1, width + 1)
    return features, torch.rand(count, generator=draws, dtype=torch.float64)


@pytest.mark.parametrize("penalty", [1e-6, 0.1, 10.0])
def test_ridge_equals_least_squares_with_rows_for_the_penalty(penalty: float) -> None:
    features, target = positions(50, 4)
    scale, means = features.std(dim=0, correction=0), features.mean(dim=0)
    x = ((features - means) / scale).numpy()
    rows = np.sqrt(penalty * len(x)) * np.eye(4)
    standard = np.linalg.lstsq(np.vstack([x, rows]), np.append((target - target.mean()).numpy(), np.zeros(4)))[0]
    weights = standard / scale.numpy()
    expected = [*weights, float(target.mean()) - means.numpy() @ weights]
    assert ridge(moment(features, target), penalty).numpy() == pytest.approx(np.array(expected), rel=1e-6)


def test_a_target_that_is_linear_in_the_features_is_found() -> None:
    features, _ = positions(200, 3)
    target = features @ torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64) + 0.25
    found = ridge_by_folds(torch.stack([moment(features[i::4], target[i::4]) for i in range(4)]))
    assert found.numpy() == pytest.approx(np.array([0.5, -1.0, 2.0, 0.25]), rel=1e-4)


def test_the_penalty_is_that_of_the_smallest_error_on_left_out_folds() -> None:
    features, target = positions(60, 20, seed=1)  # noise: the more penalty the better
    folds = [(features[i::3], target[i::3]) for i in range(3)]

    def error(penalty: float) -> float:
        total = 0.0
        for left in range(3):
            rest = sum((moment(*fold) for i, fold in enumerate(folds) if i != left), torch.zeros(22, 22))
            solution = ridge(rest, penalty)
            x, y = folds[left]
            total += float(((x @ solution[:-1] + solution[-1] - y) ** 2).sum())
        return total

    moments = torch.stack([moment(*fold) for fold in folds])
    best = min(PENALTIES, key=error)
    assert torch.equal(ridge_by_folds(moments), ridge(moments.sum(dim=0), best))


def test_a_feature_that_never_changes_gets_no_weight() -> None:
    features, target = positions(30, 3)
    features[:, 1] = 7.1
    found = ridge(moment(features, target), 1e-6)
    assert found[1] == 0
    assert found.isfinite().all()


def test_the_grid_averages_fine_stages_and_interpolates_coarse_ones() -> None:
    fine = torch.arange(16.0).reshape(1, 1, 4, 4)
    found = at_grid([fine, torch.full((1, 2, 1, 1), 5.0)], side=2)
    assert found.tolist() == [[2.5, 5, 5], [4.5, 5, 5], [10.5, 5, 5], [12.5, 5, 5]]


def test_maps_have_the_native_size_of_the_mask() -> None:
    maps = predicted_maps(
        [torch.ones(1, 2, 4, 4)], 4, torch.tensor([[1.0], [2.0], [0.5]], dtype=torch.float64), (30, 50)
    )
    assert maps.shape == (1, 30, 50)
    assert maps.mean().item() == pytest.approx(3.5)
