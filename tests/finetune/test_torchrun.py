"""`torchrun -m finetune` and `-m finetune.predict` end with what one process ends with, and write and say it once."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pytorch_lightning import Trainer

from dermssl import flags
from dermssl.training.checkpoint import Checkpoints
from finetune.options.config import FinetuneConfig
from finetune.predict.config import PredictConfig
from finetune.predict.run import predict_masks
from finetune.run import run

Torchrun = Callable[..., "subprocess.CompletedProcess[str]"]
SMALL = {
    "encoder": "tu-test_efficientnet", "init": "random", "image_size": 32, "cache_size": 40, "steps": 12,
    "batch_size": 4, "val_fraction": 0.25, "threads": 1, "lr": 3e-3,
}  # fmt: skip
ALL = {  # PSPNet leaves a part of the encoder idle, and a thaw changes what the processes share
    "decoder": "pspnet", "freeze": True, "thaw_after": 1, "ema": 0.9, "patience": 9, "threshold_search": True,
    "inner_fraction": 0.3, "loss": "dice+0.5*bce", "loss_over": "batch",
}  # fmt: skip


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


@pytest.mark.slow
def test_two_processes_end_where_one_ends(photographs: Path, torchrun: Torchrun, tmp_path: Path) -> None:
    options = SMALL | ALL | {"data": photographs}
    one = run(FinetuneConfig(**options, out=tmp_path / "one"))
    written = tmp_path / "options.yaml"
    flags.write_options(FinetuneConfig(**options, out=tmp_path / "two"), written)
    done = torchrun("finetune", "--config", written)
    assert done.returncode == 0, done.stderr
    two = tmp_path / "two" / one.name  # one run, whoever does it
    assert {p.relative_to(two) for p in two.rglob("*")} == {p.relative_to(one) for p in one.rglob("*")}
    losses, ours = (pd.read_csv(folder / "metrics.csv") for folder in (one, two))
    assert ours["loss"].tolist() == pytest.approx(losses["loss"].tolist(), rel=1e-2)
    assert ours["inner_iou"].tolist() == pytest.approx(losses["inner_iou"].tolist(), abs=0.03)
    scores, shared = (pd.read_parquet(folder / "scores.parquet") for folder in (one, two))
    assert shared["image_id"].tolist() == scores["image_id"].tolist()
    assert shared["jaccard"].tolist() == pytest.approx(scores["jaccard"].tolist(), abs=0.05)
    found, expected = (json.loads((folder / "result.json").read_text()) for folder in (two, one))
    assert found.keys() == expected.keys()
    log = (two / "log.txt").read_text()
    for said in (log, done.stdout):
        assert [line for line in said.splitlines() if line.startswith("images: ")][1:] == []
    assert "Warning" not in done.stderr
    assert "find_unused_parameters" not in done.stderr
    assert "processes: 2 train as one, with 2 images of every batch in each" in log
    assert "inner images: the best mean IoU" in log

    again = torchrun("finetune", "--config", written)  # the first process alone finds that the run is there
    assert again.returncode != 0
    said = [line for line in again.stderr.splitlines() if line.startswith("python -m finetune: ")]
    assert len(said) == 1
    assert "a run with these very options is there already" in said[0]
    assert "Traceback" not in again.stderr.split("ChildFailedError")[0].partition("torch/distributed")[0]


class KilledError(Exception):
    """What ends a training here."""


@pytest.mark.slow
def test_a_run_that_one_process_began_is_ended_by_two(
    photographs: Path, torchrun: Torchrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SMALL | {"data": photographs}
    unbroken = run(FinetuneConfig(**options, out=tmp_path / "unbroken"))
    written, save = tmp_path / "options.yaml", Checkpoints.save
    config = FinetuneConfig(**options, out=tmp_path / "begun")
    flags.write_options(config, written)

    def saved(self: Checkpoints, trainer: Trainer, epochs: int) -> None:
        save(self, trainer, epochs)
        if epochs == 2:
            raise KilledError

    monkeypatch.setattr(Checkpoints, "save", saved)
    with pytest.raises(KilledError):
        run(config)
    [begun] = config.out.iterdir()
    done = torchrun("finetune", "--config", written, "--resume", begun)
    assert done.returncode == 0, done.stderr
    assert "resuming: after step 6; its last bits may differ from an unbroken run's: processes 1 then, 2 now" in (
        done.stdout
    )
    expected, ours = (pd.read_csv(folder / "metrics.csv") for folder in (unbroken, begun))
    assert ours["loss"].tolist() == pytest.approx(expected["loss"].tolist(), rel=1e-2)
    scores, shared = (pd.read_parquet(folder / "scores.parquet") for folder in (unbroken, begun))
    assert shared["jaccard"].tolist() == pytest.approx(scores["jaccard"].tolist(), abs=0.05)


@pytest.mark.slow
def test_two_processes_share_the_pictures_of_a_prediction(
    made: Callable[..., Path], photographs: Path, torchrun: Torchrun, tmp_path: Path
) -> None:
    model = made() / "model.safetensors"
    images = photographs / "images"
    predict_masks(PredictConfig(model=model, images=images, out=tmp_path / "one", threads=1))
    (tmp_path / "two").mkdir()
    words = ["--model", model, "--images", images, "--out", tmp_path / "two", "--threads", 1]
    done = torchrun("finetune.predict", *words)
    assert done.returncode == 0, done.stderr
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one") != {}
    assert done.stdout.count("masks of 16 images written, 0 had theirs already") == 1


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_refused_once(torchrun: Torchrun) -> None:
    refused = torchrun("finetune", "--init", "random", "--batch_size", "5")
    assert refused.returncode != 0
    assert refused.stderr.count("--batch_size 5: cannot be shared equally by 2 processes; give 4 or 6, or start") == 1
