"""A disk that fills up, fails or turns read-only at any moment: the old file stays, nothing is left, and it goes on."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from faults.tally import generator, tallied, trials

from dermssl.errors import UserError
from dermssl.files import whole_file, whole_folder, write_json, write_text
from dermssl.runs.folder import write_table
from dermssl.runs.parquet import write_parquet
from dermssl.weights.encoder_file import write_tensors

TABLE = pd.DataFrame({"epoch": range(3000), "word": [f"word {number * 7919}" for number in range(3000)]})
TENSORS = {"x": torch.arange(9000.0)}
SPENT = {errno.ENOSPC: "no room left", errno.EROFS: "read-only", errno.EIO: "does not answer", errno.EDQUOT: "no room"}
STEPS = ("fsync", "replace", "chmod", "open", "mkdir")  # what writing a file asks of the system, beside its bytes
Writer = Callable[[Path], None]


def arrays(path: Path) -> None:
    with whole_file(path) as part, part.open("wb") as file:
        np.save(file, np.arange(20000))


def folder(path: Path) -> None:
    with whole_folder(path.with_name(f"{path.name}-{len(list(path.parent.iterdir()))}")) as part:
        (part / "pixels.u8").write_bytes(bytes(200_000))


def csv(path: Path) -> None:
    write_table(path.with_suffix(".csv"), TABLE)


WRITERS: dict[str, Writer] = {
    "text": lambda path: write_text(path, "word " * 40_000),
    "json": lambda path: write_json(path, list(range(20_000))),
    "parquet": lambda path: write_parquet(path, TABLE),
    "csv": csv,
    "safetensors": lambda path: write_tensors(path, TENSORS, {"encoder": "x"}, {}) and None,
    "arrays": arrays,
    "folder": folder,
}


@contextmanager
def most_bytes(count: int) -> Iterator[None]:
    """Lets no file grow larger, by the kernel itself, whatever library writes it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def failing(step: str, moment: int, number: int) -> Iterator[None]:
    """Lets one of the system's calls fail from its `moment`-th time on."""
    true, calls = getattr(os, step), [0]

    def call(*words: object, **more: object) -> object:
        calls[0] += 1
        if calls[0] > moment:
            raise OSError(number, os.strerror(number))
        return true(*words, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, step, call)
        yield


def files(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_a_disk_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    rng, names = generator("disk"), list(WRITERS)
    with tallied("disk") as tally:
        for trial in range(trials(whole=2000, sample=100)):
            name, number = names[rng.integers(len(names))], int(rng.choice(list(SPENT)))
            step, moment = str(rng.choice(STEPS)), int(rng.integers(3))
            place = tmp_path / str(trial)
            place.mkdir()
            WRITERS[name](place / "x")
            before = files(place)
            is_by_bytes = bool(rng.integers(2))
            fault = most_bytes(int(rng.integers(9000))) if is_by_bytes else failing(step, moment, number)
            described = f"{name}, {'bytes' if is_by_bytes else f'{step} {moment} {errno.errorcode[number]}'}"
            try:
                with fault:
                    WRITERS[name](place / "x")
                tally.right += 1
            except UserError as error:
                tally.told(str(error), str(place), "limit" if is_by_bytes else SPENT[number])
                # The folder is opened and flushed after the new file has its name, and opened to clear it away.
                if files(place) != before and step not in ("fsync", "open"):
                    tally.wrong.append(f"{described}: {sorted(files(place))} is left")
            except Exception as error:
                tally.wrong.append(f"{described}: {error!r}")
            WRITERS[name](place / "x")  # there is room again
            swept = name == "folder" and step == "open"  # what could not be removed then is the next process's to sweep
            tally.wrong += [f"{described}: {path} is left" for path in files(place) if ".part-" in path and not swept]
