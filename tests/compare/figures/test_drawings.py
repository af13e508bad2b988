"""Figures of a report: what is drawn where, in the page's own colours, and with names of their own."""

import re
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_study import Design, draw_study

from compare.figures.boxes import run_boxes
from compare.figures.drawing import SvgDrawing, colours, panel_grid, svg_drawing
from compare.figures.heat_map import heat_map
from compare.figures.strip import strip
from compare.page import report
from compare.page.contrast_rows import LONG
from compare.page.forest import forest, subgroup_forest
from compare.page.report_figures import drawings, run_rows, shown_factors
from compare.records.study import read_study
from compare.tables.all_tables import all_tables


def line(value: str = "#0072b2") -> SvgDrawing:
    axes, figure = panel_grid(1, 2)
    axes[0].plot([0, 1], [0, 1], color=value, marker="o")
    axes[0].set_title("a < b")
    return svg_drawing(figure, "a line")


def test_arms_keep_their_colours_and_share_none() -> None:
    arms = ["ssl (moco)", "ssl (simclr)", "imagenet", "random"]
    assert colours(arms)["imagenet"] == colours(["imagenet"])["imagenet"]
    assert len(set(colours(arms).values())) == 4
    losses = [f"loss {i}" for i in range(11)]
    assert len(set(colours(losses).values())) == 11
    style = (Path(report.__file__).parent / "report.css").read_text()
    assert all(style.count(f"--c{colour[1:]}:") == 2 for colour in colours(losses).values())  # on light and on dark
    assert list(colours(losses)) == losses


def test_the_key_names_every_arm_with_the_marker_that_its_points_have() -> None:
    arms = [f"method {i}" for i in range(11)]
    runs = pd.DataFrame({"arm": arms, "jaccard": np.linspace(0.5, 0.6, 11)})
    figure = run_boxes(runs, ["arm"], arms)
    [legend] = figure.legends
    shown = [
        (text.get_text(), handle.get_marker()) for text, handle in zip(legend.texts, legend.legend_handles, strict=True)
    ]
    points = [line.get_marker() for line in figure.axes[0].lines]
    assert shown == list(zip(arms, points, strict=True))
    assert len(set(points)) == 11


def test_a_drawing_takes_its_colours_from_the_page_and_its_words_stay_words() -> None:
    svg = line().svg
    assert set(re.findall(r"[:,] (#[0-9a-f]{6})", svg)) == set(re.findall(r"var\(--\w+, (#[0-9a-f]{6})\)", svg))
    assert ">a &lt; b</text>" in svg
    assert "<style" not in svg
    assert "DejaVu" not in svg


def test_names_in_a_drawing_are_its_own_and_every_name_that_is_used_is_there() -> None:
    first, second = (set(re.findall(r' id="(\w+)"', line(colour).svg)) for colour in ("#0072b2", "#d55e00"))
    assert first
    assert not first & second
    assert set(re.findall(r'(?:url\(#|href="#)(\w+)', line().svg)) == first
    assert line().svg == line().svg


def test_runs_that_are_few_are_points_over_their_mean_and_many_are_a_box() -> None:
    few = pd.DataFrame({"arm": "ssl", "decoder": "unet", "jaccard": [0.7, 0.8]})
    axis = run_boxes(few, ["arm"], ["ssl"]).axes[0]
    assert list(axis.patches) == []
    assert [round(float(y), 3) for y in np.unique(axis.collections[0].get_segments()[0][:, 1])] == [0.75]
    assert sorted(axis.lines[-1].get_ydata()) == [0.7, 0.8]
    many = pd.DataFrame({"arm": "ssl", "decoder": "unet", "jaccard": np.linspace(0.6, 0.8, 5)})
    (box,) = run_boxes(many, ["arm"], ["ssl"]).axes[0].patches
    assert box.get_path().vertices[:, 1].min() == pytest.approx(0.65)


def contrasts(cells: int) -> pd.DataFrame:
    rows = [("a", "b", True), ("a", "c", True), *[("a", other, False) for other in "bc" for _ in range(cells)]]
    table = pd.DataFrame(rows, columns=["a", "b", "pooled"]).assign(
        setting="unet", label_fraction=1.0, verdict="better"
    )
    return table.assign(difference=0.01, low=0.0, high=0.02)


def test_a_long_forest_shows_single_cells_of_the_primary_contrast_only() -> None:
    assert len(forest(contrasts(2), 0.01).axes[0].get_yticks()) == 6
    assert len(forest(contrasts(LONG), 0.01).axes[0].get_yticks()) == 2 + LONG
    unknown = contrasts(2).assign(difference=[0.01, nan, 0.01, 0.01, nan, nan])
    assert len(forest(unknown, 0.01).axes[0].get_yticks()) == 3


