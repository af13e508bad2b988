"""Run folders: equal work has an equal name, nothing is overwritten, and what stands can be continued."""

import errno
import json
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import pandas as pd

from dermssl import flags
from dermssl.errors import UserError, in_one_line
from dermssl.files import disk_errors_named, short_hash, whole_file, whole_folder, write_json, write_text
from dermssl.log import say
from dermssl.parts import part_prefix
from dermssl.places import need_writable_folder
from dermssl.runs.environment import environment
from dermssl.runs.lock import signed_lock, take_lock
from dermssl.runs.parquet import write_parquet
from dermssl.runs.same_run import ENVIRONMENT, IDENTITY, code_in_words, refuse_another_run
from dermssl.runs.seal import RESULT, seal
from dermssl.signals import continued_by

# Raised with every change after which an older run must not be taken for one of today's. 3: runs are sealed, and their
# results tell what they cost. 4: the masks of every scored image are kept.
FORMAT = 4
LOCK, CHECKPOINTS = ".lock", "checkpoints"
POLL = 0.5  # seconds between two looks at a run that another process holds


class Options(Protocol):
    """What every command's config has."""

    @property
    def out(self) -> Path:
        """The folder that run folders are made in."""

    @property
    def resume(self) -> Path | None:
        """The run folder to continue."""

    @property
    def seed(self) -> int:
        """The seed of what the run draws."""


@dataclass(frozen=True)
class Run:
    """A run folder that this process holds."""

    folder: Path
    first: bool = True
    """Whether this is the first of the processes that train together: it alone speaks and writes."""

    @property
    def result(self) -> dict[str, object] | None:
        """What the finished run found; None while it is unfinished."""
        return read_result(self.folder)

    def say(self, text: str) -> None:
        """Prints a line and keeps it in log.txt."""
        if not self.first:
            return
        say(text)
        log = self.folder / "log.txt"
        with disk_errors_named(log), log.open("a", encoding="utf-8", errors="backslashreplace") as lines:
            lines.write(text + "\n")

    def finish(self, result: Mapping[str, object]) -> None:
        """Seals what stands in the folder and writes result.json, which makes the run a finished one; so it comes last.

        Whatever is written later but log.txt, figures and what loggers keep breaks the seal. The checkpoints go: there
        is nothing left to continue, and those of a study would take most of its room.
        """
        if not self.first:
            return
        text = json.dumps(result, indent=2, allow_nan=True) + "\n"
        seal(self.folder, text.encode())
        write_text(self.folder / RESULT, text)
        self.drop_checkpoints()

    def drop_checkpoints(self) -> None:
        """Removes the states that the run could be continued from."""
        shutil.rmtree(self.folder / CHECKPOINTS, ignore_errors=True)


def read_result(folder: Path) -> dict[str, object] | None:
    """The result of the finished run in `folder`, else None."""
    path = folder / RESULT
    return dict(json.loads(path.read_text())) if path.exists() else None


def identity(config: Options, elsewhere: frozenset[str], **content: object) -> dict[str, object]:
    """What makes a run this run: its options but for those of place and pace, and the content that they point to.

    Args:
        config: The resolved options.
        elsewhere: Options that move or speed the run and do not change what it finds.
        content: Hashes that stand for the paths among the options: of the data, of the parent encoder.
    """
    silent = elsewhere | flags.added_and_unused(config)
    chosen = {key: value for key, value in flags.plain_options(config).items() if key not in silent}
    return {"format": FORMAT, **chosen, **content}


def need_run_folder(config: Options) -> None:
    """Stops before any work where no run could be written, or the one to continue can not."""
    if config.resume is None:
        need_writable_folder("--out", config.out)
    else:
        need_writable_folder("--resume", config.resume)


