"""A card's fields held against the types of the class that they fill, and against bounds: files come from strangers."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from dermssl.errors import UserError
from dermssl.weights.known_encoders import is_known

C = TypeVar("C")
LARGEST_SIDE = 2**14  # pixels; a network at a larger one fills any memory
LONGEST = 1000  # letters of a text
QUOTED = 60


class Rule(NamedTuple):
    """What a field holds, beyond its type."""

    holds: Callable[[Any], bool]
    words: str


def between(least: int, most: int) -> Rule:
    """The rule of a whole number within bounds; None passes, where the type lets it."""
    return Rule(lambda number: number is None or least <= number <= most, f"a whole number from {least} to {most}")


RULES: Mapping[str, Rule] = {
    "encoder": Rule(is_known, "an encoder's name that segmentation-models-pytorch or timm has here"),
    "mean": Rule(lambda three: all(0 <= number <= 1 for number in three), "three numbers in [0, 1]"),
    "std": Rule(lambda three: all(0 < number <= 1 for number in three), "three numbers in (0, 1]"),
    "sha256": Rule(lambda digits: not set(digits) - set("0123456789abcdef"), "the digits of a hash"),
}  # fmt: skip
"""Of the fields that cards of every kind have."""


def card_of(kind: type[C], fields: Mapping[str, object], rules: Mapping[str, Rule], origin: str, remedy: str) -> C:
    """The card in a header's fields; those of a later version are left out.

    Args:
        kind: Its class.
        fields: As JSON gave them.
        rules: Of this class, beside RULES.
        origin: The file, as a sentence begins with it.
        remedy: What to give instead.

    Raises:
        UserError: If a field is missing, or does not hold what it should.
    """
    hints = get_type_hints(kind)
    names = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    absent = [name for name, field in names.items() if name not in fields and is_required(field)]
    if absent:
        raise UserError(f"{origin}: its card lacks {absent[0]}; {remedy}")
    values = {name: as_tuple(fields[name], hints[name]) for name in names if name in fields}
    for name, value in values.items():
        rule = {**RULES, **rules}.get(name)
        if not is_of(value, hints[name]) or not (rule is None or rule.holds(value)):
            words = rule.words if rule else in_words(hints[name])
            raise UserError(f"{origin}: its card's {name} is {json_in_a_line(fields[name])}, and not {words}; {remedy}")
    return kind(**values)


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Whether a field has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def as_tuple(value: object, hint: object) -> object:
    """A list as the tuple that JSON made it of."""
    return tuple(value) if isinstance(value, list) and tuple in (hint, get_origin(hint)) else value


def is_of(value: object, hint: Any) -> bool:
    """Whether a value of JSON is of a type; numbers are finite and texts can be printed in a line."""
    inner = get_args(hint)
    match get_origin(hint):
        case origin if origin is Literal:
            return isinstance(value, str) and value in inner
        case origin if origin is UnionType:
            return any(is_of(value, part) for part in inner)
        case origin if origin is tuple:
            parts = inner[:1] * len(value) if isinstance(value, tuple) and inner[-1] is Ellipsis else inner
            return isinstance(value, tuple) and len(value) == len(parts) and all(map(is_of, value, parts))
        case None:
            return is_plain(value, hint)
    return isinstance(value, Mapping)


def is_plain(value: object, hint: type) -> bool:
    """Whether a value is a text, a number, true or false, or none, as the type says."""
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if hint is str:
        return isinstance(value, str) and value.isprintable() and len(value) <= LONGEST
    return type(value) is hint


def in_words(hint: Any) -> str:
    """What a value of a type is, in words."""
    plain = {str: "a line of text", int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}
    inner = get_args(hint)
    if get_origin(hint) is Literal:
        return f"one of {', '.join(inner)}"
    if get_origin(hint) is UnionType:
        return " or ".join(map(in_words, inner))
    return plain.get(hint, "a list" if tuple in (hint, get_origin(hint)) else "a table")


def json_in_a_line(value: object) -> str:
    """A value of a file as a sentence shows it: in one line, and short."""
    text = json.dumps(value, default=str)
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}..."
