"""Encoders without the `tu-` that only a flag needs."""

from pathlib import Path

import numpy as np
import pandas as pd
from drawn_study import ENCODER, Design, draw_study

from compare.figures.encoder_names import with_short_encoder_names
from compare.records.study import Study, read_study

DESIGN = Design(decoder=("unet",), label_fraction=(1.0,), probes=False, pretrained=False, images=8)


def of_encoders(folder: Path, first: str, second: str, arms: str = "init") -> Study:
    """A study of two encoders: that of the runs of seed 0, and that of seed 1."""
    draw_study(folder, DESIGN)
    names = {0: first, 1: second}
    plan, scores = pd.read_csv(folder / "plan.csv"), pd.read_parquet(folder / "scores.parquet")
    for table in (plan, scores):
        table["encoder"] = table["seed"].map(names)
        table["seed"] = 0
    plan.to_csv(folder / "plan.csv", index=False)
    scores = scores[scores["init"] == "ssl"] if arms == "encoder" else scores
    scores.to_parquet(folder / "scores.parquet")
    text = (folder / "study.yaml").read_text().replace(f"- {ENCODER}", f"- {first}\n- {second}")
    if arms == "encoder":
        text = text.replace("arms: init", "arms: encoder").replace(
            "- ssl\n- imagenet\nmargin", f"- {second}\n- {first}\nmargin"
        )
    (folder / "study.yaml").write_text(text)
    return read_study(folder)


def test_settings_and_levels_go_without_the_prefix_and_lineage_keeps_it(tmp_path: Path) -> None:
    study = of_encoders(tmp_path / "study", "tu-lite0", "resnet18")
    assert study.levels("setting") == ["unet on tu-lite0", "unet on resnet18"]
    tables = {
        "arms": pd.DataFrame({"arm": ["ssl"], "setting": ["unet on tu-lite0"]}),
        "levels": pd.DataFrame({"level": ["tu-lite0"]}),
        "lineage": pd.DataFrame({"encoder": ["tu-lite0"]}),
    }
    said, told = with_short_encoder_names(study, tables)
    assert said.levels("setting") == ["unet on lite0", "unet on resnet18"]
    assert said.levels("encoder") == ["lite0", "resnet18"]
    assert said.cells == [(setting.replace("tu-", ""), fraction) for setting, fraction in study.cells]
    assert told["arms"]["setting"].tolist() == ["unet on lite0"]
    assert told["levels"]["level"].tolist() == ["lite0"]
    assert told["lineage"]["encoder"].tolist() == ["tu-lite0"]
    assert tables["levels"]["level"].tolist() == ["tu-lite0"]  # what goes into the CSV stays


def test_compared_encoders_keep_their_contrast(tmp_path: Path) -> None:
    study = of_encoders(tmp_path / "study", "tu-lite0", "resnet18", arms="encoder")
    assert study.contrasts[0] == ("resnet18", "tu-lite0")
    said, _ = with_short_encoder_names(study, {})
    assert said.contrasts[0] == ("resnet18", "lite0")
    assert said.levels("arm") == ["lite0", "resnet18"]
    np.testing.assert_array_equal(said.jaccard("lite0"), study.jaccard("tu-lite0"))


def test_encoders_that_would_be_called_alike_keep_it(tmp_path: Path) -> None:
    study = of_encoders(tmp_path / "study", "tu-resnet18", "resnet18")
    said, _ = with_short_encoder_names(study, {})
    assert said.levels("setting") == ["unet on tu-resnet18", "unet on resnet18"]
