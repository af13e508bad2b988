"""Run folders: equal work has an equal name, nothing is overwritten, and what stands can be continued."""

import errno
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from dermssl import flags
from dermssl.errors import UserError
from dermssl.runs import environment
from dermssl.runs import folder as runs
from dermssl.runs.folder import append_row, closing, identity, open_run, read_result, write_table
from finetune.options.config import FinetuneConfig

HOLDER = (
    "import fcntl, sys, time; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); "
    "print('held', flush=True); time.sleep(60)"
)
# Holds the run's lock until it is told what to do with the run on its way out.
WORKER = (
    "import fcntl, pathlib, shutil, sys; folder = pathlib.Path(sys.argv[1]); file = (folder / '.lock').open('w'); "
    "fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True); word = input(); "
    "word == 'finish' and (folder / 'result.json').write_text('{\"jaccard\": 0.25}'); "
    "word == 'remove' and shutil.rmtree(folder)"
)
WHAT = {"data": "d1", "encoder": "e1"}


@pytest.fixture
def config(tmp_path: Path) -> FinetuneConfig:
    return FinetuneConfig(out=tmp_path / "runs")


def what(config: FinetuneConfig, **content: str) -> dict[str, object]:
    return identity(config, config.ELSEWHERE, **(WHAT | content))


def start(config: FinetuneConfig, **options: bool) -> Path:
    with open_run(config, "unet-ssl", what(config), **options) as work:
        return work.folder


def finish(config: FinetuneConfig) -> Path:
    with open_run(config, "unet-ssl", what(config)) as work:
        work.finish({"jaccard": 0.5})
    return work.folder


