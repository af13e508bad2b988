"""SIGKILL at twenty random moments: no run lost, none doubled, and the tables of a study that nobody killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from small_study import FINETUNE, Here, draw_photographs, plan_of, small_study

import compare.page.report
import compare.run
from compare.run import run
from compare.study.config import StudyConfig
from dermssl import flags

ROOT = Path(__file__).parents[3]
KILLS = 20
TABLES = ("contrasts", "arms", "factors", "levels", "arm_ranks", "lineage")


def study_in(place: Path, photographs: Path) -> StudyConfig:
    study = small_study(place, photographs, decoder=("unet", "fpn"), seed=(0, 1), jobs=2)
    (place / "finetune.yaml").write_text(FINETUNE.replace("steps: 3", "steps: 30"))
    return study


def begin(study: StudyConfig, place: Path) -> subprocess.Popen[bytes]:
    flags.write_options(study, place / "study.yaml")
    command = [sys.executable, "-m", "compare", "run", str(place / "study.yaml")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (place / "said.txt").open("a") as said:
        return subprocess.Popen(command, env=environment, stdout=said, stderr=said)


def first_sign(study: StudyConfig, process: subprocess.Popen[bytes], since: float) -> None:
    """Waits until a worker of this command is at a run: libraries take longer to load than these runs to be done."""
    logs = study.folder / "logs"
    while process.poll() is None and not any(log.stat().st_mtime > since for log in logs.glob("*.txt")):
        time.sleep(0.01)


def strike(process: subprocess.Popen[bytes], draw: random.Random) -> str:
    """Kills the command, or one of its workers; says which."""
    workers = [one for one in psutil.Process(process.pid).children() if "spawn_main" in " ".join(one.cmdline())]
    if workers and draw.random() < 0.4:
        draw.choice(workers).kill()
        return "worker"
    process.send_signal(signal.SIGKILL)
    process.wait()
    psutil.wait_procs(workers, timeout=30)
    assert not [one for one in workers if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    return "command"


def finished_runs(study: StudyConfig) -> dict[Path, int]:
    """When each finished run was finished."""
    return {path: path.stat().st_mtime_ns for path in study.runs.glob("*/*/result.json")}


def assert_as_if_never_killed(study: StudyConfig, whole: StudyConfig) -> None:
    plan = plan_of(study)
    assert set(plan["state"]) == {"done"}
    assert plan["id"].tolist() == plan_of(whole)["id"].tolist()
    assert plan["folder"].nunique() == len(plan) == len(finished_runs(study))
    assert {path.name for path in study.runs.glob("*/*") if path.is_dir()} == set(map(name_of, plan["folder"]))
    scores, expected = (pd.read_parquet(one.folder / "scores.parquet") for one in (study, whole))
    pd.testing.assert_frame_equal(scores, expected)
    for table in TABLES:
        pd.testing.assert_frame_equal(told(study, table), told(whole, table))


def told(study: StudyConfig, table: str) -> pd.DataFrame:
    """A table without what is of the place and of the code, which somebody may commit meanwhile."""
    return pd.read_csv(study.folder / "tables" / f"{table}.csv").drop(columns=["file", "commit"], errors="ignore")


def name_of(folder: str) -> str:
    return Path(folder).name


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_study_that_is_killed_twenty_times_ends_as_one_that_never_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "cache"))
    seed = int(os.environ.get("DERMSSL_KILL_SEED", random.SystemRandom().randrange(10**6)))
    print(f"moments drawn from seed {seed}")
    draw, photographs = random.Random(seed), draw_photographs(tmp_path / "photographs")
    whole = study_in(tmp_path / "whole", photographs)
    with monkeypatch.context() as patch:
        patch.setattr(compare.run, "executor_of", lambda *_: Here())
        began = time.monotonic()
        run(whole)
        latest = 0.7 * (time.monotonic() - began)  # after a command's first sign of life, on a machine as busy as now

    struck: list[str] = []
    for place in map(tmp_path.joinpath, map("killed_{}".format, range(KILLS))):
        study = study_in(place, photographs)
        done: dict[Path, int] = {}
        ended = False
        while not ended:
            since = time.time()
            process = begin(study, place)
            first_sign(study, process, since)
            while process.poll() is None and len(struck) < KILLS:
                time.sleep(draw.uniform(0, latest))
                if process.poll() is None:
                    struck.append(strike(process, draw))
                    print(f"{len(struck)}: {struck[-1]}, {len(finished_runs(study))} runs finished", flush=True)
                now = finished_runs(study)
                assert {path: now.get(path) for path in done} == done  # what is finished is never touched again
                done = now
            ended = process.wait() == 0
            assert ended or process.returncode == -signal.SIGKILL, (place / "said.txt").read_text()
        assert_as_if_never_killed(study, whole)
        if len(struck) >= KILLS:
            break
    assert {"worker", "command"} == set(struck)
