"""The script that completes the command in fish."""

from collections.abc import Iterator, Mapping

from dermssl.completion.offers import Command, Offer, Option

HEAD = """\
# Completion of dermssl in fish: dermssl --print-completion fish > ~/.config/fish/completions/dermssl.fish
function __dermssl_first  # whether the first word of this command is yet to be typed
    test (count (commandline -opc)) -eq 1
end

function __dermssl_of  # whether the first word is this one
    set -l words (commandline -opc)
    test (count $words) -gt 1; and test "$words[2]" = $argv[1]
end

function __dermssl_place  # whether a word of this command is typed that is so many words behind it
    __dermssl_of $argv[1]; and test (count (commandline -opc)) -eq (math $argv[2] + 1)
end

function __dermssl_behind  # whether the last option of this command is this one
    __dermssl_of $argv[1]; or return 1
    set -l options (string match -- '--*' (commandline -opc))
    test (count $options) -gt 0; and test "$options[-1]" = $argv[2]
end

complete -c dermssl -f
"""


def fish_script(commands: Mapping[str, Command]) -> str:
    """The script that fish finds in a folder of its completions.

    Args:
        commands: What may follow each command.
    """
    lines = [
        f"complete -c dermssl -n __dermssl_first -a {name} -d {fish_word(of.text)}" for name, of in commands.items()
    ]
    lines += ["complete -c dermssl -n __dermssl_first -l version -d 'say which version this is'"]
    for name, command in commands.items():
        lines += fish_lines(name, command)
    return HEAD + "\n".join(lines) + "\n"


def fish_lines(name: str, command: Command) -> Iterator[str]:
    """The lines of one command."""
    for number, offer in enumerate(command.places, 1):
        yield f"complete -c dermssl -n '__dermssl_place {name} {number}'{offered(offer)}"
    for option in command.options:
        yield f"complete -c dermssl -n '__dermssl_of {name}' -l {option.typed[2:]}{taken(option)}{described(option)}"
        if option.takes == "many" and option.offer != Offer():
            yield f"complete -c dermssl -n '__dermssl_behind {name} {option.typed}'{offered(option.offer)}"


def taken(option: Option) -> str:
    """That an option takes a value, and which."""
    return "" if option.takes == "none" else f" -r{offered(option.offer)}"


def offered(offer: Offer) -> str:
    """What stands in a place: paths or none of them, and words."""
    paths = " -F" if offer.files else " -f"
    return paths + (f" -a {fish_word(' '.join(offer.words))}" if offer.words else "")


def described(option: Option) -> str:
    """The text beside an option."""
    return f" -d {fish_word(option.text)}" if option.text else ""


def fish_word(text: str) -> str:
    """A word of the shell."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
