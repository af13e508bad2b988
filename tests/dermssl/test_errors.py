"""How a command ends when its user made a mistake."""

import pickle
import subprocess
import sys

import pytest

from dermssl.errors import UserError, first_ten, one_sentence, shown


def test_a_user_error_ends_with_code_2_and_its_sentence_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop, one_sentence("python -m test"):
        raise UserError("x.png: broken; mend it")
    assert stop.value.code == 2
    assert capsys.readouterr() == ("", "python -m test: x.png: broken; mend it\n")


def test_a_sentence_that_begins_with_the_command_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), one_sentence("python -m test"):
        raise UserError("python -m test has no option --x")
    assert capsys.readouterr().err == "python -m test has no option --x\n"


def test_an_error_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), one_sentence("python -m test"):
        print(1 // 0)


def test_an_interrupt_ends_with_code_130_and_says_what_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["test", "--data", "my images"])
    with pytest.raises(SystemExit) as stop, one_sentence("python -m test"):
        raise KeyboardInterrupt
    assert stop.value.code == 130
    kept = "python -m test: stopped by SIGINT; what was finished is kept"
    assert capsys.readouterr().err == f"\n{kept}; go on with: python -m test --data 'my images'\n"


def test_a_body_that_ends_well_goes_on() -> None:
    with one_sentence("python -m test"):
        done = True
    assert done


@pytest.mark.parametrize(
    ("count", "shown"),
    [(1, "0"), (10, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"), (13, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 3 more")],
)
def test_ten_culprits_are_shown_and_the_rest_is_counted(count: int, shown: str) -> None:
    assert first_ten(range(count)) == shown


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ["dermssl", "synthesise"],
            "'synthesise' is no command; there is synthesize, download, check, import, export; did you mean "
            "'synthesize'?",
        ),
        (["finetune", "--decoder", "pspnt"], "--decoder takes one of unet, fpn, pspnet, linknet, "),
    ],
)
def test_a_command_with_a_mistake_says_one_line_and_ends_with_code_2(command: list[str], said: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"python -m {command[0]}: {said}")
    assert done.stderr.count("\n") == 1


def test_a_sentence_is_one_line_whatever_names_and_values_hold() -> None:
    assert str(UserError("a\nb\x1b[31m\u202e\udcff: broken")) == r"a\nb\x1b[31m\u202e\udcff: broken"
    assert str(UserError("one", "two\nthree")) == "one\ntwo\\nthree"
    assert shown("x" * 70_000) == f"'{'x' * 200}... (70000 characters)'"
    assert len(str(UserError("x" * 70_000))) < 2100


def test_an_error_of_several_sentences_reaches_another_process_whole() -> None:
    assert str(pickle.loads(pickle.dumps(UserError("one", "two")))) == "one\ntwo"
