"""A true process that is at folders as commands and runs are, and may be killed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Begins a run as compare.execution.worker.do_task does, where it is given a log, and locks folders as commands and runs
# do.
WORKS = """
import os, platform, sys, time
from datetime import UTC, datetime
from dermssl.runs.lock import take_lock, signed_lock
log, *folders = sys.argv[1:]
if log:
    with open(log, "a") as said:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        said.write(f"{now} finetune, unet, in process {os.getpid()} on {platform.node()}\\n")
locks = [open(folder + "/.lock", "a+") for folder in folders]
words = [signed_lock(lock) for lock in locks]
for lock, word in zip(locks, words):
    assert take_lock(lock)
    word.__enter__()
if os.environ.get("LOADER") and os.fork() == 0:
    input()
    os._exit(0)
print("at work", flush=True)
input()
"""


@contextmanager
def at(*folders: Path, log: Path | None = None, loader: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A process that is at a run, with a loader of pictures that outlives it until nobody would read them."""
    if log:
        log.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-c", WORKS, str(log or ""), *map(str, folders)]
    surroundings = os.environ | ({"LOADER": "1"} if loader else {})
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=surroundings)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        yield process
    finally:
        killed(process)
        process.communicate()


def killed(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.kill()
        process.wait()
