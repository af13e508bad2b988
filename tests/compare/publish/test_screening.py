"""The page of a search lists every trial by what it gained over ImageNet."""

from pathlib import Path

import pandas as pd
import pytest
from drawn_study import Design, draw_study

from compare.publish.screening import table, trials
from compare.records.study import read_study


def test_every_arm_is_a_trial_and_its_gain_is_the_mean_over_label_fractions(tmp_path: Path) -> None:
    study = read_study(draw_study(tmp_path / "study", Design(decoder=("unet",), images=20)))
    rows = trials(study)
    assert set(rows.index) == {"ssl", "imagenet", "random"}
    assert rows.loc["imagenet", "gain"] == 0
    own = study.scores.groupby(["arm", "label_fraction"])["jaccard"].mean()
    assert rows.loc["ssl", "gain"] == pytest.approx((own["ssl"] - own["imagenet"]).mean())
    lines = table(study).splitlines()
    assert len(lines) == 2 + 3
    assert lines[2].startswith("| ssl |")  # the best stands first
    assert "not run" in table(study)  # the drawn probes have no dense probe on 10 masks
    assert pd.notna(rows["Unet, 10 %"]).all()
