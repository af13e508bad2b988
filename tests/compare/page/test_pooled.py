"""What a pooled contrast is the mean of, in words."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from drawn_study import Design, draw_study

from compare.page.pooled import average_in_words, cells_in_words, pooled_over
from compare.records.study import Study, read_study
from compare.tables.all_tables import contrast_table

PLAIN = {"probes": False, "pretrained": False, "images": 8, "init": ("ssl", "imagenet")}


def drawn(folder: Path, **design: object) -> tuple[Study, pd.DataFrame]:
    study = read_study(draw_study(folder, Design(**PLAIN | design)))  # type: ignore[arg-type]
    return study, contrast_table(study, 20)


@pytest.mark.parametrize(
    ("design", "over"),
    [
        ({"decoder": ("unet",), "label_fraction": (1.0,)}, ""),
        ({"label_fraction": (1.0,)}, "2 decoders"),
        ({"decoder": ("unet",)}, "2 label fractions"),
        ({"image_size": (64, 96, 128), "decoder": ("unet",), "label_fraction": (1.0,)}, "3 image sizes"),
        ({"loss": ("dice", "bce"), "decoder": ("unet",)}, "2 losses and 2 label fractions"),
        ({"failed": frozenset({("ssl", "fpn", 0.1, s) for s in (0, 1)})}, "3 of 4 cells of decoder and label fraction"),
        ({"fold": (0, 1), "decoder": ("unet",), "label_fraction": (1.0,)}, ""),
    ],
    ids=["one cell", "decoders", "fractions", "sizes", "losses and fractions", "incomplete", "folds"],
)
def test_a_contrast_is_the_mean_over_the_factors_that_vary_beside_its_arms(
    tmp_path: Path, design: dict[str, object], over: str
) -> None:
    study, contrasts = drawn(tmp_path / "study", **design)
    assert pooled_over(study, contrasts.iloc[0]) == over
    assert average_in_words(study, contrasts).startswith(
        f"The difference is the mean over {over} with equal weight" if over else ""
    )
    assert bool(average_in_words(study, contrasts)) == bool(over)


def test_the_least_and_the_largest_cell_are_named_by_what_tells_cells_apart(tmp_path: Path) -> None:
    study, contrasts = drawn(tmp_path / "study")
    single = {("unet", 0.1): 0.01, ("unet", 1.0): -0.018, ("fpn", 0.1): 0.0, ("fpn", 1.0): 0.012}
    places = zip(contrasts["setting"], contrasts["label_fraction"], strict=True)
    contrasts = contrasts.assign(difference=[single.get(place, 0.001) for place in places])
    assert average_in_words(study, contrasts).endswith(
        "; in single ones it is -1.8 (unet, 100 %) to +1.2 (fpn, 100 %)."
    )


def test_a_mean_over_learning_rates_says_that_bad_ones_count(tmp_path: Path) -> None:
    study = read_study(
        draw_study(
            tmp_path / "study",
            Design(**PLAIN | {"image_size": (64, 96), "label_fraction": (1.0,), "decoder": ("unet",)}),
        )  # type: ignore[arg-type]
    )
    rates = {"unet, 64 px": "unet, lr 0.001", "unet, 96 px": "unet, lr 0.01"}
    rated = [
        frame.assign(
            lr=frame["image_size"].map({64.0: 0.001, 96.0: 0.01}), image_size=64.0, setting=frame["setting"].map(rates)
        )
        for frame in (study.plan, study.scores)
    ]
    options = study.options | {"lr": [0.001, 0.01], "image_size": []}
    study = replace(study, plan=rated[0], scores=rated[1], options=options)
    contrasts = contrast_table(study, 20)
    assert pooled_over(study, contrasts.iloc[0]) == "2 learning rates"
    assert cells_in_words(study, contrasts.iloc[0]) == "2 learning rates, 1 label fraction"
    told = average_in_words(study, contrasts)
    assert told.startswith(
        "The difference is the mean over 2 learning rates with equal weight, those that suit neither"
    )
    assert "(unet, lr 0.001)" in told
    assert "(unet, lr 0.01)" in told
