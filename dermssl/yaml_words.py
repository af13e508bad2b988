"""YAML files as words: what a word means is for the option that takes it to say, and not for the file's reader.

So no date, no number in base 60 and no tag is ever built, and a file that somebody else has written is small, shallow
and plain, or refused in a sentence.
"""

import re
import stat
from collections.abc import Iterator
from pathlib import Path

import yaml

from dermssl.errors import UserError, cut, shown
from dermssl.shipped import shipped_file

LARGEST = 200_000  # bytes, of which the reader takes a second
MOST = 5000  # words
DEEPEST = 8  # lists and mappings inside one another
NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""What turns something on or off, in any case, in files and behind flags."""
WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


class Bare(str):
    """A word without quotes, which may also mean a number, a switch or nothing."""

    __slots__ = ()


Tree = str | list["Tree"] | dict[str, "Tree"]


class UnreadableError(Exception):
    """A file that is not read, and why."""


def read_yaml(path: Path, where: str, remedy: str, deepest: int = DEEPEST) -> Tree | None:
    """What the file holds; None where that is comments alone.

    Args:
        path: The file; of `configs/...` the shipped one where the current folder has none.
        where: The file as a sentence names it.
        remedy: What would be right.
        deepest: How many lists and mappings may stand inside one another.

    Raises:
        UserError: If the file cannot be read, is no YAML, or is more than options need: large, deep, with aliases,
            with tags, or with one key twice.
    """
    try:
        return tree_of(text_of(shipped_file(path)), deepest)
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror}); {remedy}") from error
    except UnreadableError as error:
        raise UserError(f"{where}: {error}; {remedy}") from error
    except ValueError as error:  # a 0 among the letters of its name
        raise UserError(f"{where}: is no path ({error}); {remedy}") from error


def read_words(path: Path) -> dict[str, list[str]]:
    """The words of each option in a YAML file, as those behind a flag: `lr: 1e-3` is `--lr 1e-3`.

    Raises:
        UserError: If the file is missing, is no YAML, or is not a list of `option: value` lines.
    """
    return {option: words_of(value, f"{path}: {shown(option)}") for option, value in option_lines(path).items()}


def option_lines(path: Path) -> dict[str, Tree]:
    """The options in a YAML file, unchecked; none where it holds nothing but comments."""
    return lines_of(read_yaml(path, str(path), "--config takes a YAML file of options"), path)


def lines_of(tree: Tree | None, path: Path) -> dict[str, Tree]:
    """The options that a file's tree holds."""
    if tree is None or (isinstance(tree, Bare) and tree in NOTHING):
        return {}
    if not isinstance(tree, dict):
        raise UserError(f"{path}: expected 'option: value' lines, found {'list' if isinstance(tree, list) else 'str'}")
    return tree


def words_of(value: Tree, where: str) -> list[str]:
    """What stands behind an option in a file as the words of its flag."""
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, str) for part in parts):
        found = "a mapping" if isinstance(value, dict) else "lists or mappings in a list"
        raise UserError(f"{where} takes a value or a list of values, found {found}")
    return ["None" if isinstance(part, Bare) and part in NOTHING else str(part) for part in parts]


def text_of(path: Path) -> str:
    """The file's text."""
    kind = path.stat().st_mode
    of_shell = path.parent == Path("/dev/fd")  # what `<(command)` is: a pipe, with somebody who writes
    if not (of_shell or stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # a pipe would be waited for, a device has no end
        raise UnreadableError("is a pipe or a device and no file")
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise UnreadableError(f"is larger than {LARGEST // 1000} kB, which no list of options is")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"not YAML (byte {error.start} is no UTF-8)") from error


def tree_of(text: str, deepest: int = DEEPEST) -> Tree | None:
    """The words of a text in their lists and mappings."""
    try:
        events = not_too_many(yaml.parse(text, Loader=yaml.SafeLoader))
        found = [grown(event, events, deepest) for event in events if isinstance(event, yaml.NodeEvent)]
    except yaml.MarkedYAMLError as error:
        told = " ".join(filter(None, [error.context, error.problem]))
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UnreadableError(f"not YAML ({cut(told)}{line})") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two of an escape that is no character
        raise UnreadableError(f"not YAML ({cut(' '.join(str(error).split()))})") from error
    if len(found) > 1:
        raise UnreadableError("holds several documents, with --- between them, and one is read")
    return found[0] if found else None


def not_too_many(events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """The events, of which there may not be too many."""
    for number, event in enumerate(events):
        if number > MOST:
            raise UnreadableError(f"holds more than {MOST} words, which no list of options does")
        yield event


def grown(event: yaml.NodeEvent, events: Iterator[yaml.Event], deepest: int) -> Tree:
    """The word, list or mapping that begins with this event."""
    line = event.start_mark.line + 1 if event.start_mark else 0
    if isinstance(event, yaml.AliasEvent):
        raise UnreadableError(f"line {line} has an alias, {shown(f'*{event.anchor}')}; write out what it stands for")
    tag: str | None = getattr(event, "tag", None)
    if tag is not None:
        raise UnreadableError(f"line {line} has a tag, {shown(tag)}; write the value without it")
    if isinstance(event, yaml.ScalarEvent):
        return Bare(event.value) if event.implicit[0] else str(event.value)
    if deepest == 0:
        raise UnreadableError(f"line {line} has too many brackets or indents inside one another")
    if isinstance(event, yaml.SequenceStartEvent):
        return list(members(events, deepest))
    return mapping(members(events, deepest), line)


def members(events: Iterator[yaml.Event], deepest: int) -> Iterator[Tree]:
    """What stands in a list, or the keys and values of a mapping in turn, up to its end."""
    for event in events:
        if not isinstance(event, yaml.NodeEvent):
            return
        yield grown(event, events, deepest - 1)


def mapping(pairs: Iterator[Tree], line: int) -> dict[str, Tree]:
    """Keys with their values."""
    found: dict[str, Tree] = {}
    for key, value in zip(pairs, pairs, strict=True):
        if not isinstance(key, str):
            raise UnreadableError(f"line {line} begins what has a list or a mapping for a name; names are words")
        if key in found:
            raise UnreadableError(f"{shown(key)} stands in it twice; leave one of them out")
        found[str(key)] = value
    return found


def plain_values(tree: Tree | None) -> object:
    """The tree with its bare words as numbers, switches and None where they are: of a file that a run has written."""
    match tree:
        case Bare():
            return meaning_of(tree)
        case list():
            return [plain_values(part) for part in tree]
        case dict():
            return {key: plain_values(value) for key, value in tree.items()}
    return tree


def meaning_of(word: str) -> object:
    """What a bare word means."""
    if word in NOTHING:
        return None
    if word.lower() in SWITCHES:
        return SWITCHES[word.lower()]
    if WHOLE.fullmatch(word) and len(word) < 1000:  # Python reads no longer ones
        return int(word)
    return float(word) if NUMBER.fullmatch(word) else str(word)
