"""What a folder holds: its pictures at any depth, and every file that is passed over, with the reason."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from dermssl.errors import UserError

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jp2",
)  # fmt: skip
UNREAD = (  # endings of pictures that no decoder here reads
    ".heic", ".heif", ".avif", ".jxl", ".jxr", ".j2k", ".jpx", ".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2",
    ".raf", ".raw", ".psd", ".svg", ".eps", ".ai", ".dcm", ".dicom", ".exr", ".hdr", ".tga", ".ppm", ".pgm", ".pbm",
    ".ico", ".npy", ".mp4", ".mov", ".avi",
)  # fmt: skip
OWN = ".dermssl"  # how what this tool leaves in a data set begins: `.dermssl/`, `.dermssl-download.json`
NOT_READ = "not read"
HIDDEN, TWICE, CLOSED = (
    "hidden",
    "behind links to what is read already",
    f"folders that cannot be opened ({NOT_READ})",
)
SPECIAL, NO_PICTURE = "no regular files", "of other kinds"
DANGLING = "links that lead nowhere"
TABLE = "tables below or of a kind that is not read"
TABLES = (".csv", ".tsv", ".tab", ".xlsx", ".xls", ".ods", ".json", ".parquet")
LAST = (TABLE, DANGLING, HIDDEN, TWICE, SPECIAL, NO_PICTURE)  # in the sentence; what is not read comes first
Reason = str


@dataclass(frozen=True)
class PassedOver:
    """Files that a command does not take, by the reason, in the order in which the sentence names them."""

    files: tuple[tuple[Reason, tuple[str, ...]], ...] = ()
    """Reason -> paths below the folder."""

    def __len__(self) -> int:
        return sum(len(paths) for _, paths in self.files)

    def also(self, reason: Reason, paths: Sequence[str]) -> "PassedOver":
        """These and further ones, with the folder of the first."""
        place = f"{reason} ({Path(paths[0]).parent.as_posix()}/...)" if paths else reason
        return PassedOver((*self.files, (place, tuple(paths)))) if paths else self

    @property
    def unread(self) -> tuple[str, ...]:
        """The pictures among them: what nobody here can read."""
        return tuple(path for reason, paths in self.files if reason.endswith(f"({NOT_READ})") for path in paths)

    @property
    def sentence(self) -> str:
        """`3 files passed over: 2 .heic (not read), 1 hidden`; nothing where there is none."""
        parts = ", ".join(f"{len(paths):,} {reason}" for reason, paths in self.files)
        return f"{len(self):,} file{'s'[: len(self) != 1]} passed over: {parts}" if self.files else ""


NOTHING = PassedOver()


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder by their names, and what else lies there."""

    pictures: tuple[Path, ...]
    passed_over: PassedOver


def list_folder(folder: Path, tables: Sequence[Path] = ()) -> Listing:
    """Every picture file in `folder` and below, in the order of their names; links are followed.

    Args:
        folder: Where to look. A folder that several links lead to is read once, under the first of its names.
        tables: Files that are read otherwise, and so are not passed over.

    Raises:
        UserError: If the folder is missing or holds no picture.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one that holds images")
    pictures: list[Path] = []
    aside: defaultdict[Reason, list[str]] = defaultdict(list)
    read = {path.absolute() for path in tables}
    for path, reason in files_below(folder):
        reason = reason or reason_against(path, folder)
        if not reason and path.suffix.lower() in SUFFIXES:
            pictures.append(path)
        elif path.absolute() not in read:
            reason = reason or (other_kind(path) if leads_somewhere(path) else DANGLING)
            aside[reason].append(str(path.relative_to(folder)))
    passed_over = PassedOver(tuple((with_endings(reason, aside[reason]), tuple(sorted(aside[reason])))
                                   for reason in sorted(aside, key=place_in_sentence)))  # fmt: skip
    if not pictures:
        also = f"; {passed_over.sentence}" if passed_over.files else ""
        raise UserError(
            f"{folder}: no images (no file here or in a folder below ends in {' '.join(SUFFIXES)}{also}); "
            "give a folder that holds images"
        )
    return Listing(tuple(sorted(pictures)), passed_over)


def reason_against(path: Path, folder: Path) -> Reason:
    """Why a file is passed over by its name; nothing where it may be a picture."""
    if any(part.startswith(".") for part in path.relative_to(folder).parts):
        return HIDDEN
    return f"{path.suffix.lower()} ({NOT_READ})" if path.suffix.lower() in UNREAD else ""


def other_kind(path: Path) -> Reason:
    """What a file is that is no picture: a table would keep lesions together if it lay where it is read."""
    is_table = path.suffix.lower() in TABLES or path.name.lower().endswith((".csv.gz", ".csv.zip"))
    return TABLE if is_table else NO_PICTURE


def place_in_sentence(reason: Reason) -> tuple[int, Reason]:
    """Where a reason stands: pictures that are not read first, files that are no pictures last."""
    return (LAST.index(reason) + 1 if reason in LAST else 0, reason)


def with_endings(reason: Reason, paths: Sequence[str]) -> Reason:
    """The reason, for files that are no pictures with their most frequent endings."""
    if reason == TABLE:
        return f"{reason} ({paths[0]})"
    if reason != NO_PICTURE:
        return reason
    counts = Counter(Path(path).suffix.lower() or "no ending" for path in paths)
    return f"{reason} ({', '.join(ending for ending, _ in counts.most_common(3))})"


def files_below(folder: Path) -> Iterator[tuple[Path, Reason]]:
    """Every file in a folder and below but this tool's own; a folder or file that cannot be gone into with the reason.

    Links are followed, each folder once, so that loops end. Links come before the folders and files beside them:
    whoever made one meant its name.
    """
    seen: set[tuple[int, int]] = set()

    def walk(place: Path) -> Iterator[tuple[Path, Reason]]:
        try:
            status = place.stat()
            inside = sorted(os.scandir(place), key=lambda entry: (not entry.is_symlink(), entry.name))
        except OSError:
            yield place, CLOSED
            return
        if (status.st_dev, status.st_ino) in seen:
            yield place, TWICE
            return
        seen.add((status.st_dev, status.st_ino))
        for entry in inside:
            path = place / entry.name
            if entry.name.startswith(OWN):
                continue
            if is_folder(path):
                yield from walk(path)
            else:
                # a link to nothing may be a picture, and is told as one that cannot be read; a pipe would never end
                yield path, SPECIAL if leads_somewhere(path) and not path.is_file() else ""

    yield from walk(folder)


def is_folder(path: Path) -> bool:
    """Whether it is a folder, or a link to one."""
    return leads_somewhere(path) and path.is_dir()


def leads_somewhere(path: Path) -> bool:
    """Whether there is something at the path: not behind links that go nowhere, or round."""
    try:
        return path.exists()
    except OSError:
        return False


def bare_name(word: str) -> str:
    """An id as a table writes it, without a picture's ending, with `/` between folders."""
    name = PureWindowsPath(word.strip()).as_posix() if "\\" in word else word.strip()
    ending = next((ending for ending in SUFFIXES if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)].removeprefix("./")
