"""Where what is kept of a data set lies, to be quicker next time: beside it, in the user's cache, or for a while."""

import os
import stat
import tempfile
from functools import cache
from pathlib import Path

from dermssl.errors import UserError
from dermssl.files import short_hash
from dermssl.log import say
from dermssl.places import is_writable, need_writable_folder

REMEDY = "set DERMSSL_CACHE to a folder that can be written to"


def kept_folder(root: Path) -> Path:
    """Where the manifest and the pixels of `root` are kept: `root/.dermssl`, or the user's cache for a read-only set.

    Read-only goes by the owner's permission bit, so that it holds for the superuser of a container as well. Where the
    cache cannot be written to either, or nobody knows of a home folder, it is a temporary folder, which is said.
    """
    given = os.environ.get("DERMSSL_CACHE")
    beside = root / ".dermssl"
    if given:
        home = given_cache(given)
    elif root.stat().st_mode & 0o200 and os.access(root, os.W_OK) and os.access(nearest(beside), os.W_OK):
        return beside
    else:
        home = user_cache(os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME"))
    return home / f"{root.resolve().name}-{short_hash(str(root.resolve()))}"


def nearest(folder: Path) -> Path:
    """The folder, or the one above where it is not there."""
    return folder if folder.exists() else folder.parent


@cache
def given_cache(folder: str) -> Path:
    """The folder that DERMSSL_CACHE names.

    Raises:
        UserError: If it cannot be written to.
    """
    need_writable_folder("DERMSSL_CACHE", Path(folder))
    return Path(folder)


@cache
def user_cache(xdg: str, home: str | None) -> Path:
    """The user's cache, or a temporary folder where it cannot be written to; which is said once.

    Args:
        xdg: The variable XDG_CACHE_HOME.
        home: The variable HOME; where it is missing, the home folder is the one that the system knows.
    """
    folder = Path(xdg) if xdg else home_folder(home) and Path(str(home_folder(home)), ".cache")
    if folder and is_writable(folder / "dermssl"):
        return folder / "dermssl"
    place = temporary_folder()
    say(
        f"note: the data set is read-only, and {folder or 'a home folder'} cannot be written to or is not there; what "
        f"is kept of the set goes to {place}, which this machine may clear; {REMEDY} to keep it",
    )
    return place


def home_folder(home: str | None) -> Path | None:
    """The user's home folder; None where it is nowhere said."""
    if home == "":
        return None
    try:
        return Path.home()
    except RuntimeError:  # a user whom the system does not know, as in many containers
        return None


def temporary_folder() -> Path:
    """A temporary folder of this user alone: what others could write would be taken for what was measured here."""
    try:
        place = Path(tempfile.gettempdir(), f"dermssl-{os.getuid()}")
        place.mkdir(mode=0o700, exist_ok=True)
        status = place.lstat()
        is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
        return place if is_ours and os.access(place, os.W_OK) else Path(tempfile.mkdtemp(prefix="dermssl-"))
    except OSError as error:
        raise UserError(f"no folder to keep anything of the data set in, not even a temporary one; {REMEDY}") from error
