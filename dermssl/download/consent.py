"""What a person is told of a download and asked: how much there is to fetch, and under which licences it came."""

import os
from pathlib import Path

from dermssl.download.archives import first_lines, licence_texts
from dermssl.errors import UserError

ASK_ABOVE = 10**9  # bytes


def user_agrees(left: int, *, yes: bool) -> bool:
    """Whether the user wants to fetch this many bytes; asks where it is more than 1 GB.

    Raises:
        UserError: If there is nobody to ask.
    """
    if yes or left <= ASK_ABOVE:
        return True
    if not os.isatty(0):
        raise UserError(
            f"{size_in_words(left)} are left to fetch, and nobody is at a terminal to agree; "
            "give --yes to agree beforehand"
        )
    try:
        return input(f"Fetch {size_in_words(left)}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def show_licences(folder: Path, otherwise: str) -> None:
    """Prints how the licences that came with the data begin, and where they lie."""
    texts = licence_texts(folder)
    for text in texts:
        print(f"{text} begins:", *first_lines(text), sep="\n    ")
    if not texts:
        print(f"{folder.name} came without a text of its licence; by its publisher it is: {otherwise}")


def size_in_words(size: int | None) -> str:
    """A size for people."""
    if size is None:
        return "?"
    for unit, of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= of:
            return f"{size / of:.1f} {unit}"
    return f"{size} B"