def test_a_forest_does_not_repeat_what_all_its_lines_share() -> None:
    table = pd.DataFrame({"a": "lovasz", "b": ["dice", "bce"], "setting": "fpn", "label_fraction": 1.0, "pooled": True})
    rows = table.assign(difference=0.01, low=0.0, high=0.02, verdict="undecided")

    def labels(shown: pd.DataFrame) -> list[str]:
        return [text.get_text().replace("\u2212", "-") for text in forest(shown, 0.01).axes[0].get_yticklabels()]

    assert labels(rows) == ["lovasz - dice", "lovasz - bce"]
    cells = rows.assign(setting=["all", "unet"], pooled=[True, False])
    assert labels(cells) == ["lovasz - dice", "lovasz - bce: unet"]


def test_an_interval_that_reaches_far_ends_in_an_arrow_inside_the_scale() -> None:
    rows = contrasts(2).assign(low=[-0.01, -0.9, *[-0.01] * 4], high=[0.02, 0.9, *[0.02] * 4])
    axis = forest(rows, 0.01).axes[0]
    (left,), (right,) = (
        [line.get_xdata()[0] for line in axis.lines if line.get_marker() == shape] for shape in ("<", ">")
    )
    low, high = axis.get_xlim()
    assert low < left < 0 < right < high < 90
    ends = [line.get_xdata() for line in axis.lines if len(line.get_xdata()) == 2 and line.get_ydata()[0] == 1]
    assert [list(end) for end in ends] == [[left, right]]


def test_a_forest_is_in_points() -> None:
    axis = forest(contrasts(1), 0.01).axes[0]
    interval, point = axis.lines[1], axis.lines[2]
    assert list(interval.get_xdata()) == [0.0, 2.0]
    assert list(point.get_xdata()) == [1.0]


def test_subgroups_are_parted_by_what_they_are_of() -> None:
    table = pd.DataFrame({"by": ["class", "class", "skin tone"], "subgroup": ["mel", "nv", "dark"], "images": 9})
    axis = subgroup_forest(table.assign(difference=0.01, low=0.0, high=0.02), 0.01, "a minus b").axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["class: mel", "class: nv", "skin tone: dark"]
    dotted = [part.get_ydata()[0] for part in axis.lines if part.get_linestyle() == ":"]
    assert dotted == [1.5]


def test_a_heat_map_names_the_share_of_the_encoder_where_it_is_known() -> None:
    known = {"arm": "ssl", "setting": "unet", "label_fraction": 1.0, "jaccard": 0.8125, "encoder_share_used": 0.43}
    table = pd.DataFrame([known, known | {"arm": "random", "encoder_share_used": nan}])
    texts = [text.get_text() for text in heat_map(table, ["ssl", "random"], ["unet"]).axes[0].texts]
    assert texts == ["0.812", "43 % used", "0.812"]


@pytest.mark.parametrize(("low", "high", "mean"), [(-0.02, 0.05, 0.01), (0.004, 0.008, 0.006), (nan, nan, -0.03)])
def test_a_strip_has_everything_in_its_place(low: float, high: float, mean: float) -> None:
    found = strip(pd.Series({"difference": mean, "low": low, "high": high}), margin=0.01)
    assert found is not None
    ends = found.low, found.mean, found.high
    assert list(ends) == sorted(ends)
    assert min(*ends, found.margin_low) > 0
    assert max(*ends, found.margin_high) < 100
    assert found.zero == pytest.approx((found.margin_low + found.margin_high) / 2, abs=0.01)
    point = (found.margin_high - found.zero) / 0.01  # percent of the strip for each unit of IoU
    assert found.mean - found.zero == pytest.approx(mean * point, abs=0.05)
    assert (found.zero, "0") in [(pytest.approx(place, abs=0.01), text) for place, text in found.ticks]


def test_nothing_is_no_strip() -> None:
    assert strip(pd.Series({"difference": nan, "low": nan, "high": nan}), margin=0.01) is None


def test_a_run_of_several_folds_is_one_point(tmp_path: Path) -> None:
    design = Design(fold=(0, 1), label_fraction=(1.0,), probes=False, pretrained=False)
    study = read_study(draw_study(tmp_path / "study", design))
    rows = run_rows(study)
    assert len(rows) == 3 * 2 * 2
    first = study.scores.query("arm == 'ssl' and decoder == 'unet' and seed == 0")
    assert rows["jaccard"].iloc[0] == pytest.approx(first["jaccard"].mean())
    assert shown_factors(study) == ["arm", "decoder"]


def test_a_run_whose_folds_searched_different_rates_is_one_point(tmp_path: Path) -> None:
    design = Design(fold=(0, 1), label_fraction=(1.0,), decoder=("unet",), probes=False, pretrained=False)
    study = read_study(draw_study(tmp_path / "study", design))
    study = replace(study, scores=study.scores.assign(lr=study.scores["fold"].map({0.0: 0.003, 1.0: 0.0003})))
    assert len(run_rows(study)) == 3 * 2


def test_a_study_without_scores_has_no_figure(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: bare\ncontrast: [ssl, imagenet]\ninit: [ssl, imagenet]")
    study = read_study(tmp_path)
    assert drawings(study, all_tables(study, 20)) == {}
