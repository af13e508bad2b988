"""The search of the learning rate, on a fine-tuning whose best rate is known."""

import json
from dataclasses import replace
from math import log10
from pathlib import Path

import pytest

from compare.execution.search import search_learning_rate
from compare.study.plan import best_rate
from compare.study.search_config import SearchConfig
from dermssl.files import write_json
from finetune.options.config import FinetuneConfig

TRUE_BEST = 3e-3


class Tuning:
    """Stands for fine-tuning: the inner score falls with the distance from the best rate, and seeds shift it."""

    def __init__(self, folder: Path, die_after: int | None = None) -> None:
        self.folder, self.die_after = folder, die_after
        self.done: list[FinetuneConfig] = []

    def __call__(self, config: FinetuneConfig) -> Path:
        run = self.folder / f"{config.lr}-{config.seed}"
        if not run.exists():
            if len(self.done) == self.die_after:
                raise KeyboardInterrupt
            self.done.append(config)
            write_json(run / "result.json", {"jaccard": self.score(float(config.lr), config.seed)})
        return run

    @staticmethod
    def score(rate: float, seed: int) -> float:
        return 0.8 - 0.1 * abs(log10(rate / TRUE_BEST)) + 0.001 * seed


def asked(folder: Path, **options: object) -> SearchConfig:
    given = {"strategy": "grid", "rates": (1e-4, 1e-3, 1e-2), "trials": 3, "seeds": (0, 1), "folder": folder / "search"}
    return SearchConfig(tuning=FinetuneConfig(init="imagenet"), **(given | options))  # type: ignore[arg-type]


def test_a_grid_tries_every_rate_with_every_seed_on_inner_images(tmp_path: Path) -> None:
    tuning = Tuning(tmp_path)
    found = search_learning_rate(asked(tmp_path), tuning)
    assert [(one.lr, one.seed) for one in tuning.done] == [(r, s) for r in (1e-4, 1e-3, 1e-2) for s in (0, 1)]
    assert {one.score_on for one in tuning.done} == {"inner"}
    result = json.loads((found / "result.json").read_text())
    means = {rate: sum(Tuning.score(rate, seed) for seed in (0, 1)) / 2 for rate in (1e-4, 1e-3, 1e-2)}
    assert best_rate(found) == max(means, key=lambda rate: means[rate])
    assert result["jaccard"] == pytest.approx(max(means.values()))
    assert len(result["trials"]) == 6
    assert not (result["at_edge"] and best_rate(found) == 1e-3)


def test_of_equal_rates_the_lowest_is_taken(tmp_path: Path) -> None:
    def level(config: FinetuneConfig) -> Path:
        write_json(tmp_path / f"{config.lr}" / "result.json", {"jaccard": 0.5})
        return tmp_path / f"{config.lr}"

    assert best_rate(search_learning_rate(asked(tmp_path, seeds=(0,)), level)) == 1e-4


@pytest.mark.parametrize(("rates", "edge"), [((1e-3, 3e-3, 1e-2), False), ((1e-4, 1e-3), True)])
def test_a_best_rate_at_the_edge_is_told(tmp_path: Path, rates: tuple[float, ...], edge: bool) -> None:
    found = search_learning_rate(asked(tmp_path, rates=rates), Tuning(tmp_path))
    assert json.loads((found / "result.json").read_text())["at_edge"] is edge


def test_optuna_comes_near_the_best_rate_with_the_trials_it_has(tmp_path: Path) -> None:
    tuning = Tuning(tmp_path)
    found = search_learning_rate(asked(tmp_path, strategy="optuna", rates=(1e-5, 1e-1), trials=10), tuning)
    assert len(tuning.done) == 10 * 2
    assert all(1e-5 <= float(one.lr) <= 1e-1 for one in tuning.done)
    assert abs(log10(best_rate(found) / TRUE_BEST)) < 0.5  # ten evenly spread ones would be within 0.2


@pytest.mark.parametrize("strategy", ["grid", "optuna"])
def test_a_search_that_was_killed_ends_as_one_that_was_not(tmp_path: Path, strategy: str) -> None:
    options = {"strategy": strategy, "trials": 6, "rates": (1e-4, 1e-1) if strategy == "optuna" else (1e-4, 1e-3, 1e-2)}
    whole = Tuning(tmp_path / "whole")
    expected = search_learning_rate(asked(tmp_path / "whole", **options), whole)
    broken = Tuning(tmp_path / "broken", die_after=3)
    with pytest.raises(KeyboardInterrupt):
        search_learning_rate(asked(tmp_path / "broken", **options), broken)
    done_before = len(broken.done)
    broken.die_after = None
    found = search_learning_rate(asked(tmp_path / "broken", **options), broken)
    assert done_before == 3
    assert [(one.lr, one.seed) for one in broken.done] == [(one.lr, one.seed) for one in whole.done]
    assert best_rate(found) == best_rate(expected)


def test_a_search_that_stands_is_not_done_again_and_another_is_another(tmp_path: Path) -> None:
    tuning = Tuning(tmp_path)
    config = asked(tmp_path)
    first = search_learning_rate(config, tuning)
    again = Tuning(tmp_path / "again")
    assert (
        search_learning_rate(replace(config, threads=4, tuning=replace(config.tuning, threads=4, out=tmp_path)), again)
        == first
    )
    assert again.done == []
    assert search_learning_rate(replace(config, rates=(1e-4, 1e-2)), tuning) != first
