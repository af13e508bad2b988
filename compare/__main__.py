"""Plan, run and conclude a study: `python -m compare run demo`, or `--config configs/compare/demo.yaml`."""

import shlex
import sys

from compare.command_line import parsed_command
from dermssl.errors import one_sentence
from dermssl.signals import continued_by


def main(words: list[str]) -> None:
    """Does what the command says; torch comes in here, after the flags are known to be right."""
    command = parsed_command(words)
    from compare.commands import DEEDS

    DEEDS[command.name](command)


if __name__ == "__main__":
    with one_sentence("python -m compare", smaller="--jobs"), continued_by(shlex.join(sys.argv[1:])):
        main(sys.argv[1:])
