"""What commands print: columns, sizes and curves."""

from math import nan

from compare.text import WIDTH, last_line, megabytes, sparkline, text_table, wrapped


def test_columns_stand_under_each_other_and_numbers_to_the_right() -> None:
    text = text_table([["unet", "3"], ["fpn", "12"]], ["decoder", "runs"], right=[1])
    assert text.splitlines() == ["  decoder  runs", "  -------  ----", "  unet        3", "  fpn        12"]


def test_no_line_is_longer_than_the_page() -> None:
    text = text_table([["a", "b" * 300], ["c" * 20, "d"]], ["first", "second"])
    assert max(map(len, text.splitlines())) == WIDTH
    assert text.splitlines()[2].endswith("…")


def test_a_table_without_rows_and_head_is_nothing() -> None:
    assert text_table([]) == ""


def test_sizes_have_the_unit_that_a_person_takes() -> None:
    assert [megabytes(512.4), megabytes(1440), megabytes(None)] == ["512 MB", "1.4 GB", "-"]


def test_the_last_line_of_a_text_is_the_last_that_says_something() -> None:
    assert [last_line(text, "nothing") for text in ("a\n b \n\n", " \n", "")] == ["b", "nothing", "nothing"]


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
