"""The range test on quadratics, where the answer can be computed, and on a small network."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

import finetune.training.range_test
from dermssl.errors import UserError
from dermssl.weights.encoder import Normalise
from finetune.network.build import assemble
from finetune.options.config import FinetuneConfig
from finetune.options.training_length import Schedule
from finetune.training.range_test import DECADE, RATES, learning_rate, range_test, smoothed_losses, steepest, sweep
from finetune.training.segment import Segment

CPU = torch.device("cpu")
SIDE = 32


def drawn(losses: np.ndarray) -> pd.DataFrame:
    """These losses at the rates of a range test."""
    return pd.DataFrame({"rate": RATES[: len(losses)], "loss": losses, "smoothed": smoothed_losses(losses)})


def rate_of(curve: pd.DataFrame) -> float:
    return float(curve["rate"].iloc[steepest(curve)])


def on_quadratic(curvature: float) -> pd.DataFrame:
    """The losses of gradient descent on curvature / 2 * x^2 from x = 1."""
    x = nn.Parameter(torch.ones((), dtype=torch.float64))
    losses = sweep(torch.optim.SGD([x], lr=1.0), lambda: curvature / 2 * x**2, RATES.tolist(), seed=0)
    return drawn(losses)


@pytest.mark.parametrize("curvature", [5.0, 50.0, 5000.0])
def test_losses_of_a_quadratic_are_those_of_its_closed_form_and_rise_behind_its_stability_limit(
    curvature: float,
) -> None:
    curve = on_quadratic(curvature)
    x = np.cumprod(np.concatenate([[1], 1 - curvature * RATES]))[: len(curve)]
    assert curve["loss"].to_numpy() == pytest.approx(curvature / 2 * x**2)
    rises = np.diff(curve["loss"]) > 0
    assert (rises == (curve["rate"].to_numpy()[:-1] > 2 / curvature)).all()


@pytest.mark.parametrize("curvature", [5.0, 50.0, 5000.0])
def test_the_rate_found_on_a_quadratic_is_the_one_of_its_steepest_descent(curvature: float) -> None:
    # With n steps a decade rates add up to rate / d, d = ln(10) / n; so the loss goes as exp(-2 curvature rate / d),
    # which is steepest in log(rate) at d / (2 curvature).
    wanted = math.log(10) / DECADE / (2 * curvature)
    found = rate_of(on_quadratic(curvature))
    assert wanted / 1.4 < found < wanted * 1.4  # two steps of smoothing
    assert found < 2 / curvature / 10  # far on the safe side of where training breaks


def test_a_function_ten_times_as_steep_asks_for_a_tenth_of_the_rate() -> None:
    assert rate_of(on_quadratic(500.0)) == pytest.approx(rate_of(on_quadratic(50.0)) / 10)


def test_the_sweep_ends_where_a_loss_is_no_number() -> None:
    losses = iter([3.0, 2.0, math.inf, 1.0])
    weight = nn.Parameter(torch.ones(()))
    found = sweep(torch.optim.SGD([weight], lr=1.0), lambda: weight * 0 + next(losses), [0.1] * 4, seed=0)
    assert found.tolist() == [3.0, 2.0]


def test_only_groups_that_are_swept_take_the_rates_and_by_their_own_share() -> None:
    weights = [nn.Parameter(torch.zeros(())) for _ in range(3)]
    groups = [{"params": weights[:1], "lr": 1.0}, {"params": weights[1:2], "lr": 0.5},
              {"params": weights[2:], "lr": 0.25, "swept": False}]  # fmt: skip
    sweep(torch.optim.SGD(groups), lambda: -sum(weights), [0.1, 1.0], seed=0)  # type: ignore[operator]
    assert [weight.item() for weight in weights] == pytest.approx([1.1, 0.55, 0.5])


def test_what_breaks_at_high_rates_does_not_move_the_choice() -> None:
    rng = np.random.default_rng(0)
    losses = 1.5 - 1 / (1 + (1e-3 / RATES) ** 1.5) + rng.normal(0, 0.03, len(RATES))
    broken = np.where(RATES > 5e-3, 10.0 ** (6 + rng.random(len(RATES))), losses)
    assert rate_of(drawn(broken)) == pytest.approx(rate_of(drawn(losses)), rel=0.3)


@pytest.mark.parametrize("noise", [0.02, 0.05, 0.1])
def test_the_steepest_rate_is_found_through_noise(noise: float) -> None:
    for seed in range(20):
        losses = 1.5 - 1 / (1 + 1e-3 / RATES) + np.random.default_rng(seed).normal(0, noise, len(RATES))
        assert 1e-4 < rate_of(drawn(losses)) < 1e-2  # 1e-3 without noise


def test_waves_behind_the_descent_are_not_taken_for_it() -> None:
    descent = 1.5 - 1 / (1 + (1e-3 / RATES) ** 1.5)
    waves = np.where(RATES > 1e-2, np.sin(np.log(RATES / 1e-2)) ** 2 - 0.05 * np.log(RATES / 1e-2), 0)
    curve = drawn(descent + waves)
    assert np.gradient(curve["smoothed"]).argmin() > (RATES < 1e-2).sum()  # the waves are steeper
    assert rate_of(curve) == pytest.approx(rate_of(drawn(descent)), rel=0.2)


@pytest.mark.parametrize("rise", [0.0, 1.0])
def test_a_loss_that_does_not_fall_is_refused(rise: float) -> None:
    losses = 1 + 0.1 * np.random.default_rng(0).normal(size=len(RATES)) + rise * RATES
    with pytest.raises(UserError, match="--lr auto: the loss falls clearly at no rate from 1e-06 to 1; give --lr a"):
        steepest(drawn(losses))


def segment(**more: object) -> Segment:
    torch.manual_seed(0)
    config = FinetuneConfig(encoder="tu-test_efficientnet", image_size=SIDE, lr=1.0, **more)
    ordinary = Normalise((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return Segment(assemble("tu-test_efficientnet", "unet", {}), ordinary, config, Schedule(100, thaw=50))


def squares() -> DataLoader[object]:
    """Three batches of two dark squares on noise."""
    rng = torch.Generator().manual_seed(0)
    masks = torch.zeros(3, 2, 1, SIDE, SIDE, dtype=torch.uint8)
    masks[..., 8:24, 8:24] = 1
    images = torch.randint(150, 255, (3, 2, 3, SIDE, SIDE), dtype=torch.uint8, generator=rng) // (1 + masks)
    return DataLoader(list(zip(images, masks, strict=True)), batch_size=None)


@pytest.mark.parametrize(
    "options",
    [pytest.param({}, marks=pytest.mark.slow), {"freeze": True, "thaw_after": 1, "encoder_lr": 1e-3, "ema": 0.9}],
)
def test_a_range_test_leaves_weights_statistics_and_random_state(
    options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, loader = segment(**options), squares()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    random, modes = torch.get_rng_state(), [part.training for part in module.modules()]
    curve = range_test(module, loader, CPU)
    assert len(curve) > 60
    assert curve["loss"].iloc[40:70].min() < curve["loss"].iloc[:10].min() - 0.2  # the copy learned
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert [part.training for part in module.modules()] == modes
    assert not any(parameter.grad is not None for parameter in module.parameters())
    monkeypatch.setattr(finetune.training.range_test, "RATES", RATES[:20])
    again = range_test(module, loader, CPU)
    assert again["loss"].tolist() == curve["loss"].tolist()[:20]


@pytest.mark.slow
def test_a_run_keeps_its_range_test_and_reads_it_again(tmp_path: Path) -> None:
    said: list[str] = []
    found = learning_rate(segment(), squares(), CPU, tmp_path, said.append)
    curve = pd.read_csv(tmp_path / "tables" / "lr_range.csv")
    assert list(curve) == ["rate", "loss", "smoothed", "chosen"]
    assert curve.loc[curve["chosen"], "rate"].tolist() == [pytest.approx(found)]
    with Image.open(tmp_path / "figures" / "lr_range.png") as figure:
        figure.load()
        assert min(figure.size) > 300

    def never() -> Tensor:
        raise AssertionError("the range test ran anew")

    module = segment()
    module.training_step = lambda *_: never()  # type: ignore[method-assign]
    assert learning_rate(module, squares(), CPU, tmp_path, said.append) == found
    assert said[0] == said[1]
    assert said[0].startswith(
        f"--lr auto: the learning rate is {found:.2g}, where the loss fell fastest in {len(curve)} steps"
    )
