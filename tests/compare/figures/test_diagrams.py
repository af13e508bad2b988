"""The diagram of ranks and the figure of failures: what stands where, and when there is nothing to draw."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from drawn_study import Design, draw_study
from matplotlib.axes import Axes

from compare.figures.drawing import svg_drawing
from compare.figures.failures import failure_dots, seed_failures
from compare.figures.rank_diagram import critical_difference_diagram
from compare.page.report_figures import drawings, figure
from compare.page.sections import Findings, sections
from compare.records.study import Study, read_study
from compare.statistics.critical_difference import CriticalDifference, critical_difference
from compare.tables.all_tables import all_tables, arm_table
from compare.tables.factor_tables import arm_rank_table

NAMES = [f"ssl (method_{i})" for i in range(12)]
PLAIN = Design(probes=False, pretrained=False, images=40)
CELLS = pytest.mark.parametrize(("arms", "cells"), [(3, 2), (3, 30), (5, 8), (12, 2), (12, 20)])


def ranked(arms: int, cells: int) -> CriticalDifference:
    """Arms that get worse one by one, with ties."""
    noise = np.random.default_rng(arms * cells).normal(0, 2, (cells, arms))
    return critical_difference(NAMES[:arms], np.round(-np.arange(arms) + noise))


def diagram(found: CriticalDifference) -> Axes:
    return critical_difference_diagram(found, NAMES).axes[0]


def lines(axis: Axes, label: str) -> list[np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    return [np.asarray(line.get_xydata()) for line in axis.lines if line.get_label() == label]


@CELLS
def test_arms_hang_from_their_mean_ranks_under_a_ruler_of_the_critical_difference(arms: int, cells: int) -> None:
    found = ranked(arms, cells)
    axis = diagram(found)
    for name, rank in zip(found.ranks["arm"], found.ranks["mean_rank"], strict=True):
        assert lines(axis, name)[0][0].tolist() == [rank, 0]
    ((ruler),) = lines(axis, "ruler")
    assert np.ptp(ruler[:, 0]) == pytest.approx(found.distance)
    assert axis.get_xlim()[0] < 1 < ruler[:, 0].max() < axis.get_xlim()[1]  # inside, even where longer than the scale


@CELLS
def test_two_arms_are_under_one_bar_if_they_cannot_be_told_apart_and_else_not(arms: int, cells: int) -> None:
    found = ranked(arms, cells)
    ranks = found.ranks["mean_rank"].tolist()
    bars = [bar[:, 0] for bar in lines(diagram(found), "bar")]
    for a, b in combinations(ranks, 2):
        joined = any(low <= a <= high and low <= b <= high for low, high in bars)
        assert joined == (b - a < found.distance)


@CELLS
def test_bars_do_not_run_into_each_other_and_end_above_the_names(arms: int, cells: int) -> None:
    axis = diagram(ranked(arms, cells))
    bars = lines(axis, "bar")
    for one, other in combinations(bars, 2):
        assert one[0, 1] != other[0, 1] or max(one[0, 0], other[0, 0]) > min(one[1, 0], other[1, 0])
    names = [text.get_position()[1] for text in axis.texts if text.get_text() in NAMES]
    assert max((bar[0, 1] for bar in bars), default=0) < min(names)


def test_bars_that_nearly_touch_are_on_two_levels() -> None:
    ranks = pd.DataFrame({"arm": NAMES[:4], "mean_rank": [1.0, 2.48, 2.52, 4.0], "wins": 0.0, "score": 0.0})
    groups = [(NAMES[0], NAMES[1]), (NAMES[2], NAMES[3])]
    first, second = lines(diagram(CriticalDifference(ranks, 90, 0.01, 1.49, groups)), "bar")
    assert first[0, 1] < second[0, 1]


@CELLS
def test_no_line_to_a_name_crosses_another(arms: int, cells: int) -> None:
    axis = diagram(ranked(arms, cells))
    hooks = [lines(axis, name)[0] for name in NAMES[:arms]]  # down from the scale, then to a side
    for (start, turn, end), other in ((hook, other) for hook in hooks for other in hooks if other is not hook):
        x, depth = other[1]
        assert not (min(turn[0], end[0]) < x < max(turn[0], end[0]) and start[1] < turn[1] < depth)


def test_the_better_half_stands_at_the_left_and_the_best_and_the_worst_on_top() -> None:
    axis = diagram(critical_difference(NAMES[:5], -np.arange(5) * np.ones((9, 1))))
    place = {text.get_text(): text.get_position() for text in axis.texts}
    left = sorted((place[name][1], name) for name in NAMES[:5] if place[name][0] < 1)
    right = sorted((place[name][1], name) for name in NAMES[:5] if place[name][0] > 5)
    assert [name for _, name in left] == NAMES[:3]
    assert [name for _, name in right] == [NAMES[4], NAMES[3]]


@pytest.mark.parametrize("arms", [3, 12])
def test_a_diagram_fits_a_telephone(arms: int) -> None:
    drawn = svg_drawing(critical_difference_diagram(ranked(arms, 4), NAMES[:arms]), "")
    assert 0.62 * drawn.width < 400 - 2 * 12  # the page lets a figure shrink to that share before it scrolls


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """Three arms in four cells of two seeds."""
    study = read_study(draw_study(tmp_path_factory.mktemp("diagrams") / "study", PLAIN))
    tables = all_tables(study, 20)
    return Findings(study, tables, drawings(study, tables), pictures=False, maps=False)


def part(study: Study, where: str) -> Study:
    return replace(study, plan=study.plan.query(where), scores=study.scores.query(where))


def captions(found: Findings, section: str) -> list[str]:
    blocks = [block for one in sections(found) if one.id == section for block in one.blocks]
    return [block if isinstance(block, str) else block.caption for block in blocks]


def test_ranks_are_drawn_over_their_table_and_failures_end_the_scores(found: Findings) -> None:
    assert [text.split(" ")[0] for text in captions(found, "arms")[-2:]] == ["Critical-difference", "Ranks"]
    assert captions(found, "scores")[-1].startswith("Failures: the share of images (n = 40 images, 2 seeds)")
    for _, row in found.tables["arm_ranks"].iterrows():
        assert f"{row['arm']} {row['mean_rank']:.2f}" in found.drawings["ranks"].alt


@pytest.mark.parametrize(
    ("where", "drawn"),
    [("arm != ''", True), ("arm != 'random'", False), ("decoder == 'unet' and label_fraction == 1", False)],
    ids=["three arms in four cells", "two arms", "one cell"],
)
def test_ranks_are_drawn_of_three_arms_in_two_cells_or_more(found: Findings, where: str, drawn: bool) -> None:
    study = part(found.study, where)
    assert (figure(study, {"arm_ranks": arm_rank_table(study)}, "ranks") is not None) == drawn


@pytest.mark.parametrize(("where", "said"), [("arm != ''", False), ("decoder == 'unet'", True)], ids=["four", "two"])
def test_cells_that_are_too_few_to_tell_any_arms_apart_are_called_so(found: Findings, where: str, said: bool) -> None:
    rows = arm_rank_table(part(found.study, where))
    caption = captions(replace(found, tables={**found.tables, "arm_ranks": rows}), "arms")[-2]
    assert ("longer than the scale" in caption) == said


def test_failures_of_the_seeds_have_the_rate_of_the_table_for_their_mean(found: Findings) -> None:
    study = part(found.study, "not (arm == 'ssl' and decoder == 'fpn' and label_fraction == 0.1 and seed == 1)")
    scores = study.scores.drop(index=study.scores.query("arm == 'random' and decoder == 'unet'").index[0])  # an image
    study = replace(study, scores=scores)
    rates = seed_failures(study)
    assert rates["failure_rate"].nunique() > 3
    by = ["arm", "setting", "label_fraction"]
    means = rates.groupby(by)["failure_rate"].mean()
    expected = arm_table(study, 20).set_index(by)["failure_rate"]
    pd.testing.assert_series_equal(means.sort_index(), expected.sort_index())
    assert len(rates) == 3 * 2 * 2 * 2 - 1


def test_an_arm_has_a_point_a_seed_and_a_bar_at_their_mean() -> None:
    rows = [
        ("a", "unet", 1.0, 0, 0.1),
        ("a", "unet", 1.0, 1, 0.3),
        ("b", "unet", 1.0, 0, 0.0),
        ("b", "fpn", 1.0, 0, 0.2),
    ]
    rates = pd.DataFrame(rows, columns=["arm", "setting", "label_fraction", "seed", "failure_rate"])
    axis = failure_dots(rates, ["a", "b"], ["unet", "fpn"]).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b", "a", "b"]
    lines_of_arms = axis.get_yticks().tolist()
    assert lines_of_arms == [1, 2, 4, 5]
    bars, points = axis.lines[::2], axis.lines[1::2]
    assert [bar.get_xdata()[0] for bar in bars] == pytest.approx([0.2, 0.0, 0.2])
    assert [point.get_xdata().tolist() for point in points] == [[0.1, 0.3], [0.0], [0.2]]
    assert [float(np.mean(bar.get_ydata())) for bar in bars] == pytest.approx([1, 2, 5])
    told = {text.get_text(): text.get_position()[1] for text in axis.texts}
    assert told == {"unet": 0, "fpn": 3, "no scores": 4}


def test_a_single_setting_goes_without_its_name() -> None:
    rates = pd.DataFrame({"arm": ["a"], "setting": "unet", "label_fraction": 1.0, "seed": 0, "failure_rate": 0.5})
    axis = failure_dots(rates, ["a"], ["unet"]).axes[0]
    assert list(axis.texts) == []
    assert axis.get_yticks().tolist() == [0]


@pytest.mark.parametrize("count", [1, 4, 5, 7])
def test_every_label_fraction_has_a_panel_of_the_same_scale(count: int) -> None:
    fractions = np.linspace(1, 0.1, count)[::-1]
    rates = pd.DataFrame(
        {"arm": "a", "setting": "unet", "label_fraction": fractions, "seed": 0, "failure_rate": fractions}
    )
    axes = failure_dots(rates, ["a"], ["unet"]).axes
    assert [axis.get_title() for axis in axes] == [f"{100 * fraction:.3g} % of the labels" for fraction in fractions]
    assert {axis.get_xlim() for axis in axes} == {(-0.03, 1.06)}


def test_failures_are_drawn_where_an_image_failed_and_else_not(found: Findings) -> None:
    assert "failures" in found.drawings
    scores = found.study.scores
    whole = replace(found.study, scores=scores.assign(jaccard=scores["jaccard"].clip(lower=0.65)))
    assert figure(whole, {"arms": arm_table(whole, 20)}, "failures") is None
    bare = replace(found.study, scores=scores.head(0))
    assert figure(bare, {"arms": arm_table(bare, 20)}, "failures") is None
