"""Array jobs of a study: scripts that a fake sbatch does at once, and what their elements leave."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from counted import assert_each_done_once, count, counting, steps_of
from small_study import Here, draw_photographs, plan_of, small_study

import compare.run
from compare.__main__ import main
from compare.estimates.estimate import Estimate
from compare.execution.array_task import available_cpus, do_array_task
from compare.execution.ledger import Ledger, write_outcome
from compare.execution.slurm import LONGEST, clock, unfinished_tasks, waves_of, write_scripts
from compare.run import run
from compare.study.config import StudyConfig
from compare.study.plan import Outcome, Task
from dermssl import flags
from dermssl.errors import UserError

# Does the elements of a script at once, two side by side, where and how its lines say; prints what --parsable prints.
SBATCH = r"""#!/bin/bash
set -euo pipefail
[[ $1 == --parsable ]]
script=$(realpath "${!#}")
asked() { sed -n "s/^#SBATCH --$1=//p" "$script" | xargs; }
calls=$(dirname "$0")/calls.txt
echo "$*" >> "$calls"
id=$((1000 + $(wc -l < "$calls")))
cd "$(asked chdir)"
export SLURM_CPUS_PER_TASK=$(asked cpus-per-task)
range=$(asked array | sed 's/%.*//; s/-/ /')
for element in $(seq ${range:-0 0}); do
    log=$(asked output | sed "s/%A\|%j/$id/; s/%a/$element/")
    SLURM_ARRAY_TASK_ID=$element bash "$script" < /dev/null >> "$log" 2>&1 &
    (( element % 2 )) && { wait; }
