"""What the system's errors mean for a person: which file, what is wrong with it, and what helps."""

import errno
import os
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

OUTPUT = "the standard output"
NO_ROOM = (
    "no room left on the disk",
    "free some, or write elsewhere: --out moves runs, the variable DERMSSL_CACHE what is kept of a data set",
)
CLOSED = ("is closed to you (permission denied)", "give another, or have its owner open it")
GIGABYTES = 5
LIBRARIES = GIGABYTES * 2**30  # bytes of addresses, most of them never touched, that loading torch and the others takes
CUT_SHORT = -1  # numpy's word of fewer bytes written than asked for, which leaves out why
MEANINGS: dict[int, tuple[str, str]] = {  # what is wrong, and what helps
    errno.ENOSPC: NO_ROOM,
    errno.EDQUOT: NO_ROOM,
    errno.EFBIG: ("would grow larger than the disk or `ulimit -f` allows", "raise that limit, or write elsewhere"),
    CUT_SHORT: ("could not be written to its end", "look at the disk, its quota and `ulimit -f`, or write elsewhere"),
    errno.EACCES: CLOSED,
    errno.EPERM: CLOSED,
    errno.EROFS: ("lies on a disk that cannot be written to (read-only)", "give a place on another"),
    errno.EIO: ("its disk does not answer (input/output error)", "look at that disk, or give a place on another"),
    errno.ESTALE: ("its network disk has gone away", "mount it again"),
    errno.ENOENT: ("is not there", "give one that is"),
    errno.EEXIST: ("is there already", "give another name, or remove it"),
    errno.ENOTEMPTY: ("is there already and not empty", "give another name, or remove it"),
    errno.ENOTDIR: ("lies below a file, which is no folder", "give a place below a folder"),
    errno.EISDIR: ("is a folder, where a file was meant", "give a file"),
    errno.ENAMETOOLONG: ("its name is too long for the disk", "give a shorter one"),
    errno.ELOOP: ("is a link that leads round in a circle", "give what it should lead to"),
    errno.EMFILE: ("cannot be opened, for too many files are open", "raise the limit: ulimit -n 4096"),
    errno.ENFILE: ("cannot be opened, for too many files are open on this machine", "end other programs"),
    errno.ETXTBSY: ("is a program that runs", "give another name"),
    errno.EPIPE: ("nobody reads it any more", "let its reader read to the end"),
}
# Libraries that are no Python tell of the system's errors in words: safetensors, pyarrow.
IN_WORDS = re.compile(r"\bos error (\d+)|\[?\berrno:? (\d+)", re.IGNORECASE)
MEMORY = re.compile(
    r"(can't|cannot|unable to|failed to) allocate|out of memory|insufficient memory|failed to map segment|bad_alloc"
    r"|can't start new thread|killed by signal: Killed|terminated abruptly",
    re.IGNORECASE,
)


def explained(error: BaseException) -> str:
    """What an error of the system means, and what helps; nothing where it is none of the system's."""
    number = errno_of(error)
    if number in MEANINGS:
        return "; ".join(MEANINGS[number])
    return f"cannot be used ({error.strerror or error})" if isinstance(error, OSError) else ""


def errno_of(error: BaseException) -> int:
    """The system's number of an error, also of one that a library tells of in words; 0 where there is none."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if "No space left" in str(error):
        return errno.ENOSPC
    if "requested and" in str(error):
        return CUT_SHORT
    match = IN_WORDS.search(str(error))
    return int(match[1] or match[2]) if match else 0


def in_one_sentence(error: BaseException, smaller: str = "") -> str:
    """The sentence for an error that nobody has caught; nothing where it is a mistake in this program.

    Args:
        error: Any error.
        smaller: The options of the command that make it need less memory.
    """
    if is_of_memory(error):
        return out_of_memory(error, smaller)
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object!a:.200}: cannot be written in {error.encoding}; set LC_ALL=C.UTF-8"
    if not isinstance(error, OSError):
        return ""
    if error.filename == OUTPUT:
        return f"{OUTPUT}: {MEANINGS.get(errno_of(error), (error.strerror,))[0]}; send it elsewhere, such as to a file"
    nameless = "the folder that this was started in" if error.errno == errno.ENOENT else "a file"
    return f"{file_of(error) or nameless}: {explained(error)}"


def file_of(error: OSError) -> str:
    """The file that the system was asked for; nothing where it does not say."""
    if error.filename is None or isinstance(error.filename, int):
        return ""
    return os.fsdecode(error.filename)


def is_of_memory(error: BaseException) -> bool:
    """Whether an error came of too little memory, whatever was made of it on its way: an import that fails, say."""
    return any(
        isinstance(cause, MemoryError)
        or errno_of(cause) == errno.ENOMEM
        or (not isinstance(cause, OSError | ValueError | TypeError) and MEMORY.search(str(cause)) is not None)
        for cause in causes(error)
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came of."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def allowed_addresses() -> float:
    """Bytes of addresses that this process may have: what `ulimit -v` sets."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return inf if limit == resource.RLIM_INFINITY else limit


class NoRoomToLoad:
    """Stops the import of libraries that end the process without a word where they find too few addresses."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Nothing: whoever is asked next finds the module."""
        if name in ("torch", "faiss"):
            raise MemoryError(f"no room to load {name}")


@contextmanager
def room_to_load() -> Iterator[None]:
    """Lets the body import no library for which `ulimit -v` leaves no room."""
    if allowed_addresses() >= LIBRARIES:
        yield
        return
    guard = NoRoomToLoad()
    sys.meta_path.insert(0, guard)
    try:
        yield
    finally:
        sys.meta_path.remove(guard)


def out_of_memory(error: BaseException, smaller: str = "") -> str:
    """The sentence for too little memory: whose it is, and what lowers the need.

    Args:
        error: What tells of it.
        smaller: Options of the command that lower it.
    """
    lower = f"lower {smaller}, or " if smaller else ""
    if any("CUDA" in str(cause) for cause in causes(error)):
        return f"out of memory: the GPU's does not hold this; {lower}end what else is on the GPU"
    limit = allowed_addresses()
    if limit < LIBRARIES:
        need = f"torch's libraries alone need {GIGABYTES}"
        return f"out of memory: `ulimit -v` allows {limit / 2**30:.1f} GB, and {need}; raise it"
    if limit != inf:
        return f"out of memory: `ulimit -v` allows {limit / 2**30:.1f} GB; {lower}raise it"
    return f"out of memory: this machine's does not hold it; {lower}end other programs"
