"""Randomness as a function of counters: draws repeat from their counters and are unrelated otherwise."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler

from dermssl.training.randomness import CountedRandomness, Order, counter_seed, order_of


def bits(seeds: list[int]) -> np.ndarray:
    return np.array([[seed >> place & 1 for place in range(32)] for seed in seeds])


@pytest.mark.parametrize("epoch", range(3))
def test_a_pass_takes_every_image_once(epoch: int) -> None:
    assert sorted(order_of(50, 7, epoch)) == list(range(50))


def test_a_pass_has_the_same_order_from_the_same_counters_and_another_from_others() -> None:
    orders = {(seed, epoch): tuple(order_of(20, seed, epoch)) for seed, epoch in product(range(4), range(4))}
    assert all(tuple(order_of(20, *counters)) == order for counters, order in orders.items())
    assert len(set(orders.values())) == len(orders)


def test_the_order_leaves_the_global_generators_alone() -> None:
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    expected = np.random.random(), torch.rand(1)  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    order_of(20, 0, 0)
    counter_seed(1, 2, 3)
    assert (np.random.random(), torch.rand(1)) == expected  # noqa: NPY002


def test_near_counters_give_seeds_that_differ_in_half_their_bits() -> None:
    counters = list(product(range(3), range(4), range(40), range(2)))
    seeds = [counter_seed(*c) for c in counters]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)
    flips = np.abs(np.diff(bits(seeds), axis=0))
    assert flips.mean() == pytest.approx(0.5, abs=0.02)  # 959 pairs x 32 bits: three standard errors are 0.009
    assert np.abs(bits(seeds).mean(axis=0) - 0.5).max() < 0.07  # each bit alone: four standard errors


def test_counters_do_not_stand_for_each_other() -> None:
    assert len({counter_seed(*c) for c in ([1, 2], [2, 1], [1, 2, 1], [12], [0, 1, 2])}) == 5


def test_what_one_image_draws_does_not_tell_what_another_draws() -> None:
    draws = np.array([np.random.default_rng(counter_seed(0, 0, image)).random(200) for image in range(40)])
    off_diagonal = np.corrcoef(draws)[np.triu_indices(40, 1)]
    assert np.abs(off_diagonal).max() < 0.32  # 780 pairs, standard deviation 0.07
    assert np.abs(off_diagonal.mean()) < 0.01


def test_an_epoch_is_its_pass_with_the_number_beside_each_image() -> None:
    order = Order(6, seed=1)
    order.set_epoch(3)
    assert list(order) == [(3, int(index)) for index in order_of(6, 1, 3)]
    assert len(order) == 6


def test_epochs_of_several_passes_go_on_where_the_last_one_ended() -> None:
    by_three, by_one = Order(5, seed=1, passes=3), Order(5, seed=1)
    taken, single = [], []
    for epoch in range(2):
        by_three.set_epoch(epoch)
        taken += list(by_three)
    for epoch in range(6):
        by_one.set_epoch(epoch)
        single += list(by_one)
    assert taken == single
    assert len(by_three) == 15


def test_an_epoch_after_a_resume_is_the_epoch_without_one() -> None:
    unbroken, resumed = Order(5, seed=1), Order(5, seed=1)
    for epoch in range(3):
        unbroken.set_epoch(epoch)
        list(unbroken)
    resumed.set_epoch(2)
    assert list(resumed) == list(unbroken)


def test_a_batch_may_span_passes_and_no_image_is_lost_between_them() -> None:
    batches = list(BatchSampler(Order(3, seed=0, passes=4), 6, drop_last=True))  # type: ignore[arg-type]
    assert [len(batch) for batch in batches] == [6, 6]
    assert sorted(draw for batch in batches for draw in batch) == list(product(range(4), range(3)))


def test_dropout_of_a_step_depends_on_the_seed_and_the_step_alone() -> None:
    def drawn(seed: int, step: int) -> list[float]:
        torch.rand(step + 3)  # whatever was drawn before
        CountedRandomness(seed).on_train_batch_start(SimpleNamespace(global_step=step), None, None, 0)  # type: ignore[arg-type]
        return torch.rand(4).tolist()

    assert drawn(0, 5) == drawn(0, 5)
    assert len({tuple(drawn(seed, step)) for seed, step in product(range(3), range(3))}) == 9
