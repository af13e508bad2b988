"""One frozen dataclass of options from defaults, a YAML file and command-line flags, in that order."""

import dataclasses
import difflib
import io
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from pkgutil import resolve_name
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro
import yaml

from dermssl.errors import UserError

C = TypeVar("C")

KINDS = {
    int: "a whole number", float: "a number", bool: "True or False", str: "a word", Path: "a path", NoneType: "None",
}  # fmt: skip


def parse_choice(
    configs: Mapping[str, type[C] | str],
    choice: str,
    prog: str,
    argv: Sequence[str] | None = None,
    quick: Path | None = None,
) -> C:
    """Fills the config that `--<choice>` names: its defaults, then the `--config` file, then the flags.

    `--resume RUN` stands for the file `RUN/config.yaml`.

    Args:
        configs: Config class by name, or where it stands as `module:Class`, which is imported if it is chosen; the
            first one is taken where neither a flag nor the file names one.
        choice: The option that picks the class, such as `method`.
        prog: What the user typed, for help and errors.
        argv: The arguments; those of the process by default.
        quick: A file of options that stand below all others where neither the file nor the flags say `data`: the
            synthetic set is for trying things out (`dermssl.data.sources.quick_options`).

    Raises:
        UserError: For an unknown option, a wrong value, or a file that cannot be read as options.
        SystemExit: After `--help`.
    """
    flags = split_flags(sys.argv[1:] if argv is None else argv)
    layers = [*files_of(flags, quick)]
    named = [(f"{path}: ", str(values[choice])) for path, values in layers if choice in values]
    named += [("", " ".join(flags[choice]))] if choice in flags else []
    where, name = (named or [("", next(iter(configs)))])[-1]
    if name not in configs:
        raise UserError(f"{where}--{choice} is one of {', '.join(configs)}; got '{name}'{nearest(name, configs)}")
    chosen = configs[name]
    config: type[C] = resolve_name(chosen) if isinstance(chosen, str) else chosen
    known = {key: other for key, other in configs.items() if not isinstance(other, str)} | {name: config}
    own = {choice: [name]} if choice in option_names(config) else {}
    given, origin = dict(own), dict.fromkeys(own, "")
    for path, values in [*layers[:1], *own_quick(layers, quick, name), *layers[1:]]:
        refuse_unknown(values, name, known, where=f"{path}: ")
        given |= {key: as_arguments(value) for key, value in values.items()}
        origin |= dict.fromkeys(values, f"{path}: ")
    refuse_unknown(flags, name, known, where="")
    kinds = get_type_hints(config)
    flags = {key: words or (["True"] if kinds.get(key) in (bool, bool | None) else []) for key, words in flags.items()}
    origin |= dict.fromkeys(flags, "")
    return fill(config, given | flags, origin, prog, f"{choice}: {', '.join(configs)}" if own else "")


def parse(config: type[C], prog: str, argv: Sequence[str] | None = None, quick: Path | None = None) -> C:
    """Fills `config`, the only one of its command; see `parse_choice`."""
    return parse_choice({config.__name__: config}, "", prog, argv, quick)


def files_of(flags: dict[str, list[str]], quick: Path | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The files of options below the flags, lowest first; takes `--config` out of the flags."""
    resumed = [Path(run, "config.yaml") for run in flags.get("resume", []) if run != "None"]
    for path in resumed:
        if not path.is_file():
            raise UserError(f"--resume {path.parent}: no run stands there (looked for config.yaml); give its folder")
    named = [Path(word) for word in flags.pop("config", [])] or resumed
    values = {path: read(path) for path in named}
    says_data = "data" in flags or any(given.get("data") is not None for given in values.values())
    if quick is not None and not says_data:
        yield quick, read(quick)
    yield from values.items()


def own_quick(
    layers: Sequence[tuple[Path, Mapping[str, Any]]], quick: Path | None, name: str
) -> list[tuple[Path, Any]]:
    """The quick options that one choice has beside those of all, in `quick_NAME.yaml`, where `quick` is used."""
    if quick is None or not layers or layers[0][0] != quick:
        return []
    path = quick.with_name(f"{quick.stem}_{name}{quick.suffix}")
    return [(path, read(path))] if path.is_file() else []


def option_names(config: type[Any]) -> list[str]:
    """The options of a config, in the order of their declaration."""
    return [field.name for field in dataclasses.fields(config)]


def split_flags(argv: Sequence[str]) -> dict[str, list[str]]:
    """The words behind each `--option`; `--no-dash` and `--no_dash` are one option, `--a=b` is `--a b`.

    An option that is True or False may stand without a word: `--yes` is `--yes True`.
    """
    flags: dict[str, list[str]] = {}
    words: list[str] | None = None
    for word in argv:
        if word in ("-h", "--help"):
            words = flags.setdefault("help", [])
        elif word.startswith("--") and word != "--":
            name, equals, value = word[2:].partition("=")
            words = flags[name.replace("-", "_")] = [value] if equals else []
        elif words is None:
            raise UserError(f"'{word}' stands behind no option; options are written --name value")
        else:
            words.append(word)
    if "config" in flags and len(flags["config"]) != 1:
        raise UserError(f"--config takes one file, got {len(flags['config'])}")
    return flags


def read(path: Path) -> dict[str, Any]:
    """The options in a YAML file, unchecked; none where it holds nothing but comments.

    Raises:
        UserError: If the file is missing, is no YAML, or is not a list of `option: value` lines.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); --config takes a YAML file of options") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected 'option: value' lines, found {type(values).__name__}")
    return {str(key): value for key, value in values.items()}


