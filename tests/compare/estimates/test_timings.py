"""What the folder of a finished run tells of where its time went."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from compare.estimates.kinds import Amount
from compare.estimates.timings import Rates, rates_of

approx = pytest.approx

BEGAN = 1_700_000_000.0
STEP, ROWS, STEPS, BATCH, PICTURES = 0.25, 4, 10, 16, 8


def finished(folder: Path, stage: str = "finetune", **result: object) -> Path:
    """A run of four rows of ten steps: 2 s to begin, 10 s of steps, 0.5 s at each row, 4 s to score, 1 s to end."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(f"batch_size: {BATCH}\n")
    seconds = [STEPS * STEP] * ROWS
    rates = [STEPS * BATCH / one for one in seconds]
    pd.DataFrame({"epoch": range(ROWS), "seconds": seconds, "images_per_second": rates}).to_csv(
        folder / "metrics.csv", index=False
    )
    found = {"seconds": ROWS * (STEPS * STEP + 0.5), "n_val": PICTURES, "memory_mb": 900.0, **result}
    (folder / "result.json").write_text(json.dumps(found))
    (folder / "scores.parquet").write_text("")
    after = {"config.yaml": 0, "metrics.csv": 14, "scores.parquet": 18, "result.json": 19}
    for name, seconds_later in after.items():
        os.utime(folder / name, (BEGAN + seconds_later,) * 2)
    return folder


def test_a_fine_tuning_tells_its_step_its_rows_its_pictures_and_the_rest(tmp_path: Path) -> None:
    rates = rates_of(finished(tmp_path / "run"), "finetune")
    assert rates is not None
    assert rates[:5] == approx((19 - 12 - 4, STEP, 0.5, 4 / PICTURES, 900.0))


def test_rates_give_back_the_time_of_the_run_that_they_are_of(tmp_path: Path) -> None:
    rates = rates_of(finished(tmp_path / "run"), "finetune")
    assert rates is not None
    assert rates.seconds(Amount(ROWS * STEPS, ROWS, PICTURES)) == approx(19)


def test_what_was_before_the_first_file_counts_where_the_whole_time_is_known(tmp_path: Path) -> None:
    rates = rates_of(finished(tmp_path / "run"), "finetune", whole=25.0)
    assert rates is not None
    assert rates.fixed == approx(25 - 12 - 4)


def test_a_run_that_was_found_done_is_not_taken_for_a_quick_one(tmp_path: Path) -> None:
    rates = rates_of(finished(tmp_path / "run"), "finetune", whole=0.1)
    assert rates is not None
    assert rates.fixed == approx(3)


def test_the_first_row_warms_up_and_does_not_count(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run")
    table = pd.read_csv(folder / "metrics.csv").head(2)  # a median of more would not see it
    table.loc[0, "images_per_second"] /= 50
    table.to_csv(folder / "metrics.csv", index=False)
    rates = rates_of(folder, "finetune")
    assert rates is not None
    assert rates.step == approx(STEP)


def test_a_resumed_run_tells_nothing(tmp_path: Path) -> None:
    assert rates_of(finished(tmp_path / "run", seconds=3.0), "finetune") is None


def test_a_copied_run_whose_files_have_lost_their_times_tells_nothing(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run")
    for path in folder.rglob("*"):
        os.utime(path, (BEGAN, BEGAN))
    assert rates_of(folder, "finetune") is None


def test_a_trial_of_a_search_tells_nothing(tmp_path: Path) -> None:
    assert rates_of(finished(tmp_path / "run", n_val=0), "finetune") is None


def test_a_pretraining_scores_nothing(tmp_path: Path) -> None:
    rates = rates_of(finished(tmp_path / "run"), "pretrain")
    assert rates is not None
    assert rates[:4] == approx((19 - 12, STEP, 0.5, 0.0))


def test_a_probe_costs_by_the_picture(tmp_path: Path) -> None:
    rates = rates_of(finished(tmp_path / "run", n_images=38, seconds=18.0), "probe")
    assert rates is not None
    assert rates.picture == approx(0.5)


def test_more_steps_and_pictures_take_more_in_proportion() -> None:
    assert Rates(1, 2, 3, 4).seconds(Amount(10, 20, 30)) == 1 + 20 + 60 + 120
