"""Zip archives unpacked whole or not at all, and not before every member's name, kind and size is known to be safe."""

import copy
import json
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo

from tqdm import tqdm

from dermssl.errors import UserError, first_ten
from dermssl.files import need_room, whole_folder, write_json

PIECE = 1 << 20  # bytes
SMALL = 1 << 20  # bytes up to which a ratio says nothing: a short text or a black mask shrinks as much as it likes
MEMBER_RATIO = 200  # unpacked to packed; photographs and masks have 1 to 3, tables up to 20
TOTAL_RATIO = 100  # against the file on disk, so that members that share their bytes count as often as they unpack
MOST_MEMBERS = 1_000_000
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile's others unpack a whole piece at once, however large
KINDS = (0, stat.S_IFREG, stat.S_IFDIR)  # 0 where the archive was not made on Unix
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, ValueError)
LICENCE = re.compile(r"(licen[sc]e|attribution)[^/]*\Z", re.IGNORECASE)
RECEIPT = ".dermssl-download.json"
LICENCE_LINES = 10  # lines
WIDTH = 120  # characters


REMEDY = "nothing of it was unpacked; fetch it from elsewhere, with DERMSSL_MIRROR set to the folder's address"


class BadArchiveError(UserError):
    """An archive that is damaged, or that unpacking it would harm; nothing of it was unpacked."""


def unpack(archive: Path, folder: Path, origin: Mapping[str, object]) -> None:
    """Makes `folder` from a zip archive, whole or not at all.

    A top folder of the same name as `folder` is not made twice; what systems strew in (`__MACOSX`, `.DS_Store`) is
    left out.

    Args:
        archive: The zip file; it stays.
        folder: What to make; must not exist.
        origin: What the folder's receipt is to say of the archive.

    Raises:
        BadArchiveError: If the archive is damaged, encrypted, a bomb, or would write anywhere else.
        UserError: If `folder` exists, or the disk has too little room.
    """
    if folder.exists():
        raise UserError(f"{folder}: exists; move it elsewhere, and the same command unpacks {archive.name}")
    try:
        with ZipFile(archive) as opened:
            members = members_by_path(archive, opened.infolist(), folder.name)
            refuse_unsafe(archive, members)
            total = sum(info.file_size for info in members.values())
            need_room(folder, total, f"what {archive.name} holds")
            with whole_folder(folder) as part:
                write_members(opened, members, part)
                write_receipt(part, origin)  # it appears with the folder: where there is one, the folder was made whole
    except DAMAGE as error:
        raise BadArchiveError(f"{archive}: damaged, or no zip archive ({error}); fetch it anew") from error


def members_by_path(archive: Path, infos: Sequence[ZipInfo], top: str) -> dict[str, ZipInfo]:
    """The members that are files and no junk, by the path that each is to have.

    Raises:
        BadArchiveError: If a name leads out of the folder, or two are the same on some file system.
    """
    members: dict[str, ZipInfo] = {}
    leaving, twice, names = [], [], set[str]()
    for info in infos:
        path = PurePosixPath(info.orig_filename)
        if leads_out(info.orig_filename):
            leaving.append(repr(info.orig_filename))
        elif not info.is_dir() and not is_junk(path):
            inside = str(path.relative_to(top)) if path.parts[0] == top and len(path.parts) > 1 else str(path)
            folded = unicodedata.normalize("NFC", inside).casefold()
            twice += [repr(inside)] * (folded in names)
            names.add(folded)
            members[inside] = info
    if leaving:
        raise BadArchiveError(f"{archive}: members {first_ten(leaving)} would leave the folder; {REMEDY}")
    parents = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    twice += [repr(name) for name in sorted(names & parents)]
    if twice:
        raise BadArchiveError(f"{archive}: members {first_ten(twice)} are there twice; {REMEDY}")
    return members


def leads_out(name: str) -> bool:
    """Whether a member's name, on any system, could name a place outside of the folder that it is unpacked into."""
    parts = PurePosixPath(name).parts
    foreign = re.match(r"[A-Za-z]:", name) or "\\" in name or "\0" in name
    return bool(foreign) or not parts or parts[0].startswith("/") or ".." in parts


def is_junk(path: PurePosixPath) -> bool:
    """Whether an operating system put it in: it is nobody's data."""
    return "__MACOSX" in path.parts or path.name in (".DS_Store", "Thumbs.db", "desktop.ini")


