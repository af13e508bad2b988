"""Curves of a report: over a factor that is a number, over label fractions, and the losses of pretraining."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from drawn_study import Design, draw_study

from compare.figures.curves import factor_curves, label_efficiency, loss_curves
from compare.figures.drawing import INK, colours, spare_colours
from compare.page.report_figures import curve_rows, figure, loss_tables
from compare.records.study import read_study
from compare.tables.all_tables import arm_table


def test_curves_go_through_the_means_in_the_order_of_the_factor() -> None:
    table = pd.DataFrame(
        {"arm": "ssl", "line": "", "panel": "all", "lr": [0.1, 0.001, 0.01], "jaccard": [0.3, 0.1, 0.2]}
    )
    axis = factor_curves(table.assign(low=0.0, high=1.0), "lr", ["ssl"]).axes[0]
    assert list(axis.lines[0].get_ydata()) == [0.1, 0.2, 0.3]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["0.001", "0.01", "0.1"]
    table = table.assign(setting="unet", label_fraction=[1.0, 0.01, 0.1], low=0.0, high=1.0)
    axis = label_efficiency(table, ["ssl"], ["unet"]).axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["1 %", "10 %", "100 %"]


def test_curves_of_settings_have_no_colour_of_an_arm(tmp_path: Path) -> None:
    design = Design(
        arms="image_size", contrast=("64", "96"), image_size=(64, 96), label_fraction=(1.0,), init=("ssl",),
        probes=False, pretrained=False,
    )  # fmt: skip
    study = read_study(draw_study(tmp_path / "study", design))
    drawn = figure(study, {"arms": arm_table(study, 20)}, "image_size")
    assert drawn is not None
    lines = [line.get_color() for line in drawn.axes[0].lines]
    assert lines[0] == INK
    assert len(set(lines)) == 2  # unet and fpn
    assert not set(lines) & set(colours(study.levels("arm")).values())
    assert (
        len(set(spare_colours([f"{i} px" for i in range(11)], ["unet", "fpn"]).values())) == 1
    )  # all taken: ink again


def test_a_pretraining_that_folds_share_is_one_curve(tmp_path: Path) -> None:
    study = read_study(draw_study(tmp_path / "study", Design(label_fraction=(1.0,), decoder=("unet",), probes=False)))
    own = study.runs("pretrain")
    assert len(own) == 1
    twice = pd.concat(
        [own.assign(name=f"pretrain, simclr, e, fold {fold}, seed 0") for fold in (0, 1)], ignore_index=True
    )
    assert list(loss_tables(replace(study, plan=twice))) == ["pretrain, simclr, e, seed 0"]
    one = twice.head(1)
    assert list(loss_tables(replace(study, plan=one))) == ["pretrain, simclr, e, fold 0, seed 0"]


def test_curves_over_what_is_compared_take_settings_for_lines(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {
        "image_size": (64, 96),
        "label_fraction": (1.0,),
        "probes": False,
        "pretrained": False,
    }
    over = read_study(draw_study(tmp_path / "over", Design(arms="image_size", contrast=("64", "96"), **sizes)))
    rows = curve_rows(over, arm_table(over, 20), "image_size")
    assert set(rows["arm"]) == {f"{decoder} from {init}" for decoder in ("unet", "fpn") for init in over.levels("init")}
    assert set(rows["line"]) == {""}
    beside = read_study(draw_study(tmp_path / "beside", Design(**sizes)))
    rows = curve_rows(beside, arm_table(beside, 20), "image_size")
    assert set(rows["arm"]) == {"ssl", "imagenet", "random"}
    assert set(rows["line"]) == {"unet", "fpn"}
    assert len(rows) == 3 * 2 * 2
    assert curve_rows(beside, arm_table(beside, 20), "lr").empty


def test_losses_of_two_methods_have_scales_of_their_own_and_those_of_one_share_it() -> None:
    metrics = pd.DataFrame({"epoch": [0, 1], "loss": [2.0, 1.0]})
    names = ["pretrain, simclr, e, seed 0", "pretrain, simclr, e, seed 1", "pretrain, barlow_twins, e"]
    axes = loss_curves(
        {name: metrics.assign(loss=metrics["loss"] * (1 if "simclr" in name else 5000)) for name in names}
    ).axes
    assert [axis.get_title() for axis in axes] == ["simclr", "barlow_twins"]
    assert [len(axis.lines) for axis in axes] == [2, 1]
    assert axes[0].get_ylim()[1] < 3 < 5000 < axes[1].get_ylim()[1]
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["e, seed 0", "e, seed 1"]


def test_a_single_epoch_stands_over_its_number() -> None:
    [axis] = loss_curves({"pretrain, simclr, e": pd.DataFrame({"epoch": [0], "loss": [4.0]})}).axes
    low, high = axis.get_xlim()
    assert [tick for tick in axis.get_xticks() if low <= tick <= high] == [1]
