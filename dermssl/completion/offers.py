"""What may follow on a command line: commands, their options, and the words or files behind each."""

import dataclasses
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from dermssl.flag_types import named_values
from dermssl.help.groups import usual_options
from dermssl.help.page import is_switch, option_texts
from dermssl.shipped import CONFIGS

OPTIONS: Mapping[str, str] = {
    "pretrain": "pretrain.known_methods:METHODS",
    "finetune": "finetune.options.config:FinetuneConfig",
    "predict": "finetune.predict.config:PredictConfig",
    "ensemble": "finetune.predict.config:EnsembleConfig",
    "preview": "finetune.preview.config:PreviewConfig",
    "export-model": "finetune.export.config:ModelExportConfig",
    "probe": "probe.config:ProbeConfig",
    "embed": "probe.embed.config:EmbedConfig",
    "compare": "compare.study.config:StudyConfig",
    "publish": "compare.publish.config:PublishConfig",
    "synthesize": "dermssl.synthetic.config:SynthesizeConfig",
    "download": "dermssl.download.config:DOWNLOADS",
    "check": "dermssl.check.config:CheckConfig",
    "import": "dermssl.exchange.import_config:ImportConfig",
    "export": "dermssl.exchange.export_config:ExportConfig",
}
"""Command -> where its class of options stands, or the table of several; named, since they stand above this room."""
WORDS: Mapping[str, str] = {
    "init": "compare.study.config:WEIGHTS",
    "against": "compare.study.config:WEIGHTS",
    "method": "pretrain.known_methods:METHODS",
    "augmentation": "finetune.options.augment:PRESETS",
    "loss": "finetune.options.loss:LOSSES",
    "split": "dermssl.splits.config:SPLITS",
}
"""Options that take text -> the words among it that are known; a command takes those that its own help names."""
FILES = frozenset({"init", "against", "augmentation", "split", "masks", "labels"})
"""Options that take text which may be the path of a file or folder."""
ALIASES: Mapping[str, tuple[str, str]] = {"probe": ("from", "init"), "import": ("as", "encoder")}
"""Command -> another spelling of one of its options."""
DOCTOR = {
    "--quick": "leave out what takes the disk's time and the network", "--json": "print a table for programs",
    "--help": "show what it does",
}  # fmt: skip
LONGEST = 90  # letters of a text that stands beside an option


class Offer(NamedTuple):
    """What may stand in one place of a command line."""

    words: tuple[str, ...] = ()
    files: bool = False
    """Whether paths may stand there as well."""


class Option(NamedTuple):
    """An option as it is typed, and what may stand behind it."""

    typed: str
    """Such as `--lr`."""
    text: str
    takes: Literal["none", "one", "many"]
    offer: Offer


class Command(NamedTuple):
    """What may follow one command."""

    text: str
    places: tuple[Offer, ...]
    """Of the words before the first option."""
    options: tuple[Option, ...]


def commands_of(texts: Mapping[str, str]) -> dict[str, Command]:
    """All commands with what may follow them.

    Args:
        texts: What each command does, in a few words.
    """
    return {name: Command(text, places_of(name), tuple(options_of(name))) for name, text in texts.items()}


def places_of(command: str) -> tuple[Offer, ...]:
    """The words that a command takes before its first option."""
    match command:
        case "compare":
            studies = tuple(sorted(path.stem for path in (CONFIGS / "compare").glob("*.yaml")))
            return (Offer(names_at("compare.command_line:COMMANDS")), Offer(studies, files=True))
        case "download":
            return (Offer(names_at(OPTIONS["download"])),)
        case "check" | "import" | "export":
            return (Offer(files=True),)
        case _:
            return ()


def options_of(command: str) -> Iterator[Option]:
    """The options of a command, usual ones first; of several classes those of all, each once."""
    if command == "doctor":
        yield from (Option(typed, text, "none", Offer()) for typed, text in DOCTOR.items())
        return
    options: dict[str, Option] = {}
    for config in configs_of(command):
        kinds, texts = get_type_hints(config), option_texts(config)
        for name in (*usual_options(config), *(field.name for field in dataclasses.fields(config))):
            options.setdefault(name, option_of(name, kinds[name], texts.get(name, "")))
    if command in ALIASES:
        other, name = ALIASES[command]
        options[other] = options[name]._replace(typed=f"--{other}")
    for option in options.values():
        yield option
        if option.takes == "none":
            yield option._replace(typed=f"--no-{option.typed[2:]}", text=f"The opposite of {option.typed}.")
    yield Option("--config", "YAML file of these options, or several.", "many", Offer(files=True))
    yield Option("--help", "Show the usual options.", "none", Offer())
    yield Option("--help-all", "Show all options.", "none", Offer())


def configs_of(command: str) -> list[type[Any]]:
    """The classes of options of a command."""
    named = resolve_name(OPTIONS[command])
    several = named.values() if isinstance(named, Mapping) else [named]
    return [resolve_name(one) if isinstance(one, str) else one for one in several]


def option_of(name: str, kind: Any, text: str) -> Option:
    """An option of this name, type and help."""
    words = (*names_at(WORDS[name]),) if name in WORDS else tuple(named_values(kind))
    mentioned = tuple(word for word in words if re.search(rf"\b{re.escape(word)}\b", text))
    offer = Offer((mentioned or words) if name in WORDS else words, files=name in FILES or is_path(kind))
    takes: Literal["none", "one", "many"] = "many" if get_origin(kind) is tuple else "one"
    return Option(f"--{name}", first_sentence(text), "none" if is_switch(kind) else takes, offer)


def is_path(kind: Any) -> bool:
    """Whether an option of this type takes a path, or several, or may be left out."""
    return kind is Path or any(map(is_path, get_args(kind)))


def names_at(place: str) -> tuple[str, ...]:
    """The names in a tuple or a table that stands at `module:NAME`."""
    return tuple(resolve_name(place))


def first_sentence(text: str) -> str:
    """The beginning of a help text, up to its first full stop, colon or semicolon, for the line of an option."""
    return textwrap.shorten(re.split(r"[.:;](?: |$)", text)[0], LONGEST, placeholder=" ...")
