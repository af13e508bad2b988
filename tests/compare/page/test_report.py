import base64
import hashlib
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from drawn_pictures import EVERYTHING, WIDE, Tags
from drawn_study import Design, draw_study

from compare.page import report
from compare.page.blocks import points
from compare.page.report import Report, write_report
from compare.records.study import read_study
from compare.statistics.decisions import holm
from compare.tables.all_tables import contrast_table
from dermssl import files
from dermssl.errors import UserError

IMAGENET = frozenset(run for run in EVERYTHING if run[0] == "imagenet")
PARTS = [
    "contrasts", "scores", "arms", "factors", "gallery", "probes", "pretraining", "fairness", "deviations", "costs",
    "lineage", "data", "methods",
]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _few_draws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "DRAWS", 100)
        yield


@pytest.fixture(scope="module")
def written(whole_study: Path, _few_draws: None) -> Report:
    return write_report(whole_study)


def test_the_page_opens_without_a_network(written: Report) -> None:
    page = written.page.read_text()
    tags = Tags(page)
    assert tags.open == []
    assert all(address.startswith(("data:", "#")) for address in tags.addresses)
    assert not re.search(r"@import|url\((?!#)|<script src", page)
    assert len(tags.ids) == len(set(tags.ids))
    assert len(page) < 4_000_000


def test_maps_link_the_explorers_that_are_there(whole_study: Path, tmp_path: Path) -> None:
    study = Path(shutil.copytree(whole_study, tmp_path / "a study"))
    plan = pd.read_csv(study / "plan.csv", dtype=str)
    probe = plan["stage"] == "probe"
    plan.loc[probe, "folder"] = [str(study / "runs" / Path(folder).name) for folder in plan.loc[probe, "folder"]]
    elsewhere = (study / "runs" / "probe-ssl").rename(tmp_path / "100 %: probe")
    plan.loc[probe & (plan["init"] == "ssl"), "folder"] = str(elsewhere)
    plan.to_csv(study / "plan.csv", index=False)
    (elsewhere / "explorer.html").write_text("a page")
    (study / "runs" / "probe-random" / "explorer.html").write_text("another")
    written = write_report(study)
    links = ["../100%20%25%3A%20probe/explorer.html", "runs/probe-random/explorer.html"]
    assert re.findall(r'<a href="([^#][^"]*)">', written.page.read_text()) == links
    assert [(study / unquote(link)).is_file() for link in links] == [True, True]
    assert f"Maps to look around in: [ssl]({links[0]}), [random]({links[1]}).\n" in written.markdown.read_text()


def test_only_the_script_that_the_page_brings_may_run(written: Report) -> None:
    page = written.page.read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"; script-src 'sha256-{digest}'\">" in page


def test_every_part_of_a_whole_study_is_there(written: Report) -> None:
    page = written.page.read_text()
    parts = re.findall(r'<section id="(\w+)">', page)
    assert [part for part in parts if part not in ("padding", "subgroups")] == PARTS
    assert re.findall(r'<a href="#(\w+)">', page)[: len(parts)] == parts
    assert len(re.findall(r"<img [^>]*alt=\"[^\"]{20,}", page)) == 3  # maps
    assert page.count('class="shot"') == 2 * 5 * 3 + 2 * page.count(" points</b>")  # sheets x images x arms, and apart


def test_the_sentence_says_what_the_table_says(written: Report) -> None:
    first = pd.read_csv(written.tables / "contrasts.csv").iloc[0]
    interval = f"{points(first['low'])} to {points(first['high'])}"
    assert written.sentence == (
        f"ssl against imagenet: {points(first['difference'])} points of IoU (95 % interval {interval}, "
        f"80 images, 2 seeds, 2 decoders, 2 label fractions): {first['verdict']}."
    )
    assert written.sentence in written.page.read_text()
    assert written.sentence.replace(" -", " −") in written.markdown.read_text()  # noqa: RUF001 - a real minus there
    assert written.verdict == first["verdict"]


def test_every_table_is_a_file(written: Report) -> None:
    rows = {path.stem: len(pd.read_csv(path)) for path in written.tables.glob("*.csv") if path.stat().st_size > 2}
    counts = {"contrasts": 3 * (1 + 4), "arms": 3 * 4, "runs": 1 + 24 + 3, "probes": 3 * 3, "claims_reloaded": 80}
    assert {name: rows[name] for name in counts} == counts


def test_a_pooled_difference_is_the_mean_of_the_cells(whole_study: Path) -> None:
    table = contrast_table(read_study(whole_study), draws=50)
    scores = pd.read_parquet(whole_study / "scores.parquet")
    for _, row in table[table["pooled"]].iterrows():
        gaps = []
        for _, cell in scores.groupby(["decoder", "label_fraction"]):
            means = cell.groupby("init")["jaccard"].mean()
            gaps.append(means[row["a"]] - means[row["b"]])
        assert row["difference"] == pytest.approx(np.mean(gaps))


def test_the_primary_contrast_stands_alone_and_holm_runs_over_the_other_pooled_ones_and_over_cells(
    whole_study: Path,
) -> None:
    table = contrast_table(read_study(whole_study), draws=99)
    assert table["adjusted_p"].iloc[0] == table["p"].iloc[0]
    assert table["family"].tolist() == ["primary", "other", "other", *(["cell"] * (len(table) - 3))]
    for family in (table.iloc[1:3], table.iloc[3:]):
        assert family["adjusted_p"].to_numpy() == pytest.approx(holm(family["p"].to_numpy(float)))


@pytest.mark.slow
def test_writing_twice_gives_the_same_page(written: Report) -> None:
    first, again = written.page.read_text(), write_report(written.page.parent).page.read_text()
    date = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
    assert re.sub(date, "", again) == re.sub(date, "", first)