def refuse_unknown(given: Mapping[str, object], name: str, configs: Mapping[str, type[Any]], where: str) -> None:
    """Stops at an option that `configs[name]` does not have; says whose it is, or what is spelt nearly like it."""
    options = option_names(configs[name])
    for key in given:
        if key in options or key == "help":
            continue
        owners = [other for other, config in configs.items() if key in option_names(config)]
        hint = (
            f"; it belongs to {', '.join(owners)}" if owners else nearest(key, options) or f"; see {', '.join(options)}"
        )
        raise UserError(f"{where}{configs[name].__name__} has no option '{key}'{hint}")


def nearest(word: str, words: Sequence[str] | Mapping[str, object]) -> str:
    """`; did you mean '...'?`, or nothing where nothing is close."""
    near = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def as_arguments(value: object) -> list[str]:
    """A YAML value as the words of a flag, so that one parser checks both: `lr: 1e-3` is `--lr 1e-3`."""
    if isinstance(value, list):
        return [str(item) for item in value]
    return [str(value)]


def fill(config: type[C], given: Mapping[str, Sequence[str]], origin: Mapping[str, str], prog: str, note: str) -> C:
    """Lets tyro convert the words to the types of `config`; its errors become one sentence of ours.

    Args:
        config: The class to fill.
        given: The words of each option.
        origin: `FILE: ` of each option that a file gave, else nothing.
        prog: What the user typed.
        note: Stands in the help.
    """
    refuse_miscounted(config, given, origin)
    arguments: list[str] = []
    for key, words in given.items():
        flag = f"--{key}"
        arguments += [f"{flag}={words[0]}"] if len(words) == 1 and key != "help" else [flag, *words]
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            return tyro.cli(
                config,
                args=arguments,
                prog=prog,
                description="\n\n".join(filter(None, [config.__doc__, note, "config: a YAML file of these options."])),
                config=(tyro.conf.FlagConversionOff,),
                use_underscores=True,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        text = sentence(complaint.getvalue())
        culprit = re.search(r"--(\w+)", text)
        key = culprit.group(1) if culprit else ""
        if key in given and re.match(rf"Error parsing --{key}|.* for argument '--{key}'", text):
            text = f"--{key} takes {expected(get_type_hints(config)[key])}; got '{' '.join(given[key])}'"
        raise UserError(origin.get(key, "") + text) from None


def refuse_miscounted(config: type[Any], given: Mapping[str, Sequence[str]], origin: Mapping[str, str]) -> None:
    """Stops where an option that must be given is not, or one that takes a single value has none or several."""
    if "help" in given:
        return
    fields, kinds = dataclasses.fields(config), get_type_hints(config)
    absent = [f"--{f.name}" for f in fields if f.default is dataclasses.MISSING and f.name not in given]
    if absent:
        raise UserError(f"{' and '.join(absent)} must be given; --help says what they are")
    for key, words in given.items():
        if len(words) != 1 and get_origin(kinds[key]) is not tuple:
            got = f"{len(words)}: {' '.join(words)}" if words else "none"
            raise UserError(f"{origin[key]}--{key} takes one value, {expected(kinds[key])}; got {got}")


def expected(kind: Any) -> str:
    """What an option of this type takes, in words."""
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if get_origin(kind) is tuple:
        count = "values" if inner[-1] is Ellipsis else f"{len(inner)} values"
        return f"{count}, each {expected(inner[0])}"
    return " or ".join(map(expected, inner)) if inner else KINDS.get(kind, kind.__name__)


def sentence(box: str) -> str:
    """The first complaint in tyro's framed message, in one line."""
    lines = [line.strip(" │╭╮╰╯─") for line in box.splitlines()]
    body = [line for line in lines[1:] if line]
    end = next((i for i, line in enumerate(body) if line.startswith(("Argument helptext", "For full"))), len(body))
    text = " ".join(body[:end]) or " ".join(filter(None, lines))
    return re.sub(r"^Error parsing (?=[A-Z])\w+: ", "", text)


def write(config: object, path: Path) -> None:
    """Writes a config as a file that `--config` reads back to the same values."""
    path.write_text(as_yaml(config))


def as_yaml(config: object) -> str:
    """The options of `config`, one a line, in the order of their declaration."""
    return yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True)


def plain(config: object) -> dict[str, Any]:
    """The options as YAML and JSON know them: paths are words, tuples are lists."""
    return {key: plain_value(value) for key, value in vars(config).items()}


def plain_value(value: object) -> object:
    """One option's value without types that only Python has."""
    if isinstance(value, Path):
        return str(value)
    return [plain_value(item) for item in value] if isinstance(value, tuple) else value
