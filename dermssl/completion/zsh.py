"""The script that completes the command in zsh."""

from collections.abc import Iterator, Mapping

from dermssl.completion.offers import Command, Offer, Option

SCRIPT = """\
#compdef dermssl
# Completion of dermssl in zsh: source <(dermssl --print-completion zsh), or a file _dermssl in a folder of $fpath
_dermssl_words_or_files() {{
    compadd -- "$@"
    _files
}}

_dermssl() {{
    local -a commands=(
{commands}
    )
    if ((CURRENT == 2)); then
        _describe command commands
        return
    fi
    shift words
    ((CURRENT--))
    if [[ $words[CURRENT] == -* ]]; then  # an option, also where the one before it takes more words
        words=("$words[1]" "$words[CURRENT]")
        CURRENT=2
    fi
    case $words[1] in
{cases}
    esac
}}

if [[ $funcstack[1] == _dermssl ]]; then
    _dermssl "$@"
else
    compdef _dermssl dermssl
fi
"""


def zsh_script(commands: Mapping[str, Command]) -> str:
    """The script that zsh sources, or finds in a folder of its functions.

    Args:
        commands: What may follow each command.
    """
    named = {**{name: command.text for name, command in commands.items()}, "--version": "say which version this is"}
    return SCRIPT.format(
        commands="\n".join(f"        {zsh_word(f'{name}:{text}')}" for name, text in named.items()),
        cases="\n".join(zsh_branch(name, command) for name, command in commands.items()),
    )


def zsh_branch(name: str, command: Command) -> str:
    """The branch of one command."""
    lines = " \\\n".join(f"                {zsh_word(line)}" for line in zsh_arguments(command))
    return f"        {name})\n            _arguments \\\n{lines}\n            ;;"


def zsh_arguments(command: Command) -> Iterator[str]:
    """What `_arguments` takes: the words before the options, then the options."""
    for number, offer in enumerate(command.places, 1):
        yield f"{number}:word:{zsh_action(offer)}"
    for option in command.options:
        yield zsh_argument(option)


def zsh_argument(option: Option) -> str:
    """One option; `=` says that its value may stand behind that as well, and `*-*` that values end at an option."""
    text = f"[{in_brackets(option.text)}]" if option.text else ""
    if option.takes == "none":
        return f"{option.typed}{text}"
    several = "*-*" if option.takes == "many" else ""
    equals = "" if several else "="
    return f"{option.typed}{equals}{text}:{several}{':' * bool(several)}{option.typed[2:]}:{zsh_action(option.offer)}"


def zsh_action(offer: Offer) -> str:
    """What stands in a place, as `_arguments` says it; a space alone offers nothing."""
    words = " ".join(offer.words)
    if offer.files:  # behind a space `_arguments` adds no words of its own
        return f" _dermssl_words_or_files {words}" if words else "_files"
    return f"({words})" if words else " "


def in_brackets(text: str) -> str:
    """A text that stands in brackets."""
    return "".join(f"\\{letter}" if letter in "[]\\" else letter for letter in text)


def zsh_word(text: str) -> str:
    """A word of the shell; an apostrophe in it ends the quotes, stands behind a backslash, and begins them again."""
    return "'" + text.replace("'", "'\\''") + "'"
