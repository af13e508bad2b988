"""Every loss: what its paper defines, and what holds for all of them."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import chain, product
from math import exp, log, sqrt

import pytest
import torch
from torch import Tensor

from finetune.losses.float32 import Loss, loss_in_float32
from finetune.losses.sum import functions, loss_of
from finetune.options.loss import LOSSES, LossConfig

Pixel = tuple[float, int]  # probability and truth
Picture = list[list[Pixel]]

OF_REGIONS = ("dice", "jaccard", "tversky", "mcc", "lovasz")
EXCHANGES = ("finetune.losses.region.summed", "finetune.losses.lovasz.gathered")  # between processes
POOLED = functions(LossConfig(loss_over="batch"))
LOSS: dict[str, Loss] = {
    **functions(LossConfig()),
    **{f"{name} over the batch": POOLED[name] for name in OF_REGIONS},
    "focal with its options": functions(LossConfig(loss="focal", focal_gamma=0.5, focal_alpha=0.25))["focal"],
}
WORST = {
    "dice": 1,
    "jaccard": 1,
    "tversky": 1,
    "lovasz": 1,
    "mcc": 2,
    "bce": 40,
    "focal": 40,
}  # logits of 40, all wrong


def draw(images: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(images, 1, height, width, generator=generator)
    return logits, torch.randint(0, 2, (images, 1, height, width), generator=generator, dtype=torch.uint8)


def disc(images: int, side: int) -> Tensor:
    """Masks (B, 1, S, S) of a disc in the middle."""
    axis = torch.linspace(-1, 1, side)
    return (axis[:, None] ** 2 + axis**2 < 0.3).to(torch.uint8).expand(images, 1, side, side).clone()


def pictures(logits: Tensor, truth: Tensor) -> list[Picture]:
    """What a loss sees as Python's numbers."""
    return [
        [
            [(1 / (1 + exp(-logit)), lesion) for logit, lesion in zip(*rows, strict=True)]
            for rows in zip(image[0].tolist(), mask[0].tolist(), strict=True)
        ]
        for image, mask in zip(logits, truth, strict=True)
    ]


def soft_counts(picture: Picture) -> tuple[float, float, float, float]:
    flat = [pixel for row in picture for pixel in row]
    tp, fp = sum(p for p, y in flat if y), sum(p for p, y in flat if not y)
    fn, tn = sum(1 - p for p, y in flat if y), sum(1 - p for p, y in flat if not y)
    return tp, fp, fn, tn


def dice(picture: Picture) -> float:
    """One minus twice the overlap over the sum of areas, both with a pixel of smoothing."""
    tp, fp, fn, _ = soft_counts(picture)
    return 1 - (2 * tp + 1) / ((tp + fp) + (tp + fn) + 1)


def jaccard(picture: Picture) -> float:
    """One minus the intersection over the union, both with half a pixel of smoothing."""
    tp, fp, fn, _ = soft_counts(picture)
    return 1 - (tp + 0.5) / (tp + fp + fn + 0.5)


def tversky(picture: Picture) -> float:
    """Salehi et al. 2017, equation 3 with alpha 0.3 of false positives and beta 0.7 of false negatives."""
    tp, fp, fn, _ = soft_counts(picture)
    return 1 - (tp + 0.5) / (tp + 0.3 * fp + 0.7 * fn + 0.5)


def mcc(picture: Picture) -> float:
    """One minus the correlation of truth and probability over the pixels and two that are right, by its definition."""
    tp, fp, fn, tn = soft_counts(picture)
    tp, tn = tp + 1, tn + 1
    return 1 - (tp * tn - fp * fn) / sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))


def lovasz(picture: Picture) -> float:
    """Berman et al. 2018, definition 1: the Jaccard loss of each set of worst pixels, one pixel after the other."""
    flat = sorted((pixel for row in picture for pixel in row), key=lambda pixel: -abs(pixel[1] - pixel[0]))
    lesion = {i for i, (_, y) in enumerate(flat) if y}

    def jaccard_loss(wrong: set[int]) -> float:
        """Of the mask that is wrong in these pixels and nowhere else."""
        return len(wrong) / len(lesion | wrong) if lesion | wrong else 0.0

    return sum(
        abs(y - p) * (jaccard_loss(set(range(i + 1))) - jaccard_loss(set(range(i)))) for i, (p, y) in enumerate(flat)
    )


def bce(picture: Picture) -> float:
    return mean([-log(p if y else 1 - p) for row in picture for p, y in row])


