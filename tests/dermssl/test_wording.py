"""Numbers as a person says them."""

from math import inf, nan

import pytest

from dermssl.wording import counted, duration, folded, interval_in_words, percentage, room


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (89.4, "89 s"), (90, "2 min"), (60 * 89, "89 min"), (3600 * 1.5, "1 h 30 min"),
        (3600 * 48, "2 d 0 h"), (3600 * 102, "4 d 6 h"), (None, "-"), (nan, "-"), (inf, "-"),
    ],
)  # fmt: skip
def test_times_are_said_in_the_unit_that_a_person_takes(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_counts_have_their_nouns() -> None:
    assert [counted(1, "run"), counted(0, "run"), counted(2, "loss"), counted(2594, "image")] == [
        "1 run", "0 runs", "2 losses", "2,594 images",
    ]  # fmt: skip
    assert counted(2, "search", "searches") == "2 searches"


def test_an_interval_that_there_is_none_of_is_said_so() -> None:
    assert interval_in_words(0.1234, 0.5) == "0.123 to 0.500"
    assert interval_in_words(nan, nan) == "none: one lesion"


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0%"), (0.001, "under 1%"), (0.25, "25%"), (0.994, "99%"), (0.999, "over 99%"), (1, "100%"), (nan, "nan%")],
)
def test_nothing_but_none_is_no_percent_and_nothing_but_all_is_all(share: float, words: str) -> None:
    assert percentage(share) == words


@pytest.mark.parametrize(
    ("size", "said"), [(0, "0 MB"), (1, "1 MB"), (3_000_000, "3 MB"), (1e9, "1.0 GB"), (1_440_000_000, "1.4 GB")]
)
def test_room_is_said_in_megabytes_and_gigabytes(size: float, said: str) -> None:
    assert room(size) == said


@pytest.mark.parametrize("name", ["Müller", "Mu\u0308ller", "MÜLLER"])
def test_names_are_compared_in_one_case_and_composed(name: str) -> None:
    assert folded(name) == "müller"
