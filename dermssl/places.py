"""The places that options name, tried before work begins: whether they can be read, or written to."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dermssl.errors import UserError, cut
from dermssl.system_errors import explained
from dermssl.wording import as_text

SHOWN = 120  # letters of a place that a sentence shows
LONGEST = 200  # bytes of a name: a file is written beside its place first, under a name that is longer by some 50


def try_places(
    reads: Mapping[str, Path | str | None],
    *,
    folders: Mapping[str, Path | None] | None = None,
    files: Mapping[str, Path | None] | None = None,
) -> None:
    """Tries the places that a command will use, before it works for hours and then fails at one of them.

    Args:
        reads: Option -> what is read; a word among them, such as `imagenet`, is no place and passes.
        folders: Option -> a folder that files are written into; it need not be there yet.
        files: Option -> a file that is written.

    Raises:
        UserError: Naming the option, what is wrong with its place, and what helps.
    """
    for option, place in reads.items():
        need_readable(option, None if place is None else Path(place))
    for option, folder in (folders or {}).items():
        need_writable_folder(option, folder)
    for option, file in (files or {}).items():
        need_writable_file(option, file)


@contextmanager
def place_from(option: str, place: Path) -> Iterator[None]:
    """Turns what the system says of a place into a sentence that names the option which gave it."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{option} {cut(str(place), SHOWN)}: {explained(error)}") from error
    except ValueError as error:  # a 0 among the letters, of which a YAML file can write one
        raise UserError(f"{option} {cut(str(place), SHOWN)!r}: is no path ({error}); give another") from error


def need_readable(option: str, place: Path | None) -> None:
    """Stops where something stands at a place that cannot be read; where nothing stands, its reader says so.

    Args:
        option: What named it: `--data`.
        place: A file or folder; None where the option was left out.

    Raises:
        UserError: If it is closed, or neither a file nor a folder: a pipe would be waited for, and a device never end.
    """
    if place is None:
        return
    with place_from(option, place):
        try:
            mode = place.stat().st_mode
        except FileNotFoundError:
            return
        if stat.S_ISDIR(mode):
            os.scandir(place).close()
        elif stat.S_ISREG(mode):
            place.open("rb").close()
        else:
            raise UserError(f"{option} {place}: is {kind_in_words(mode)}; give a file or a folder")


def need_writable_folder(option: str, folder: Path | None) -> None:
    """Stops where nothing could be written into a folder, which need not be there yet; nothing is left of the try.

    Raises:
        UserError: If the folder, or the nearest that is there above it, takes no file, or it is none.
    """
    if folder is None:
        return
    with place_from(option, folder):
        standing = nearest_standing(folder)
        refuse_odd_names(option, folder, standing)
        if not stat.S_ISDIR(standing.stat().st_mode):
            what = "is" if standing == folder else f"lies below {standing}, which is"
            raise UserError(f"{option} {folder}: {what} {kind_in_words(standing.stat().st_mode)}; give a folder")
        try_to_write(standing)


def need_writable_file(option: str, file: Path | None) -> None:
    """Stops where a file could not be written, or something stands in its place that is none.

    Raises:
        UserError: If it is so.
    """
    if file is None:
        return
    need_writable_folder(option, file.parent)
    with place_from(option, file):
        refuse_odd_names(option, file, nearest_standing(file))
        if os.path.lexists(file) and not stat.S_ISREG(file.stat().st_mode):
            raise UserError(f"{option} {file}: is {kind_in_words(file.stat().st_mode)}; give the name of a file")


def nearest_standing(place: Path) -> Path:
    """The place, or the nearest above it that is there.

    Raises:
        OSError: If a folder on the way is closed, the path goes through a file, or a link leads nowhere.
    """
    for standing in (place, *place.absolute().parents):
        try:
            standing.stat()
        except FileNotFoundError:
            if standing.is_symlink():
                raise
            continue
        except NotADirectoryError:
            continue  # the file that it goes through is found above
        return standing
    raise FileNotFoundError(str(place))


def try_to_write(folder: Path) -> None:
    """Writes a byte into a file that has no name, or has none for long."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
            file.flush()
    except FileNotFoundError as error:  # what folders of the system itself say, such as /proc
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder)) from error


def is_writable(folder: Path) -> bool:
    """Whether files can be written into a folder, which need not be there yet."""
    try:
        need_writable_folder("", folder)
    except UserError:
        return False
    return True


def refuse_odd_names(option: str, place: Path, standing: Path) -> None:
    """Stops where a name that is to be made is no text, or leaves no room for the one under which it is first written.

    Args:
        option: What named the place.
        place: Where something is to be written.
        standing: What of it is there, whose names are as they are.
    """
    new = place.absolute().parts[len(standing.absolute().parts) :]
    longest = max(map(os.fsencode, new), key=len, default=b"")
    if as_text("".join(new)) != "".join(new):
        raise UserError(f"{option} {as_text(cut(str(place), SHOWN))}: has a name that is no UTF-8; give one in letters")
    if len(longest) > LONGEST:
        raise UserError(
            f"{option} {cut(str(place), SHOWN)}: has a name of {len(longest)} bytes; give one of {LONGEST} or fewer"
        )


def kind_in_words(mode: int) -> str:
    """What stands somewhere, by its mode."""
    kinds = {
        stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "of no kind that is known")
