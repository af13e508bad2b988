"""What the first screen says of arms that learned nothing."""

from pathlib import Path

import pytest
from exact_study import exact_study

from compare.page.prose import meaning, verdict_sentence
from compare.tables.contrasts import contrast_table


@pytest.mark.parametrize("seeds", [1, 3])
def test_arms_that_segment_nothing_are_told_apart_by_no_number_and_no_word(tmp_path: Path, seeds: int) -> None:
    runs = {(init, "unet", 1.0, seed): 12 * [0.0] for init in ("ssl", "imagenet") for seed in range(seeds)}
    study = exact_study(tmp_path, runs)
    table = contrast_table(study, draws=60)
    assert verdict_sentence(study, table).endswith("undecided (neither arm segments anything).")
    told = " ".join(meaning(study, table))
    assert "Nothing tells ssl from imagenet, for neither arm segments anything" in told
    assert "could have found" not in told
    assert "smaller than" not in told


def test_arms_of_which_one_segments_are_told_apart(tmp_path: Path) -> None:
    scores = {"ssl": [0.8, 0.9, 0.7], "imagenet": [0.0, 0.0, 0.0]}
    runs = {(init, "unet", 1.0, seed): 6 * row for init, row in scores.items() for seed in (0, 1, 2)}
    study = exact_study(tmp_path, runs)
    table = contrast_table(study, draws=200)
    assert verdict_sentence(study, table).endswith("better.")
    assert "ssl was better than imagenet by 80.0 points" in " ".join(meaning(study, table))
