"""The command: what it prints, what it writes, and how it ends."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from dermssl.check import run as check
from dermssl.check.config import CheckConfig
from dermssl.check.run import run
from dermssl.errors import UserError

Draw = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("workplace")

IMAGES, MASKS = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"


@pytest.fixture(autouse=True)
def pairs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The near-duplicates that are found; none at first."""
    found: list[tuple[str, str]] = []
    columns = ["image_a", "image_b", "distance", "similarity"]
    monkeypatch.setattr(check, "near_pairs", lambda _: pd.DataFrame([(*p, 3, 0.9) for p in found], columns=columns))
    return found


@pytest.fixture
def data(draw_isic: Draw, tmp_path: Path) -> Path:
    return draw_isic(tmp_path / "isic", 4, size=(96, 128))


def break_image(data: Path, index: int = 1) -> None:
    (data / IMAGES / f"ISIC_{index:07d}.jpg").write_text("no picture")


def ended(config: CheckConfig) -> int:
    with pytest.raises(SystemExit) as end:
        run(config)
    return int(str(end.value.code))


def page_of(data: Path) -> str:
    return Path("runs/check", data.name, "check.html").read_text()


def test_a_clean_set_ends_well_and_names_the_training(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(CheckConfig(data=data))
    said = capsys.readouterr().out
    alone = "splits keep every image by itself, for no lesion, patient or near-duplicate links any two"
    assert said.startswith(f"4 images, 4 masks\n{alone}\n4 images and no finding\n")
    assert said.endswith(
        "nothing here would stop a training\n"
        f"results: runs/check/isic/check.html\nnext:    python -m finetune --data {data}\n"
    )


def test_errors_end_with_code_one_and_name_the_fix(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_image(data)
    assert ended(CheckConfig(data=data)) == 1
    said = capsys.readouterr().out
    assert re.search(r"unreadable +error +1 +25\.0% +ISIC_0000001", said)
    assert "python -m finetune would refuse this set: 1 error\n" in said
    assert said.endswith(f"next:    python -m dermssl check {data} --fix {data}-clean\n")


def test_a_pool_without_masks_is_pretrained_on(
    draw_isic: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = draw_isic(tmp_path / "pool", 2, size=(96, 128), masks=False)
    run(CheckConfig(data=pool))
    assert capsys.readouterr().out.endswith(f"next:    python -m pretrain --method simclr --data {pool}\n")


def test_a_split_that_leaks_is_an_error_that_no_copy_mends(
    data: Path, pairs: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    pairs.append(("ISIC_0000000", "ISIC_0000001"))
    Path("split.json").write_text(json.dumps({"train": ["ISIC_0000000"], "val": ["ISIC_0000001"]}))
    assert ended(CheckConfig(data=data, split=Path("split.json"))) == 1
    assert capsys.readouterr().out.endswith(f"next:    python -m finetune --data {data}\n")


def test_the_json_counts_what_the_table_lists(data: Path) -> None:
    break_image(data, 1)
    break_image(data, 2)
    ended(CheckConfig(data=data))
    facts = json.loads(Path("runs/check/isic/check.json").read_text())
    assert facts["kinds"] == {"unreadable": {"severity": "error", "findings": 2, "images": 2, "share": 0.5}}
    assert (facts["images"], facts["masks"], facts["errors"], facts["warnings"]) == (4, 4, 2, 0)
    assert {"commit", "versions", "seconds", "manifest"} <= set(facts)
    findings = pd.read_csv("runs/check/isic/findings.csv", keep_default_na=False)
    assert list(findings["image_id"]) == ["ISIC_0000001", "ISIC_0000002"]


def test_the_covariates_have_a_row_an_image(data: Path) -> None:
    break_image(data)
    ended(CheckConfig(data=data))
    table = pd.read_csv("runs/check/isic/covariates.csv")
    assert len(table) == 4
    assert table["ruler"].isna().tolist() == [False, True, False, False]


def test_the_page_shows_a_thumbnail_with_the_outline_and_the_sentence_of_what_is_broken(data: Path) -> None:
    break_image(data)
    path = data / MASKS / "ISIC_0000002_segmentation.png"
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    mask[:4, :4] = 255
    cv2.imwrite(str(path), mask)
    ended(CheckConfig(data=data))
    page = page_of(data)
    assert page.count('<img src="data:image/jpeg;base64,') == 2  # two regions, and at the border
    assert '<div class="missing">cannot be read: no picture but a text' in page
    assert 'href="#several-regions"' in page
    assert 'id="several-regions"' in page


def test_a_pair_stands_side_by_side_once(data: Path, pairs: list[tuple[str, str]]) -> None:
    pairs.append(("ISIC_0000000", "ISIC_0000001"))
    run(CheckConfig(data=data))
    page = page_of(data)
    assert (page.count('class="pair"'), page.count("<img ")) == (1, 2)


def test_no_more_thumbnails_are_shown_than_asked_for(data: Path) -> None:
    for index in range(3):
        break_image(data, index)
    ended(CheckConfig(data=data, thumbnails=1))
    page = page_of(data)
    assert page.count('class="missing"') == 1
    assert "and 2 more in <code>findings.csv</code>" in page


def test_names_are_escaped_and_nothing_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "a<b>&c"
    folder.mkdir()
    (folder / "<script>x.jpg").write_text("no picture")
    ended(CheckConfig(data=folder))
    page = page_of(folder)
    assert "<script" not in page
    assert "&lt;script&gt;x" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)


def test_the_fix_is_told_of_and_checks_without_errors(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_image(data)
    cv2.imwrite(str(data / MASKS / "ISIC_0000002_segmentation.png"), np.zeros((7, 9), np.uint8))
    assert ended(CheckConfig(data=data, fix=Path("clean"))) == 1
    said = capsys.readouterr().out
    assert f"cleaned: clean (2 actions in clean/fixes.csv; {data} is untouched)" in said
    assert "pool:    clean/.unlabelled (images without a usable mask" in said
    assert said.endswith("next:    python -m finetune --data clean\n")
    run(CheckConfig(data=Path("clean")))
    assert "nothing here would stop a training" in capsys.readouterr().out


def test_a_report_inside_the_data_set_is_refused(data: Path) -> None:
    with pytest.raises(UserError, match="lies inside the data set"):
        run(CheckConfig(data=data, out=data / "report"))


def test_a_place_for_the_copy_that_is_no_place_is_refused_before_any_work(data: Path) -> None:
    with pytest.raises(UserError, match="give a folder of its own"):
        run(CheckConfig(data=data, fix=data / "clean"))
    assert not Path("runs").exists()