slow = partial(pytest.param, marks=pytest.mark.slow)
SIZES = Design(arms="image_size", contrast=("64", "96"), image_size=(64, 96), probes=False)
PADDINGS = Design(padding=("skin", "reflect"), searched=True, seed=(0,))
SEVERAL = [
    (WIDE, ["Does training with the loss lovasz", "11 of 12 cells", "Other contrasts by cell ("]),
    (Design(fold=(0, 1), label_fraction=(1.0,)), ["2 folds", "80 images, 2 seeds"]),
    (PADDINGS, ["Mirrored lesions per 1000", "At the edge"]),
    (SIZES, ["Do images of 64 px make the segmentation better than images of 96 px?"]),
]
STATES = pytest.mark.parametrize(
    ("design", "says"),
    [
        (Design(failed=frozenset({("ssl", "fpn", 0.1, 1)})), ["3 of 4 cells", "2 pairs of runs left out", "1 failed"]),
        slow(Design(failed=IMAGENET), ["every run of imagenet has failed"]),
        (Design(failed=EVERYTHING), ["No fine-tuning run has scores yet", "every run of ssl and imagenet has failed"]),
        slow(Design(init=("ssl", "random")), ["undecided, this study has no run of imagenet"]),
        (Design(seed=(0,)), ["1 seed,", "undecided (one seed: run another", "not how another fine-tuning would fall"]),
        slow(Design(label_fraction=(1.0,)), ["2 decoders, 1 label fraction)"]),
        (Design(decoder=("unet",), label_fraction=(1.0,)), ["1 decoder, 1 label fraction)"]),
        (Design(images=1), ["no interval, 1 image", "undecided (one lesion: nothing to resample)"]),
        slow(Design(probes=False, pretrained=False), ["2 decoders, 2 label fractions)"]),
        (Design(init=("ssl",), probes=False), ["this study has no run of imagenet"]),
        *(slow(*state) for state in SEVERAL),
    ],
    ids=[
        "failed", "no-imagenet", "nothing", "not-planned", "seed", "fraction", "cell", "image", "bare", "one arm",
        "wide", "folds", "padding", "sizes",
    ],
)  # fmt: skip


@STATES
def test_a_study_in_any_state_has_a_report_that_says_so(tmp_path: Path, design: Design, says: list[str]) -> None:
    written = write_report(draw_study(tmp_path / "study", design))
    page = written.page.read_text()
    assert Tags(page).open == []
    assert [part for part in says if part not in page] == []
    told = re.sub(r"\"data:[^\"]*\"|data-by=\"[^\"]*\"|<script>.*?</script>|loss is nan", "", page, flags=re.DOTALL)
    assert not re.search(r"\b(nan|None|NaN|inf)\b", told)
    assert not re.search(r"\b(nan|None|NaN|inf)\b", written.markdown.read_text().replace("loss is nan", ""))


@pytest.mark.parametrize("options", ["name: bare", "name: bare\ncontrast: [ssl, imagenet]\ninit: [ssl, imagenet]"])
def test_a_study_that_was_only_asked_for_has_a_report(tmp_path: Path, options: str) -> None:
    (tmp_path / "study.yaml").write_text(options)
    written = write_report(tmp_path)
    assert "No fine-tuning run has scores yet" in written.page.read_text()
    assert written.verdict == "undecided"


def test_errors_of_failed_runs_are_shown_and_escaped(tmp_path: Path) -> None:
    written = write_report(draw_study(tmp_path / "study", Design(failed=frozenset({("ssl", "unet", 1.0, 0)}))))
    assert "RuntimeError: loss is nan | at epoch 3 &lt;step 12&gt;" in written.page.read_text()
    assert "Traceback" not in written.page.read_text()
    assert "RuntimeError: loss is nan \\| at epoch 3 &lt;step 12>" in written.markdown.read_text()


def test_several_methods_are_arms_of_their_own(tmp_path: Path) -> None:
    folder = draw_study(tmp_path / "study", Design(decoder=("unet",), label_fraction=(1.0,), probes=False))
    plan, scores = pd.read_csv(folder / "plan.csv"), pd.read_parquet(folder / "scores.parquet")
    again = scores[scores["init"] == "ssl"].assign(method="moco")
    pd.concat([scores, again]).to_parquet(folder / "scores.parquet")
    pd.concat([plan, plan[plan["init"] == "ssl"].assign(method="moco")]).to_csv(folder / "plan.csv", index=False)
    study = read_study(folder)
    assert study.levels("arm") == ["ssl (simclr)", "ssl (moco)", "imagenet", "random"]
    assert study.contrasts[0] == ("ssl (simclr)", "imagenet")


def test_a_score_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    folder = draw_study(tmp_path / "study", Design(decoder=("unet",), label_fraction=(1.0,), probes=False))
    scores = pd.read_parquet(folder / "scores.parquet")
    pd.concat([scores, scores.head(1)]).to_parquet(folder / "scores.parquet")
    with pytest.raises(UserError, match=r"'ISIC_0000000' is scored twice for ssl, unet, fraction 1.0, seed 0"):
        write_report(folder)


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no study here \(looked for study.yaml\)"):
        write_report(tmp_path)


def test_a_report_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = draw_study(tmp_path / "study", Design(decoder=("unet",), label_fraction=(1.0,), probes=False))
    before = write_report(folder).page.read_text()
    shutil.rmtree(folder / "runs")

    def full_disk(_: int) -> None:
        raise OSError("no room")

    monkeypatch.setattr(files.os, "fsync", full_disk)
    with pytest.raises(OSError, match="no room"):
        write_report(folder)
    assert (folder / "report.html").read_text() == before
    assert list(folder.glob(".*")) == list((folder / "tables").glob(".*")) == []
