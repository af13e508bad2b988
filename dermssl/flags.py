"""One frozen dataclass of options from defaults, a YAML file and command-line flags, in that order."""

import dataclasses
import shlex
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple, TypeVar

import yaml

from dermssl.errors import UserError, cut, shown
from dermssl.flag_types import HELP, convert_words, switches_of
from dermssl.places import need_readable
from dermssl.wording import spelling_hint
from dermssl.yaml_words import (
    DEEPEST,
    UnreadableError,
    lines_of,
    option_lines,
    plain_values,
    read_words,
    tree_of,
)

C = TypeVar("C")


class Choice(NamedTuple):
    """The config that is chosen among those of a command."""

    option: str
    """What chooses, such as `method`; empty where there is one config alone."""
    name: str
    configs: Mapping[str, type[Any]]
    """Config class by name, of those that are imported."""
    prog: str

    @property
    def command(self) -> str:
        """The command as it is typed for this choice; what stands in brackets in `prog` is for the help alone."""
        command = self.prog.partition(" [")[0]
        return f"{command} --{self.option} {self.name}" if self.option else command


def parse_choice(
    configs: Mapping[str, type[C] | str],
    choice: str,
    prog: str,
    argv: Sequence[str] | None = None,
    quick: Path | None = None,
    without: Collection[str] = (),
) -> C:
    """Fills the config that `--<choice>` names: its defaults, then the files of `--config`, then the flags.

    `--resume RUN` stands for the file `RUN/config.yaml`.

    Args:
        configs: Config class by name, or where it stands as `module:Class`, which is imported if it is chosen; the
            first one is taken where neither a flag nor the file names one.
        choice: The option that picks the class, such as `method`.
        prog: What the user typed, for help and errors, such as `python -m pretrain`.
        argv: The arguments; those of the process by default.
        quick: A file of options that stand below all others where neither the file nor the flags say `data`: the
            synthetic set is for trying things out (`dermssl.data.sources.quick_options`).
        without: Options that are passed over where a file has them.

    Raises:
        UserError: For an unknown option, a wrong value, or a file that cannot be read as options.
        SystemExit: After `--help`.
    """
    flags = split_flags(sys.argv[1:] if argv is None else argv)
    layers = [*files_of(flags, quick)]
    choices = [(f"{path}: ", " ".join(values[choice])) for path, values in layers if choice in values]
    choices += [("", " ".join(flags[choice]))] if choice in flags else []
    source, name = (choices or [("", next(iter(configs)))])[-1]
    if name not in configs:
        raise UserError(
            f"{source}--{choice} is one of {', '.join(configs)}; got {shown(name)}{spelling_hint(name, configs)}"
        )
    named = configs[name]
    config: type[C] = resolve_name(named) if isinstance(named, str) else named
    classes = {key: other for key, other in configs.items() if not isinstance(other, str)} | {name: config}
    own = {choice: [name]} if choice in option_names(config) else {}
    chosen = Choice(choice, name, classes, prog)
    words, sources = dict(own), dict.fromkeys(own, "")
    resumed = {Path(run, "config.yaml") for run in flags.get("resume", [])}
    for path, values in [*layers[:1], *own_quick(layers, quick, name), *layers[1:]]:
        obeyed = {option: given for option, given in values.items() if option not in without}
        if path in resumed:
            refuse_other_command(path.parent, obeyed, chosen)
        refuse_unknown(obeyed, chosen, file=path)
        words |= obeyed
        sources |= dict.fromkeys(obeyed, f"{path}: ")
    flags = spell_out_switches(flags, classes.values())
    refuse_unknown(flags, chosen)
    sources |= dict.fromkeys(flags, "")
    return convert_words(config, words | flags, sources, prog, f"{choice}: {', '.join(configs)}" if own else "")


def parse(config: type[C], prog: str, argv: Sequence[str] | None = None, quick: Path | None = None) -> C:
    """Fills `config`, the only one of its command; see `parse_choice`."""
    return parse_choice({config.__name__: config}, "", prog, argv, quick)


def files_of(flags: dict[str, list[str]], quick: Path | None) -> Iterator[tuple[Path, dict[str, list[str]]]]:
    """The files of options below the flags, lowest first; takes `--config` out of the flags."""
    resumed = [Path(run, "config.yaml") for run in flags.get("resume", []) if run != "None"]
    for path in resumed:
        need_readable("--resume", path.parent)
        need_readable("--resume", path)
        if not path.is_file():
            raise UserError(
                f"--resume {path.parent}: holds no run, for there is no config.yaml in it; give the folder of a run"
            )
    files = [Path(word) for word in flags.pop("config", [])] or resumed
    values = {path: read_words(path) for path in files}
    says_data = "data" in flags or any(options.get("data", ["None"]) != ["None"] for options in values.values())
    if quick is not None and not says_data:
        yield quick, read_words(quick)
    yield from values.items()


def own_quick(
    layers: Sequence[tuple[Path, Mapping[str, Any]]], quick: Path | None, name: str
) -> list[tuple[Path, Any]]:
    """The quick options that one choice has beside those of all, in `quick_NAME.yaml`, where `quick` is used."""
    if quick is None or not layers or layers[0][0] != quick:
        return []
    path = quick.with_name(f"{quick.stem}_{name}{quick.suffix}")
    return [(path, read_words(path))] if path.is_file() else []


