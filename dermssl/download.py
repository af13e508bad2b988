"""The story of `python -m dermssl download`: what it will fetch and under which licence, fetch, verify, unpack."""

import fcntl
import os
import shlex
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from dermssl.archives import (
    BadArchiveError,
    count_files,
    first_lines,
    licence_texts,
    read_receipt,
    unpack,
    write_receipt,
)
from dermssl.catalogue import (
    ARCHIVE_CITATION,
    ARCHIVE_LICENCE,
    HAM10000,
    HAM_CLASSES,
    HAM_LESIONS,
    ISIC2018,
    DataSet,
    RemoteFile,
    Row,
    address_of,
    archive_rows,
    ham10000_rows,
    write_table,
)
from dermssl.config import DownloadConfig, Ham10000Config, Isic2018Config, IsicArchiveConfig
from dermssl.errors import UserError, first_ten
from dermssl.files import flush, need_room
from dermssl.transfer import Announced, ask, fetch

ASK_ABOVE = 10**9  # bytes
SWELL = 1.1  # unpacked to packed: photographs and masks are packed already
IMAGE = 300_000  # bytes of an image of the archive, about: isic-cli tells no size where there is a limit
CLI_FILES = ("metadata.csv", "attribution.txt")


def run(config: DownloadConfig) -> None:
    """Fetches the data set that `config` names, or what of it is not there yet.

    Raises:
        UserError: If anything is not as it should be; what came whole stays, and the same command goes on.
    """
    try:
        match config:
            case Isic2018Config():
                done = fetch_files(ISIC2018, config.parts.split(","), config.out, yes=config.yes)
            case Ham10000Config():
                done = fetch_files(HAM10000, list(HAM10000.parts), config.out, yes=config.yes)
                if done:
                    write_ham10000_metadata(config.out)
            case IsicArchiveConfig():
                done = fetch_archive(config)
    except KeyboardInterrupt:
        print(f"\nwhat came is kept beside or in {config.out}; the same command goes on from there", flush=True)
        raise
    if not done:
        print("nothing was fetched")
        return
    print(f"results: {config.out} ({count_files(config.out)} files)")
    print(f"next:    python -m dermssl check {shlex.quote(str(config.out))}")


# Plain files: ISIC 2018 and HAM10000.


def fetch_files(data_set: DataSet, parts: Sequence[str], out: Path, *, yes: bool) -> bool:
    """Fetches what is not there yet of these parts; False where the user does not want to."""
    files = data_set.files(parts)
    told = {file: ask(address_of(file, data_set.base)) for file in files if not is_there(out / file.makes)}
    show_plan(data_set, files, told, out)
    left = sum(max(0, (of.size or 0) - bytes_here(out / file.name)) for file, of in told.items())
    sizes = [of.size or 0 for of in told.values()]
    if told:
        need_room(out, round(sum(sizes) * SWELL) + max(sizes) - (sum(sizes) - left), "the download, unpacked,")
        if not agreed(left, yes=yes):
            return False
    with alone_in(out):
        for file, of in told.items():
            bring(file, data_set, of, out)
        for file in files:
            if file.makes != file.name:  # left where an earlier command was killed right after unpacking
                (out / file.name).unlink(missing_ok=True)
    return True


def is_there(place: Path) -> bool:
    """Whether a file or folder of the data set is there, whole.

    Raises:
        UserError: If a folder is there that no receipt tells of, or that has fewer files than its receipt says.
    """
    if not place.is_dir():
        return place.exists()
    receipt = read_receipt(place)
    if receipt is None:
        raise UserError(
            f"{place}: is there, but this command did not make it; move it elsewhere, or give another --out"
        )
    count, wanted = count_files(place), int(str(receipt["files"]))
    if count < wanted:
        raise UserError(f"{place}: {count} of its {wanted} files are left; remove it, and the same command fetches it")
    return True


def bytes_here(target: Path) -> int:
    """How much of an archive is there from earlier attempts."""
    found = next((path for path in (target, Path(f"{target}.part")) if path.is_file()), None)
    return found.stat().st_size if found else 0


def show_plan(data_set: DataSet, files: Sequence[RemoteFile], told: Mapping[RemoteFile, Announced], out: Path) -> None:
    """Prints what is there and what is to come, from where, and under which licence."""
    print(f"{data_set.title}, from {address_of(RemoteFile(''), data_set.base)}")
    for file in files:
        size, here = told[file].size if file in told else None, bytes_here(out / file.name)
        state = "there already" if file not in told else f"{in_words(here)} of it here" if here else "to fetch"
        print(f"  {file.name:<44} {'' if file not in told else in_words(size):>9}  {state}")
    print(f"licence: {data_set.licence}")
    print(f"cite:    {data_set.citation}")
    print(f"place:   {out}", flush=True)


def bring(file: RemoteFile, data_set: DataSet, told: Announced, out: Path) -> None:
    """Fetches one file, and unpacks it where it is an archive."""
    address, target = address_of(file, data_set.base), out / file.name
    began, here = time.perf_counter(), bytes_here(target)
    sha256 = fetch(address, target, told, file.sha256)
    size, seconds = target.stat().st_size, time.perf_counter() - began
    how = "its sha256 is the published one" if file.sha256 else "its length is the announced one"
    print(f"fetched {file.name}: {in_words(size - here)} in {seconds:.0f} s; {how}", flush=True)
    if file.makes == file.name:
        return
    for stale in out.glob(f".part-{file.makes}-*"):  # of a command that was killed while unpacking
        shutil.rmtree(stale)
    receipt = {"name": file.name, "address": address, "sha256": sha256, "bytes": size, "date": now()}
    try:
        unpack(target, out / file.makes, receipt)
    except BadArchiveError:
        target.unlink()
        raise
    target.unlink()
    show_licences(out / file.makes, data_set.licence)


