"""Numbers as a person says them, alike in what commands print and in what reports show."""

import difflib
import unicodedata
from collections.abc import Mapping, Sequence
from math import ceil, isfinite


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun, thousands apart: `1 run`, `2 losses`, `2,594 images`.

    Args:
        count: The number.
        noun: What is counted, in the singular.
        plural: Its plural where that takes more than an s, or es behind an s: `searches`.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + ('es' if noun.endswith('s') else 's')}"


def interval_in_words(low: float, high: float) -> str:
    """The 95 % interval of a mean over lesions: `0.512 to 0.634`; of a single lesion there is none."""
    return f"{low:.3f} to {high:.3f}" if isfinite(low) and isfinite(high) else "none: one lesion"


def percentage(share: float) -> str:
    """A share in whole percent; nothing but 0 is `0%`, and nothing but all is `100%`."""
    words = f"{share:.0%}"
    if words == "0%" and share > 0:
        return "under 1%"
    return "over 99%" if words == "100%" and share < 1 else words


def duration(seconds: float | None, absent: str = "-") -> str:
    """Seconds as a person says them: `45 s`, `12 min`, `3 h 20 min`, `4 d 6 h`.

    Args:
        seconds: The time.
        absent: What stands for None and nan: a report's dash is longer than a terminal's.
    """
    if seconds is None or not isfinite(seconds):
        return absent
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def room(size: float) -> str:
    """Bytes as a person says them: `3 MB`, `1.4 GB`; a part of a megabyte counts as one."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{ceil(size / 1e6)} MB"


def as_text(name: str) -> str:
    r"""A file's name as text, which no table takes otherwise: bytes that are no UTF-8 are written out, as `\udcff`."""
    return name.encode("utf-8", "backslashreplace").decode()


def folded(name: str) -> str:
    """A name as one compares it: in one case, and with its umlauts composed, which file systems do not agree on."""
    return unicodedata.normalize("NFC", name).casefold()


def spelling_hint(word: str, words: Sequence[str] | Mapping[str, object], dashes: str = "") -> str:
    """`; did you mean '...'?`, or nothing where no word is close; with dashes, the word is an option and says so."""
    alike = difflib.get_close_matches(word, list(words), n=1)
    if not alike:
        return ""
    return f"; did you mean {dashes}{alike[0]}?" if dashes else f"; did you mean '{alike[0]}'?"
