"""One run in a process: what becomes of it, and of what it prints."""

from pathlib import Path

import pytest
from counted import counting
from small_study import small_study

import finetune.run
import pretrain.run
from compare.execution.worker import do_task
from compare.study.plan import Task, tasks_of
from dermssl.errors import UserError
from dermssl.files import write_json
from finetune.options.config import FinetuneConfig


def tuning(place: Path, seed: int = 0) -> Task:
    return counting(place, seed)


def finished(place: Path) -> Path:
    """A run folder with a result and no seal."""
    write_json(place / "run" / "result.json", {"jaccard": 0.5, "seconds": 3.0, "memory_mb": 7.0})
    return place / "run"


def test_a_run_that_is_done_is_recorded_with_its_folder_and_its_costs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(config: FinetuneConfig, *, standing_is_fine: bool) -> Path:
        assert standing_is_fine
        return finished(tmp_path)

    monkeypatch.setattr(finetune.run, "run", run)
    outcome = do_task(tuning(tmp_path), trust=True)
    assert (outcome.state, outcome.folder, outcome.error) == ("done", str(tmp_path / "run"), "")
    assert outcome.memory_mb == 7.0
    assert outcome.seconds == 3.0  # of all attempts, which were longer than this one
    assert outcome.host
    assert outcome.started


def test_the_folder_of_a_pretraining_is_the_one_around_its_encoder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pretrain.run, "run", lambda *_, **__: tmp_path / "run" / "encoder.safetensors")
    [pretraining, *_] = tasks_of(small_study(tmp_path, tmp_path), 1)
    assert do_task(pretraining).folder == str(tmp_path / "run")


def test_what_a_run_prints_is_kept_in_its_log_and_from_the_study(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(finetune.run, "run", lambda *_, **__: (print("epoch 1"), finished(tmp_path))[1])
    do_task(tuning(tmp_path), tmp_path / "logs" / "one.txt")
    assert capsys.readouterr().out == ""
    assert "epoch 1" in (tmp_path / "logs" / "one.txt").read_text()


@pytest.mark.parametrize(
    ("error", "text", "final"),
    [
        (UserError("data: no images"), "data: no images", True),
        (RuntimeError("loss is nan"), "RuntimeError: loss is nan (test_worker.py:", False),
    ],
)
def test_a_failing_run_is_recorded_with_its_error_and_whether_to_try_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, text: str, final: bool
) -> None:
    def run(*_: object, **__: object) -> Path:
        raise error

    monkeypatch.setattr(finetune.run, "run", run)
    outcome = do_task(tuning(tmp_path), tmp_path / "log.txt")
    assert (outcome.state, outcome.final, outcome.lost) == ("failed", final, False)
    assert outcome.error.startswith(text)
    assert str(error) in (tmp_path / "log.txt").read_text()


def test_a_run_that_was_found_finished_and_changed_is_refused_unless_it_is_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(finetune.run, "run", lambda *_, **__: finished(tmp_path))
    refused = do_task(tuning(tmp_path))
    assert (refused.state, refused.final) == ("failed", True)
    assert "seal.json" in refused.error
    assert do_task(tuning(tmp_path), trust=True).state == "done"