def refuse_unsafe(archive: Path, members: Mapping[str, ZipInfo]) -> None:
    """Stops before the first byte is written where any member is something else than a file of a credible size.

    Raises:
        BadArchiveError: With all kinds of findings at once.
    """
    infos, packed = members.values(), archive.stat().st_size
    suspects = {
        "begin outside of the file": [info for info in infos if not 0 <= info.header_offset < packed],
        "are links or devices": [info for info in infos if stat.S_IFMT(info.external_attr >> 16) not in KINDS],
        "are encrypted": [info for info in infos if info.flag_bits & 0x41],
        "are packed in an unusual way": [info for info in infos if info.compress_type not in METHODS],
        "have names that are too long": [info for info in infos if too_long(info.filename)],
        f"unpack to more than {MEMBER_RATIO} times their size": [info for info in infos if swells(info)],
    }
    findings = [
        f"members {first_ten([repr(info.filename) for info in of])} {what}" for what, of in suspects.items() if of
    ]
    total = sum(info.file_size for info in infos)
    if total > SMALL and total > TOTAL_RATIO * packed:
        findings.append(f"its {packed} bytes unpack to {total}, which is no honest data set")
    if not 0 < len(infos) <= MOST_MEMBERS:
        findings.append(f"it holds {len(infos)} files")
    if findings:
        raise BadArchiveError(f"{archive}: {'; '.join(findings)}; {REMEDY}")


def too_long(name: str) -> bool:
    """Whether any part of the name is longer than file systems take."""
    return any(len(part.encode("utf-8", "replace")) > 255 for part in PurePosixPath(name).parts)


def swells(info: ZipInfo) -> bool:
    """Whether a member announces what no photograph, mask or table would unpack to."""
    return info.file_size > SMALL and info.file_size > MEMBER_RATIO * info.compress_size


def write_members(opened: ZipFile, members: Mapping[str, ZipInfo], folder: Path) -> None:
    """Unpacks the members into `folder`."""
    total = sum(info.file_size for info in members.values())
    with tqdm(total=total, desc="unpacking", unit="B", unit_scale=True, leave=False, disable=None) as bar:
        for inside, info in members.items():
            target = folder / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            write_member(opened, info, target)
            bar.update(info.file_size)


def write_member(opened: ZipFile, info: ZipInfo, target: Path) -> None:
    """Unpacks one member, and not a byte more than it announces.

    Raises:
        BadZipFile: If it gives more or fewer, or other ones than its checksum says.
    """
    generous = copy.copy(info)
    generous.file_size += PIECE  # zipfile cuts at the announced size without a word: give it room, and lying shows
    written = 0
    with opened.open(generous) as source, target.open("xb") as file:
        while piece := source.read(PIECE):
            written += len(piece)
            if written > info.file_size:
                break
            file.write(piece)
    if written != info.file_size:
        less = "more" if written > info.file_size else "less"
        raise zipfile.BadZipFile(f"'{info.filename}' gives {less} than the {info.file_size} bytes that it announces")


def write_receipt(folder: Path, origin: Mapping[str, object]) -> None:
    """Writes down where the folder came from and how many files it held then."""
    write_json(folder / RECEIPT, {**origin, "files": count_files(folder)})


def read_receipt(folder: Path) -> dict[str, object] | None:
    """The receipt of a folder that was made whole; None where there is none that can be read."""
    try:
        receipt = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return receipt if isinstance(receipt, dict) and isinstance(receipt.get("files"), int) else None


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
    count, complete = count_files(place), int(str(receipt["files"]))
    if count < complete:
        raise UserError(
            f"{place}: {count} of its {complete} files are left; remove it, and the same command fetches it"
        )
    return True


def utc_now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def count_files(folder: Path) -> int:
    """Files in `folder` and below, those left out that are hidden or in a hidden folder."""
    below = (path for path in folder.rglob("*") if not any(p.startswith(".") for p in path.relative_to(folder).parts))
    return sum(path.is_file() for path in below)


def licence_texts(folder: Path) -> list[Path]:
    """The licences and attributions that came with the data, by their names or by that of their folder."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and any(LICENCE.match(name) for name in path.relative_to(folder).parts[-2:])
    )


def first_lines(path: Path) -> list[str]:
    """The first lines of a text as a terminal may show them: no control characters, and none too wide."""
    with path.open("rb") as file:
        text = file.read(LICENCE_LINES * 4096).decode("utf-8", "replace")
    lines = ["".join(letter for letter in line if letter.isprintable())[:WIDTH] for line in text.splitlines()]
    return [line for line in lines if line.strip()][:LICENCE_LINES]
