"""The help of a command as text: what it does, its options with units and defaults, and examples."""

import ast
import dataclasses
import inspect
import itertools
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dermssl.help.groups import grouped, usual_options

MARGIN = 28  # letters before an option's text
NARROWEST, WIDEST = 60, 110
WORDS = {int: "NUMBER", float: "NUMBER", str: "WORD", Path: "PATH"}


def help_page(config: type[Any], prog: str, note: str, *, whole: bool) -> str:
    """The help of a command.

    Args:
        config: Its class of options.
        prog: What the user typed.
        note: A line below what it does.
        whole: Whether all options are shown, or the usual ones.
    """
    width = max(NARROWEST, min(shutil.get_terminal_size((100, 24)).columns, WIDEST))
    groups, usual = grouped(config), usual_options(config)
    count = sum(map(len, groups.values()))
    names = {group: [name for name in members if whole or name in usual] for group, members in groups.items()}
    parts = [f"usage: {prog} [OPTIONS]", inspect.cleandoc(config.__doc__ or ""), textwrap.fill(note, width)]
    parts += [
        f"{group}:\n" + "\n".join(options_in_lines(config, shown, width)) for group, shown in names.items() if shown
    ]
    parts += [more_in_lines(width)]
    examples: tuple[str, ...] = getattr(config, "EXAMPLES", ())
    parts += ["examples:\n" + "\n".join(f"  {line}" for line in examples)] if examples else []
    if len(usual) < count and not whole:
        parts += [f"These are the usual options; --help-all shows all {count}."]
    return "\n\n".join(filter(None, parts)) + "\n"


def options_in_lines(config: type[Any], names: Sequence[str], width: int) -> Iterator[str]:
    """Each option with its words, its text and its default."""
    kinds, texts = get_type_hints(config), option_texts(config)
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name in names:
        text = f"{texts.get(name, '')} {default_in_words(name, defaults[name])}".strip()
        yield paragraph(f"  {typed_option(name, kinds[name])}", text, width)


def more_in_lines(width: int) -> str:
    """The options that every command has beside its own."""
    config = "YAML file of these options, or several, of which a later one stands above; flags stand above them all."
    return "\n".join([
        paragraph("  --config PATH ...", config, width),
        paragraph("  -h, --help, --help-all", "Show the usual options, or all of them.", width),
    ])  # fmt: skip


def paragraph(head: str, text: str, width: int) -> str:
    """A head with a text that stands beside it, or below where the head is long."""
    lines = textwrap.wrap(text, width - MARGIN, break_long_words=False, break_on_hyphens=False) or [""]
    below = [" " * MARGIN + line for line in lines]
    if len(head) < MARGIN - 1:
        return "\n".join([head.ljust(MARGIN) + lines[0], *below[1:]])
    heads = textwrap.wrap(
        head.strip(), width - 2, initial_indent="  ", subsequent_indent=" " * 6, break_on_hyphens=False
    )
    return "\n".join([*heads, *below])


def is_switch(kind: Any) -> bool:
    """Whether an option of this type is on or off, or may also be left to something else."""
    return kind in (bool, bool | None)


def typed_option(name: str, kind: Any) -> str:
    """An option as it is typed: `--freeze/--no-freeze`, `--epochs NUMBER`, `--fit resize | letterbox | crop`."""
    return f"--{name}/--no-{name}" if is_switch(kind) else f"--{name} {typed_value(kind)}"


def typed_value(kind: Any) -> str:
    """What stands behind an option of this type."""
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        return " | ".join(str(value) for value in inner if value is not None)
    if get_origin(kind) is tuple:
        one = typed_value(inner[0])
        several = f"{one} ..." if inner[-1] is Ellipsis else " ".join([one] * len(inner))
        return f"{one} ... (several)" if " | " in one else several
    if inner:
        return " | ".join(dict.fromkeys(typed_value(one) for one in inner if one is not NoneType))
    return WORDS.get(kind, "VALUE")


def default_in_words(name: str, default: object) -> str:
    """The default in brackets; nothing where the text itself says what is taken, or the option must be given."""
    if default is dataclasses.MISSING:
        return "(must be given)"
    if default is None or default in ((), ""):
        return ""
    if isinstance(default, bool):
        return f"(default: --{name})" if default else f"(default: --no-{name})"
    return f"(default: {' '.join(map(str, default)) if isinstance(default, tuple) else default})"


def option_texts(config: type[Any]) -> Mapping[str, str]:
    """The text under each option of a class, those of a subclass above those that it inherits."""
    texts: dict[str, str] = {}
    for ancestor in reversed(config.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(ancestor))).body[0]
        lines = body.body if isinstance(body, ast.ClassDef) else []
        for field, below in itertools.pairwise(lines):
            if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
                continue
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                texts[field.target.id] = " ".join(str(below.value.value).split())
    return texts
