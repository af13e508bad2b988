"""The one error that a user is meant to read, and how a command ends with it."""

import codecs
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from dermssl.system_errors import OUTPUT, in_one_sentence

P = ParamSpec("P")
R = TypeVar("R")

SHOWN = 10


class UserError(Exception):
    """A mistake in what the user gave: one sentence with the culprit and the remedy; exit code 2."""


@contextmanager
def one_sentence(prog: str, smaller: str = "") -> Iterator[None]:
    """Ends the process with exit code 2 and a sentence alone, where the body raises what a person can mend.

    That is a `UserError`, and every error of the system that nobody has caught: a file, the disk, the memory, the
    standard output. The command stands before the sentence, unless it begins with it.

    Args:
        prog: What the user typed.
        smaller: The options that make the command need less memory, for where that runs out.
    """
    try:
        with named_output():
            try:
                yield
            except SystemExit:
                hand_over_output()
                raise
            hand_over_output()  # a disk that is full behind it is told of here, and not by Python as it ends
    except UserError as error:
        end(prog, str(error))
    except KeyboardInterrupt:
        print(f"\n{prog}: stopped; what was finished is kept", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        sentence = in_one_sentence(error, smaller)
        if not sentence:
            raise
        end(prog, sentence)


def end(prog: str, sentence: str) -> None:
    """Says the sentence and ends the process with exit code 2."""
    try:
        hand_over_output()
    except OSError:  # Python would complain of it once more as it ends
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    print(sentence if sentence.startswith(prog) else f"{prog}: {sentence}", file=sys.stderr)
    raise SystemExit(2) from None


def hand_over_output() -> None:
    """Lets go of what is printed and still held back; a process may have been started without an output."""
    if sys.stdout is not None:
        sys.stdout.flush()


@contextmanager
def named_output() -> Iterator[None]:
    """Lets names of files be printed that are no text, and errors of the standard output say whose they are."""
    codecs.register_error("dermssl.names", bytes_or_escapes)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="dermssl.names")
    output = sys.stdout
    if output is None:
        yield
        return
    output.write = of_output(output.write)  # type: ignore[method-assign]
    output.flush = of_output(output.flush)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del output.write, output.flush


def of_output(act: Callable[P, R]) -> Callable[P, R]:
    """The act of a stream, whose errors get the name of the standard output."""

    @wraps(act)
    def named(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return act(*args, **kwargs)
        except OSError as error:
            error.filename = OUTPUT
            raise

    return named


def bytes_or_escapes(error: UnicodeError) -> tuple[str | bytes, int]:
    """What is printed for letters that the encoding of the output does not have."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


def first_ten(culprits: Sequence[object]) -> str:
    """The first ten of `culprits` with commas, and how many more there are."""
    shown = ", ".join(map(str, culprits[:SHOWN]))
    return shown if len(culprits) <= SHOWN else f"{shown} and {len(culprits) - SHOWN} more"