def focal(picture: Picture, gamma: float = 2.0, alpha: float = 0.5) -> float:
    """Lin et al. 2017, equation 5; alpha 0.5 twice is no alpha."""
    right = [(p, 2 * alpha) if y else (1 - p, 2 - 2 * alpha) for row in picture for p, y in row]
    return mean([-weight * (1 - p) ** gamma * log(p) for p, weight in right])


def boundary(picture: Picture) -> float:
    """Kervadec et al. 2019, equation 4: signed distance times probability, less the same of the truth."""
    height, width = len(picture), len(picture[0])
    places = list(product(range(height), range(width)))
    diagonal, found = sqrt(height**2 + width**2), []
    for i, j in places:
        p, y = picture[i][j]
        others = [sqrt((i - k) ** 2 + (j - m) ** 2) for k, m in places if picture[k][m][1] != y]
        distance = (min(others) - 0.5) / diagonal if others else 1.0
        signed = -distance if y else distance
        found.append(signed * p - signed * y)
    return mean(found)


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


ORACLES: dict[str, Callable[[Picture], float]] = {
    "dice": dice, "jaccard": jaccard, "tversky": tversky, "mcc": mcc, "lovasz": lovasz, "bce": bce, "focal": focal,
    "boundary": boundary,
}  # fmt: skip


def by_definition(name: str, logits: Tensor, truth: Tensor) -> float:
    """The loss of `LOSS[name]` from its paper."""
    seen = pictures(logits, truth)
    if name == "focal with its options":
        return mean([focal(picture, 0.5, 0.25) / 2 for picture in seen])
    word, _, over_the_batch = name.partition(" ")
    return mean([ORACLES[word](picture) for picture in ([[*chain(*seen)]] if over_the_batch else seen)])


def gradient(loss: Loss, logits: Tensor, truth: Tensor) -> Tensor:
    leaf = logits.clone().requires_grad_()
    return torch.autograd.grad(loss(leaf, truth), leaf)[0]


def test_every_loss_that_can_be_named_is_there_and_has_an_oracle() -> None:
    assert set(functions(LossConfig())) == set(LOSSES) == set(ORACLES)


@pytest.mark.parametrize("name", LOSS)
@pytest.mark.parametrize("seed", [0, 1])
def test_it_matches_its_definition(name: str, seed: int) -> None:
    logits, truth = draw(images=3, height=6, width=7, seed=seed)
    assert LOSS[name](logits, truth).item() == pytest.approx(by_definition(name, logits, truth), rel=1e-5)


@pytest.mark.parametrize("name", LOSS)
def test_it_matches_its_definition_on_empty_and_full_masks(name: str) -> None:
    logits, _ = draw(images=2, height=5, width=4)
    lesions = torch.tensor([[0, 0], [1, 1], [0, 1]], dtype=torch.uint8)
    truths = [lesion[:, None, None, None].expand_as(logits) for lesion in lesions]
    expected = [by_definition(name, logits, truth) for truth in truths]
    assert [LOSS[name](logits, truth).item() for truth in truths] == pytest.approx(expected, rel=1e-5)


def truths(images: int, side: int) -> dict[str, Tensor]:
    """Masks with no lesion, with nothing else, and with a disc."""
    shape = (images, 1, side, side)
    return {"none": torch.zeros(shape), "all": torch.ones(shape), "some": disc(images, side)}


@pytest.mark.parametrize("name", LOSS)
def test_what_is_right_costs_nothing(name: str) -> None:
    costs = {lesion: LOSS[name](40 * (2.0 * truth - 1), truth).item() for lesion, truth in truths(2, 16).items()}
    assert costs == pytest.approx(dict.fromkeys(costs, 0), abs=1e-6)


@pytest.mark.parametrize("name", LOSS)
def test_nothing_costs_more_than_the_opposite_of_the_truth(name: str) -> None:
    truth = disc(2, 64)
    worst = LOSS[name](-40 * (2.0 * truth - 1), truth).item()
    others = [LOSS[name](draw(2, 64, 64, seed)[0], truth).item() for seed in range(5)]
    assert all(0 < other < worst for other in others)
    if name not in ("boundary", "focal with its options"):
        most = WORST[name.split()[0]]
        assert 0.99 * most < worst <= most + 1e-5


@pytest.mark.parametrize("name", LOSS)
def test_it_falls_along_its_gradient(name: str) -> None:
    logits, truth = draw(images=3, height=8, width=8)[0], disc(3, 8)
    slope = gradient(LOSS[name], logits, truth)
    assert LOSS[name](logits - 0.01 * slope / slope.abs().max(), truth) < LOSS[name](logits, truth)


