"""What commands say as they go: a logger's lines, which commands print and a Python program hears where it listens.

Of processes that torchrun has started together one speaks: the first, and of errors the one that meets one first.
"""

import logging
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TextIO

LOGGER = logging.getLogger("dermssl")
STORE = timedelta(seconds=5)  # to reach what torchrun keeps for its processes; it answers at once, or is gone


def say(text: str) -> None:
    """Tells how the work goes, at the level INFO."""
    LOGGER.info("%s", text)


def warn(text: str) -> None:
    """Tells of what a person should look at, at the level WARNING; commands print it as an error's text."""
    LOGGER.warning("%s", text)


class PrintedLines(logging.Handler):
    """Prints each message bare, at once; an output that takes nothing more raises, as `print` does."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints on the streams that Python has now, which may have been redirected since; a bar makes room."""
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        with beside_bars(stream):
            print(record.getMessage(), file=stream, flush=True)


def beside_bars(stream: TextIO) -> AbstractContextManager[object]:
    """Takes bars off the terminal until a line is printed; there are none where nobody has loaded tqdm."""
    loaded = sys.modules.get("tqdm")
    return loaded.tqdm.external_write_mode(stream) if loaded else nullcontext()


def print_log() -> None:
    """Has this process print what is said, as commands do; nobody else hears it then. Of several the first prints."""
    if not is_printed():
        LOGGER.addHandler(PrintedLines() if os.environ.get("RANK", "0") == "0" else logging.NullHandler())
        LOGGER.setLevel(logging.INFO)
        LOGGER.propagate = False


def is_printed() -> bool:
    """Whether this process prints what is said; a program that uses the functions alone gets no bars either."""
    return any(isinstance(handler, PrintedLines) for handler in LOGGER.handlers)


def bar_is_off() -> bool | None:
    """What tqdm takes as `disable`: bars are for terminals, and for commands."""
    return None if is_printed() else True


def another_told() -> bool:
    """Whether another of the processes that torchrun started has told why they all end; else it is this one's to tell.

    One that ends takes the others along: what they die of, a connection that broke or a signal of torchrun's, is no
    news. Who cannot ask tells.
    """
    given = os.environ
    if int(given.get("WORLD_SIZE", "1")) == 1:
        return False
    import torch.distributed as dist  # slow to load, and no command of one process comes here

    try:
        place = given["MASTER_ADDR"], int(given["MASTER_PORT"])
        store = dist.TCPStore(*place, is_master=False, timeout=STORE)  # type: ignore[attr-defined]
        return int(store.add(f"dermssl/told/{given.get('TORCHELASTIC_RESTART_COUNT', '0')}", 1)) > 1
    except (KeyError, ValueError, RuntimeError):
        return False
