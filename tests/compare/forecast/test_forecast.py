"""What `python -m compare plan` prints."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import compare.estimates.estimate
import compare.run
from compare import commands
from compare.command_line import parsed_command
from compare.estimates.timings import Rates
from compare.estimates.work import Workload
from compare.execution.ledger import plan_table
from compare.forecast.forecast import done_already, forecast, share_in
from compare.run import run
from compare.study.config import StudyConfig
from compare.study.plan import Outcome, Task, tasks_of
from compare.text import WIDTH
from dermssl.runs.folder import write_table
from dermssl.runs.seal import RESULT
from finetune.options.config import FinetuneConfig

RATES = Rates(fixed=10.0, step=1.0, row=0.0, picture=0.0, memory_mb=1000.0, disk_mb=100.0)


@pytest.fixture(autouse=True)
def _timed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare.estimates.estimate, "time_short_runs", lambda *_: RATES)


@pytest.fixture
def study(workplace: Path, draw_isic: Callable[..., Path]) -> StudyConfig:
    """Three inits under two decoders with two seeds: 12 fine-tunings of 50 steps, and a pretraining of 6 steps."""
    (workplace / "f.yaml").write_text("steps: 50\nbatch_size: 4\nval_fraction: 0.5\n")
    (workplace / "p.yaml").write_text("epochs: 3\nbatch_size: 4\n")
    return StudyConfig(
        name="small", data=draw_isic(workplace / "data", 16), unlabelled=draw_isic(workplace / "more", 8, masks=False),
        finetune=Path("f.yaml"), pretrain=Path("p.yaml"), label_fraction=(1.0,), timed=True,
    )  # fmt: skip


def said(study: StudyConfig, slots: int = 2) -> str:
    return forecast(Workload(study), tasks_of(study, 1), slots)


def test_the_factors_their_levels_and_the_runs_are_told(study: StudyConfig) -> None:
    text = said(study)
    assert "study small: 13 runs" in text
    assert "init     3  ssl, imagenet, random  compared" in text
    assert "decoder  2  unet, fpn" in text
    assert "label_fraction" not in text  # it does not vary


def test_a_plan_ends_with_the_command_that_runs_what_was_planned(
    study: StudyConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.yaml").write_text("name: other\nlabel_fraction: [1.0]\ndecoder: [unet]\ninit: [imagenet, random]\n"
                                 "contrast: [imagenet, random]\nfinetune: f.yaml\n")  # fmt: skip
    words = ["mine.yaml", "--data", str(study.data), "--unlabelled", str(study.unlabelled), "--jobs", "1"]
    commands.plan_command(parsed_command(["plan", *words]))
    page = Path("runs/compare/other/report.html")
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"open:    nothing yet; {page} is what `run` writes", f"next:    python -m compare run {' '.join(words)}"
    ]  # fmt: skip


def test_what_a_rule_leaves_out_is_told_with_the_rule(study: StudyConfig) -> None:
    text = said(replace(study, exclude=("decoder=fpn init=random",)))
    assert "study small: 11 runs" in text
    assert "left out: 2 fine-tunings by --exclude 'decoder=fpn init=random'" in text


def test_each_pretraining_is_told_once_with_the_runs_that_wait_for_it(study: StudyConfig) -> None:
    text = said(study)
    assert text.count("wait for it") == 1
    assert "pretrain, simclr, tu-tf_efficientnet_lite0 (to do): 4 fine-tunings wait for it" in text


def test_time_is_the_work_the_wall_and_the_longest_chain(study: StudyConfig) -> None:
    # a pretraining of 16 s, 12 fine-tunings of 60 s; two places: 12 x 60 + 16 = 736 s, nearly halved
    text = " ".join(said(study).split())
    assert "12 min of work; 6 min with 2 side by side, and no less than 76 s" in text


def test_what_stands_around_the_runs_is_told_where_it_counts(study: StudyConfig) -> None:
    tasks = tasks_of(study, 1)  # six minutes with two side by side
    told = " ".join(forecast(Workload(study), tasks, 2, before=30.0).split())
    assert "about 75 s more to load, check and report" in told
    assert "more to load" not in forecast(Workload(study), tasks, 2, before=5.0)


def test_runs_that_wait_for_none_are_not_said_to_wait(study: StudyConfig) -> None:
    alone = replace(study, init=("imagenet", "random"), contrast=("imagenet", "random"))
    assert "side by side\n" in said(alone)
    assert "wait for each" not in said(alone)


def test_a_budget_that_does_not_hold_the_study_is_told_with_what_it_holds(study: StudyConfig) -> None:
    assert "fits the budget of 60 min" in said(replace(study, budget=1.0))
    assert "more than the budget of 3 min" in said(replace(study, budget=0.05))


def test_a_run_that_needs_more_memory_than_is_allowed_is_told(study: StudyConfig) -> None:
    assert "2.0 GB at most" in said(study)
    assert "--memory 0.5 stops a run that needs 1.0 GB" in " ".join(said(replace(study, memory=0.5)).split())


@pytest.mark.parametrize(
    ("share", "remedy"),
    [(0.7, "TOO MUCH: give --jobs 1"), (3, "TOO MUCH: one run alone does not fit; lower its batch_size")],
)
def test_the_machine_that_is_too_small_gets_jobs_that_fit_or_is_said_to_hold_none(
    share: float, remedy: str, study: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    memory = RATES._replace(memory_mb=share * whole)
    monkeypatch.setattr(compare.estimates.estimate, "time_short_runs", lambda *_: memory)
    assert remedy in said(study)


def test_what_the_design_resolves_is_told_for_these_seeds_and_others(study: StudyConfig) -> None:
    text = said(study)
    rows = [line.split() for line in text.partition("  seeds")[2].splitlines()[2:7]]
    assert [row[0] for row in rows] == ["1", "2", "3", "5", "10"]
    assert rows[0][1:3] == ["none", "none"]
    assert next(line for line in text.splitlines() if "this study" in line).split()[0] == "2"
    assert "8 images of 8 lesions are scored" in text
    assert "the defaults" in text


def test_a_margin_that_cannot_be_reached_is_told(study: StudyConfig) -> None:
    text = " ".join(said(replace(study, margin=1e-6)).split())
    assert "The margin of 1e-06 cannot be reached: equal arms are found equivalent 0% of the time" in text
    assert "take more images, or a wider --margin" in text
    assert "can be reached" in said(replace(study, margin=0.9))


def test_one_seed_is_told_to_be_too_few(study: StudyConfig) -> None:
    assert "With one seed every verdict is 'undecided'" in said(replace(study, seed=(0,)))


def test_no_line_is_longer_than_the_page(study: StudyConfig) -> None:
    many = replace(
        study, loss=("dice", "bce", "dice+bce", "focal", "tversky"), exclude=("loss=dice decoder=fpn init=random",)
    )
    assert max(map(len, said(many).splitlines())) <= WIDTH


def test_runs_that_are_done_are_not_counted_again(study: StudyConfig) -> None:
    tasks = tasks_of(study, 1)
    record(study, tasks, {task.id for task in tasks})
    text = said(study)
    assert "13 runs, 13 of them done already" in text
    assert "nothing: every run is done" in text


def record(study: StudyConfig, tasks: list[Task], done: set[str], name: str = "") -> None:
    """plan.csv of a study in which these tasks are done."""
    outcomes = {}
    for task in tasks:
        folder = study.runs / task.stage / f"run-{task.id}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULT).write_text("{}")
        outcomes[task.id] = Outcome(state="done", folder=str(folder)) if task.id in done else Outcome()
    write_table(study.out / (name or study.name) / "plan.csv", plan_table(tasks, outcomes))


def test_run_counts_as_done_what_plan_does(
    study: StudyConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = compare.run.planned_study(replace(study, jobs=2, threads=1))
    record(study, planned.tasks, {planned.tasks[0].id, planned.tasks[3].id}, name="another")
    monkeypatch.setattr(compare.run, "refuse_what_would_stop", lambda *_: None)
    monkeypatch.setattr(compare.run, "schedule", lambda *_: None)
    run(planned.study)
    assert "study small: 13 runs, 2 of them done already" in forecast(Workload(study), planned.tasks, 2)
    assert "study small: 13 runs, 2 of them done already" in capsys.readouterr().out


def test_a_long_list_of_levels_goes_on_in_the_next_line(study: StudyConfig) -> None:
    losses = ("dice", "bce", "dice+bce", "focal", "tversky", "lovasz", "jaccard", "mcc", "dice+0.1*boundary")
    text = said(replace(study, arms="loss", contrast=("dice", "bce"), loss=losses)).split("\nruns\n")[0]
    assert "…" not in text
    told = [line.strip() for line in text.splitlines()]
    assert "loss     9  dice, bce, dice+bce, focal, tversky, lovasz, jaccard, mcc,  compared" in told
    assert "dice+0.1*boundary" in told


def test_the_name_of_a_kind_goes_on_in_the_next_line(study: StudyConfig) -> None:
    text = said(replace(study, loss=("dice+0.1*boundary", "bce"))).partition("\nruns\n")[2].partition("\n\n")[0]
    assert "…" not in text
    assert " ".join(text.split()).count("finetune, unet on tf_efficientnet_lite0, 256 px, boundary, batch 4") == 1


def test_a_study_of_one_cell_has_one_smallest_difference(study: StudyConfig) -> None:
    assert "seeds  mean of 2 cells  one cell  equal within 0.01\n" in said(study)
    one = said(replace(study, decoder=("fpn",)))
    assert "seeds  difference  equal within 0.01\n" in one
    assert "cell for one among" not in one


def test_what_another_study_has_done_is_done(study: StudyConfig) -> None:
    tasks = tasks_of(study, 1)
    record(study, tasks, {tasks[0].id, tasks[3].id}, name="another")
    assert set(done_already(study, tasks)) == {tasks[0].id, tasks[3].id}


def test_a_run_whose_folder_is_gone_is_not_done(study: StudyConfig) -> None:
    tasks = tasks_of(study, 1)
    record(study, tasks, {tasks[0].id})
    (study.runs / "pretrain" / f"run-{tasks[0].id}" / RESULT).unlink()
    assert done_already(study, tasks) == {}


def test_as_many_runs_are_counted_as_end_within_the_limit() -> None:
    tasks = [Task(id=str(i), stage="finetune", name="", factors={}, config=FinetuneConfig()) for i in range(10)]
    assert share_in(tasks, {task.id: 10.0 for task in tasks}, 2, 35.0) == 0.6
