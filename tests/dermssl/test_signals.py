"""Signals that ask a command to end: never lost, at once when repeated, and given back."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dermssl import signals
from dermssl.errors import UserError, one_sentence
from dermssl.signals import (
    ASKING,
    Stopped,
    between_steps,
    continued_by,
    hear_from_now_on,
    is_asked,
    listening,
    start_deaf,
)

Said = pytest.CaptureFixture[str]
signal_each = pytest.mark.parametrize("number", ASKING, ids=lambda number: number.name)


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """Python hears Ctrl-C, which it does not where the tests are started in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def ended_by(body: Callable[[], None]) -> int:
    """The exit code of a command that does this."""
    with pytest.raises(SystemExit) as end, one_sentence("python -m test"):
        body()
    return int(str(end.value.code))


@signal_each
def test_a_signal_ends_a_command_with_its_code_and_one_sentence(number: signal.Signals, capsys: Said) -> None:
    assert ended_by(lambda: send(number)) == 128 + number
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"python -m test: stopped by {number.name}; what was finished is kept; go on with: python")
    assert "\n" not in said


@signal_each
def test_a_reader_that_calls_its_file_damaged_because_it_was_interrupted_does_not_have_the_last_word(
    number: signal.Signals, capsys: Said
) -> None:
    def read() -> None:
        try:
            send(number)
        except BaseException as error:
            raise UserError("model.safetensors: damaged") from error

    assert ended_by(read) == 128 + number
    assert "damaged" not in capsys.readouterr().err


@signal_each
def test_handlers_are_afterwards_what_they_were(number: signal.Signals) -> None:
    before = [signal.getsignal(one) for one in ASKING]
    ended_by(lambda: send(number))
    assert [signal.getsignal(one) for one in ASKING] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_what_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    try:
        with one_sentence("python -m test"):
            send(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


class Falls:
    """Python swallows what is raised where this ends."""

    def __del__(self) -> None:
        send(signal.SIGINT)
        time.sleep(0)


def swallowed_in_del() -> None:
    Falls()


def swallowed_by_suppress() -> None:
    with contextlib.suppress(BaseException):
        send(signal.SIGTERM)
        time.sleep(1)


@pytest.mark.filterwarnings("ignore:Exception ignored")
@pytest.mark.parametrize("swallowing", [swallowed_in_del, swallowed_by_suppress])
def test_a_stop_that_is_swallowed_is_raised_anew(
    swallowing: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "INSIST", 0.05)
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)

    def body() -> None:
        swallowing()
        time.sleep(5)
        pytest.fail("the signal was lost")

    assert ended_by(body) in (130, 143)


def test_cleaning_up_is_not_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "INSIST", 0.02)
    cleaned: list[bool] = []

    def body() -> None:
        try:
            send(signal.SIGTERM)
        finally:
            time.sleep(0.2)
            cleaned.append(True)

    assert ended_by(body) == 143
    assert cleaned == [True]


def test_what_a_library_makes_of_a_signal_is_still_a_stop() -> None:
    def body() -> None:
        try:
            send(signal.SIGTERM)
        except KeyboardInterrupt:
            raise SystemExit(0) from None  # as Lightning does

    assert ended_by(body) == 143


def test_a_handler_that_a_library_puts_in_place_is_heard_all_the_same() -> None:
    def body() -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as Ray does
        send(signal.SIGTERM)

    assert ended_by(body) == 143


def test_between_steps_a_signal_waits_until_it_is_asked_for() -> None:
    steps: list[int] = []

    def work() -> None:
        with listening("python -m test"), between_steps():
            for step in range(3):
                send(signal.SIGTERM)
                steps.append(step)
                if is_asked():
                    break

    with pytest.raises(Stopped):
        work()
    assert steps == [0]


def test_a_study_goes_on_and_not_the_run_inside_it(capsys: Said) -> None:
    def body() -> None:
        with continued_by("run demo"), continued_by("--resume runs/x"):
            send(signal.SIGTERM)

    ended_by(body)
    assert capsys.readouterr().err.endswith("go on with: python -m test run demo\n")


TWICE = """
import os, signal, sys, time
from dermssl.errors import UserError, one_sentence
with one_sentence("python -m test"):
    try:
        print("ready", flush=True)  # inside, for the signal may come as soon as it is read
        time.sleep(60)
    finally:
        print("cleaning", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize(("pause", "ends"), [(0.7, True), (0.01, False)], ids=["a person", "an echo"])
def test_a_second_signal_ends_at_once_but_an_echo_does_not(pause: float, ends: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TWICE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "cleaning\n"
        time.sleep(pause)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            process.kill()
        _, said = process.communicate()
    assert process.returncode == (143 if ends else -signal.SIGKILL)
    assert ("stopped at once by a second signal (SIGTERM)" in said) is ends


def test_a_forked_child_does_not_speak_for_its_parent() -> None:
    with listening("python -m test") as listener:
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGTERM
        time.sleep(0.05)
        assert listener is not None
        assert listener.heard is None


def waiting_signals() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, [])) & set(ASKING)


def test_a_process_that_is_started_deaf_hears_nothing_until_it_asks_for_it() -> None:
    near, far = multiprocessing.Pipe()

    def body() -> None:
        far.send(waiting_signals())
        hear_from_now_on()
        far.send(waiting_signals())

    process = multiprocessing.get_context("fork").Process(target=body)
    start_deaf(process)
    assert (near.recv(), near.recv(), waiting_signals()) == (set(ASKING), set(), set())
    process.join()
