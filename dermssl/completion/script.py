"""What `dermssl --print-completion SHELL` prints."""

from collections.abc import Callable, Mapping, Sequence

from dermssl.completion.bash import bash_script
from dermssl.completion.fish import fish_script
from dermssl.completion.offers import Command, commands_of
from dermssl.completion.zsh import zsh_script
from dermssl.errors import UserError, shown
from dermssl.wording import spelling_hint

SHELLS: Mapping[str, Callable[[Mapping[str, Command]], str]] = {
    "bash": bash_script, "zsh": zsh_script, "fish": fish_script,
}  # fmt: skip


def completion_script(words: Sequence[str], texts: Mapping[str, str]) -> str:
    """The script that completes `dermssl` in a shell.

    Args:
        words: What was typed behind --print-completion: the shell.
        texts: Every command, and what it does in a few words.

    Raises:
        UserError: If it is no shell that is known, or not one.
    """
    if len(words) != 1 or words[0] not in SHELLS:
        given = f"got {shown(' '.join(words))}" if words else "got none"
        hint = spelling_hint(words[0], SHELLS) if words else ""
        raise UserError(f"--print-completion takes one of {', '.join(SHELLS)}; {given}{hint}")
    return SHELLS[words[0]](commands_of(texts))
