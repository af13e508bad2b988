"""What commands print: columns, times and curves."""

from math import inf, nan

import pytest

from compare.text import WIDTH, counted, duration, megabytes, sparkline, text_table, wrapped


def test_columns_stand_under_each_other_and_numbers_to_the_right() -> None:
    text = text_table([["unet", "3"], ["fpn", "12"]], ["decoder", "runs"], right=[1])
    assert text.splitlines() == ["  decoder  runs", "  -------  ----", "  unet        3", "  fpn        12"]


def test_no_line_is_longer_than_the_page() -> None:
    text = text_table([["a", "b" * 300], ["c" * 20, "d"]], ["first", "second"])
    assert max(map(len, text.splitlines())) == WIDTH
    assert text.splitlines()[2].endswith("…")


def test_a_table_without_rows_and_head_is_nothing() -> None:
    assert text_table([]) == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"), (89.4, "89 s"), (90, "2 min"), (60 * 89, "89 min"), (3600 * 1.5, "1 h 30 min"),
        (3600 * 48, "2 d 0 h"), (3600 * 102, "4 d 6 h"), (None, "-"), (nan, "-"), (inf, "-"),
    ],
)  # fmt: skip
def test_times_are_said_in_the_unit_that_a_person_takes(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


def test_sizes_and_counts_have_their_nouns() -> None:
    assert [megabytes(512.4), megabytes(1440), megabytes(None)] == ["512 MB", "1.4 GB", "-"]
    assert [counted(1, "run"), counted(0, "run"), counted(2, "search", "searches")] == ["1 run", "0 runs", "2 searches"]


def test_a_falling_curve_falls_from_the_highest_sign_to_the_lowest() -> None:
    assert sparkline([7, 6, 5, 4, 3, 2, 1, 0]) == "█▇▆▅▄▃▂▁"


def test_a_long_curve_is_shortened_to_means_of_its_stretches() -> None:
    assert sparkline([0, 0, 7, 7], width=2) == "▁█"


def test_a_constant_curve_is_flat_and_what_is_no_number_is_a_gap() -> None:
    assert sparkline([2, 2, 2]) == "▁▁▁"
    assert sparkline([0, nan, 1]) == "▁ █"
    assert sparkline([]) == ""


def test_a_long_sentence_is_broken_between_words() -> None:
    lines = wrapped("word " * 60, 2).splitlines()
    assert len(lines) == 4
    assert max(map(len, lines)) <= WIDTH
    assert lines[0].startswith("  word")
    assert lines[1].startswith("    word")
