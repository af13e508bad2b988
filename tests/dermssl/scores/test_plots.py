"""Thumbnails, outlines and figures, and that a figure is written whole."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dermssl.scores.plots import (
    OutlinedPicture,
    in_legend,
    predictions_figure,
    save_figure,
    stacked_axes,
)
from dermssl.scores.thumbnails import PREDICTION, SIDE, TRUTH, thumbnail, with_outlines

GREY = np.full((100, 200, 3), 128, np.uint8)


def disc(x: int, height: int = 100, width: int = 200) -> NDArray[np.uint8]:
    mask = np.zeros((height, width), np.uint8)
    cv2.circle(mask, (x, height // 2), height // 4, 255, -1)
    return mask


def shown(count: int) -> list[OutlinedPicture]:
    return [OutlinedPicture(GREY, disc(60), disc(80), 0.1 * index, f"picture_{index}") for index in range(count)]


@pytest.mark.parametrize(
    ("size", "small"),
    [((512, 1024), (128, 256)), ((1024, 512), (256, 128)), ((9, 3000), (1, 256)), ((40, 50), (40, 50))],
)
def test_a_thumbnail_keeps_the_aspect_and_enlarges_nothing(size: tuple[int, int], small: tuple[int, int]) -> None:
    assert thumbnail(np.zeros((*size, 3), np.uint8)).shape == (*small, 3)
    assert thumbnail(np.zeros(size, bool)).shape == small


@pytest.mark.parametrize("kind", [bool, np.uint8])
def test_the_thumbnail_of_a_mask_is_0_and_255_with_the_share_of_the_lesion_kept(kind: type) -> None:
    mask = disc(500, 800, 1000).astype(bool).astype(kind)
    small = thumbnail(mask)
    assert set(np.unique(small)) == {0, 255}
    assert (small > 0).mean() == pytest.approx((mask > 0).mean(), rel=0.02)


def test_a_thumbnail_leaves_its_picture_alone() -> None:
    mask = disc(50)
    before = mask.copy()
    thumbnail(mask)
    with_outlines(GREY, mask, mask)
    assert np.array_equal(mask, before)


def test_outlines_are_drawn_in_two_colours_where_the_masks_end_and_nowhere_else() -> None:
    drawn = with_outlines(GREY, disc(60), disc(140))
    assert drawn.shape == (SIDE, 2 * SIDE, 3)
    left, right = drawn[:, :SIDE].reshape(-1, 3), drawn[:, SIDE:].reshape(-1, 3)
    assert (left == TRUTH).all(axis=1).any()
    assert not (left == PREDICTION).all(axis=1).any()
    assert (right == PREDICTION).all(axis=1).any()
    assert not (right == TRUTH).all(axis=1).any()
    for x in (60, 140):  # the inside of either
        assert (drawn[SIDE // 2, round(x * 2.56)] == 128).all()


def test_empty_masks_have_no_outline() -> None:
    empty = np.zeros((100, 200), np.uint8)
    assert (with_outlines(GREY, empty, empty) == 128).all()


def test_masks_of_another_size_than_the_picture_are_drawn_at_their_place() -> None:
    for masks in ((disc(60), disc(140)), (disc(30, 50, 100), disc(70, 50, 100))):
        drawn = with_outlines(GREY, *masks)
        for colour, x in ((TRUTH, 60), (PREDICTION, 140)):
            centre = np.argwhere((drawn == colour).all(axis=2)).mean(axis=0)
            assert centre == pytest.approx([SIDE / 2, x * 2.56], abs=4)


@pytest.mark.parametrize("count", [1, 4])
def test_a_figure_of_predictions_says_which_how_many_and_how_well(count: int) -> None:
    figure = predictions_figure({"best": shown(count), "worst": shown(1)}, images=9, title="a run, seed 3")
    titles = [axis.get_title() for axis in figure.axes]
    assert len(titles) == 2 * count
    assert titles[0] == "best: IoU 0.00\npicture_0"
    assert titles[count] == "worst: IoU 0.00\npicture_0"
    assert "(n = 9)" in figure.get_suptitle()
    assert "a run, seed 3" in figure.get_suptitle()


@pytest.mark.parametrize(("count", "rows"), [(4, 1), (5, 2), (8, 2)])
def test_more_than_four_pictures_go_on_in_a_row_of_their_own(count: int, rows: int) -> None:
    figure = predictions_figure({"best": shown(count), "worst": shown(count)}, images=20)
    titles = [axis.get_title().split(":")[0] for axis in figure.axes]
    assert len(titles) == 2 * rows * 4
    assert [title for title in titles if title] == ["best"] * count + ["worst"] * count


def test_an_outline_stands_out_from_skin_of_its_own_colour() -> None:
    for colour in (TRUTH, PREDICTION):
        ground = np.full((100, 200, 3), colour, np.uint8)
        drawn = with_outlines(ground, disc(60), disc(140))
        for half in (drawn[:, :SIDE], drawn[:, SIDE:]):
            assert (half.reshape(-1, 3) == (0, 0, 0)).all(axis=1).any()


def test_panels_lie_below_each_other_on_one_axis() -> None:
    figure, axes = stacked_axes(3, 2.0, "a title")
    axes[0].plot([1, 2, 30], [0, 0, 0])
    assert [axis.get_xlim() for axis in axes] == [axes[0].get_xlim()] * 3
    assert figure.get_suptitle() == "a title"
    assert not axes[0].spines["top"].get_visible()


def test_a_figure_is_written_as_a_picture_that_opens(tmp_path: Path) -> None:
    save_figure(predictions_figure({"best": shown(2)}, images=2), tmp_path / "figures" / "a.png", dpi=50)
    assert cv2.imread(str(tmp_path / "figures" / "a.png")) is not None
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["a.png"]


def test_a_figure_that_cannot_be_drawn_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def savefig(_: Figure, path: Path, **__: object) -> None:
        path.write_bytes(b"half")
        raise ZeroDivisionError

    monkeypatch.setattr(Figure, "savefig", savefig)
    with pytest.raises(ZeroDivisionError):
        save_figure(Figure(), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_names_that_look_like_formulas_or_cannot_be_seen_are_drawn_and_powers_of_ten_stay(tmp_path: Path) -> None:
    figure = Figure()
    axis = figure.add_subplot()
    axis.semilogx([1, 1000], [1, 2], label=in_legend("_$x$"))
    axis.set_yticks([1, 2], labels=["$\\frac{$", "a$\\nothing$"])
    axis.set_title("\x1b$\\x$")
    axis.legend()
    save_figure(figure, tmp_path / "a.png")
    assert axis.get_title() == "\\x1b$\\x$"
    assert all(label.get_parse_math() for label in axis.get_xticklabels())
    assert not any(label.get_parse_math() for label in axis.get_yticklabels())
    assert in_legend("n" * 61) == "n" * 59 + "…"


def test_ticks_named_by_what_no_font_shows_are_written_out(tmp_path: Path) -> None:
    figure = Figure(layout="constrained")
    given, categories = figure.subplots(1, 2)
    given.set_xticks([0, 1], labels=["a\x01", "b"])
    categories.bar(["c\x02", "d"], [1, 2])
    save_figure(figure, tmp_path / "a.png")  # whose warning would be an error here
    assert [label.get_text() for label in given.get_xticklabels()] == ["a\\x01", "b"]
    assert [label.get_text() for label in categories.get_xticklabels()] == ["c\\x02", "d"]
