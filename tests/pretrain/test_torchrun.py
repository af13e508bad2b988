"""`torchrun -m pretrain` ends with what one process ends with, and writes it once."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from dermssl import flags
from dermssl.weights.encoder_file import read_encoder_file
from pretrain.known_methods import METHODS
from pretrain.run import run

ROOT = Path(__file__).parents[2]
OWN = {
    "simclr": {"save_every": 2},
    "moco": {"queue_size": 16, "norm_groups": 2},
    "byol": {"hidden_dim": 32},
    "dino": {"prototypes": 32, "local_crops": 1, "local_size": 32, "frozen_epochs": 0},
}


def train_in_two_processes(options: Path) -> None:
    """Pretrains as the file says."""
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "pretrain"]
    done = subprocess.run(
        [sys.executable, *words, "--config", str(options)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, cwd=ROOT, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("method", OWN)
def test_two_processes_end_where_one_ends(method: str, draw_photographs: Callable[..., Path], tmp_path: Path) -> None:
    small = {
        "data": draw_photographs(tmp_path / "photographs", 16), "encoder": "tu-test_efficientnet", "init": "random",
        "image_size": 32, "cache_size": 40, "epochs": 2, "batch_size": 8, "precision": "32-true", "threads": 1,
        "checkpoints": None, "optimiser": "sgd", "lr": 0.05, "lr_scaling": "none",
    }  # fmt: skip
    one = run(METHODS[method](**(small | OWN[method]), out=tmp_path / "one"))  # type: ignore[operator]
    config = METHODS[method](**(small | OWN[method]), out=tmp_path / "two")  # type: ignore[operator]
    written = tmp_path / "options.yaml"
    flags.write_options(config, written)
    train_in_two_processes(written)
    two = tmp_path / "two" / one.parent.name / "encoder.safetensors"
    _, ours = read_encoder_file(one)
    _, theirs = read_encoder_file(two)
    # MoCo's BatchNorm sees each process's own groups, so what it remembers differs.
    own = {name: tensor for name, tensor in ours.items() if method != "moco" or name.endswith(("weight", "bias"))}
    for name, tensor in own.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=2e-3, atol=2e-4, msg=lambda text, n=name: f"{n}: {text}")
    metrics = [pd.read_csv(file.parent / "metrics.csv") for file in (one, two)]
    assert metrics[1]["loss"].tolist() == pytest.approx(metrics[0]["loss"].tolist(), rel=1e-3)
    log = (two.parent / "log.txt").read_text()
    assert log.count("images:") == 1
    assert "2 processes" in log


@pytest.mark.slow
def test_two_processes_are_one_run_of_a_logger_which_the_first_alone_writes(
    draw_photographs: Callable[..., Path], tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    written = tmp_path / "options.yaml"
    config = METHODS["simclr"](  # type: ignore[operator]
        data=draw_photographs(tmp_path / "photographs", 16), encoder="tu-test_efficientnet", init="random",
        image_size=32, cache_size=40, epochs=2, batch_size=8, precision="32-true", threads=1, checkpoints=None,
        out=tmp_path / "runs", logger=("tensorboard",),
    )  # fmt: skip
    flags.write_options(config, written)
    train_in_two_processes(written)
    [folder] = (path.parent for path in (tmp_path / "runs").glob("*/result.json"))
    [_] = folder.rglob("events.out.tfevents.*")  # of one writer
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    table = pd.read_csv(folder / "metrics.csv")
    assert [event.step for event in events.Scalars("loss")] == table["epoch"].tolist() == [0, 1]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(table["loss"].tolist(), rel=1e-6)
    assert events.Tags()["images"] == ["figures/views"]
    assert "logger:" not in (folder / "log.txt").read_text()  # where one that fails is told of