@contextmanager
def open_run(
    config: Options, label: str, content: Mapping[str, object], *, standing_is_fine: bool = False
) -> Iterator[Run]:
    """Makes the folder `out/label-hash`, or opens one to continue, and holds it against other processes.

    A run is what its identity says, wherever its folder was moved to and whatever it is called now.

    Args:
        config: The resolved options, kept as config.yaml.
        label: What a person calls the run.
        content: The run's identity, kept as identity.json; its hash ends the name of a new folder.
        standing_is_fine: Whether to continue, or to return, a run that stands without being asked by `--resume`. One
            that another process is at is then waited for, and is finished afterwards or is continued here: equal work
            is done once. Its seal is not looked at.

    Raises:
        UserError: If the run stands already and nobody asked to continue, if `--resume` names another run, or if
            another process is at it and nobody asked to wait.
    """
    from dermssl.parallel import rank, world  # torch comes with it, which who looks at a study does not need

    folder = config.resume or config.out / f"{label}-{short_hash(content)}"
    if rank() > 0:
        yield Run(folder, first=False)
        return
    if config.resume is not None:
        refuse_another_run(folder, flags.plain_options(config), content)
        if read_result(folder) is not None:
            say(f"{folder}: this run is finished; there is nothing to continue")
    elif folder.exists() and not standing_is_fine:
        raise UserError(standing_run(folder, config.seed))
    wait = standing_is_fine and world() == 1  # others that train with this one would not know that it waits
    with lock_made_run(folder, config, content, wait=wait) as is_new:
        run = Run(folder)
        if run.result is not None:
            run.drop_checkpoints()  # which a process that was killed right after its result has left
        elif not is_new:
            for line in code_in_words(folder):
                run.say(line)
        try:
            with continued_by(f"--resume {shlex.quote(str(folder))}"):
                yield run
        except UserError:
            if is_new and not (folder / CHECKPOINTS).exists():  # refused before it began: there is nothing to continue
                remove_held(folder)
            raise


def standing_run(folder: Path, seed: int) -> str:
    """The sentence for a run that stands already and that nobody asked to continue."""
    remedy = (
        f"its results are there; change an option (--seed {seed + 1}, say) for another run"
        if read_result(folder) is not None
        else f"unfinished; add --resume {shlex.quote(str(folder))} to continue it"
    )
    return f"{folder}: a run with these very options is there already, {remedy}"


@contextmanager
def lock_made_run(folder: Path, config: Options, content: Mapping[str, object], *, wait: bool) -> Iterator[bool]:
    """Holds the run folder, made where it is missing; yields whether this process has made it."""
    while True:
        is_new = not folder.exists() and make_run(folder, config, content)
        with locked_run(folder, wait=wait) as is_held:
            if is_held:
                yield is_new
                return


def make_run(folder: Path, config: Options, content: Mapping[str, object]) -> bool:
    """Makes a run folder with what is known before the run; False where another process was quicker."""
    try:
        with whole_folder(folder) as part:
            flags.write_options(config, part / "config.yaml")
            write_json(part / IDENTITY, content)
            write_json(part / ENVIRONMENT, environment())
            inode = part.stat().st_ino
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        return False
    with suppress(FileNotFoundError):  # the quicker one was refused meanwhile, and has removed its own
        return folder.stat().st_ino == inode
    return False


def remove_held(folder: Path) -> None:
    """Removes a run folder that this process holds, in one step for those who wait for it."""
    gone = tempfile.mkdtemp(prefix=f"{part_prefix()}{folder.name}-", dir=folder.parent)
    folder.rename(gone)
    shutil.rmtree(gone)


@contextmanager
def locked_run(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Holds a lock on the run folder while the body runs; the system lets go of it however the process ends.

    Yields whether it is held: not where the folder is gone, perhaps because the one that was waited for was refused.

    Raises:
        UserError: If another process holds it and it is not to be waited for.
    """
    try:
        lock = (folder / LOCK).open("a+")  # what its holder has left there stays
    except FileNotFoundError:
        yield False
        return
    with lock:
        if not take_lock(lock):
            if not wait:
                raise UserError(f"{folder}: another process works on this run; wait for it to end, or stop it")
            say(f"{folder}: another process works on this run; waiting for it to end")
            while not take_lock(lock):
                time.sleep(POLL)
        with signed_lock(lock):
            yield is_still(folder / LOCK, lock)


def is_still(path: Path, handle: IO[str]) -> bool:
    """Whether the open file is the one that the path names: not where it was removed or made anew meanwhile."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle.fileno()))
    except FileNotFoundError:
        return False


def append_row(path: Path, row: Mapping[str, object], key: str = "epoch") -> None:
    """Adds a row to a small CSV, whole; rows that a resumed run writes again are replaced."""
    table = pd.DataFrame([row])
    if path.exists():
        before = pd.read_csv(path)
        table = pd.concat([before[before[key] < row[key]], table], ignore_index=True)
    with whole_file(path) as part:
        table.to_csv(part, index=False)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a table as CSV or, by its name, as parquet; whole or not at all."""
    if path.suffix == ".parquet":
        write_parquet(path, table, index=False)
        return
    with whole_file(path) as part:
        table.to_csv(part, index=False, errors="backslashreplace")  # of names of files that are no UTF-8


def closing(results: Path, next_command: str, to_open: Path | None = None) -> str:
    """The lines that every command ends with: of several files the one to open, where all lie, and what follows."""
    opening = "" if to_open is None else f"open:    {in_one_line(str(to_open))}\n"
    return f"{opening}results: {in_one_line(str(results))}\nnext:    {next_command}"
