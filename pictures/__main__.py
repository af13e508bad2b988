"""Draw the pictures of the README anew, on light and on dark: `python -m pictures`, or `make pictures`.

They are of the demo's study, which is done first where it is not done yet (some four minutes on two cores), and of its
published report, as a browser shows them: Debian's chromium and chromium-driver, without a window or a network.
"""

import argparse
import importlib.util
import shutil
from pathlib import Path

from dermssl.errors import UserError, one_sentence

PLACE = Path("docs/pictures")
NEEDED = ("chromium", "chromedriver")


def main() -> None:
    """Draws all of them."""
    parser = argparse.ArgumentParser(prog="python -m pictures", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=PLACE, help="folder of the pictures")
    place = parser.parse_args().out
    refuse_without_browser()
    from pictures.readme import draw_pictures

    written = draw_pictures(place)
    for path in written:
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    print(f"open:    README.md (its pictures are the {len(written)} files in {place})")


def refuse_without_browser() -> None:
    """Stops before any work where there is no browser, or nothing that drives it.

    Raises:
        UserError: With what is missing and how it comes.
    """
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    if importlib.util.find_spec("selenium") is None:
        raise UserError("pictures need selenium, which `make setup` installs")
    if lacking:
        raise UserError(f"pictures are drawn by a browser, and {' and '.join(lacking)} cannot be found; on Debian or "
                        "Ubuntu: apt-get install chromium chromium-driver")  # fmt: skip


if __name__ == "__main__":
    with one_sentence("python -m pictures"):
        main()