def write_ham10000_metadata(out: Path) -> None:
    """Writes metadata.csv from the challenge's two tables, unless it is there."""
    if not (out / "metadata.csv").exists():
        rows = list(ham10000_rows(out / HAM_CLASSES / f"{HAM_CLASSES}.csv", out / HAM_LESIONS))
        write_table(out / "metadata.csv", rows)


# The ISIC Archive, through its own program.


def fetch_archive(config: IsicArchiveConfig) -> bool:
    """Fetches images with isic-cli into a hidden folder, which gets its name once every image is there.

    The program skips images that are there with the right size, so a later command goes on in the same hidden folder.
    """
    program, out = shutil.which("isic"), config.out
    wanted = {"limit": config.limit, "search": config.search}
    if holds(out, wanted):
        return True
    if program is None:
        raise UserError(
            "the program 'isic' is not on the PATH; get it with `uv tool install isic-cli` (it is no dependency, since "
            "nothing else needs it or the thirty packages that it brings)"
        )
    part = out.parent / f".{out.name}.part"
    left = max(0, config.limit * IMAGE - sum(path.stat().st_size for path in part.glob("*.*") if path.is_file()))
    print(f"ISIC Archive: {config.limit} images{f' of {config.search}' if config.search else ''}, by {program}")
    print(f"size:    about {in_words(left)} to fetch, at {in_words(IMAGE)} an image")
    print(f"licence: {ARCHIVE_LICENCE}\ncite:    {ARCHIVE_CITATION}\nplace:   {out}", flush=True)
    need_room(out, left, f"a pool of {config.limit} images")
    if not agreed(left, yes=config.yes):
        return False
    with alone_in(part):
        call_isic(program, config, part)
        rows = complete_rows(part)
        write_table(part / "metadata.csv", rows)
        write_receipt(part, {**wanted, "date": now()})
        for path in part.rglob("*"):
            flush(path)
        part.rename(out)
    show_licences(out, ARCHIVE_LICENCE)
    counts = Counter(row["licence"] for row in rows).most_common()
    print(f"fetched {len(rows)} images: {', '.join(f'{count} under {licence}' for licence, count in counts)}")
    return True


def holds(out: Path, wanted: Mapping[str, object]) -> bool:
    """Whether `out` is the finished pool that is asked for; False where there is nothing yet.

    Raises:
        UserError: If something else is there.
    """
    if not out.is_dir() or not any(out.iterdir()):
        return False
    receipt = read_receipt(out)
    if receipt is None:
        raise UserError(f"--out {out}: is not empty; give a folder that does not exist")
    different = [f"--{key} '{receipt.get(key)}'" for key in wanted if receipt.get(key) != wanted[key]]
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
            f"isic ended with code {code} before its end, see above; what came is kept, and the same command goes on"
        )


def complete_rows(part: Path) -> list[Row]:
    """The metadata of the images that isic-cli fetched, in our words; files that are not among them are removed.

    Raises:
        UserError: If there is no image, or one has a row but no file: isic-cli says nothing of an image that failed.
    """
    rows = list(archive_rows(part / "metadata.csv"))
    names = {row["image_id"] for row in rows}
    there = [path for path in part.iterdir() if path.is_file() and path.name not in CLI_FILES]
    for path in there:
        if path.stem not in names:  # of another search, or a half one of a killed program
            path.unlink()
    absent = sorted(names - {path.stem for path in there})
    if absent:
        raise UserError(
            f"{first_ten(absent)}: isic did not bring these of {len(rows)} images; the same command goes on"
        )
    if not rows:
        shutil.rmtree(part)
        raise UserError("the archive has no image for this --search; try it at https://gallery.isic-archive.com")
    return rows


# What both need.


def agreed(left: int, *, yes: bool) -> bool:
    """Whether the user wants to fetch this many bytes; asks where it is more than 1 GB.

    Raises:
        UserError: If there is nobody to ask.
    """
    if yes or left <= ASK_ABOVE:
        return True
    if not os.isatty(0):
        raise UserError(f"{in_words(left)} are left to fetch, and there is nobody to ask; give --yes")
    try:
        return input(f"Fetch {in_words(left)}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps other downloads out of it; one that is still empty after a failure is removed.

    Raises:
        UserError: If another download works there, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"--out {folder}: cannot be made ({error.strerror}); give another folder") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise UserError(f"{folder}: another download works there; wait for that one to end") from error
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()
        os.close(handle)


def show_licences(folder: Path, otherwise: str) -> None:
    """Prints how the licences that came with the data begin, and where they lie."""
    texts = licence_texts(folder)
    for text in texts:
        print(f"{text} begins:", *first_lines(text), sep="\n    ")
    if not texts:
        print(f"{folder.name} brings no licence of its own; the catalogue says: {otherwise}")


def in_words(size: int | None) -> str:
    """A size for people."""
    if size is None:
        return "?"
    for unit, of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= of:
            return f"{size / of:.1f} {unit}"
    return f"{size} B"


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
