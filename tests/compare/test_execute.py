"""The pool of a study, with real processes but without a training."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

import finetune.run
import pretrain.run
from compare.execution import execute
from compare.plan import Outcome, Task
from dermssl.errors import UserError
from finetune.config import FinetuneConfig
from pretrain.recipes import SimCLRConfig


def tuning(seed: int = 0) -> Task:
    config = FinetuneConfig(seed=seed)
    return Task(stage="finetune", init="random", method="", encoder="resnet18", config=config, seed=seed)


def pretraining() -> Task:
    return Task(stage="pretrain", init="ssl", method="simclr", encoder="resnet18", config=SimCLRConfig())


def raising(error: BaseException) -> object:
    def run(*_: object, **__: object) -> Path:
        raise error

    return run


class Here:
    """A pool that does everything at once in this process."""

    def submit(self, function: object, *arguments: object) -> Future[object]:
        future: Future[object] = Future()
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)
        return future


def test_a_run_that_is_done_is_recorded_with_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(config: FinetuneConfig, *, standing_is_fine: bool) -> Path:
        assert standing_is_fine
        return tmp_path / f"seed-{config.seed}"

    monkeypatch.setattr(finetune.run, "run", run)
    outcome = execute.do(tuning(seed=3))
    assert (outcome.state, outcome.folder, outcome.error) == ("done", str(tmp_path / "seed-3"), "")
    assert outcome.seconds is not None
    assert outcome.seconds >= 0


def test_the_folder_of_a_pretraining_is_the_one_around_its_encoder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pretrain.run, "run", lambda *_, **__: tmp_path / "run" / "encoder.safetensors")
    assert execute.do(pretraining()).folder == str(tmp_path / "run")


def test_what_a_run_prints_is_kept_from_the_study(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(finetune.run, "run", lambda *_, **__: (print("epoch 1"), tmp_path)[1])
    execute.do(tuning())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UserError("data: no images"), "data: no images"),
        (RuntimeError("loss is nan"), "RuntimeError: loss is nan (test_execute.py:"),
    ],
)
def test_a_failing_run_is_recorded_with_its_error_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, text: str
) -> None:
    def run(config: FinetuneConfig, **_: object) -> Path:
        if config.seed == 1:
            raise error
        return tmp_path / str(config.seed)

    monkeypatch.setattr(finetune.run, "run", run)
    told: list[tuple[int, str, str]] = []
    execute.execute(Here(), [tuning(seed) for seed in range(3)], lambda t, o: told.append((t.seed, o.state, o.error)))
    assert sorted((seed, state) for seed, state, _ in told) == [(0, "done"), (1, "failed"), (2, "done")]
    assert next(words for seed, _, words in told if seed == 1).startswith(text)


def test_a_killed_worker_ends_the_study_with_a_sentence() -> None:
    class Killed(Here):
        def submit(self, function: object, *arguments: object) -> Future[object]:
            return super().submit(raising(BrokenProcessPool()))

    with pytest.raises(UserError, match="a worker was killed, most likely for want of memory; run the same command"):
        execute.execute(Killed(), [tuning()], lambda *_: None)


def orphaned(parent: int) -> None:
    """In a process of its own: as if the parent had died while libraries were loading."""
    execute.obey(parent)
    time.sleep(60)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize(("wrong", "ends"), [(0, False), (1, True)])
def test_a_worker_whose_parent_is_gone_ends(wrong: int, ends: bool) -> None:
    process = multiprocessing.get_context("fork").Process(target=orphaned, args=(os.getpid() + wrong,))
    process.start()
    process.join(10 if ends else 0.5)
    assert (process.exitcode == 1) is ends
    process.kill()
    process.join()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_worker_leaves_ctrl_c_to_its_parent() -> None:
    process = multiprocessing.get_context("fork").Process(target=orphaned, args=(os.getpid(),))
    process.start()
    status = Path(f"/proc/{process.pid}/status")
    until = time.monotonic() + 10
    while not int(status.read_text().partition("SigIgn:\t")[2].split()[0], 16) >> (signal.SIGINT - 1) & 1:
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    process.join(0.3)
    assert process.is_alive()
    process.kill()
    process.join()


def test_workers_end_with_an_interrupted_study() -> None:
    workers, began = [], time.monotonic()

    def interrupted() -> None:
        with execute.pool_of(2) as pool:
            futures = [pool.submit(time.sleep, 60) for _ in range(2)]
            workers.extend(pool._processes.values())
            assert not any(future.done() for future in futures)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(workers) == 2
    assert not any(worker.is_alive() for worker in workers)
    assert time.monotonic() - began < 30  # nobody waited for the minute to end


def test_an_outcome_is_planned_until_it_is_known() -> None:
    assert Outcome() == Outcome(state="planned", folder="", seconds=None, error="")