done
wait
echo "$id;cluster"
"""


class Cluster:
    """A fake sbatch, and a fake python that only notes what it is to do."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()
        self.program("sbatch", SBATCH)
        self.python = self.program("python", f'#!/bin/bash\necho "$*, $PWD" >> {place}/done.txt\n')

    def program(self, name: str, text: str) -> Path:
        path = self.place / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def submit(self, study: StudyConfig, python: Path | None = None) -> subprocess.CompletedProcess[str]:
        around = {"PATH": f"{self.place}:{os.environ['PATH']}", "DERMSSL_PYTHON": str(python or self.python)}
        code = {"PYTHONPATH": str(Path(compare.run.__file__).parents[1])}
        return subprocess.run(
            ["bash", str(study.folder / "slurm" / "submit.sh")],
            env=os.environ | around | code, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def lines(self, name: str) -> list[str]:
        path = self.place / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyConfig:
    monkeypatch.chdir(tmp_path)
    return small_study(Path("the place"), tmp_path / "drawn", jobs=0)


def factorial(out: Path) -> list[Task]:
    """A pretraining, a search and a probe that need it, and three fine-tunings of which two need something."""
    pretraining = counting(out, 0, stage="pretrain")
    search = counting(out, 1, needs=[pretraining], stage="search")
    tuned = [counting(out, 2, needs=[pretraining, search]), counting(out, 3), counting(out, 4, needs=[pretraining])]
    return [pretraining, search, *tuned, counting(out, 5, needs=[pretraining], stage="probe")]


def script(study: StudyConfig, name: str) -> str:
    return (study.folder / "slurm" / f"{name}.sbatch").read_text()


def options(study: StudyConfig, name: str) -> set[str]:
    return set(re.findall(r"^#SBATCH --(.*)$", script(study, name), flags=re.MULTILINE))


def ids(tasks: Sequence[Task]) -> list[str]:
    return [task.id for task in tasks]


def test_each_run_is_an_element_of_its_stage_and_the_report_comes_last(study: StudyConfig, cluster: Cluster) -> None:
    tasks = factorial(study.runs)
    write_scripts(study, tasks, {}, gpu=False)
    told = cluster.submit(study)
    assert told.returncode == 0, told.stderr
    *elements, report = cluster.lines("done.txt")
    assert report == f"-m compare report {study.folder}, {Path.cwd()}"
    assert sorted(elements) == sorted(f"-m compare task {study.folder} {task}, {Path.cwd()}" for task in ids(tasks))
    stages = [next(task.stage for task in tasks if task.id in line) for line in elements]
    assert stages == ["pretrain", "search", "finetune", "finetune", "finetune", "probe"]
    logs = sorted(path.name for path in (study.folder / "slurm" / "logs").iterdir())
    assert logs == ["1001_0.txt", "1002_0.txt", *(f"1003_{i}.txt" for i in range(3)), "1004_0.txt", "report_1005.txt"]
    assert (
        (study.folder / "slurm" / "logs" / "1003_1.txt").read_text().startswith(f"{tasks[3].id}: {tasks[3].name}, on")
    )


def test_a_wave_awaits_those_that_it_needs_however_they_end(study: StudyConfig, cluster: Cluster) -> None:
    write_scripts(study, factorial(study.runs), {}, gpu=False)
    told = cluster.submit(study)
    assert cluster.lines("calls.txt") == [
        "--parsable pretrain.sbatch",
        "--parsable --dependency=afterany:1001 search.sbatch",
        "--parsable --dependency=afterany:1001:1002 finetune.sbatch",
        "--parsable --dependency=afterany:1001 probe.sbatch",
        "--parsable --dependency=afterany:1001:1002:1003:1004 report.sbatch",
    ]
    assert told.stdout.splitlines()[2] == "finetune: job 1003, 3 runs"


def test_with_jobs_there_are_never_more_side_by_side(study: StudyConfig, cluster: Cluster) -> None:
    study = replace(study, jobs=2)
    write_scripts(study, factorial(study.runs), {}, gpu=False)
    assert "array=0-2%2" in options(study, "finetune")
    cluster.submit(study)
    assert cluster.lines("calls.txt")[3] == "--parsable --dependency=afterany:1001:1002:1003 probe.sbatch"


def test_stages_without_a_run_that_is_left_get_no_script(study: StudyConfig, cluster: Cluster) -> None:
    tasks = factorial(study.runs)
    write_scripts(study, tasks, {}, gpu=False)
    write_scripts(study, tasks[4:5], {}, gpu=False)
    assert sorted(path.name for path in (study.folder / "slurm").glob("*.sbatch")) == [
        "finetune.sbatch", "report.sbatch",
    ]  # fmt: skip
    cluster.submit(study)
    assert cluster.lines("calls.txt") == [
        "--parsable finetune.sbatch", "--parsable --dependency=afterany:1001 report.sbatch",
    ]  # fmt: skip
    write_scripts(study, [], {}, gpu=False)
    cluster.submit(study)
    assert cluster.lines("calls.txt")[2:] == ["--parsable report.sbatch"]


def test_jobs_in_the_queue_keep_their_runs_when_scripts_are_written_anew(study: StudyConfig, cluster: Cluster) -> None:
    tasks = factorial(study.runs)
    write_scripts(study, tasks, {}, gpu=False)
    queued = script(study, "finetune")
    write_scripts(study, tasks[4:], {}, gpu=False)
    subprocess.run(
        ["bash", "-c", queued], env=os.environ | {"SLURM_ARRAY_TASK_ID": "0", "DERMSSL_PYTHON": str(cluster.python)},
        check=True, capture_output=True,
    )  # fmt: skip
    assert tasks[2].id in cluster.lines("done.txt")[0]


def test_a_refused_submission_ends_with_its_error_and_hands_in_no_more(study: StudyConfig, cluster: Cluster) -> None:
    cluster.program("sbatch", f"#!/bin/bash\necho x >> {cluster.place}/calls.txt\necho 'no such partition' >&2\nexit 1")
    write_scripts(study, factorial(study.runs), {}, gpu=False)
    told = cluster.submit(study)
    assert told.returncode != 0
    assert told.stderr == "no such partition\n"
    assert cluster.lines("calls.txt") == ["x"]


def test_more_runs_than_an_array_takes_are_several_arrays(study: StudyConfig) -> None:
    tasks = [counting(study.runs, seed) for seed in range(2 * LONGEST + 1)]
    waves = waves_of(study, tasks, {})
    assert [(wave.name, len(wave.tasks)) for wave in waves] == [
        ("finetune", LONGEST), ("finetune_2", LONGEST), ("finetune_3", 1),
    ]  # fmt: skip
    assert [task for wave in waves for task in wave.tasks] == tasks


def test_the_longest_and_the_largest_run_of_a_stage_say_what_is_asked_for(study: StudyConfig) -> None:
    first, second = (counting(study.runs, seed) for seed in range(2))
    known = {first.id: Estimate(3600, 1000, None, 1, "timed"), second.id: Estimate(600, 5000, None, 1, "timed")}
    write_scripts(study, [first, second], known, gpu=False)
    assert {"time=03:00:00", "mem=8G"} <= options(study, "finetune")
    write_scripts(study, [first, second], {first.id: known[first.id]}, gpu=False)
    assert {"time=1-00:00:00", "mem=16G"} <= options(study, "finetune")
    assert "a guess" in script(study, "finetune")
    write_scripts(replace(study, memory=3.2), [first, second], known, gpu=False)
    assert "mem=4G" in options(study, "finetune")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(1, "00:10:00"), (600, "00:10:00"), (601, "00:20:00"), (86_400, "1-00:00:00"), (95_000, "1-02:30:00")],
)
def test_times_are_rounded_up_to_ten_minutes(seconds: float, told: str) -> None:
    assert clock(seconds) == told


