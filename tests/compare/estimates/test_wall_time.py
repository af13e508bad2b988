"""How long runs take side by side."""

import numpy as np
import pytest

from compare.estimates.wall_time import longest_chain, wall_time
from compare.study.plan import Task
from finetune.options.config import FinetuneConfig

approx = pytest.approx


def task(name: str, *needs: str) -> Task:
    return Task(id=name, stage="finetune", name=name, factors={}, config=FinetuneConfig(), needs=needs)


DIAMOND = [task("p"), task("a", "p"), task("b", "p"), task("c", "a", "b")]
SECONDS = {"p": 4.0, "a": 2.0, "b": 3.0, "c": 1.0}


def test_one_place_takes_the_sum_and_many_take_the_longest_chain() -> None:
    assert wall_time(DIAMOND, SECONDS, 1) == approx(10)
    assert wall_time(DIAMOND, SECONDS, 9) == approx(8) == longest_chain(DIAMOND, SECONDS)


def test_two_places_are_as_a_person_would_draw_them() -> None:
    # |p p p p|b b b|      the second place waits for p, then does a and c
    # |       |a a  |c|
    tasks = [task("p"), task("a", "p"), task("b", "p"), task("c", "a")]
    assert wall_time(tasks, SECONDS, 2) == approx(7)


def test_a_run_that_waits_lets_another_go_first() -> None:
    tasks = [task("p"), task("a", "p"), task("free")]
    assert wall_time(tasks, {"p": 4.0, "a": 2.0, "free": 5.0}, 2) == approx(6)


def test_what_is_done_already_is_not_waited_for() -> None:
    assert wall_time([task("a", "p")], SECONDS, 2) == approx(2) == longest_chain([task("a", "p")], SECONDS)


def test_nothing_takes_no_time() -> None:
    assert wall_time([], {}, 2) == longest_chain([], {}) == 0


@pytest.mark.parametrize("jobs", [1, 2, 3, 5])
def test_it_lies_between_the_two_bounds_of_any_schedule(jobs: int) -> None:
    seconds = {**SECONDS, "x": 2.5, "y": 0.5}
    tasks = [*DIAMOND, task("x"), task("y", "x")]
    wall = wall_time(tasks, seconds, jobs)
    lower = max(sum(seconds.values()) / jobs, longest_chain(tasks, seconds))
    assert lower - 1e-9 <= wall <= sum(seconds.values()) / jobs + longest_chain(tasks, seconds)  # Graham 1966


@pytest.mark.parametrize("seed", range(20))
def test_any_plan_takes_as_long_as_looking_at_every_run_at_every_place_says(seed: int) -> None:
    draw = np.random.default_rng(seed)
    names = [str(number) for number in range(30)]
    needs = {
        name: draw.choice(names[:at], min(at, int(draw.integers(3))), replace=False) for at, name in enumerate(names)
    }
    tasks = [task(name, *map(str, needs[name])) for name in draw.permutation(names)]
    seconds = {name: float(draw.integers(1, 6)) for name in names}
    for places in (1, 2, 3, 30):
        assert wall_time(tasks, seconds, places) == approx(by_looking_at_all(tasks, seconds, places))


def by_looking_at_all(tasks: list[Task], seconds: dict[str, float], places: int) -> float:
    ends, waiting, free = dict[str, float](), list(tasks), [0.0] * places
    while waiting:
        place = free.pop(free.index(min(free)))
        begins = [max([place, *(ends.get(need, float("inf")) for need in one.needs)]) for one in waiting]
        start = min(begins)
        one = waiting.pop(begins.index(start))
        ends[one.id] = start + seconds[one.id]
        free.append(ends[one.id])
    return max(ends.values())
