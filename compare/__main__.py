"""Plan, run and conclude a study: `python -m compare run demo`, or `--config configs/compare/demo.yaml`."""

import sys

from compare.command_line import Command, parsed
from dermssl.errors import one_sentence


def main(words: list[str]) -> None:
    """Does what the command says; torch comes in here, after the flags are known to be right."""
    asked: Command = parsed(words)
    from compare import commands

    getattr(commands, asked.name)(asked)


if __name__ == "__main__":
    with one_sentence("python -m compare"):
        main(sys.argv[1:])