def test_options_of_sbatch_take_the_place_of_ours_and_the_report_gets_no_gpu(study: StudyConfig) -> None:
    chosen = ("partition=gpu", "gres=gpu:a100:1", "time=12:00:00", "mem=", "mem-per-cpu=4G", "exclusive")
    study = replace(study, sbatch=chosen, threads=6)
    write_scripts(study, factorial(study.runs), {}, gpu=True)
    told = options(study, "finetune")
    assert {"partition=gpu", "gres=gpu:a100:1", "time=12:00:00", "mem-per-cpu=4G", "exclusive"} <= told
    assert "cpus-per-task=6" in told
    assert len({word.split("=")[0] for word in told}) == len(told)
    assert not any(word.startswith("mem=") for word in told)
    assert not any("gpu:" in word for word in options(study, "report"))
    assert "partition=gpu" in options(study, "report")


@pytest.mark.parametrize("word", ["--partition=gpu", "array=0-3", "chdir=/elsewhere"])
def test_what_sbatch_cannot_be_given_is_told(study: StudyConfig, word: str) -> None:
    with pytest.raises(ValueError, match=f"--sbatch.*{word}"):
        replace(study, sbatch=(word,))


def test_every_script_is_sound_where_names_have_blanks_and_quotes(tmp_path: Path, cluster: Cluster) -> None:
    study = small_study(tmp_path / "the lab's $HOME", tmp_path / "drawn", name="it's 50 %")
    write_scripts(study, factorial(study.runs), {}, gpu=True)
    for path in (study.folder / "slurm").glob("*.s*"):
        subprocess.run(["bash", "-n", path], check=True)
    cluster.program("sbatch", '#!/bin/bash\nSLURM_ARRAY_TASK_ID=0 bash "${!#}" > /dev/null\necho 7\n')
    told = cluster.submit(study)
    assert told.returncode == 0, told.stderr
    elements = cluster.lines("done.txt")
    assert len(elements) == 5
    assert all(f" {study.folder}" in line for line in elements)


@pytest.mark.parametrize(
    ("does", "state", "attempts"),
    [("counts", "done", 1), ("fails once", "done", 2), ("fails", "failed", 2), ("refuses", "failed", 1)],
)
def test_an_element_does_its_run_twice_at_most_and_leaves_its_outcome(
    tmp_path: Path, does: str, state: str, attempts: int
) -> None:
    task = counting(tmp_path / "runs", 0, does)
    outcome = do_array_task(tmp_path, [task], task.id, work=count)
    assert (outcome.state, outcome.attempts) == (state, attempts)
    assert json.loads((tmp_path / "outcomes" / f"{task.id}.json").read_text())["error"] == outcome.error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs", "outcomes", "runs"]
    ledger = Ledger(tmp_path, [task])
    assert (ledger.outcomes[task.id].state, ledger.outcomes[task.id].error) == (state, outcome.error)


