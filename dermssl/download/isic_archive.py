"""A pool of images of the ISIC Archive, through its own program: isic-cli fetches, and what it left is made sure of."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from dermssl.download.archives import is_there, read_receipt, utc_now, write_receipt
from dermssl.download.catalogue import (
    ARCHIVE_CITATION,
    ARCHIVE_LICENCE,
    MetadataRow,
    archive_rows,
    write_catalogue_table,
)
from dermssl.download.config import IsicArchiveConfig
from dermssl.download.consent import show_licences, size_in_words, user_agrees
from dermssl.errors import UserError, first_ten
from dermssl.files import flush, need_room
from dermssl.runs.lock import locked_folder

IMAGE = 300_000  # bytes of an image of the archive, about: isic-cli tells no size where there is a limit
CLI_FILES = ("metadata.csv", "attribution.txt")


def fetch_archive(config: IsicArchiveConfig) -> bool:
    """Fetches images with isic-cli into a hidden folder, which gets its name once every image is there.

    The program skips images that are there with the right size, so a later command goes on in the same hidden folder.
    """
    program, out = shutil.which("isic"), config.out
    request = {"limit": config.limit, "search": config.search}
    if is_finished_pool(out, request):
        return True
    if program is None:
        raise UserError(
            "the program 'isic' is not on the PATH; get it with `uv tool install isic-cli` (it is no dependency, since "
            "nothing else needs it or the thirty packages that it brings)"
        )
    part = out.parent / f".{out.name}.part"
    left = max(0, config.limit * IMAGE - sum(path.stat().st_size for path in part.glob("*.*") if path.is_file()))
    print(f"ISIC Archive: {config.limit} images{f' of {config.search}' if config.search else ''}, by {program}")
    print(f"size:    about {size_in_words(left)} to fetch, at {size_in_words(IMAGE)} an image")
    print(f"licence: {ARCHIVE_LICENCE}\ncite:    {ARCHIVE_CITATION}\nplace:   {out}", flush=True)
    need_room(out, left, f"a pool of {config.limit} images")
    if not user_agrees(left, yes=config.yes):
        return False
    with locked_folder(part, "download"):
        call_isic(program, config, part)
        rows = complete_rows(part)
        write_catalogue_table(part / "metadata.csv", rows)
        write_receipt(part, {**request, "date": utc_now()})
        for path in part.rglob("*"):
            flush(path)
        part.rename(out)
    show_licences(out, ARCHIVE_LICENCE)
    counts = Counter(row["licence"] for row in rows).most_common()
    print(f"fetched {len(rows)} images: {', '.join(f'{count} under {licence}' for licence, count in counts)}")
    return True


def is_finished_pool(out: Path, request: Mapping[str, object]) -> bool:
    """Whether `out` is the finished pool that is asked for; False where there is nothing yet.

    Raises:
        UserError: If something else is there.
    """
    if not out.is_dir() or not any(out.iterdir()):
        return False
    receipt = read_receipt(out)
    if receipt is None:
        raise UserError(f"--out {out}: is not empty; give a folder that does not exist")
    different = [f"--{key} '{receipt.get(key)}'" for key in request if receipt.get(key) != request[key]]
    if different:
        raise UserError(f"--out {out}: holds a pool fetched with {' and '.join(different)}; give another folder")
    return is_there(out)


def call_isic(program: str, config: IsicArchiveConfig, part: Path) -> None:
    """Runs isic-cli; its own words go to the terminal, and it has nobody to ask.

    It ends with 0 after some failures, so that the table written last is the sign that it came to its end.
    """
    (part / "metadata.csv").unlink(missing_ok=True)
    search = [f"--search={config.search}"] if config.search else []
    command = [program, "image", "download", f"--limit={config.limit}", *search, str(part)]
    code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    if code or not (part / "metadata.csv").is_file():
        raise UserError(
            f"the program isic stopped with code {code} before its end, see its words above; what came is "
            "kept, and the same command goes on"
        )


def complete_rows(part: Path) -> list[MetadataRow]:
    """The metadata of the images that isic-cli fetched, under the manifest's columns; other files are removed.

    Raises:
        UserError: If there is no image, or one has a row but no file: isic-cli says nothing of an image that failed.
    """
    rows = list(archive_rows(part / "metadata.csv"))
    names = {row["image_id"] for row in rows}
    files = [path for path in part.iterdir() if path.is_file() and path.name not in CLI_FILES]
    for path in files:
        if path.stem not in names:  # of another search, or a half one of a killed program
            path.unlink()
    absent = sorted(names - {path.stem for path in files})
    if absent:
        raise UserError(
            f"{first_ten(absent)}: the program isic did not fetch these of {len(rows)} images; the same command goes on"
        )
    if not rows:
        shutil.rmtree(part)
        raise UserError("the archive has no image for this --search; try it at https://gallery.isic-archive.com")
    return rows
