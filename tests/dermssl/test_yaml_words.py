"""YAML as words: what is read, what a bare word means, and every file that is refused, with its sentence."""

import os
import time
from pathlib import Path

import pytest

from dermssl.errors import UserError
from dermssl.flags import parse, read_options
from dermssl.yaml_words import read_words
from finetune.options.config import FinetuneConfig


def written(folder: Path, content: bytes) -> Path:
    path = folder / "own.yaml"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 2020-13-45", ["2020-13-45"]), ("a: 99:99:99", ["99:99:99"]), ("a: 0x_", ["0x_"]), ("a: yes", ["yes"]),
        ("a: [1, ~, '~', x]", ["1", "None", "~", "x"]), ("a:", ["None"]), ("a: []", []), ('a: "\\udcff"', ["\udcff"]),
        ("a: |\n  b\n  c\n", ["b\nc\n"]), ("a: " + "9" * 5000, ["9" * 5000]),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_words_stand_as_they_are_written(text: str, words: list[str], tmp_path: Path) -> None:
    assert read_words(written(tmp_path, text.encode())) == {"a": words}


def test_bare_words_of_a_file_that_a_run_wrote_mean_numbers_switches_and_nothing(tmp_path: Path) -> None:
    path = written(
        tmp_path, b"a: 1\nb: 1.0e-05\nc: true\nd: null\ne: '1'\nf: [0.5, x]\ng: 1:30\nh: 2020-01-01\ni: .inf\n"
    )
    assert read_options(path) == {
        "a": 1, "b": 1e-5, "c": True, "d": None, "e": "1", "f": [0.5, "x"], "g": "1:30", "h": "2020-01-01", "i": ".inf",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a: 1\na: 2", "'a' stands in it twice; leave one of them out"),
        (b"a: &b 1\nc: *b", "line 2 has an alias, '*b'; write out what it stands for"),
        (b"a: !!int foo", "line 1 has a tag, 'tag:yaml.org,2002:int'; write the value without it"),
        (b"a: !x y", "line 1 has a tag, '!x'; write the value without it"),
        (b"a: " + b"[" * 500, "line 1 has too many brackets or indents inside one another"),
        (b"{a: 1}: 2", "line 1 begins what has a list or a mapping for a name; names are words"),
        (b"a: 1\n---\na: 2", "holds several documents, with --- between them, and one is read"),
        (b'a: "\\UFFFFFFFF"', "not YAML ("),
        (b"a: \xff", "not YAML (byte 3 is no UTF-8)"),
        (b"a: \x07", "not YAML ("),
        (b"#" * 200_001, "is larger than 200 kB, which no list of options is"),
        (b"a: [" + b"1, " * 6000 + b"1]", "holds more than 5000 words, which no list of options does"),
        (b"a: [[1]]", "'a' takes a value or a list of values, found lists or mappings in a list"),
    ],
    ids=lambda value: str(value)[:24],
)  # fmt: skip
def test_a_file_that_is_more_than_options_is_refused_in_a_second(content: bytes, told: str, tmp_path: Path) -> None:
    path, began = written(tmp_path, content), time.process_time()
    with pytest.raises(UserError) as refusal:
        read_words(path)
    assert time.process_time() - began < 1.5
    assert told in str(refusal.value)
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "own.yaml")
    with pytest.raises(UserError, match=r"own\.yaml: is a pipe or a device and no file; --config takes a YAML file"):
        read_words(tmp_path / "own.yaml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('decoder_channels: ["--seed", "5"]', "--decoder_channels takes values, each a whole number; got '--seed 5'"),
        ("seed: " + "9" * 20, "--seed takes a whole number of at most 18 digits; got '" + "9" * 20 + "'"),
        ("seed: " + "9" * 70_000, "--seed takes a whole number of at most 18 digits; got '" + "9" * 200 + "... (70000"),
        ("seed: 4294967296", "--seed must be at most 4294967295, got 4294967296"),
        ('data: "\\ud800"', "--data takes a path or None; got '\\ud800'"),
        ('data: "a\\0b"', "--data takes a path or None; got 'a\\x00b'"),
        ('encoder: "a\\nb"\nlr: x', "--lr takes a number or one of auto; got 'x'"),
        ("masks: " + "9" * 5000, "--masks " + "9" * 200 + "... (5000 characters): neither a folder that exists"),
        ("help: 1", "'help' is no option of test"),
    ],
    ids=lambda value: value[:24],
)
def test_the_option_judges_its_words_and_the_file_is_named(text: str, told: str, tmp_path: Path) -> None:
    path = written(tmp_path, text.encode())
    with pytest.raises(UserError) as refusal:
        parse(FinetuneConfig, "test", ["--config", str(path)])
    assert str(refusal.value).startswith(f"{path}: {told}")
    assert len(str(refusal.value)) < 1000
