"""The script that completes the command in bash."""

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from dermssl.completion.offers import Command, Offer

# A place of a command line is called `COMMAND` (its options), `COMMAND 1` (its first word) or `COMMAND --option`.
SCRIPT = """\
# Completion of dermssl in bash: source <(dermssl --print-completion bash)
_dermssl_offer() {{
    words= files= takes=many
    case "$1" in
{cases}
    esac
}}

_dermssl() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} place=${{COMP_WORDS[1]}} option= values=0 words files takes i
    [[ $current == = ]] && current=
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in
            --*) option=${{COMP_WORDS[i]:2}} option=--${{option//-/_}} values=0 ;;
            =) ;;
            *) ((++values)) ;;
        esac
    done
    if ((COMP_CWORD == 1)); then
        place=
    elif [[ $current != -* && -z $option ]]; then
        place="$place $((values + 1))"
    elif [[ $current != -* ]]; then
        place="$place $option"
    fi
    _dermssl_offer "$place"
    if [[ $takes == none ]] || ((takes == 1 && values > 0)); then
        _dermssl_offer "${{COMP_WORDS[1]}}"
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    if [[ $files ]]; then
        compopt -o filenames 2> /dev/null
        mapfile -t -O ${{#COMPREPLY[@]}} COMPREPLY < <(compgen -f -- "$current")
    fi
}}

complete -F _dermssl dermssl
"""


def bash_script(commands: Mapping[str, Command]) -> str:
    """The script that bash sources.

    Args:
        commands: What may follow each command.
    """
    places: dict[tuple[Offer, str], list[str]] = defaultdict(list)
    for place, offer, takes in places_to_complete(commands):
        places[offer, takes].append(place)
    return SCRIPT.format(cases="\n".join(bash_branch(names, *answer) for answer, names in places.items()))


def places_to_complete(commands: Mapping[str, Command]) -> Iterator[tuple[str, Offer, str]]:
    """Every place of a command line by its name, with what may stand there and how often."""
    yield "", Offer((*commands, "--help", "--version", "--print-completion")), "many"
    for name, command in commands.items():
        options = Offer(tuple(option.typed for option in command.options))
        yield name, options, "many"
        for number in range(1, 3):
            offer = command.places[number - 1] if number <= len(command.places) else options
            yield f"{name} {number}", offer, "many"
        for option in command.options:
            yield f"{name} --{option.typed[2:].replace('-', '_')}", option.offer, option.takes


def bash_branch(places: Sequence[str], offer: Offer, takes: str) -> str:
    """One branch of the table: places where the same may stand."""
    count = {"none": "none", "one": "1", "many": "many"}[takes]
    given = f"words={shlex.quote(' '.join(offer.words))} files={'yes' if offer.files else ''} takes={count}"
    return f"        {' | '.join(map(shlex.quote, places))}) {given} ;;"