@pytest.mark.parametrize("name", LOSS)
def test_where_all_masks_are_empty_or_full_it_pushes_the_right_way(name: str) -> None:
    for lesion in (0, 1):
        wrong = draw(images=2, height=8, width=8)[0].abs() * (1 - 2 * lesion)
        slope = gradient(LOSS[name], wrong, torch.full_like(wrong, lesion)) * (1 - 2 * lesion)
        assert slope.isfinite().all(), lesion
        assert (slope >= 0).all(), lesion
        assert slope.max() > 1e-5, lesion


@pytest.mark.parametrize("name", LOSS)
def test_it_does_not_ask_how_pictures_are_turned_or_ordered(name: str) -> None:
    logits, truth = draw(images=3, height=8, width=8)
    changed = [
        (logits.flip(2), truth.flip(2)),
        (logits.flip(3), truth.flip(3)),
        (logits.transpose(2, 3), truth.transpose(2, 3)),
        (logits[[2, 0, 1]], truth[[2, 0, 1]]),
    ]
    expected = pytest.approx(LOSS[name](logits, truth).item(), rel=1e-5)
    assert [LOSS[name](*pair).item() for pair in changed] == [expected] * 4


# Sums over all pixels are what float16 cannot hold, and small differences what bfloat16 cannot.
@pytest.mark.parametrize("name", LOSS)
@pytest.mark.parametrize(("lesion", "dtype"), [("all", torch.float16), ("some", torch.bfloat16)])
def test_half_precision_at_512_px_is_as_good_as_float32(name: str, lesion: str, dtype: torch.dtype) -> None:
    truth = truths(1, 512)[lesion]
    half = draw(images=1, height=512, width=512)[0].to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = LOSS[name](half, truth.to(torch.uint8))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(LOSS[name](half.detach().float(), truth).item(), rel=1e-6)
    assert half.grad is not None
    assert half.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSS)
def test_logits_of_ten_thousand_have_a_finite_loss_and_gradient(name: str) -> None:
    signs = {"lesion": torch.ones(2, 1, 16, 16), "skin": -torch.ones(2, 1, 16, 16), "both": draw(2, 16, 16)[0].sign()}
    off = []
    for (lesion, truth), said, dtype in product(truths(2, 16).items(), signs, (torch.float16, torch.float32)):
        logits = (1e4 * signs[said]).to(dtype).requires_grad_()
        loss = LOSS[name](logits, truth)
        [slope] = torch.autograd.grad(loss, logits)
        if not (loss.isfinite() and slope.isfinite().all()):
            off.append((lesion, said, dtype))
    assert off == []


@pytest.mark.slow  # torch takes some seconds to learn how to compute nothing
@pytest.mark.parametrize("name", LOSS)
def test_it_never_waits_for_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which there is none of on meta
    logits = torch.zeros(2, 1, 8, 8, device="meta", requires_grad=True)  # shapes alone: who asks for a value fails
    LOSS[name](logits, torch.zeros(2, 1, 8, 8, device="meta", dtype=torch.uint8)).backward()
    assert logits.grad is not None


@pytest.mark.parametrize("name", LOSS)
def test_masks_of_any_type_are_the_same_masks(name: str) -> None:
    logits, truth = draw(images=2, height=8, width=8)
    found = {
        LOSS[name](logits, truth.to(kind)).item() for kind in (torch.uint8, torch.bool, torch.float32, torch.int64)
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    ("name", "shape"),
    [*((name, (2, 8, 8)) for name in LOSS), ("dice", (1, 1, 8, 8)), ("dice", (2, 1, 8, 1)), ("dice", (2, 2, 8, 8))],
)
def test_a_mask_that_torch_would_stretch_is_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"both must be \(B, 1, H, W\)"):
        LOSS[name](torch.zeros(2, 1, 8, 8), torch.zeros(shape))


@pytest.mark.parametrize(
    ("name", "by_image", "pooled"),
    [
        ("dice", (2 / 3 + 0) / 2, 2 / 35),
        ("jaccard", (4 / 5 + 0) / 2, 4 / 37),
        ("tversky", (2 / 3 + 0) / 2, 2 / 35),
        ("lovasz", (1 + 0) / 2, 2 / 18),
        ("mcc", (18 / 32 + 0) / 2, 34 / 288),
    ],
)
def test_a_small_lesion_that_is_missed_counts_by_image_and_drowns_in_the_batch(
    name: str, by_image: float, pooled: float
) -> None:
    truth, mask = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    truth[0, 0, 0, 0], mask[0, 0, 3, 3] = 1, 1  # one pixel of lesion, and another that is called lesion
    truth[1], mask[1] = 1, 1  # all lesion, and all found
    logits = 40 * (2 * mask - 1)
    assert LOSS[name](logits, truth).item() == pytest.approx(by_image, rel=1e-5)
    assert LOSS[f"{name} over the batch"](logits, truth).item() == pytest.approx(pooled, rel=1e-5)


