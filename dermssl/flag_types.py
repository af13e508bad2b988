"""From the words behind options to typed values: tyro converts them, and its complaints become one sentence."""

import dataclasses
import io
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro

from dermssl.errors import UserError

C = TypeVar("C")

KINDS = {
    int: "a whole number", float: "a number", bool: "True or False", str: "a word", Path: "a path", NoneType: "None",
}  # fmt: skip


def convert_words(
    config: type[C], words: Mapping[str, Sequence[str]], sources: Mapping[str, str], prog: str, note: str
) -> C:
    """Lets tyro convert the words to the types of `config`; its errors become one sentence of ours.

    Args:
        config: The class to fill.
        words: Those of each option; `help` asks for the help.
        sources: `FILE: ` of each option that a file gave, else nothing.
        prog: What the user typed.
        note: Stands in the help.

    Raises:
        UserError: For a value that an option does not take, or an option that is missing.
        SystemExit: After the help.
    """
    if "help" in words:
        print_help(config, prog, note)
        raise SystemExit(0)
    refuse_miscounted(config, words, sources)
    arguments: list[str] = []
    for option, values in words.items():
        arguments += [f"--{option}={values[0]}"] if len(values) == 1 else [f"--{option}", *values]
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            return tyro.cli(
                config, args=arguments, prog=prog, config=(tyro.conf.FlagConversionOff,), use_underscores=True
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        text = first_complaint(complaint.getvalue())
        culprit = re.search(r"--(\w+)", text)
        option = culprit.group(1) if culprit else ""
        if option in words and re.match(rf"Error parsing --{option}|.* for argument '--{option}'", text):
            text = f"--{option} takes {expected(get_type_hints(config)[option])}; got '{' '.join(words[option])}'"
        raise UserError(sources.get(option, "") + text) from None


def print_help(config: type[Any], prog: str, note: str) -> None:
    """Prints the help of a command; a switch stands there as `--yes, --no-yes`."""
    kinds: dict[str, Any] = get_type_hints(config)
    twofold = {  # tyro shows aliases before the name
        switch: Annotated[kinds[switch], tyro.conf.arg(name=f"no-{switch}", aliases=(f"--{switch}",), metavar="")]
        for switch in switches_of(config)
    }
    page = Page()
    with redirect_stdout(page), suppress(SystemExit):
        tyro.cli(
            type(config.__name__, (config,), {"__annotations__": twofold, "__module__": config.__module__}),
            args=["--help"],
            prog=prog,
            description="\n\n".join(filter(None, [config.__doc__, note, "config: a YAML file of these options."])),
            config=(tyro.conf.FlagConversionOff,),
            use_underscores=True,
        )
    text = page.getvalue()
    for switch in twofold:
        text = text.replace(f"--no_{switch}", f"--no-{switch}").replace(f"[--{switch} ]", f"[--{switch}]")
    print(text, end="")


class Page(io.StringIO):
    """Takes up what tyro prints, drawn and coloured as for the terminal that it is printed on afterwards."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the terminal, by which tyro chooses its frames."""
        return sys.__stdout__.encoding if sys.__stdout__ is not None else "utf-8"

    def isatty(self) -> bool:
        """Whether colours are seen."""
        return sys.__stdout__ is not None and sys.__stdout__.isatty()


def switches_of(config: type[Any]) -> list[str]:
    """The options of a config that are on or off, those that may also be left to something else among them."""
    kinds = get_type_hints(config)
    return [field.name for field in dataclasses.fields(config) if kinds[field.name] in (bool, bool | None)]


def refuse_miscounted(config: type[Any], words: Mapping[str, Sequence[str]], sources: Mapping[str, str]) -> None:
    """Stops where an option that must be given is not, or one that takes a single value has none or several."""
    fields, kinds = dataclasses.fields(config), get_type_hints(config)
    absent = [f"--{f.name}" for f in fields if f.default is dataclasses.MISSING and f.name not in words]
    if absent:
        raise UserError(f"{' and '.join(absent)} must be given; --help says what they are")
    for option, values in words.items():
        if len(values) != 1 and get_origin(kinds[option]) is not tuple:
            count = f"{len(values)}: {' '.join(values)}" if values else "none"
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


def first_complaint(box: str) -> str:
    """The first complaint in tyro's framed message, in one line."""
    lines = [line.strip(" │╭╮╰╯─") for line in box.splitlines()]
    body = [line for line in lines[1:] if line]
    end = next((i for i, line in enumerate(body) if line.startswith(("Argument helptext", "For full"))), len(body))
    text = " ".join(body[:end]) or " ".join(filter(None, lines))
    return re.sub(r"^Error parsing (?=[A-Z])\w+: ", "", text)
