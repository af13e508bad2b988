"""The scripts of `dermssl --print-completion` offer in a shell what the commands take."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from dermssl import console
from dermssl.completion.offers import OPTIONS, commands_of, configs_of, first_sentence
from dermssl.completion.script import SHELLS, completion_script
from dermssl.errors import UserError
from dermssl.flags import option_names

BASH = """
source "$1"
COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
_dermssl
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script of each shell, under the shell's name."""
    folder = tmp_path_factory.mktemp("scripts")
    for shell in SHELLS:
        (folder / shell).write_text(completion_script([shell], console.COMMANDS), encoding="utf-8")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What stands where somebody types."""
    (tmp_path / "my pictures").mkdir()
    return tmp_path


def offered_by_bash(scripts: Path, folder: Path, *words: str) -> list[str]:
    """What a real bash offers for the last of these words."""
    line = ["bash", "--norc", "-c", BASH, "bash", str(scripts / "bash"), "dermssl", *words]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["pretrain", "--meth"], ["--method"]),
        (["pretrain", "--method", "simc"], ["simclr"]),
        (["pretrain", "--method", "=", "simc"], ["simclr"]),  # as bash cuts --method=simc
        (["pretrain", "--method", "simclr", "--temp"], ["--temperature"]),
        (["export-model", "--mod"], ["--model"]),
        (["pub"], ["publish"]),
        (["finetune", "--no-fr"], ["--no-freeze"]),
        (["finetune", "--init", "my"], ["my pictures"]),
        (["finetune", "--decoder-init", "p"], ["pretrained"]),
        (["finetune", "--epochs", ""], []),
        (["finetune", "--logger", "tensorboard", "w"], ["wandb"]),
        (["compare", "pl"], ["plan"]),
        (["compare", "plan", "dem"], ["demo"]),
        (["compare", "plan", "demo", "--decoder", "unet", "fp"], ["fpn"]),
        (["download", "ham"], ["ham10000"]),
        (["check", "my"], ["my pictures"]),
        (["doctor", "--j"], ["--json"]),
        (["unheard of", ""], []),
    ],
)
def test_bash_offers_what_may_follow(words: Sequence[str], offered: list[str], scripts: Path, folder: Path) -> None:
    assert [word for word in offered_by_bash(scripts, folder, *words) if word] == offered


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("dermssl pretrain --meth", ["--method"]), ("dermssl pretrain --method simc", ["simclr"]),
        ("dermssl pretrain --method=simc", ["--method=simclr"]), ("dermssl compare pl", ["plan"]),
        ("dermssl compare run demo --decoder unet fp", ["fpn"]), ("dermssl check my", ["my pictures/"]),
    ],
)  # fmt: skip
def test_fish_offers_what_may_follow(line: str, offered: list[str], scripts: Path, folder: Path) -> None:
    ask = ["fish", "--no-config", "-c", f"source {scripts / 'fish'}; complete --escape -C $argv[1]", line]
    said = subprocess.run(ask, cwd=folder, capture_output=True, text=True, check=True, env={"HOME": str(folder)})
    assert [word.partition("\t")[0].replace("\\", "") for word in said.stdout.splitlines()] == offered


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_one_of_its_shell(shell: str, scripts: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", str(scripts / shell)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_is_completed_by_every_option_that_it_has() -> None:
    commands = commands_of(console.COMMANDS)
    assert [*commands] == [*OPTIONS, "doctor"]
    for name in OPTIONS:
        typed = {option.typed for option in commands[name].options}
        assert {f"--{option}" for config in configs_of(name) for option in option_names(config)} <= typed


@pytest.mark.parametrize("words", [[], ["tcsh"], ["bash", "zsh"]])
def test_a_shell_that_is_none_is_refused(words: list[str]) -> None:
    with pytest.raises(UserError, match=r"^--print-completion takes one of bash, zsh, fish; got "):
        completion_script(words, console.COMMANDS)


def test_a_mistyped_shell_is_told_in_a_line() -> None:
    line = [sys.executable, "-c", "from dermssl.console import main; main()", "--print-completion", "basch"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == "dermssl: --print-completion takes one of bash, zsh, fish; got 'basch'; did you mean 'bash'?\n"
    )


@pytest.mark.parametrize(
    ("text", "first"),
    [("Weights: ssl, or a file.", "Weights"), ("Peak, 0.5 or so. More.", "Peak, 0.5 or so"), ("", "")],
)
def test_beside_an_option_stands_the_beginning_of_its_text(text: str, first: str) -> None:
    assert first_sentence(text) == first