@pytest.mark.parametrize("name", ["bce", "focal", "boundary"])
def test_a_mean_over_pixels_is_the_same_by_image_and_over_the_batch(name: str) -> None:
    logits, truth = draw(images=3, height=8, width=8)
    assert torch.equal(LOSS[name](logits, truth), POOLED[name](logits, truth))


def test_a_sum_is_the_weighted_sum_of_its_terms_and_shows_each() -> None:
    logits, truth = draw(images=2, height=8, width=8)
    found = loss_of(LossConfig(loss="dice + 0.5*bce + 2*mcc"))(logits, truth)
    assert list(found) == ["loss", "dice", "bce", "mcc"]
    assert found["loss"].item() == pytest.approx(
        found["dice"].item() + 0.5 * found["bce"].item() + 2 * found["mcc"].item()
    )
    assert [torch.equal(found[name], LOSS[name](logits, truth)) for name in ("dice", "bce", "mcc")] == [True] * 3


def test_the_terms_are_there_to_be_looked_at_and_the_sum_to_be_lowered() -> None:
    logits, truth = draw(images=2, height=8, width=8)
    found = loss_of(LossConfig(loss="dice+bce"))(logits.requires_grad_(), truth)
    assert [value.requires_grad for value in found.values()] == [True, False, False]
    whole = torch.autograd.grad(found["loss"], logits)[0]
    assert torch.allclose(whole, gradient(LOSS["dice"], logits, truth) + gradient(LOSS["bce"], logits, truth))


def test_one_loss_is_shown_once() -> None:
    logits, truth = draw(images=2, height=8, width=8)
    found = loss_of(LossConfig(loss="0.5*jaccard"))(logits, truth)
    assert list(found) == ["loss"]
    assert found["loss"].item() == pytest.approx(LOSS["jaccard"](logits, truth).item() / 2)


def test_the_default_is_what_it_was_before_there_was_a_choice() -> None:
    logits, truth = draw(images=3, height=16, width=16)
    p, y = logits.sigmoid().flatten(1), truth.float().flatten(1)
    soft_dice = (1 - (2 * (p * y).sum(dim=1) + 1) / (p.sum(dim=1) + y.sum(dim=1) + 1)).mean()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth.float())
    assert torch.equal(loss_of(LossConfig())(logits, truth)["loss"], soft_dice + entropy)


@pytest.mark.parametrize(
    ("option", "value"), [("focal_gamma", 1), ("focal_alpha", 0.25), ("tversky_alpha", 0.1), ("tversky_beta", 0.9)]
)
def test_an_option_reaches_its_loss_and_no_other(option: str, value: float) -> None:
    logits, truth = draw(images=2, height=8, width=8)
    changed = functions(LossConfig(loss="focal+tversky", **{option: value}))
    differ = [name for name in LOSSES if not torch.equal(LOSS[name](logits, truth), changed[name](logits, truth))]
    assert differ == [option.partition("_")[0]]


def test_autocast_is_off_within_a_loss() -> None:
    products = loss_in_float32(lambda logits, truth: logits.flatten(1) @ truth.flatten(1).T)
    with torch.autocast("cpu", torch.bfloat16):
        assert products(*draw(images=2, height=4, width=4)).dtype == torch.float32


@pytest.mark.parametrize("name", OF_REGIONS)
def test_over_the_batch_parts_that_add_up_what_they_see_give_the_loss_of_the_whole(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What several processes do, one after the other: each sees its part, and of the others what they sum or gather."""
    logits, truth = draw(6, 5, 7)
    truth[:2] = 0  # parts that differ: a mean of their losses would be another number
    whole = logits.clone().requires_grad_()
    expected = POOLED[name](whole, truth)
    expected.backward()
    seen: list[list[Tensor]] = [[], []]
    for part in range(2):
        for exchange in EXCHANGES:
            monkeypatch.setattr(exchange, lambda own, part=part: seen[part].append(own.detach()) or own)
        POOLED[name](logits.chunk(2)[part], truth.chunk(2)[part])
    for part in range(2):
        others = iter(seen[1 - part])
        summed, gathered = EXCHANGES
        monkeypatch.setattr(summed, lambda own, others=others: own + next(others))
        in_order = slice(None, None, 1 - 2 * part)
        monkeypatch.setattr(gathered, lambda own, others=others, way=in_order: torch.cat([own, next(others)][way]))
        own = logits.chunk(2)[part].clone().requires_grad_()
        loss = POOLED[name](own, truth.chunk(2)[part])
        loss.backward()
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(own.grad, whole.grad.chunk(2)[part])
