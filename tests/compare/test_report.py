import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_study import Design, draw_study

from compare import prose, report
from compare.figures import colours
from compare.prose import points
from compare.report import Report, write_report
from compare.statistics import holm
from compare.study import read_study
from compare.tables import contrast_table
from dermssl import files
from dermssl.errors import UserError

EVERYTHING = frozenset(
    (i, d, f, s) for i in ("ssl", "imagenet", "random") for d in ("unet", "fpn") for f in (0.1, 1.0) for s in (0, 1)
)
IMAGENET = frozenset(run for run in EVERYTHING if run[0] == "imagenet")
VOID = {"meta", "link", "img", "br", "hr"}


@pytest.fixture(autouse=True, scope="module")
def _few_draws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "DRAWS", 300)
        yield


@pytest.fixture(scope="module")
def written(whole_study: Path, _few_draws: None) -> Report:
    return write_report(whole_study)


class Tags(HTMLParser):
    """Open tags that were never closed, and addresses that would need a network."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open += [tag] if tag not in VOID else []
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.remove(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_opens_without_a_network(written: Report) -> None:
    page = written.page.read_text()
    tags = Tags(page)
    assert tags.open == []
    assert all(address.startswith(("data:", "#")) for address in tags.addresses)
    assert not re.search(r"<script|@import|url\(", page)
    assert len(page) < 4_000_000


def test_every_part_of_a_whole_study_is_there(written: Report) -> None:
    page = written.page.read_text()
    parts = re.findall(r'<section id="(\w+)">', page)
    assert parts == ["scores", "contrasts", "arms", "gallery", "probes", "pretraining", "methods"]
    assert len(re.findall(r"<img [^>]*alt=\"[^\"]{20,}", page)) == 4 + 3  # drawings and maps
    assert page.count('role="img"') == 2 * 6 * 3  # sheets x images x arms


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


def test_the_tables_are_whole(written: Report) -> None:
    rows = {path.stem: len(pd.read_csv(path)) for path in written.tables.glob("*.csv")}
    assert rows == {"contrasts": 3 * (1 + 4), "arms": 3 * 4, "runs": 1 + 24 + 3, "probes": 3 * 3, "probe_ranks": 3 * 5}


def test_a_pooled_difference_is_the_mean_of_the_cells(whole_study: Path) -> None:
    table = contrast_table(read_study(whole_study), draws=50)
    scores = pd.read_parquet(whole_study / "scores.parquet")
    for _, row in table[table["pooled"]].iterrows():
        gaps = []
        for _, cell in scores.groupby(["decoder", "label_fraction"]):
            means = cell.groupby("init")["jaccard"].mean()
            gaps.append(means[row["a"]] - means[row["b"]])
        assert row["difference"] == pytest.approx(np.mean(gaps))


def test_holm_runs_over_pooled_and_single_contrasts_apart(whole_study: Path) -> None:
    table = contrast_table(read_study(whole_study), draws=99)
    for family in (table[table["pooled"]], table[~table["pooled"]]):
        assert family["adjusted_p"].to_numpy() == pytest.approx(holm(family["p"].to_numpy(float)))


def test_writing_twice_gives_the_same_page(written: Report) -> None:
    first, again = written.page.read_text(), write_report(written.page.parent).page.read_text()
    date = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
    assert re.sub(date, "", again) == re.sub(date, "", first)


@pytest.mark.parametrize(
    ("design", "says"),
    [
        (Design(failed=frozenset({("ssl", "fpn", 0.1, 1)})), ["3 of 4 cells", "2 pairs of runs left out", "1 failed"]),
        (Design(failed=IMAGENET), ["no pair of runs is complete yet (16 of 24 fine-tuning runs done)"]),
        (Design(failed=EVERYTHING), ["No fine-tuning run has scores yet", "(0 of 24 fine-tuning runs done)"]),
        (Design(init=("ssl", "random")), ["undecided, this study has no run of imagenet"]),
        (Design(seed=(0,)), ["1 seed,", "undecided (one seed: run another", "not how another fine-tuning would fall"]),
        (Design(label_fraction=(1.0,)), ["2 decoders, 1 label fraction)"]),
        (Design(decoder=("unet",), label_fraction=(1.0,)), ["1 decoder, 1 label fraction)"]),
        (Design(images=1, examples=1), ["no interval, 1 image", "undecided (one lesion: nothing to resample)"]),
        (Design(probes=False, pretrained=False, examples=0), ["2 decoders, 2 label fractions)"]),
    ],
    ids=["failed", "no-imagenet", "nothing", "not-planned", "seed", "fraction", "cell", "image", "bare"],
)
def test_a_study_in_any_state_has_a_report_that_says_so(tmp_path: Path, design: Design, says: list[str]) -> None:
    page = write_report(draw_study(tmp_path / "study", design)).page.read_text()
    assert Tags(page).open == []
    assert [part for part in says if part not in page] == []
    assert not re.search(r"\bnan\b", re.sub(r"data:[^\"]*|loss is nan", "", page))


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


def test_arms_keep_their_colours_and_share_none() -> None:
    arms = ["ssl (moco)", "ssl (simclr)", "imagenet", "random"]
    assert colours(arms)["imagenet"] == colours(["imagenet"])["imagenet"]
    assert len(set(colours(arms).values())) == 4


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