def option_names(config: type[Any]) -> list[str]:
    """The options of a config, in the order of their declaration."""
    return [field.name for field in dataclasses.fields(config)]


def split_flags(argv: Sequence[str]) -> dict[str, list[str]]:
    """The words behind each `--option`; `--some-name` and `--some_name` are one option, `--a=b` is `--a b`."""
    flags: dict[str, list[str]] = {}
    words: list[str] | None = None
    for word in argv:
        if word in ("-h", "--help"):
            words = flags.setdefault("help", [])
        elif word.startswith("--") and word != "--":
            name, equals, value = word[2:].partition("=")
            option = name.replace("-", "_")
            flags.pop(option, None)  # of two that say something of one option, the later one stands behind
            words = flags[option] = [value] if equals else []
        elif words is None:
            raise UserError(f"{shown(word)} follows no option; options are written --name value")
        else:
            words.append(word)
    if flags.get("config") == []:
        raise UserError("--config takes a file of options, or several, of which a later one stands above; got none")
    return flags


def spell_out_switches(flags: Mapping[str, list[str]], configs: Iterable[type[Any]]) -> dict[str, list[str]]:
    """Gives the options that are on or off their words: `--yes` is `--yes True`, and `--no-yes` is `--yes False`."""
    switches = {option for config in configs for option in switches_of(config)}
    words: dict[str, list[str]] = {}
    for option, values in flags.items():
        switch = option.removeprefix("no_")
        if switch not in switches:
            words[option] = values
        elif switch == option:
            words[switch] = values or ["True"]
        elif values:
            given = cut(" ".join(values))
            raise UserError(f"--no-{switch} takes no value, got {given}; write --{switch} or --no-{switch}")
        else:
            words[switch] = ["False"]
    return words


def read_options(path: Path) -> dict[str, Any]:
    """The options in a YAML file that a run or a study has written, as `plain_options` gave them.

    Raises:
        UserError: If the file is missing, is no YAML, or is not a list of `option: value` lines.
    """
    return {option: plain_values(value) for option, value in option_lines(path).items()}


def options_in(text: str, path: Path) -> dict[str, Any]:
    """The options in the text of such a file, which stands at `path` or in an archive there.

    Raises:
        UserError: As `read_options`.
    """
    try:
        return {option: plain_values(value) for option, value in lines_of(tree_of(text, DEEPEST), path).items()}
    except UnreadableError as error:
        raise UserError(f"{path}: {error}; it was written by a run, so make that again") from error


def refuse_unknown(options: Iterable[str], choice: Choice, file: Path | None = None) -> None:
    """Stops at an option that the chosen config does not have; says whose it is, or what is spelt nearly like it.

    Args:
        options: As they were spelt, in `file` or as flags.
        choice: The config that is chosen, and the others.
        file: Where the options stand; None for flags.
    """
    names = option_names(choice.configs[choice.name])
    for option in options:
        if option in names or (option in HELP and file is None):
            continue
        owners = [name for name, config in choice.configs.items() if option in option_names(config)]
        belongs = f"; it belongs to --{choice.option} {', '.join(owners)}" if owners else ""
        alike = spelling_hint(option.removeprefix("no_"), names, "" if file else "--")
        hint = belongs or alike or f"; it has {', '.join(names)}"
        if file is not None:
            raise UserError(f"{file}: {shown(option)} is no option of {choice.command}{hint}")
        raise UserError(f"{choice.command} has no option --{cut(option)}{hint}")


def refuse_other_command(run: Path, options: Iterable[str], choice: Choice) -> None:
    """Stops at a run to continue that has options which the command does not have: nobody has mistyped them."""
    names = option_names(choice.configs[choice.name])
    strange = [option for option in options if option not in names]
    if strange:
        raise UserError(
            f"--resume {run}: was begun by another command than {choice.command}, or by another version of it, for it "
            f"has an option '{strange[0]}'; go on with the command and the version that began it, or start anew"
        )


def write_options(config: object, path: Path) -> None:
    """Writes a config as a file that `--config` reads back to the same values."""
    path.write_text(as_yaml(config), encoding="utf-8")


def as_typed_flags(config: Any, *names: str) -> str:
    """Those of the named options that are not as by default, as they are typed behind a command: ` --data photos`."""
    chosen = [field for field in dataclasses.fields(config) if field.name in names]
    values = {
        field.name: getattr(config, field.name) for field in chosen if getattr(config, field.name) != field.default
    }
    return "".join(f" --{name} {shlex.quote(str(value))}" for name, value in values.items())


def as_yaml(config: object) -> str:
    """The options of `config`, one a line, in the order of their declaration."""
    return yaml.safe_dump(plain_options(config), sort_keys=False, allow_unicode=True)


def plain_options(config: object) -> dict[str, Any]:
    """The options as YAML and JSON know them: paths are words, tuples are lists."""
    return {key: plain_value(value) for key, value in vars(config).items()}


def plain_value(value: object) -> object:
    """One option's value without types that only Python has."""
    if isinstance(value, Path):
        return str(value)
    return [plain_value(item) for item in value] if isinstance(value, tuple) else value


def added_and_unused(config: object) -> frozenset[str]:
    """Options that came after runs were first named by theirs, with the value that does what was done before them.

    They are left out of a run's name, so that a run of an earlier version is still found. A config lists them with that
    value in ADDED.
    """
    added: Mapping[str, object] = getattr(config, "ADDED", {})
    return frozenset(key for key, before in added.items() if getattr(config, key) == before)
