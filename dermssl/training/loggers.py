"""Loggers follow a training and never end it: what one of them raises is said once, and the others go on."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol
from warnings import catch_warnings, simplefilter

import pandas as pd
from pytorch_lightning.utilities.seed import isolate_rng

from dermssl import flags
from dermssl.errors import cut, in_one_line
from dermssl.files import write_json
from dermssl.runs.folder import Run
from dermssl.training.logged_runs import LoggedRun, Place, opened_run
from dermssl.training.logger_config import LoggerName

STATE = ".loggers.json"  # hidden: the result does not rest on it, so no seal holds it


class Logged(Protocol):
    """What a config of a training with loggers has."""

    @property
    def logger(self) -> tuple[LoggerName, ...]:
        """The loggers."""

    @property
    def out(self) -> Path:
        """The folder of run folders."""


@dataclass
class Sent:
    """What a logger has got of a run, over all attempts."""

    id: str = ""
    epoch: int = -1
    """The last one whose row it has."""
    pictures: dict[str, int] = field(default_factory=dict)
    """Names of figures, and the epoch each was logged at."""

    def before(self, epoch: int) -> "Sent":
        """Without what belongs to this epoch and later ones."""
        kept = {name: at for name, at in self.pictures.items() if at < epoch}
        return Sent(self.id, min(self.epoch, epoch - 1), kept)


class Loggers:
    """The loggers of a run, which get what its metrics.csv and its folder of figures get.

    No call of theirs changes what training draws. A logger that raises is left alone from then on.

    Args:
        config: The resolved options.
        run: The run; of several processes the first alone logs.
    """

    def __init__(self, config: Logged, run: Run) -> None:
        self.config, self.run = config, run
        self.names = tuple(dict.fromkeys(config.logger)) if run.first else ()
        self.logged_runs: dict[LoggerName, LoggedRun] = {}
        self.sent: dict[str, Sent] = {}

    def begin(self, epoch: int) -> None:
        """Opens them before a training that goes on at `epoch`; one that comes later gets the rows that it missed."""
        if self.names and (self.run.folder / STATE).is_file():
            before = json.loads((self.run.folder / STATE).read_text(encoding="utf-8"))
            self.sent = {name: Sent(**state) for name, state in before.items()}
        for name in self.names:
            with self.guarded(name):
                self.open(name, epoch)
        for row in rows_before(self.run.folder / "metrics.csv", epoch) if self.names else []:
            self.row(row)
        self.pictures()

    def open(self, name: LoggerName, epoch: int) -> None:
        """Opens one of them; what TensorBoard has of this epoch and later ones is taken back, and others keep it."""
        sent, purged = self.sent.get(name), None
        if name == "tensorboard" and sent is not None and sent.epoch >= epoch:
            sent, purged = sent.before(epoch) if epoch else None, epoch
        logged = opened_run(name, Place(self.run.folder, self.config.out, "" if sent is None else sent.id, purged))
        self.logged_runs[name] = logged
        if sent is None:
            logged.options(flags.plain_options(self.config))
        self.sent[name] = sent or Sent(logged.id)
        self.keep()

    def row(self, row: Mapping[str, Any]) -> None:
        """An epoch's row of metrics.csv, to those that do not have it yet."""
        epoch = int(row["epoch"])
        for name, logged in tuple(self.logged_runs.items()):
            if epoch > self.sent[name].epoch:
                with self.guarded(name):
                    logged.row({column: float(value) for column, value in row.items()}, epoch)
                    self.sent[name].epoch = epoch
                    self.keep()

    def pictures(self) -> None:
        """The figures in the run folder, to those that do not have them yet."""
        files = sorted((self.run.folder / "figures").glob("*.png")) if self.logged_runs else []
        for name, logged in tuple(self.logged_runs.items()):
            sent = self.sent[name]
            with self.guarded(name):
                for file in (file for file in files if file.name not in sent.pictures):
                    at = max(0, sent.epoch)
                    logged.picture(file, at)
                    sent.pictures[file.name] = at
                    self.keep()

    def end(self, status: str) -> None:
        """Closes them; `status` is success or failed."""
        for name in tuple(self.logged_runs):
            with self.guarded(name):
                self.logged_runs.pop(name).end(status)

    def keep(self) -> None:
        """Leaves in the run folder what they have got."""
        write_json(self.run.folder / STATE, {name: asdict(sent) for name, sent in self.sent.items()})

    @contextmanager
    def guarded(self, name: LoggerName) -> Iterator[None]:
        """Around what a logger does: where it raises, that is said, and the logger is left alone from then on."""
        with isolate_rng(include_cuda=False), catch_warnings():
            simplefilter("ignore")  # of libraries, about themselves
            try:
                yield
            except Exception as error:  # whatever a library or a network raises: a training is worth more than its log
                logged = self.logged_runs.pop(name, None)
                with suppress(Exception):
                    if logged is not None:
                        logged.end("failed")
                reason = cut(in_one_line(f"{type(error).__name__}: {error}"))
                self.run.say(f"logger: {name} fails ({reason}); the run goes on without it")


def rows_before(metrics: Path, epoch: int) -> list[dict[str, Any]]:
    """The rows of the epochs before `epoch`, each with the numbers that it has."""
    table = pd.read_csv(metrics) if metrics.is_file() else pd.DataFrame({"epoch": []})
    rows = table[table["epoch"] < epoch].to_dict("records")
    return [{str(name): value for name, value in row.items() if value == value} for row in rows]


@contextmanager
def loggers_of(config: Logged, run: Run) -> Iterator[Loggers]:
    """The loggers of a run, closed as its body ends; they are opened by `begin`."""
    loggers = Loggers(config, run)
    try:
        yield loggers
    except BaseException:
        loggers.end("failed")
        raise
    loggers.end("success")
