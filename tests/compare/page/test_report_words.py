"""The report in words: its question, what its verdict means, what it is the mean over, and what the methods say."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from drawn_study import Design, draw_study

from compare.page import prose, report
from compare.page.methods_text import methods
from compare.page.report import write_report
from compare.records.study import read_study
from compare.tables.all_tables import contrast_table


@pytest.fixture(autouse=True, scope="module")
def _few_draws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "DRAWS", 100)
        yield


@pytest.mark.parametrize(
    ("leaks", "fact"),
    [
        ([None, {}], []),
        (
            [{"action": "clean"}, {"training": {"action": "clean"}, "encoder": {"action": "clean"}}],
            ["leak firewall: clean"],
        ),
        ([{"action": "dropped"}], ["leak firewall: leaking images dropped from training"]),
        (
            [{"training": {"action": "clean"}, "encoder": {"action": "unknown"}}],
            ["leak firewall: an encoder does not say which images it has seen"],
        ),
    ],
    ids=["not guarded", "clean", "dropped", "unknown"],
)
def test_the_report_says_what_the_leak_firewall_did(leaks: list[object], fact: list[str]) -> None:
    assert prose.firewall(leaks) == fact


def row_of(**numbers: object) -> pd.DataFrame:
    known = {"a": "ssl", "b": "imagenet", "difference": 0.02, "low": 0.01, "high": 0.03, "images": 80, "seeds": 3}
    return pd.DataFrame([known | {"adjusted_p": 0.01, "smallest_detectable": 0.015, "verdict": "better"} | numbers])


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ({}, "ssl was better than imagenet by 2.0 points"),
        ({"difference": -0.02, "low": -0.03, "high": -0.01, "verdict": "worse"}, "worse than imagenet by 2.0 points"),
        ({"difference": 0.004, "low": 0.001, "high": 0.007}, "less than the 1.0 points that this study holds relevant"),
        (
            {"verdict": "equivalent", "difference": 0.001},
            "is smaller than 1.0 points of IoU (two one-sided tests, 5 %)",
        ),
        ({"verdict": "undecided", "low": -0.01}, "That is not evidence that they are the same"),
        ({"verdict": "undecided", "adjusted_p": 0.06}, "The interval leaves out 0, but p is 0.060"),
        ({"verdict": "undecided", "seeds": 1}, "One seed cannot tell"),
        ({"verdict": "undecided", "low": np.nan}, "One lesion cannot tell"),
    ],
)
def test_the_first_screen_says_what_the_verdict_means(whole_study: Path, numbers: dict[str, object], says: str) -> None:
    told = " ".join(prose.meaning(read_study(whole_study), row_of(**numbers)))
    assert says in told
    assert "With 80 images and" in told
    assert "could have found a difference of 1.5 points" in told
    assert told.endswith("It says nothing of other data, cameras or settings than those below.")


def test_the_question_of_the_study_stands_over_its_answer(tmp_path: Path) -> None:
    folder = draw_study(tmp_path / "study", Design(decoder=("unet",), label_fraction=(1.0,), probes=False))
    assert prose.question(read_study(folder)).startswith("Does starting from ssl weights segment lesions better")
    options = yaml.safe_load((folder / "study.yaml").read_text())
    asked = "Does it help, and under which decoders?"
    (folder / "study.yaml").write_text(yaml.safe_dump(options | {"question": asked}))
    written = write_report(folder)
    assert f"<h1>{asked}</h1>" in written.page.read_text()
    assert asked in written.markdown.read_text()


def test_the_methods_speak_of_folds_and_cells_only_where_there_are_some(whole_study: Path, tmp_path: Path) -> None:
    study = read_study(whole_study)
    told = " ".join(methods(study, contrast_table(study, 20), 20))
    assert "average over 4 cells of decoder and label fraction" in told
    assert "come from one split of one data set" in told
    one = Design(decoder=("unet",), label_fraction=(1.0,), fold=(0, 1), searched=True, probes=False)
    study = read_study(draw_study(tmp_path / "study", one))
    told = " ".join(methods(study, contrast_table(study, 20), 20))
    assert "Pooled contrasts average" not in told
    assert "come from 2 folds of one data set" in told
    assert "differ only in their starting weights and in the learning rate that an equal search found" in told


@pytest.mark.slow
def test_padding_has_a_section_where_it_varies_or_adds_lesion_and_else_none(tmp_path: Path) -> None:
    small = {"decoder": ("unet",), "label_fraction": (1.0,), "probes": False, "init": ("ssl", "imagenet"), "images": 8}
    heads = {}
    for name, padding, arms in (
        ("skin", ("skin",), "init"),
        ("reflect", ("reflect",), "init"),
        ("both", (), "padding"),
    ):
        contrast = ("skin", "reflect") if arms == "padding" else ("ssl", "imagenet")
        design = Design(**small, padding=padding or contrast, arms=arms, contrast=contrast)  # type: ignore[arg-type]
        page = write_report(draw_study(tmp_path / name, design)).page.read_text()
        table = page.partition('id="table-padding"')[2].partition("</thead>")[0]
        heads[name] = re.findall(r"<th[^>]*>([^<]+)</th>", table)[:2]
    assert heads == {"skin": [], "reflect": ["Padding", "Arm"], "both": ["Arm", "Runs"]}


def test_the_first_screen_says_what_the_difference_is_the_mean_over(tmp_path: Path) -> None:
    several = draw_study(tmp_path / "several", Design(probes=False, images=8))
    page = write_report(several).page.read_text().partition("</header>")[0]
    assert "mean over 2 decoders and 2 label fractions</span>" in page
    assert "The difference is the mean over 2 decoders and 2 label fractions with equal weight; in single ones" in page
    folder = draw_study(tmp_path / "study", Design(decoder=("unet",), label_fraction=(1.0,), probes=False))
    assert "mean over" not in write_report(folder).page.read_text().partition("</header>")[0]


@pytest.mark.slow
def test_trials_are_means_over_what_they_were_repeated_in(tmp_path: Path) -> None:
    small = {"decoder": ("unet",), "label_fraction": (1.0,), "probes": False, "searched": True, "images": 8}
    for name, fold, over in (("one", (), "2 seeds"), ("folds", (0, 1), "2 seeds and 2 folds")):
        page = write_report(draw_study(tmp_path / name, Design(**small, fold=fold))).page.read_text()  # type: ignore[arg-type]
        assert f"inner split of the training images: means over {over}, with lines from the worst" in page


def test_uncommitted_code_and_allowed_leaks_are_warned_of(tmp_path: Path) -> None:
    folder = draw_study(tmp_path / "study", Design(decoder=("unet",), label_fraction=(1.0,), probes=False))
    assert prose.warnings(read_study(folder)) == []
    environment = json.loads((folder / "environment.json").read_text())
    (folder / "environment.json").write_text(json.dumps(environment | {"dirty": True}))
    result = folder / "runs" / "pretrain-simclr" / "result.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | {"leaks": {"action": "allowed"}}))
    told = prose.warnings(read_study(folder))
    assert [words.split(",")[0] for words in told] == ["The code had changes that are in no commit", "Held-out images"]
