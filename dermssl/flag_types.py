"""From the words behind options to typed values, or to one sentence."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from dermssl.errors import LONGEST, UserError, cut, in_one_line, shown
from dermssl.help.page import help_page, is_switch
from dermssl.wording import spelling_hint
from dermssl.yaml_words import SWITCHES

C = TypeVar("C")

HELP = {"help", "help_all"}
DIGITS = 18  # 64 bits hold every number of so many
NO_TEXT = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")  # surrogates but for those that stand for bytes of file names
KINDS = {
    int: "a whole number", float: "a number", bool: "True or False", str: "a word", Path: "a path", NoneType: "None",
}  # fmt: skip


def convert_words(
    config: type[C], words: Mapping[str, Sequence[str]], sources: Mapping[str, str], prog: str, note: str
) -> C:
    """The config that the words fill, each by the type of its option; nothing in a value is ever taken for an option.

    Args:
        config: The class to fill.
        words: Those of each option; `help` and `help_all` ask for the help.
        sources: `FILE: ` of each option that a file gave, else nothing.
        prog: What the user typed.
        note: Stands in the help.

    Raises:
        UserError: For a value that an option does not take, or an option that is missing.
        SystemExit: After the help.
    """
    if HELP & {*words}:
        print(help_page(config, prog, note, whole="help_all" in words), end="")
        raise SystemExit(0)
    refuse_miscounted(config, words, sources)
    kinds = get_type_hints(config)
    values: dict[str, Any] = {}
    for option, given in words.items():
        try:
            values[option] = converted(given, kinds[option])
        except ValueError:
            raise UserError(sources[option] + mistaken(option, given, kinds[option])) from None
    try:
        return config(**values)
    except ValueError as error:
        sentence = str(error)
        culprit = re.search(r"--(\w+)", sentence)
        for long in (word for given in words.values() for word in given if len(word) > LONGEST):
            sentence = sentence.replace(long, cut(long))
        raise UserError(sources.get(culprit.group(1) if culprit else "", "") + sentence) from None


def mistaken(option: str, words: Sequence[str], kind: Any) -> str:
    """What is said of words that are no value of the option's type."""
    long = any(word.isdigit() and len(word) > DIGITS for word in words) and "number" in expected(kind)
    most = f" of at most {DIGITS} digits" if long else ""
    names = named_values(kind)
    wrong = next((word for word in words if word not in names), "")
    return f"--{option} takes {expected(kind)}{most}; got {shown(' '.join(words))}{spelling_hint(wrong, names)}"


def named_values(kind: Any) -> list[str]:
    """The words that an option of this type knows; none where it takes any, or numbers alone."""
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        return [str(value) for value in inner]
    return [name for one in inner for name in named_values(one)]


def converted(words: Sequence[str], kind: Any) -> Any:
    """The words as a value of this type.

    Raises:
        ValueError: If they are none.
    """
    if get_origin(kind) is not tuple:
        return converted_word(words[0], kind)
    inner = get_args(kind)
    if inner[-1] is Ellipsis:
        return tuple(converted_word(word, inner[0]) for word in words)
    return tuple(converted_word(word, one) for word, one in zip(words, inner, strict=True))


def converted_word(word: str, kind: Any) -> Any:
    """One word as a value of this type.

    Raises:
        ValueError: If it is none.
    """
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        return one_of({str(value): value for value in inner}, word)
    if not inner:
        return READERS[kind](word)
    for one in sorted(inner, key=lambda one: (one in (str, Path), one is not NoneType)):  # text takes any word
        with suppress(ValueError):
            return converted_word(word, one)
    raise ValueError


def one_of(values: Mapping[str, Any], word: str) -> Any:
    """The value that is called by this word."""
    if word not in values:
        raise ValueError
    return values[word]


def whole(word: str) -> int:
    """A whole number that 64 bits hold."""
    if len(word.strip().lstrip("+-")) > DIGITS:
        raise ValueError
    return int(word)


def text(word: str) -> str:
    """A word that may be written to a file, or be the name of one."""
    if NO_TEXT.search(word):
        raise ValueError
    return word


READERS: Mapping[Any, Callable[[str], Any]] = {
    int: whole,
    float: float,
    bool: lambda word: one_of(SWITCHES, word.lower()),
    str: text,
    Path: lambda word: Path(text(word)),
    NoneType: lambda word: one_of({"None": None}, word),
}
"""What makes a value of a type out of a word, or raises a ValueError."""


def switches_of(config: type[Any]) -> list[str]:
    """The options of a config that are on or off, those that may also be left to something else among them."""
    kinds = get_type_hints(config)
    return [field.name for field in dataclasses.fields(config) if is_switch(kinds[field.name])]


def refuse_miscounted(config: type[Any], words: Mapping[str, Sequence[str]], sources: Mapping[str, str]) -> None:
    """Stops where an option that must be given is not, or one that takes a single value has none or several."""
    fields, kinds = dataclasses.fields(config), get_type_hints(config)
    absent = [f"--{f.name}" for f in fields if f.default is dataclasses.MISSING and f.name not in words]
    if absent:
        raise UserError(f"{' and '.join(absent)} must be given; --help says what they are")
    for option, values in words.items():
        if len(values) != 1 and get_origin(kinds[option]) is not tuple:
            count = f"{len(values)}: {in_one_line(cut(' '.join(values)))}" if values else "none"
            raise UserError(f"{sources[option]}--{option} takes one value, {expected(kinds[option])}; got {count}")


def expected(kind: Any) -> str:
    """What an option of this type takes, in words."""
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if get_origin(kind) is tuple:
        count = "values" if inner[-1] is Ellipsis else f"{len(inner)} values"
        return f"{count}, each {expected(inner[0])}"
    return " or ".join(map(expected, inner)) if inner else KINDS.get(kind, kind.__name__)
