"""The page of a run says what its scores say, escapes every name, and asks no network."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermssl.scores.intervals import class_mean
from finetune.options.config import FinetuneConfig
from finetune.page.run_page import RunFindings, cost, options_apart, score_rows, write_run_page

HOSTILE = "<script>alert(1)</script>"


def findings(folder: Path, images: int = 30, **names: str) -> RunFindings:
    rng = np.random.default_rng(0)
    jaccard = rng.uniform(0.3, 0.95, images)
    scores = pd.DataFrame(
        {
            "image_id": [
                names.get("image", f"ISIC_{i:07d}") + ("" if "image" not in names else str(i)) for i in range(images)
            ],
            "lesion_id": [f"L{i // 2}" if i < 10 else "" for i in range(images)],
            "jaccard": jaccard,
            "sensitivity": jaccard,
            "specificity": 1 - jaccard / 10,
        }
    )
    (folder / "figures").mkdir(parents=True)
    Image.fromarray(rng.integers(0, 256, (60, 2000, 3), dtype=np.uint8)).save(folder / "figures" / "iou_histogram.png")
    result = {"init": "ssl", "n_train": 41, "seconds": 61.0, "images_per_second": 20.0, "memory_mb": 1443.0}
    return RunFindings(
        folder, scores, result, [names.get("said", "leaks: none")], "python -m finetune.predict --model RUN"
    )


def test_the_page_gives_means_with_intervals_over_lesions(tmp_path: Path) -> None:
    found = findings(tmp_path / "run")
    page = write_run_page(FinetuneConfig(seed=3), found).read_text()
    lesions = found.scores["lesion_id"].where(found.scores["lesion_id"] != "", found.scores["image_id"])
    mean, low, high = class_mean(found.scores["jaccard"], np.zeros(30), lesions, 3)
    assert f"a mean IoU of {mean:.3f}, 95 % interval {low:.3f} to {high:.3f}." in page
    assert "30 held-out images of 25 lesions" in page
    assert "trained on 41 images with masks" in page
    assert f"{100 * (found.scores['jaccard'] < 0.65).mean():.0f} % of the images failed" in page
    worst = found.scores.sort_values("jaccard")["image_id"].iloc[0]
    assert worst in page
    assert "surface Dice" not in page  # which this run did not measure
    assert '<td class="t"><code>seed</code></td>' in page


def test_figures_stand_in_the_page_no_wider_than_it_shows(tmp_path: Path) -> None:
    page = write_run_page(FinetuneConfig(), findings(tmp_path / "run")).read_text()
    [(width, height)] = re.findall(r'<img src="data:image/webp;base64,[^"]+" width="(\d+)" height="(\d+)"', page)
    assert (int(width), int(height)) == (1500, 45)


def test_no_name_is_an_element_and_nothing_is_fetched(tmp_path: Path) -> None:
    page = write_run_page(FinetuneConfig(), findings(tmp_path / "run", image=HOSTILE, said=HOSTILE)).read_text()
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "Content-Security-Policy" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)


def test_a_single_lesion_has_no_interval(tmp_path: Path) -> None:
    one = pd.DataFrame({"image_id": ["a", "b"], "lesion_id": ["L", "L"], "jaccard": [0.5, 0.7]})
    [row] = score_rows(one, 0)
    assert row.interval.mean == pytest.approx(0.6)
    assert np.isnan(row.interval.low)


def test_what_was_not_measured_is_left_out_of_the_cost() -> None:
    assert cost({"seconds": 61.0}) == [("time", "61 s")]
    assert [name for name, _ in cost({"seconds": 61.0, "images_per_second": 20.0, "memory_mb": 10.0})] == [
        "time", "training", "memory",
    ]  # fmt: skip


def test_options_are_those_that_somebody_chose() -> None:
    assert options_apart(FinetuneConfig()) == []
    assert options_apart(FinetuneConfig(decoder="fpn", threads=2)) == [("decoder", "fpn")]