def test_elements_that_are_done_wave_by_wave_give_what_a_study_is(tmp_path: Path) -> None:
    tasks = factorial(tmp_path / "runs")
    for task in tasks:
        if task.stage != "search":  # a search that counts finds no rate
            do_array_task(tmp_path, tasks, task.id, work=count)
    ledger = Ledger(tmp_path, tasks)
    assert {task.stage: ledger.state(task.id) for task in tasks if tasks[1].id not in task.needs} == {
        "pretrain": "done", "search": "planned", "finetune": "done", "probe": "done",
    }  # fmt: skip
    assert ledger.outcomes[tasks[2].id].error == f"its search did not end: {tasks[1].name}"


def test_an_element_gets_what_it_needs_from_plan_csv_where_no_job_did_it(tmp_path: Path) -> None:
    need = counting(tmp_path / "runs", 0, stage="pretrain")
    tasks = [need, counting(tmp_path / "runs", 1, needs=[need])]
    ledger = Ledger(tmp_path, tasks)
    ledger.ended(need, count(need))
    ledger.save(at_once=True)
    given: list[Task] = []

    def watched(task: Task, log: Path | None = None, *, trust: bool = False) -> Outcome:
        given.append(task)
        return count(task, log, trust=trust)

    do_array_task(tmp_path, tasks, tasks[1].id, work=watched)
    assert str(given[0].config.init) == str(tmp_path / "runs" / f"run-{need.id}" / "encoder.safetensors")
    assert_each_done_once(tmp_path / "runs", tasks)


def test_what_needs_a_failed_run_says_so_and_is_not_tried(tmp_path: Path) -> None:
    need = counting(tmp_path / "runs", 0, "refuses", stage="pretrain")
    tasks = [need, counting(tmp_path / "runs", 1, needs=[need])]
    for task in tasks:
        do_array_task(tmp_path, tasks, task.id, work=count)
    assert Ledger(tmp_path, tasks).outcomes[tasks[1].id].error == f"its pretraining failed: {need.name}"
    assert not (tmp_path / "runs" / f"run-{tasks[1].id}").exists()


def test_a_run_that_is_done_is_not_done_again_and_one_that_failed_is(tmp_path: Path) -> None:
    done, mended = counting(tmp_path / "runs", 0), counting(tmp_path / "runs", 1)
    do_array_task(tmp_path, [done], done.id, work=count)
    write_outcome(tmp_path, mended, Outcome(state="failed", error="its node went"))

    def never(task: Task, log: Path | None = None, *, trust: bool = False) -> Outcome:
        raise AssertionError

    assert do_array_task(tmp_path, [done], done.id, work=never).state == "done"
    do_array_task(tmp_path, [mended], mended.id, work=count)
    assert Ledger(tmp_path, [done, mended]).count("done") == 2
    assert_each_done_once(tmp_path / "runs", [done, mended])


def test_a_finished_run_that_was_changed_by_hand_goes_through_the_work_that_says_so(tmp_path: Path) -> None:
    task = counting(tmp_path / "runs", 0)
    do_array_task(tmp_path, [task], task.id, work=count)
    (tmp_path / "runs" / f"run-{task.id}" / "steps").write_text("0\n")
    asked: list[bool] = []

    def watched(task: Task, log: Path | None = None, *, trust: bool = False) -> Outcome:
        asked.append(trust)
        return Outcome(state="failed", error="was changed", final=True)

    assert do_array_task(tmp_path, [task], task.id, trust=True, work=watched).state == "done"
    assert do_array_task(tmp_path, [task], task.id, work=watched).error == "was changed"
    assert asked == [False]
    assert steps_of(tmp_path / "runs" / f"run-{task.id}") == [0]


