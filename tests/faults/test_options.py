"""Options that nobody should give: command lines and files over every command, each taken or refused in a sentence."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from faults.tally import Tally, generator, tallied, trials

from compare.command_line import parsed_command
from compare.publish.config import PublishConfig
from compare.study.config import StudyConfig
from dermssl.check.config import CheckConfig
from dermssl.download.config import DOWNLOADS
from dermssl.errors import UserError
from dermssl.exchange.export_config import ExportConfig
from dermssl.exchange.import_config import ImportConfig
from dermssl.flags import option_names, parse, parse_choice
from dermssl.synthetic.config import SynthesizeConfig
from finetune.export.config import ModelExportConfig
from finetune.options.config import FinetuneConfig
from finetune.predict.config import EnsembleConfig, PredictConfig
from finetune.preview.config import PreviewConfig
from pretrain.known_methods import METHODS, recipe_of
from probe.config import ProbeConfig
from probe.embed.config import EmbedConfig

LONGEST_ANSWER, SLOWEST = 2100, 1.0  # characters, seconds


class Command(NamedTuple):
    """How a command is called, and what it makes of words."""

    call: str
    options: tuple[str, ...]
    read: Callable[[list[str]], Any]
    must: tuple[str, ...] = ()
    """What has to be given beside what is tried."""


def alone(call: str, config: type[Any], *must: str) -> Command:
    """A command with one config."""
    return Command(call, tuple(option_names(config)), lambda words: parse(config, f"python -m {call}", words), must)


def chosen(call: str, configs: dict[str, Any], choice: str, name: str, config: type[Any], *must: str) -> Command:
    """A command with one of its configs chosen."""
    return Command(
        call, tuple(option_names(config)), lambda words: parse_choice(configs, choice, f"python -m {call}", words),
        (f"--{choice}={name}", *must),
    )  # fmt: skip


SET = ("--images=i", "--out=o")
COMMANDS = [
    *(chosen("pretrain", METHODS, "method", name, recipe_of(name)) for name in METHODS),
    alone("finetune", FinetuneConfig),
    alone("finetune.predict", PredictConfig, "--model=m", *SET),
    alone("finetune.ensemble", EnsembleConfig, "--models=m", *SET),
    alone("finetune.export", ModelExportConfig, "--model=m", "--out=o.onnx"),
    alone("finetune.preview", PreviewConfig),
    alone("probe", ProbeConfig),
    alone("probe.embed", EmbedConfig, "--out=o.csv"),
    Command("compare", tuple(option_names(StudyConfig)), lambda words: parsed_command(["plan", *words]).study),
    alone("compare.publish", PublishConfig),
    alone("dermssl synthesize", SynthesizeConfig, "--out=o"),
    *(chosen("dermssl download", DOWNLOADS, "name", name, config, *["--limit=2"] * (name == "isic-archive"))
      for name, config in DOWNLOADS.items() if isinstance(config, type)),
    alone("dermssl check", CheckConfig, "--data=d"),
    alone("dermssl import", ImportConfig, "--file=f", "--encoder=e"),
    alone("dermssl export", ExportConfig, "--file=f", "--to=timm"),
]  # fmt: skip

WORDS = [
    "nan", "-nan", "inf", "-inf", "1e999", "1e-999", "-1", "0", "1", "2", "0.5", "1e-3", "1.0", "7.5", "99999999999",
    "9" * 20, "9" * 23, "-" + "9" * 30, "9" * 5000, "0x10", "0x_", "0b_", "1_000", "2020-13-45", "99:99:99", "",
    " ", "None", "null", "~", "true", "False", "YES", "no", "off", "maybe", "auto", "all", "stop", "unet", "ssl",
    "imagenet", "../../x", "/", ".", "..", "a" * 300, "a" * 70_000, "\n", "a\nb", "\x1b[31m", "\t", "\u202e", "\x00",
    "\udcff", "\ud800", "--seed", "--seed=5", "-x", "--", "=", "'", '"', "{id}", "[a, b]", "*", "&a", "!!int foo", "ü",
    "a+b", "0.5*", "nan*dice", "decoder=fpn", "seed=nan", "x.yaml", "x.safetensors", "x.zip", "x.png", "$(id)", "٣",
]  # fmt: skip
SNIPPETS = [  # what stands behind `option: ` in a file, as it stands there
    "0x_", "0b_", "0o9", "2020-13-45", "99:99:99", "!!int foo", "!!float abc", "!!bool maybe", "!!timestamp foo",
    "!!python/object/apply:os.system [id]", "!x y", "&a 1", "*a", "[" * 500, "{" * 500, "[" * 7 + "]" * 7,
    "[" * 20 + "]" * 20, "{a: 1}", "[[1], 2]", "[{a: 1}]", "[]", "{}", "[--seed, '5']", '["--seed", "5"]', '"\\ud800"',
    '"\\udcff"', '"\\0"', '"\\UFFFFFFFF"', '"\\x"', "'", '"', "|\n  a\n  b", ">\n  a\n  b", "? a", "- a", "a: b", "@",
    "`", "%", "\t1", "# nothing", ".inf", ".nan", "-.INF", "1e3", "1e", "010", "0.1.2", "[1, 2]", "[nan]", "[yes, no]",
    "y", "Yes", "TRUE", "[" + "1, " * 20_000 + "1]", "<<", "=", "\x07", "\u2028", "\ufeff", "...", "---", "--- 2",
]  # fmt: skip
ELSEWHERE = ["sed", "Seed", "help", "config", "lr ", "a" * 70_000, "a\nb", "", "no_seed", "\x1b[31m", "__class__", "ü"]
"""Names that no command has for an option."""


def is_finite(value: object) -> bool:
    """Whether all numbers in a value are numbers."""
    if isinstance(value, tuple):
        return all(map(is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def strays(command: Command, words: list[str], named: set[str]) -> list[str]:
    """What was let in that nobody gave: options that were not named and are not as without these words."""
    without = ["--config=nothing.yaml"] if "--config" in words else []  # a file stands in place of the demo's
    config, plain = command.read([*command.must, *words]), command.read([*command.must, *without])
    endless = [name for name, value in vars(config).items() if not is_finite(value)]
    changed = [
        name for name, value in vars(config).items() if name not in named and getattr(plain, name, value) != value
    ]
    return [f"{name} is {getattr(config, name)!r}" for name in [*endless, *changed]]


def tried(tally: Tally, command: Command, words: list[str], named: set[str], *parts: str) -> str | None:
    """Tries the words; the refusal, if it is one."""
    began, what = time.perf_counter(), f"{command.call} {str([*command.must, *words])[:300]}"
    refusal = None
    try:
        if let_in := strays(command, words, named - {"config"}):
            tally.wrong.append(f"{what}: let in {', '.join(let_in)[:200]}")
        else:
            tally.right += 1
    except UserError as error:
        refusal = str(error)
        tally.told(refusal, *parts)
        if not (len(refusal) <= LONGEST_ANSWER and any(name[:100] in refusal for name in named)):
            tally.wrong.append(f"{what}: {refusal[:300]} ({len(refusal)} characters)")
    except (Exception, SystemExit) as error:  # what it looks for
        tally.wrong.append(f"{what}: {type(error).__name__}: {str(error)[:200]}")
    if time.perf_counter() - began > SLOWEST:
        tally.wrong.append(f"{what}: took {time.perf_counter() - began:.1f} s")
    return refusal


def any_of(draw: np.random.Generator, values: list[str] | tuple[str, ...]) -> str:
    """One of the values; numpy's own choice would cut zeros off their ends."""
    return values[draw.integers(len(values))]