def refusal(config: FinetuneConfig, **options: bool) -> str:
    with pytest.raises(UserError) as caught:
        start(config, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def name_of(config: FinetuneConfig, **content: str) -> str:
    with open_run(config, "unet-ssl", what(config, **content), standing_is_fine=True) as work:
        return work.folder.name


def stopped_in(config: FinetuneConfig, error: Exception, during: Callable[[Path], object] = lambda _: None) -> None:
    with open_run(config, "unet-ssl", what(config)) as work:
        during(work.folder)
        raise error


@contextmanager
def another_at(folder: Path, word: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that holds the run, and does what `word` says as soon as this one begins to wait."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", WORKER, folder], text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "held\n"

        def waits(_: float) -> None:
            if process.returncode is None:
                process.communicate(word + "\n")

        monkeypatch.setattr(time, "sleep", waits)
        yield
        process.kill()


def test_a_finished_run_drops_what_it_could_be_continued_from(config: FinetuneConfig) -> None:
    with open_run(config, "unet-ssl", what(config)) as work:
        (work.folder / "checkpoints" / "step-9").mkdir(parents=True)
        (work.folder / "checkpoints" / "step-9" / "state.ckpt").write_bytes(b"state")
        work.finish({"jaccard": 0.5})
    assert not (work.folder / "checkpoints").exists()
    assert read_result(work.folder) == {"jaccard": 0.5}


def test_a_run_whose_result_cannot_be_written_keeps_its_checkpoints(
    config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with open_run(config, "unet-ssl", what(config)) as work:
        (work.folder / "checkpoints").mkdir()
        monkeypatch.setattr(runs, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            work.finish({"jaccard": 0.5})
    assert (work.folder / "checkpoints").exists()


def test_equal_work_has_an_equal_name_wherever_it_lies_and_however_fast_it_goes(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    other = replace(
        config, out=tmp_path / "else", threads=7, workers=3, data=Path("x"), init="a file", checkpoints=Path("y")
    )
    assert name_of(other) == name_of(config)


@pytest.mark.parametrize(
    "options", [{"lr": 1e-4}, {"seed": 1}, {"encoder_depth": 4}, {"precision": "bf16-mixed"}, {"limit": 9}], ids=str
)
def test_another_option_has_another_name(options: dict[str, object], config: FinetuneConfig) -> None:
    assert name_of(replace(config, **options)) != name_of(config)


def test_runs_of_an_older_format_are_not_taken_for_those_of_today(
    config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = name_of(config)
    monkeypatch.setattr(runs, "FORMAT", runs.FORMAT + 1)
    assert name_of(config) != before


@pytest.mark.parametrize("content", ["data", "encoder"])
def test_other_images_or_another_encoder_have_another_name(content: str, config: FinetuneConfig) -> None:
    assert name_of(config, **{content: "other"}) != name_of(config)


def test_a_run_keeps_the_config_that_gives_it_again(config: FinetuneConfig) -> None:
    folder = start(config)
    assert folder.parent == config.out
    assert flags.parse(FinetuneConfig, "test", ["--config", str(folder / "config.yaml")]) == config
    assert set(json.loads((folder / "environment.json").read_text())) >= {"commit", "dirty", "versions", "cpu"}


def test_what_is_said_is_printed_and_kept(config: FinetuneConfig, capsys: pytest.CaptureFixture[str]) -> None:
    with open_run(config, "unet-ssl", what(config)) as work:
        work.say("first")
        work.say("second")
    assert capsys.readouterr().out == "first\nsecond\n" == (work.folder / "log.txt").read_text()


def test_a_run_is_finished_when_its_result_stands(config: FinetuneConfig) -> None:
    with open_run(config, "unet-ssl", what(config)) as work:
        assert work.result is None
        work.finish({"jaccard": 0.5})
        assert work.result == {"jaccard": 0.5} == read_result(work.folder)


def test_an_unfinished_run_is_refused_with_the_option_that_continues_it(config: FinetuneConfig) -> None:
    folder = start(config)
    assert refusal(config) == (
        f"{folder}: a run with these very options is there already, unfinished; add --resume {folder} to continue it"
    )


def test_a_finished_run_is_refused_with_the_way_to_another(config: FinetuneConfig) -> None:
    folder = finish(config)
    assert refusal(config) == (
        f"{folder}: a run with these very options is there already, its results are there; "
        "change an option (--seed 1, say) for another run"
    )


def test_a_finished_run_is_refused_with_a_seed_that_is_not_its_own(config: FinetuneConfig) -> None:
    other = replace(config, seed=1)
    finish(other)
    assert "change an option (--seed 2, say) for another run" in refusal(other)


def test_a_study_finds_what_stands_without_being_asked_to_resume(config: FinetuneConfig) -> None:
    assert start(config) == start(config, standing_is_fine=True)


def test_resuming_continues_in_the_same_folder(config: FinetuneConfig) -> None:
    folder = start(config)
    (folder / "mark").touch()
    assert start(replace(config, resume=folder)) == folder
    assert (folder / "mark").exists()


def test_a_run_can_be_resumed_by_another_way_to_its_folder(
    config: FinetuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = start(config)
    monkeypatch.chdir(tmp_path)
    assert start(replace(config, resume=Path("runs") / ".." / "runs" / folder.name)).samefile(folder)


def test_resuming_with_other_options_names_the_difference(config: FinetuneConfig) -> None:
    folder = start(config)
    assert refusal(replace(config, resume=folder, lr=0.5, seed=3)) == (
        f"--resume {folder}: holds another run (lr is 0.0003 there and 0.5 here, seed is 0 there and 3 here); "
        f"leave those flags out, or start anew with --config {folder}/config.yaml in place of --resume"
    )
    assert [path.name for path in config.out.iterdir()] == [folder.name]


def test_a_run_that_another_holds_is_refused(config: FinetuneConfig) -> None:
    with open_run(config, "unet-ssl", what(config)) as work:
        assert refusal(replace(config, resume=work.folder)) == (
            f"{work.folder}: another process works on this run; wait for it to end, or stop it"
        )
    assert start(config, standing_is_fine=True) == work.folder


def test_a_run_that_another_process_is_at_is_waited_for_and_found_finished(
    config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = start(config)
    with (
        another_at(folder, "finish", monkeypatch),
        open_run(config, "unet-ssl", what(config), standing_is_fine=True) as work,
    ):
        assert work.result == {"jaccard": 0.25}
    assert capsys.readouterr().out == f"{folder}: another process works on this run; waiting for it to end\n"


def test_a_run_that_another_process_left_unfinished_is_continued(
    config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = start(config)
    (folder / "mark").touch()
    with (
        another_at(folder, "leave", monkeypatch),
        open_run(config, "unet-ssl", what(config), standing_is_fine=True) as work,
    ):
        assert work.result is None
        assert (folder / "mark").exists()


def test_a_run_that_another_process_removed_meanwhile_is_begun_anew(
    config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = start(config)
    (folder / "mark").touch()
    with (
        another_at(folder, "remove", monkeypatch),
        open_run(config, "unet-ssl", what(config), standing_is_fine=True) as work,
    ):
        assert (work.folder / "config.yaml").exists()
        assert not (folder / "mark").exists()
        assert "another process works on this run" in refusal(replace(config, resume=folder))  # the new folder is held


def test_many_at_once_do_equal_work_once_though_the_first_are_refused(
    config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "environment", dict)
    monkeypatch.setattr(runs, "POLL", 0.001)
    begun: Counter[int] = Counter()

    def work_on(seed: int) -> str:
        try:
            with open_run(mine := replace(config, seed=seed), "unet-ssl", what(mine), standing_is_fine=True) as work:
                if work.result is not None:
                    return "found"
                begun[seed] += 1
                if begun[seed] <= 2:
                    raise UserError("no room")
                work.finish({"jaccard": 0.5})
                return "done"
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:  # each opens the lock's file for itself, and so counts as a process
        ends = Counter(pool.map(work_on, [seed for seed in range(12) for _ in range(8)]))
    assert ends == {"no room": 24, "done": 12, "found": 60}
    assert len(list(config.out.iterdir())) == 12


def test_a_folder_that_another_was_quicker_to_make_is_not_removed_by_the_refused(
    config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quicker() -> dict[str, object]:
        monkeypatch.undo()
        (start(config) / "mark").touch()
        return {}

    monkeypatch.setattr(runs, "environment", quicker)  # asked for while the folder is being made
    with pytest.raises(UserError, match="too full"):
        stopped_in(config, UserError("too full"))
    [folder] = config.out.iterdir()
    assert (folder / "mark").exists()


def test_a_run_that_several_processes_train_is_not_waited_for(
    config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with open_run(config, "unet-ssl", what(config)):
        assert "another process works on this run" in refusal(config, standing_is_fine=True)


def test_a_run_is_free_again_when_its_process_is_killed(config: FinetuneConfig) -> None:
    folder = start(config)
    with subprocess.Popen([sys.executable, "-c", HOLDER, folder / ".lock"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert "another process works on this run" in refusal(replace(config, resume=folder))
        process.kill()
    start(config, standing_is_fine=True)


def test_a_run_that_is_refused_before_it_began_leaves_no_folder(config: FinetuneConfig) -> None:
    with pytest.raises(UserError, match="too full"):
        stopped_in(config, UserError("too full"))
    assert list(config.out.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "during"),
    [
        (UserError("no room left"), lambda folder: (folder / "checkpoints" / "step-1").mkdir(parents=True)),
        (ZeroDivisionError(), lambda folder: None),  # noqa: ARG005
    ],
    ids=["the disk was full at the second checkpoint", "a bug of ours"],
)
def test_a_run_that_had_begun_is_kept(
    error: Exception, during: Callable[[Path], object], config: FinetuneConfig
) -> None:
    with pytest.raises(type(error)):
        stopped_in(config, error, during)
    assert len(list(config.out.iterdir())) == 1


def test_a_refused_resume_leaves_the_run_as_it_was(config: FinetuneConfig) -> None:
    folder = start(config)
    with pytest.raises(UserError, match="too full"):
        stopped_in(replace(config, resume=folder), UserError("too full"))
    assert (folder / "config.yaml").exists()


def test_a_row_that_is_written_again_replaces_it_and_what_came_after(tmp_path: Path) -> None:
    for epoch, loss in enumerate([3.0, 2.0, 1.0]):
        append_row(tmp_path / "metrics.csv", {"epoch": epoch, "loss": loss})
    append_row(tmp_path / "metrics.csv", {"epoch": 1, "loss": 2.5})  # resumed from the checkpoint of epoch 0
    table = pd.read_csv(tmp_path / "metrics.csv")
    assert table.to_dict("list") == {"epoch": [0, 1], "loss": [3.0, 2.5]}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_is_written_by_its_name(name: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"image_id": ["a", "b"], "jaccard": [0.1 + 0.2, 1.0]})
    write_table(tmp_path / "deep" / name, table)
    read = pd.read_csv if name.endswith("csv") else pd.read_parquet
    assert read(tmp_path / "deep" / name).to_dict("list") == table.to_dict("list")


def test_the_environment_outside_a_checkout_has_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "__file__", "/")
    there = environment.environment()
    assert (there["commit"], there["dirty"]) == ("", False)


def test_every_command_ends_with_where_and_what_next() -> None:
    assert closing(Path("runs/x"), "python -m probe") == "results: runs/x\nnext:    python -m probe"
    named = closing(Path("x"), "python -m probe", Path("x/explorer.html"))
    assert named == "open:    x/explorer.html\nresults: x\nnext:    python -m probe"


def test_checkpoints_that_a_kill_right_after_the_result_left_are_removed(config: FinetuneConfig) -> None:
    folder = finish(config)
    (folder / "checkpoints" / "step-3").mkdir(parents=True)
    assert start(config, standing_is_fine=True) == folder
    assert not (folder / "checkpoints").exists()