def test_scripts_that_are_written_anew_are_of_what_is_left_and_forget_failures(tmp_path: Path) -> None:
    done, failed = counting(tmp_path / "runs", 0), counting(tmp_path / "runs", 1, "fails")
    for task in (done, failed):
        do_array_task(tmp_path, [done, failed], task.id, work=count)
    assert unfinished_tasks(Ledger(tmp_path, [done, failed])) == [failed]
    assert [path.stem for path in (tmp_path / "outcomes").iterdir()] == [done.id]
    ledger = Ledger(tmp_path, [done, failed])
    assert [ledger.state(task.id) for task in (done, failed)] == ["done", "planned"]


def test_an_element_that_the_study_does_not_have_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"0123456789: .* has no such run.*python -m compare slurm"):
        do_array_task(tmp_path, [counting(tmp_path, 0)], "0123456789", work=count)


def test_an_element_has_the_cores_of_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert available_cpus() == 3
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    assert 1 <= available_cpus() <= (os.cpu_count() or 1)


def written(study: StudyConfig, place: Path) -> StudyConfig:
    """The scripts of the study, by the command."""
    (place / "study.yaml").write_text(flags.as_yaml(study))
    main(["slurm", str(place / "study.yaml")])
    return study


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_study_done_by_jobs_finds_what_one_done_here_finds(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "cache"))
    photographs = draw_photographs(tmp_path / "drawn")
    here = small_study(tmp_path / "here", photographs, threads=1)
    monkeypatch.setattr(compare.run, "executor_of", lambda *_: Here())
    run(here)
    jobs = written(small_study(tmp_path / "jobs", photographs, threads=1), tmp_path)
    assert f"next:    bash {jobs.folder}/slurm/submit.sh" in capsys.readouterr().out

    told = cluster.submit(jobs, python=Path(sys.executable))
    assert told.returncode == 0, told.stderr
    assert plan_of(jobs)["state"].tolist() == ["done"] * 5
    ours, theirs = (pd.read_parquet(study.folder / "scores.parquet") for study in (jobs, here))
    assert ours.equals(theirs)
    for table in ("contrasts.csv", "arms.csv"):
        assert (jobs.folder / "tables" / table).read_bytes() == (here.folder / "tables" / table).read_bytes()

    before = {path: path.stat().st_mtime_ns for path in jobs.runs.rglob("result.json")}
    assert len(before) == 5
    written(jobs, tmp_path)
    assert [path.name for path in (jobs.folder / "slurm").glob("*.sbatch")] == ["report.sbatch"]
    assert {path: path.stat().st_mtime_ns for path in jobs.runs.rglob("result.json")} == before


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_that_fails_on_the_cluster_is_told_and_the_others_are_done(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "cache"))
    study = written(small_study(tmp_path / "jobs", draw_photographs(tmp_path / "drawn"), seed=(0,)), tmp_path)
    burst = "import pretrain.run\ndef fit(*_, **__):\n    raise RuntimeError('loss is nan')\npretrain.run.fit = fit\n"
    start = "import sys\nfrom compare.__main__ import main\nfrom dermssl.errors import one_sentence\n"
    (tmp_path / "burst.py").write_text(f"{start}{burst}with one_sentence('compare'):\n    main(sys.argv[3:])\n")
    python = cluster.program("bursting", f'#!/bin/bash\nexec {sys.executable} {tmp_path}/burst.py "$@"\n')

    told = cluster.submit(study, python=python)
    assert told.returncode == 0, told.stderr
    plan = plan_of(study).set_index(["stage", "init"])
    assert plan["state"].to_dict() == {
        ("pretrain", "ssl"): "failed", ("finetune", "ssl"): "failed", ("finetune", "random"): "done",
    }  # fmt: skip
    assert plan["attempts"].tolist()[0] == 2
    assert plan.loc[("pretrain", "ssl"), "error"].startswith("RuntimeError: loss is nan")
    assert plan.loc[("finetune", "ssl"), "error"].startswith("its pretraining failed: pretrain, simclr")
    assert "loss is nan" in (study.folder / "slurm" / "logs" / "1001_0.txt").read_text()
    assert "loss is nan" in (study.folder / "report.md").read_text()
    written(study, tmp_path)
    lists = [(study.folder / "slurm" / f"{name}.sbatch").read_text() for name in ("pretrain", "finetune")]
    assert all("array=0-0" in text for text in lists)
