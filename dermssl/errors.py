"""The one error that a user is meant to read, and how a command ends with it."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SHOWN = 10


class UserError(Exception):
    """A mistake in what the user gave: one sentence with the culprit and the remedy; exit code 2."""


@contextmanager
def one_sentence(prog: str) -> Iterator[None]:
    """Ends the process with exit code 2 and the sentence alone, where the body raises a `UserError`.

    The command stands before the sentence, unless it begins with it.
    """
    try:
        yield
    except UserError as error:
        text = str(error)
        print(text if text.startswith(prog) else f"{prog}: {text}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print(f"\n{prog}: stopped; what was finished is kept", file=sys.stderr)
        raise SystemExit(130) from None


def first_ten(culprits: Sequence[object]) -> str:
    """The first ten of `culprits` with commas, and how many more there are."""
    shown = ", ".join(map(str, culprits[:SHOWN]))
    return shown if len(culprits) <= SHOWN else f"{shown} and {len(culprits) - SHOWN} more"