def options(draw: np.random.Generator, command: Command) -> Iterator[str]:
    """Up to three options, now and then one that there is not; `resume` is a run that must be there."""
    for _ in range(draw.integers(1, 4)):
        name = any_of(draw, command.options if draw.random() < 0.93 else tuple(ELSEWHERE))
        yield name if name != "resume" else "seed"


def command_line(draw: np.random.Generator, command: Command) -> tuple[list[str], set[str]]:
    """Options with values, and the names of those options."""
    words: list[str] = []
    names = [name for name in options(draw, command) if name not in ("help", "config")]
    for name in names:
        values = [any_of(draw, WORDS) for _ in range(draw.choice([0, 1, 2], p=[0.05, 0.8, 0.15]))]
        values = [value for value in values if value not in ("-h", "--help")]
        words += [f"--{name}={values[0]}"] if len(values) == 1 and draw.random() < 0.5 else [f"--{name}", *values]
    given = {word[2:].partition("=")[0].replace("-", "_") for word in words if word.startswith("--")}
    return words, {name for word in given for name in (word, word.removeprefix("no_"), repr(word)[1:-1]) if name} | {
        "--"
    }


def file_of_options(draw: np.random.Generator, command: Command) -> bytes:
    """A file with options that nobody should give."""
    lines = []
    for name in options(draw, command):
        value = any_of(draw, SNIPPETS) if draw.random() < 0.7 else any_of(draw, WORDS)
        lines.append(f"{name}: {value}")
    if draw.random() < 0.1:
        lines.append(lines[0])
    content = "\n".join(lines).encode("utf-8", "surrogatepass") + b"\n"
    if draw.random() < 0.1:  # a byte of it is another
        content = bytearray(content[:5000])
        content[draw.integers(len(content))] = draw.integers(256)
    return bytes(content)


def test_a_command_line_is_taken_as_it_is_or_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw, refused = generator("options"), []
    with tallied("options") as tally:
        for _ in range(trials(whole=2000, sample=100)):
            command = COMMANDS[draw.integers(len(COMMANDS))]
            words, named = command_line(draw, command)
            if tried(tally, command, words, named) and "\x00" not in "".join(words) and "\ud800" not in "".join(words):
                refused.append((command, words))
        for command, words in refused[: trials(whole=60, sample=2)]:
            tally.told(as_typed(command, words), "python -m ")
    assert not [path for path in tmp_path.iterdir() if path.name != "runs"]


def as_typed(command: Command, words: list[str]) -> str:
    """What the command says on its standard error when it is typed, and ends with 2."""
    called = [*command.call.split(), *["plan"] * (command.call == "compare"), *command.must, *words]
    ended = subprocess.run(
        [os.fsencode(word) for word in (sys.executable, "-m", *called)], capture_output=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (2, b""), (called, ended.stderr[-500:])
    return ended.stderr.decode()


def test_a_file_of_options_is_taken_as_it_is_or_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw, path = generator("options in files"), Path("options.yaml")
    Path("nothing.yaml").touch()
    with tallied("options in files") as tally:
        for _ in range(trials(whole=2000, sample=100)):
            command = COMMANDS[draw.integers(len(COMMANDS))]
            content = file_of_options(draw, command)
            path.write_bytes(content)
            named = {name for name in command.options if name.encode() in content} | {"options.yaml"}
            wrong = len(tally.wrong)
            tried(tally, command, ["--config", str(path)], named)
            tally.wrong[wrong:] = [f"{told} of {content[:300]!r}" for told in tally.wrong[wrong:]]
