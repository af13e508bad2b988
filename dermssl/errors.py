"""The one error that a user is meant to read, and how a command ends with it."""

import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from dermssl.signals import Listener, Stopped, listening

SHOWN = 10
LONGEST = 200  # characters of a value that are shown
LONGEST_SENTENCE = 2000


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
def one_sentence(prog: str) -> Iterator[None]:
    """Ends the process with exit code 2 and the sentence alone, where the body raises a `UserError`.

    The command stands before the sentence, unless it begins with it. A signal that asks the command to end, whatever
    libraries make of it, ends it with the code that shells give to that signal and the command that goes on.
    """
    with listening(prog) as listener:
        try:
            yield
        except UserError as error:
            text = str(error)
            print(text if text.startswith(prog) else f"{prog}: {text}", file=sys.stderr)
            raise SystemExit(2) from None
        except BaseException as error:
            number = signal_behind(error, listener)
            if number is None:
                raise
            with suppress(OSError):  # a terminal that was closed
                print(f"\n{prog}: {stop_in_words(prog, number, listener)}", file=sys.stderr, flush=True)
            raise SystemExit(128 + number) from None


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


def first_ten(culprits: Sequence[object]) -> str:
    """The first ten of `culprits` with commas, and how many more there are."""
    first = ", ".join(map(str, culprits[:SHOWN]))
    return first if len(culprits) <= SHOWN else f"{first} and {len(culprits) - SHOWN} more"
