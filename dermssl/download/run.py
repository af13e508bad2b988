"""The story of `python -m dermssl download`: what it will fetch and under which licence, fetch, verify, unpack."""

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from dermssl.download.archives import BadArchiveError, count_files, is_there, unpack, utc_now
from dermssl.download.catalogue import (
    HAM10000,
    HAM_CLASSES,
    HAM_LESIONS,
    ISIC2018,
    DataSet,
    RemoteFile,
    address_of,
    ham10000_rows,
    write_catalogue_table,
)
from dermssl.download.config import DownloadConfig, Ham10000Config, Isic2018Config, IsicArchiveConfig
from dermssl.download.consent import show_licences, size_in_words, user_agrees
from dermssl.download.isic_archive import fetch_archive
from dermssl.download.resumable import fetch, memo_of
from dermssl.download.web import Announcement, ask_server
from dermssl.files import need_room
from dermssl.parts import sweep_parts
from dermssl.places import try_places
from dermssl.runs.lock import locked_folder

SWELL = 1.1  # unpacked to packed: photographs and masks are packed already


def run(config: DownloadConfig) -> None:
    """Fetches the data set that `config` names, or what of it is not there yet.

    Raises:
        UserError: If anything is not as it should be; what came whole stays, and the same command goes on.
    """
    try_places({}, folders={"--out": config.out})
    match config:
        case Isic2018Config():
            done = fetch_files(ISIC2018, config.parts.split(","), config.out, yes=config.yes)
        case Ham10000Config():
            done = fetch_files(HAM10000, list(HAM10000.parts), config.out, yes=config.yes)
            if done:
                write_ham10000_metadata(config.out)
        case IsicArchiveConfig():
            done = fetch_archive(config)
    if not done:
        print("nothing was fetched, as you wished")
        return
    to_open = file_to_look_at(config.out)
    print(f"open:    {to_open or 'nothing: no table and no picture came'}")
    print(f"results: {config.out} ({count_files(config.out)} files)")
    print(f"next:    python -m dermssl check {shlex.quote(str(config.out))}")


def file_to_look_at(out: Path) -> Path | None:
    """The table of the images, or the first of them where the data set has none; None where neither is there."""
    table = out / "metadata.csv"
    return table if table.is_file() else min(out.glob("*/*.jpg"), default=None)


def fetch_files(data_set: DataSet, parts: Sequence[str], out: Path, *, yes: bool) -> bool:
    """Fetches what is not there yet of these parts; False where the user does not want to."""
    files = data_set.files(parts)
    announcements = {
        file: ask_server(address_of(file, data_set.base)) for file in files if not is_there(out / file.makes)
    }
    show_plan(data_set, files, announcements, out)
    left = sum(max(0, (of.size or 0) - bytes_here(out / file.name)) for file, of in announcements.items())
    sizes = [of.size or 0 for of in announcements.values()]
    if announcements:
        need_room(out, round(sum(sizes) * SWELL) + max(sizes) - (sum(sizes) - left), "the download, unpacked,")
        if not user_agrees(left, yes=yes):
            return False
    with locked_folder(out, "download"):
        for file, of in announcements.items():
            fetch_and_unpack(file, data_set, of, out)
        for file in files:  # left where an earlier command was killed right after unpacking, or after fetching
            memo_of(out / file.name).unlink(missing_ok=True)
            if file.makes != file.name:
                (out / file.name).unlink(missing_ok=True)
    return True


def bytes_here(target: Path) -> int:
    """How much of an archive is there from earlier attempts."""
    file = next((path for path in (target, Path(f"{target}.part")) if path.is_file()), None)
    return file.stat().st_size if file else 0


def show_plan(
    data_set: DataSet, files: Sequence[RemoteFile], announcements: Mapping[RemoteFile, Announcement], out: Path
) -> None:
    """Prints what is there and what is to come, from where, and under which licence."""
    print(f"{data_set.title}, from {address_of(RemoteFile(''), data_set.base)}")
    for file in files:
        if file not in announcements:
            print(f"  {file.name:<54}  here already")
            continue
        part, size = bytes_here(out / file.name), size_in_words(announcements[file].size)
        print(f"  {file.name:<44} {size:>9}  to fetch{f', {size_in_words(part)} of it here' if part else ''}")
    print(f"licence: {data_set.licence}")
    print(f"cite:    {data_set.citation}")
    print(f"place:   {out}", flush=True)


def fetch_and_unpack(file: RemoteFile, data_set: DataSet, announcement: Announcement, out: Path) -> None:
    """Fetches one file, and unpacks it where it is an archive."""
    address, target = address_of(file, data_set.base), out / file.name
    began, here = time.perf_counter(), bytes_here(target)
    sha256 = fetch(address, target, announcement, file.sha256)
    size, seconds = target.stat().st_size, time.perf_counter() - began
    how = "its sha256 is the published one" if file.sha256 else "its length is what the server announced"
    print(f"fetched {file.name}: {size_in_words(size - here)} in {seconds:.0f} s; {how}", flush=True)
    if file.makes == file.name:
        return
    sweep_parts(out)  # what a command that was killed while unpacking left
    receipt = {"name": file.name, "address": address, "sha256": sha256, "bytes": size, "date": utc_now()}
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
        write_catalogue_table(out / "metadata.csv", rows)
