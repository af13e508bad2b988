"""Signals that ask a command to end: obeyed where nothing is lost, never lost themselves, and at once when repeated.

Python raises Ctrl-C wherever the program happens to be, also where exceptions are swallowed (`__del__`, callbacks of
libraries), and libraries take SIGTERM for themselves. So a thread listens beside: it sees every signal, whoever has its
handler, raises anew what was swallowed, and ends the process when a person asks twice.
"""

import os
import select
import signal
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from types import FrameType

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, a scheduler or `kill`, a terminal that closes
ECHO = 0.5  # seconds; `timeout`, terminals and schedulers send a signal to a process and once more to its group
INSIST = 1.0  # seconds after which a stop that was swallowed is raised anew
NOTHING = b"\0"  # no signal has this number
FAREWELL = 5  # seconds in which a loader's worker may still be asked for what a last step needs


class Stopped(KeyboardInterrupt):
    """The command was asked to end by a signal; caught as Ctrl-C is."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Listener:
    """What was heard of signals, by a process that listens; the main thread alone makes one.

    Args:
        prog: The command, for the sentence at its end.
    """

    def __init__(self, prog: str) -> None:
        self.prog = prog
        self.heard: int | None = None  # the first signal
        self.continuation = ""  # words behind the command that go on with what it is at
        self.waiting = 0  # depth of work that asks by itself between two steps
        self._latest = 0.0
        self._raised: weakref.ref[Stopped] | None = None
        self._near, self._far = socket.socketpair()
        self._before: dict[signal.Signals, signal.Handlers | object] = {}
        self._caught_up = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)

    def open(self) -> None:
        """Begins to listen. What whoever started the command has ignored stays so: `nohup`, a job in the background."""
        self._far.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._far.fileno(), warn_on_full_buffer=False)
        for number in ASKING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._obey)
        self._thread.start()

    def close(self) -> None:
        """Gives the signals back to whom they belonged."""
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._far.close()  # which ends the thread
        self._thread.join()
        self._near.close()

    def has_heard(self) -> bool:
        """Whether a signal came up to now, also one whose handler is another's; waits for the thread to look."""
        self._caught_up.clear()
        self._far.send(NOTHING)
        self._caught_up.wait(INSIST)
        return self.heard is not None

    def stop(self) -> Stopped:
        """The exception for what was heard; it lives as long as somebody is still dealing with it."""
        assert self.heard is not None
        stopped = Stopped(self.heard)
        self._raised = weakref.ref(stopped)
        return stopped

    def _obey(self, number: int, _frame: FrameType | None) -> None:
        """In the main thread: raises, unless the work asks by itself or is ending already."""
        if self.heard is None:
            self.heard, self._latest = number, time.monotonic()
        if not self.waiting and (self._raised is None or self._raised() is None):
            raise self.stop()  # and keeps no name for it, which would keep it alive

    def _listen(self) -> None:
        """In the thread, until the other end is closed."""
        while True:
            ready = select.select([self._near], [], [], INSIST)[0]
            numbers = self._near.recv(64) if ready else None
            if numbers == b"":
                return
            for number in set(numbers or b"") & set(ASKING):
                self._count(number)
            if numbers and NOTHING in numbers:
                self._caught_up.set()
            if numbers is None and self.heard is not None and not self.waiting:
                self._insist()

    def _count(self, number: int) -> None:
        """Notes the first signal, and ends the process at a later one that is no echo."""
        now = time.monotonic()
        if self.heard is None:
            self.heard, self._latest = number, now
        elif now - self._latest > ECHO:
            end_at_once(self.prog, number)

    def _insist(self) -> None:
        """Raises the stop anew where it was swallowed on its way."""
        if self._raised is None or self._raised() is None:
            self._latest = time.monotonic()  # what this sends is heard here as well
            signal.pthread_kill(threading.main_thread().ident or 0, self.heard or signal.SIGINT)


def end_at_once(prog: str, number: int) -> None:
    """Ends the process without a last step: what was under way since the last checkpoint is lost."""
    name = signal.Signals(number).name
    os.write(2, f"\n{prog}: stopped at once by a second signal ({name}); what was finished is kept\n".encode())
    os._exit(128 + number)


_listener: Listener | None = None


@contextmanager
def listening(prog: str) -> Iterator[Listener | None]:
    """Hears signals while the body runs; whatever the body ends by after one was heard is a `Stopped`.

    Yields None in another thread than the main one, where Python does not let signals be handled.
    """
    global _listener
    if threading.current_thread() is not threading.main_thread() or _listener is not None:
        yield None
        return
    _listener = listener = Listener(prog)
    listener.open()
    try:
        yield listener
    finally:
        _listener = None
        listener.close()


@contextmanager
def between_steps() -> Iterator[None]:
    """Lets no signal interrupt the body, which asks `is_asked` between two steps; one that it missed ends it."""
    if _listener is None:
        yield
        return
    _listener.waiting += 1
    try:
        yield
    finally:
        _listener.waiting -= 1
    if is_asked():
        raise stop_that_was_heard()


def is_asked() -> bool:
    """Whether a signal has asked this command to end."""
    return _listener is not None and _listener.heard is not None


def stop_that_was_heard() -> Stopped:
    """The exception for the signal that was heard; Ctrl-C where nobody listens."""
    return Stopped(signal.SIGINT) if _listener is None or _listener.heard is None else _listener.stop()


@contextmanager
def continued_by(words: str) -> Iterator[None]:
    """Notes what goes on with the work of the body, for the sentence of a command that is stopped in it.

    Args:
        words: What stands behind the command; a study's count, and not those of a run inside it.
    """
    outermost = _listener is not None and not _listener.continuation
    if _listener is not None and outermost:
        _listener.continuation = words
    yield
    if _listener is not None and outermost:
        _listener.continuation = ""


@contextmanager
def handlers_kept() -> Iterator[dict[signal.Signals, object]]:
    """Yields the handlers of now, and puts them back afterwards: libraries take signals and do not return them."""
    handlers: dict[signal.Signals, object] = {number: signal.getsignal(number) for number in ASKING}
    try:
        yield handlers
    finally:
        put_back(handlers)


def put_back(handlers: dict[signal.Signals, object]) -> None:
    """Sets these handlers; nothing in another thread than the main one."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)  # type: ignore[arg-type]


def leave_signals_to_parent(_worker: int = 0) -> None:
    """In a worker of a loader: lives on for what the last step needs; a signal to the whole group reaches it as well.

    It ends as its parent does, or some seconds after SIGTERM, with which its parent ends workers that hang.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(FAREWELL))


def start_deaf(process: BaseProcess) -> None:
    """Starts a process that hears no signal until it calls `hear_from_now_on`.

    A signal to a whole group, as terminals and schedulers send it, would end it with a traceback while it loads its
    libraries. What this process is sent meanwhile waits.
    """
    for start in (resource_tracker.ensure_running, process.start):  # the tracker would die of SIGHUP, and be missed
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ASKING)
        try:
            start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def hear_from_now_on() -> None:
    """In a process that was started deaf: signals that have waited come now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)


def _forget() -> None:
    """In a forked child: what it hears is not its parent's."""
    global _listener
    if _listener is not None:
        _listener = None
        signal.set_wakeup_fd(-1)
        for number in ASKING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


os.register_at_fork(after_in_child=_forget)
