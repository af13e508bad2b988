"""The order of runs and what follows their ends, with an executor that only pretends."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest
from counted import counting

from compare.execution.ledger import Ledger
from compare.execution.schedule import schedule
from compare.study.plan import Outcome, Task

DONE = Outcome(state="done", seconds=1.0)
FAILED = Outcome(state="failed", error="loss is nan")
LOST = replace(FAILED, error="its process was killed", lost=True)
REFUSED = replace(FAILED, error="no such encoder", final=True)


class Pretended:
    """Ends one run a turn, the one that was started first, with what is written for it; done where nothing is."""

    def __init__(self, out: Path, slots: int = 1, ends: Mapping[str, Sequence[Outcome]] | None = None) -> None:
        self.out, self.slots = out, slots
        self.ends = {task: list(outcomes) for task, outcomes in (ends or {}).items()}
        self.started: list[str] = []
        self.running: list[Task] = []
        self.most = 0

    def has_room(self, task: Task) -> bool:
        return len(self.running) < self.slots

    def start(self, task: Task) -> None:
        self.started.append(task.id)
        self.running.append(task)
        self.most = max(self.most, len(self.running))

    def ended(self, timeout: float) -> list[tuple[Task, Outcome]]:
        task = self.running.pop(0)
        outcome = self.ends[task.id].pop(0) if self.ends.get(task.id) else DONE
        if outcome.state == "done":
            folder = self.out / f"run-{task.id}"
            folder.mkdir(parents=True)
            (folder / "encoder.safetensors").touch()
            outcome = replace(outcome, folder=str(folder))
        return [(task, outcome)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


def study(tmp_path: Path, tasks: Sequence[Task]) -> Ledger:
    (tmp_path / "study").mkdir(exist_ok=True)
    return Ledger(tmp_path / "study", tasks, trust=True)


def ids(tasks: Sequence[Task]) -> list[str]:
    return [task.id for task in tasks]


def test_runs_are_started_in_the_order_of_the_study_and_never_more_than_there_are_slots(tmp_path: Path) -> None:
    tasks = [counting(tmp_path, seed) for seed in range(5)]
    executor = Pretended(tmp_path, slots=2)
    schedule(study(tmp_path, tasks), executor)
    assert executor.started == ids(tasks)
    assert executor.most == 2


def test_a_run_is_started_as_soon_as_what_it_needs_is_done_and_not_when_its_stage_is(tmp_path: Path) -> None:
    first, second = (counting(tmp_path, seed, stage="pretrain") for seed in range(2))
    tuned, free = counting(tmp_path, 2, needs=[first]), counting(tmp_path, 3)
    executor = Pretended(tmp_path)
    schedule(study(tmp_path, [first, tuned, second, free]), executor)
    assert executor.started == ids([first, tuned, second, free])


def test_what_waits_for_a_pretraining_is_passed_by_and_gets_its_encoder_when_it_is_done(tmp_path: Path) -> None:
    need = counting(tmp_path, 0, stage="pretrain")
    waits, free = counting(tmp_path, 1, needs=[need]), counting(tmp_path, 2)
    given: dict[str, str] = {}

    class Watched(Pretended):
        def start(self, task: Task) -> None:
            super().start(task)
            given[task.id] = str(task.config.init)

    executor = Watched(tmp_path, slots=2)
    schedule(study(tmp_path, [need, waits, free]), executor)
    assert executor.started == ids([need, free, waits])
    assert given[waits.id] == str(tmp_path / f"run-{need.id}" / "encoder.safetensors")


@pytest.mark.parametrize(
    ("ends", "state", "attempts"),
    [
        ([FAILED], "done", 2),
        ([FAILED, FAILED], "failed", 2),
        ([LOST, LOST], "done", 3),
        ([LOST, LOST, LOST], "failed", 3),
        ([LOST, FAILED], "failed", 2),
        ([REFUSED], "failed", 1),
    ],
)
def test_a_failed_run_is_tried_twice_a_lost_one_three_times_and_a_refused_one_once(
    tmp_path: Path, ends: list[Outcome], state: str, attempts: int
) -> None:
    tasks = [counting(tmp_path, seed) for seed in range(2)]
    ledger = study(tmp_path, tasks)
    executor = Pretended(tmp_path, ends={tasks[0].id: ends})
    schedule(ledger, executor)
    outcome = ledger.outcomes[tasks[0].id]
    assert (outcome.state, outcome.attempts) == (state, attempts)
    assert outcome.error == (ends[-1].error if state == "failed" else "")
    assert executor.started.count(tasks[0].id) == attempts
    assert ledger.outcomes[tasks[1].id].state == "done"


def test_what_needs_a_failed_run_fails_with_it_down_the_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    pretraining = counting(tmp_path, 0, stage="pretrain")
    search = counting(tmp_path, 1, needs=[pretraining], stage="search")
    tuned, free = counting(tmp_path, 2, needs=[pretraining, search]), counting(tmp_path, 3)
    ledger = study(tmp_path, [pretraining, search, tuned, free])
    executor = Pretended(tmp_path, ends={pretraining.id: [REFUSED]})
    schedule(ledger, executor)
    assert executor.started == ids([pretraining, free])
    assert [ledger.outcomes[task.id].state for task in ledger.tasks] == ["failed", "failed", "failed", "done"]
    assert ledger.outcomes[search.id].error == f"its pretraining failed: {pretraining.name}"
    assert ledger.outcomes[tuned.id].error.startswith("its ")


def test_what_failed_in_an_earlier_command_is_tried_anew_and_what_is_done_is_not(tmp_path: Path) -> None:
    need, free = counting(tmp_path, 0, stage="pretrain"), counting(tmp_path, 1)
    tasks = [need, counting(tmp_path, 2, needs=[need]), free]
    first = Pretended(tmp_path, ends={need.id: [REFUSED]})
    schedule(study(tmp_path, tasks), first)
    (tmp_path / f"run-{free.id}" / "result.json").write_text("{}")
    second = Pretended(tmp_path)
    schedule(study(tmp_path, tasks), second)
    assert second.started == ids(tasks[:2])


def test_past_the_deadline_nothing_is_started_and_what_runs_is_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = [counting(tmp_path, seed) for seed in range(5)]

    class Slow(Pretended):
        def ended(self, timeout: float) -> list[tuple[Task, Outcome]]:
            time.sleep(0.2)
            return super().ended(timeout)

    ledger, executor = study(tmp_path, tasks), Slow(tmp_path, slots=2)
    schedule(ledger, executor, deadline=time.time() + 0.1)
    assert executor.started == ids(tasks[:2])
    assert [ledger.outcomes[task.id].state for task in tasks] == ["done"] * 2 + ["planned"] * 3
    assert '"event": "budget", "what": "spent; 3 of 5 runs are left"' in (ledger.folder / "history.jsonl").read_text()
    assert "the budget is spent: 3 of 5 runs are left" in capsys.readouterr().out


def test_an_interruption_leaves_what_ran_planned_in_the_file(tmp_path: Path) -> None:
    tasks = [counting(tmp_path, seed) for seed in range(3)]

    class Interrupted(Pretended):
        def ended(self, timeout: float) -> list[tuple[Task, Outcome]]:
            if len(self.started) == 2:
                raise KeyboardInterrupt
            return super().ended(timeout)

    ledger = study(tmp_path, tasks)
    with pytest.raises(KeyboardInterrupt):
        schedule(ledger, Interrupted(tmp_path))
    lines = (ledger.folder / "plan.csv").read_text().splitlines()[1:]
    assert [line.split('"')[2].split(",")[2] for line in lines] == ["done", "planned", "planned"]


def test_a_task_that_cannot_be_put_together_fails_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import compare.execution.schedule as module
    from dermssl.errors import UserError

    bad, good = counting(tmp_path, 0), counting(tmp_path, 1)

    def bound(task: Task, folders: Mapping[str, Path]) -> Task:
        if task == bad:
            raise UserError("its search has no rate")
        return task

    monkeypatch.setattr(module, "completed_task", bound)
    ledger = study(tmp_path, [bad, good])
    schedule(ledger, Pretended(tmp_path))
    assert ledger.outcomes[bad.id].error == "its search has no rate"
    assert ledger.outcomes[good.id].state == "done"
