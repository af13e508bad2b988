"""One thing that was looked at on this machine: good, worth a note, or a fault, with what is to be typed against it."""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from dermssl.wording import duration

State = Literal["good", "note", "fault"]
REPORT = "python -m dermssl doctor --json > doctor.json, and put that file into a report of this"


@dataclass(frozen=True)
class Observation:
    """A sentence on one thing, and what helps."""

    check: str
    """What was looked at, in a word."""
    state: State
    """A fault stops a command, or makes its results wrong; a note costs time, or will stop some command."""
    text: str
    remedy: str = ""
    """What to type; empty where nothing is to be done."""


Examination = Callable[[], Iterator[Observation]]


def good(check: str, text: str) -> Observation:
    """What is as it should be."""
    return Observation(check, "good", text)


def note(check: str, text: str, remedy: str = "") -> Observation:
    """What one should know, and nothing fails of."""
    return Observation(check, "note", text, remedy)


def fault(check: str, text: str, remedy: str) -> Observation:
    """What some command would fail of."""
    return Observation(check, "fault", text, remedy)


def observations(check: str, examine: Examination, seconds: float) -> Iterator[Observation]:
    """What an examination sees; one that breaks, or does not end in time, is an observation itself.

    It runs in a thread of its own: a network disk that has gone away holds whoever asks for it, for ever.
    """
    answers: queue.Queue[Observation | None] = queue.Queue()
    threading.Thread(target=put_all, args=(answers, check, examine), daemon=True).start()
    while True:
        try:
            answer = answers.get(timeout=seconds)
        except queue.Empty:
            yield fault(
                check,
                f"There was no answer within {duration(seconds)}: a disk, a driver or another program holds it up.",
                "dmesg | tail",
            )
            return
        if answer is None:
            return
        yield answer


def put_all(answers: "queue.Queue[Observation | None]", check: str, examine: Examination) -> None:
    """Hands on what the examination sees, and None behind it."""
    try:
        for answer in examine():
            answers.put(answer)
    except Exception as error:  # whatever it is, the other examinations are to be heard
        text = f"This could not be looked at ({type(error).__name__}: {error})."
        answers.put(note(check, text, REPORT))
    answers.put(None)
