"""How a command ends when its user made a mistake."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from dermssl.errors import NEW_PICTURE, UserError, first_ten, one_sentence, shown


def test_a_user_error_ends_with_code_2_and_its_sentence_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop, one_sentence("python -m test"):
        raise UserError("x.png: broken; mend it")
    assert stop.value.code == 2
    assert capsys.readouterr() == ("", "python -m test: x.png: broken; mend it\n")


def test_a_sentence_that_begins_with_the_command_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), one_sentence("python -m test"):
        raise UserError("python -m test has no option --x")
    assert capsys.readouterr().err == "python -m test has no option --x\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/x/y"), "/x/y: is closed to you (permission denied); give another"),
        (OSError(5, "Input/output error", "/x/y"), "/x/y: its disk does not answer (input/output error); look at"),
        (OSError(95, "Operation not supported", "/x"), "/x: cannot be used (Operation not supported)"),
        (MemoryError(), "out of memory: this machine's does not hold it; lower --batch_size, or end other programs"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "),
            "out of memory: this machine's does not hold it; lower --batch_size",
        ),
        (ImportError("libarrow.so: failed to map segment from shared object"), "out of memory: "),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), "out of memory: "),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "out of memory: the GPU's does not hold this; lower"),
    ],
)
def test_an_error_of_the_system_that_nobody_caught_is_one_sentence(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop, one_sentence("python -m test", smaller="--batch_size"):
        raise error
    assert stop.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith(f"python -m test: {said}")
    assert line.count("\n") == 1


def test_too_little_memory_is_said_whatever_was_made_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    misread = ImportError("Import fastparquet failed")
    misread.__context__ = MemoryError()
    with pytest.raises(SystemExit), one_sentence("python -m test"):
        raise misread
    assert capsys.readouterr().err.startswith("python -m test: out of memory: ")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_ends_with_one_line(unbuffered: str) -> None:
    code = "from dermssl.errors import one_sentence\nwith one_sentence('test'):\n    print('x')"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "test: the standard output: no room left on the disk; send it elsewhere, such as to a file\n"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_name_that_is_no_text_is_printed_as_its_bytes(encoding: str) -> None:
    code = "import os\nfrom dermssl.errors import one_sentence\nwith one_sentence('test'):\n    print('\\udcff\xfc')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env=os.environ | {"PYTHONIOENCODING": encoding}
    )
    assert done.stdout == (b"\xff\xc3\xbc\n" if encoding == "utf-8" else b"\\udcff\\xfc\n")


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
            "'synthesise' is no command; there is synthesize, download, check, import, export, doctor; did you "
            "mean 'synthesize'?",
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


def test_a_name_commands_no_terminal_and_a_name_of_two_lines_is_told_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    with one_sentence("python -m test"):
        print("\x1b[2J\x07name\x9b1m ä\tb\r")
        print(f"{NEW_PICTURE}the study\x1b[H")
    assert capsys.readouterr().out == f"\\x1b[2J\\x07name\\x9b1m ä\tb\r\n{NEW_PICTURE}the study\\x1b[H\n"
    assert str(UserError("a\nb.png: broken; mend it")) == "a\\nb.png: broken; mend it"


def test_too_few_addresses_for_the_libraries_are_told_before_one_ends_the_process() -> None:
    script = "from dermssl.errors import one_sentence\nwith one_sentence('python -m test'):\n    import faiss"
    done = subprocess.run(["bash", "-c", f'ulimit -v 4194304; exec {sys.executable} -c "{script}"'],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("python -m test: out of memory: `ulimit -v` allows 4.0 GB, and torch's libraries")
    assert done.stderr.count("\n") == 1
