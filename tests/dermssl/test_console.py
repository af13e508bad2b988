"""`dermssl COMMAND` is `python -m` of the same name, wherever one stands."""

import sys
from pathlib import Path

import pytest

import dermssl.__main__
from dermssl import console

Said = pytest.CaptureFixture[str]


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    for module in ("dermssl", *console.MODULES.values()):  # as in a process that has just begun
        monkeypatch.delitem(sys.modules, f"{module}.__main__", raising=False)
    monkeypatch.delitem(sys.modules, "finetune.ensemble", raising=False)  # which is no package
    monkeypatch.setattr(sys, "argv", ["dermssl", *words])
    console.main()


@pytest.mark.parametrize("words", [(), ("-h",), ("--help",)])
def test_without_a_command_it_names_them(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    typed(monkeypatch, *words)
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in console.COMMANDS)
    assert {*console.MODULES} | {*dermssl.__main__.COMMANDS} == {*console.COMMANDS}


def test_it_tells_its_version(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    typed(monkeypatch, "--version")
    assert capsys.readouterr().out == f"dermssl {dermssl.__version__}\n"


@pytest.mark.parametrize("name", console.MODULES)
def test_every_command_is_that_of_its_module_even_where_a_folder_has_its_name(
    name: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    (workplace / name).mkdir()
    with pytest.raises(SystemExit) as end:
        typed(monkeypatch, name, "--help")
    assert end.value.code in (0, None)
    assert f"python -m {console.MODULES[name]}" in capsys.readouterr().out


def test_a_command_of_data_is_that_of_dermssl(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    with pytest.raises(SystemExit) as end:
        typed(monkeypatch, "chekc")
    assert end.value.code == 2
    assert "did you mean 'check'" in "".join(capsys.readouterr())
