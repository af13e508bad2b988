"""The one error that a user is meant to read, and how a command ends with it."""

import codecs
import io
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from typing import NoReturn, ParamSpec, TypeVar

from dermssl.log import another_told, print_log
from dermssl.signals import Listener, Stopped, listening
from dermssl.system_errors import OUTPUT, in_one_sentence, room_to_load

P = ParamSpec("P")
R = TypeVar("R")

SHOWN = 10
LONGEST = 200  # characters of a value that are shown
LONGEST_SENTENCE = 2000
NEW_PICTURE = "\x1b[H\x1b[J"  # to a terminal: the cursor home, and the screen cleared from there on
CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\r\t"}


class UserError(Exception):
    """A mistake in what the user gave: one sentence with the culprit and the remedy; exit code 2.

    Several mistakes that are told at once are a sentence and a line each.
    """

    def __init__(self, *sentences: str) -> None:
        super().__init__(*(in_one_line(cut(sentence, LONGEST_SENTENCE)) for sentence in sentences))

    def __str__(self) -> str:
        """The sentences, a line each."""
        return "\n".join(self.args)


def in_one_line(text: str) -> str:
    """The text with line breaks, control characters and whatever else is not seen written as Python writes them."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def cut(text: str, longest: int = LONGEST) -> str:
    """The text's beginning, and how long it was, where it is longer than that."""
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"


def shown(value: object) -> str:
    """A value as a sentence shows it: in quotes, in one line, not too long."""
    return f"'{in_one_line(cut(str(value)))}'"


@contextmanager
def one_sentence(prog: str, smaller: str = "") -> Iterator[None]:
    """Ends the process with exit code 2 and a sentence alone, where the body raises what a person can mend.

    That is a `UserError`, and every error of the system that nobody has caught: a file, the disk, the memory, the
    standard output. The command stands before the sentence, unless it begins with it. A signal that asks the command to
    end, whatever libraries make of it, ends it with the code that shells give to that signal and the command that goes
    on.

    Args:
        prog: What the user typed.
        smaller: The options that make the command need less memory, for where that runs out.
    """
    print_log()
    with listening(prog) as listener:
        try:
            with named_output(), output_handed_over(), room_to_load():
                yield
        except BaseException as error:
            number = signal_behind(error, listener)  # first: a reader that is interrupted calls its file damaged
            if (number is not None or not isinstance(error, SystemExit)) and another_told():
                raise SystemExit(2 if number is None else 128 + number) from None
            if number is not None:
                end(prog, stop_in_words(prog, number, listener), 128 + number, before="\n")
            if isinstance(error, UserError):
                end(prog, str(error))
            sentence = in_one_sentence(error, smaller) if isinstance(error, Exception) else ""
            if not sentence:
                raise
            end(prog, str(UserError(sentence)))


def end(prog: str, sentence: str, code: int = 2, *, before: str = "") -> NoReturn:
    """Says the sentence and ends the process."""
    try:
        hand_over_output()
    except OSError:  # Python would complain of it once more as it ends
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    with suppress(OSError):  # a terminal that was closed
        print(before + (sentence if sentence.startswith(prog) else f"{prog}: {sentence}"), file=sys.stderr, flush=True)
    raise SystemExit(code) from None


def signal_behind(error: BaseException, listener: Listener | None) -> int | None:
    """The signal that an exception came of; libraries turn what was raised into exits and errors of their own."""
    if isinstance(error, Stopped):
        return error.number
    if listener is not None and listener.has_heard():
        return listener.heard
    return signal.SIGINT if isinstance(error, KeyboardInterrupt) else None


def stop_in_words(prog: str, number: int, listener: Listener | None) -> str:
    """What a stopped command says: by which signal, and the command that goes on."""
    words = (listener.continuation if listener is not None else "") or shlex.join(sys.argv[1:])
    return f"stopped by {signal.Signals(number).name}; what was finished is kept; go on with: {prog} {words}".rstrip()


def hand_over_output() -> None:
    """Lets go of what is printed and still held back; a process may have been started without an output."""
    if sys.stdout is not None:
        sys.stdout.flush()


@contextmanager
def output_handed_over() -> Iterator[None]:
    """Lets go of what was printed where the body ends well: Python itself tells of a full disk too late, as it ends."""
    try:
        yield
    except SystemExit:
        hand_over_output()
        raise
    hand_over_output()


@contextmanager
def named_output() -> Iterator[None]:
    """Prints names that are no text or that command a terminal, and lets errors of the output say whose they are."""
    codecs.register_error("dermssl.names", bytes_or_escapes)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="dermssl.names")
    output = sys.stdout
    if output is None:
        yield
        return
    write = output.write
    output.write = of_output(lambda text: write(harmless(text)))  # type: ignore[method-assign]
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


def harmless(text: str) -> str:
    """What is printed, with the letters written out by which a name could clear a terminal or type into it."""
    head = NEW_PICTURE if text.startswith(NEW_PICTURE) else ""
    return head + text[len(head) :].translate(CONTROLS)


def bytes_or_escapes(error: UnicodeError) -> tuple[str | bytes, int]:
    """What is printed for letters that the encoding of the output does not have."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


def first_ten(culprits: Sequence[object]) -> str:
    """The first ten of `culprits` with commas, and how many more there are."""
    first = ", ".join(map(str, culprits[:SHOWN]))
    return first if len(culprits) <= SHOWN else f"{first} and {len(culprits) - SHOWN} more"
