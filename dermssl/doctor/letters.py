"""Whether names and texts are written as UTF-8 here."""

import locale
import sys
from collections.abc import Iterator

from dermssl.doctor.observation import Observation, good, note


def examine_letters() -> Iterator[Observation]:
    """The encoding of files' names and of what is printed."""
    encodings = {sys.getfilesystemencoding(), locale.getpreferredencoding(False), sys.stdout.encoding or "utf-8"}
    strange = sorted({name for name in encodings if name.lower().replace("-", "") != "utf8"})
    if strange:
        text = (
            f"Texts are written in {' and '.join(strange)} and not in UTF-8: names with other letters come out changed."
        )
        yield note("letters", text, "export LC_ALL=C.UTF-8")
    else:
        yield good("letters", "Names and texts are written in UTF-8.")
