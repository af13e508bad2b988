"""What loggers have got of a training, read back from what they wrote; and that none of them can end one."""

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from dermssl.errors import UserError
from dermssl.runs.folder import Run, append_row
from dermssl.training import logger_config
from dermssl.training.logged_runs import KINDS, LoggedRun
from dermssl.training.logger_config import need_loggers
from dermssl.training.loggers import Loggers, loggers_of

NAMES = ("tensorboard", "wandb", "mlflow")
Rows = dict[int, float]


@dataclass(frozen=True)
class Options:
    """Those of a training, as far as loggers ask."""

    out: Path
    logger: tuple[Any, ...] = NAMES
    lr: float = 0.25


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for variable in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder below an `--out` with a space in its name."""
    place = tmp_path / "all runs" / "simclr-random-0123456789"
    place.mkdir(parents=True)
    return place


def attempt(folder: Path, epochs: range, *, names: tuple[str, ...] = NAMES, loss: float = 0.5) -> None:
    """A training over these epochs with a figure before its first step."""
    figure = folder / "figures" / "views.png"
    figure.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(figure), np.full((8, 12, 3), (10, 120, 250), np.uint8))
    with loggers_of(Options(folder.parent, names), Run(folder)) as loggers:
        loggers.begin(epochs[0])
        for epoch in epochs:
            row = {"epoch": epoch, "loss": loss / (epoch + 1), "images_per_second": 40.0}
            append_row(folder / "metrics.csv", row)
            loggers.row(row)


def losses_in(name: str, folder: Path) -> list[tuple[int, float]]:
    """Epoch and loss of each row that a logger shows, in its order."""
    if name == "tensorboard":
        return [(event.step, event.value) for event in events_of(folder).Scalars("loss")]
    if name == "mlflow":
        client, run = mlflow_run(folder)
        return [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "loss")]
    rows = [scalars for scalars in wandb_rows(folder) if "loss" in scalars]
    return [(int(row["trainer/global_step"]), float(row["loss"])) for row in rows]


def events_of(folder: Path) -> Any:
    """What TensorBoard reads in a run folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0}).Reload()


def mlflow_run(folder: Path) -> Any:
    """MLflow's client at the store beside the run folder, and the only run there."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient((folder.parent / "mlruns").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("dermssl").experiment_id])
    return client, run


def wandb_records(folder: Path) -> list[Any]:
    """The records of every attempt that W&B has written, offline, one attempt after the other."""
    files = sorted(folder.glob("wandb/offline-run-*/*.wandb"))
    while not all(records_in(file)[-1].HasField("exit") for file in files):  # another process of it still writes
        time.sleep(0.05)
    return [record for file in files for record in records_in(file)]


def records_in(file: Path) -> list[Any]:
    """Those of one attempt as far as written: behind the file's own head lie blocks as LevelDB's log has them."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole, records = file.read_bytes(), 7, b"", [Record()]
    while at + 7 <= len(data):
        if 2**15 - at % 2**15 < 7:
            at += 2**15 - at % 2**15
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4) and at <= len(data):  # a whole record, or the last part of one
            records.append(Record.FromString(whole))
            whole = b""
    return records


def wandb_rows(folder: Path) -> Iterator[dict[str, str]]:
    """The logged numbers, as JSON."""
    for record in wandb_records(folder):
        if record.WhichOneof("record_type") == "history":
            yield {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", pytest.param("wandb", marks=pytest.mark.slow)])
def test_a_logger_has_the_rows_of_metrics_csv(name: str, folder: Path) -> None:
    attempt(folder, range(3), names=(name,))
    metrics = pd.read_csv(folder / "metrics.csv")
    epochs, losses = zip(*losses_in(name, folder), strict=True)
    assert epochs == tuple(metrics["epoch"])
    assert losses == pytest.approx(tuple(metrics["loss"]))


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_goes_on_in_the_same_logger_run_and_no_epoch_stands_there_twice(name: str, folder: Path) -> None:
    attempt(folder, range(3), names=(name,))
    attempt(folder, range(2, 5), names=(name,))
    assert [epoch for epoch, _ in losses_in(name, folder)] == [0, 1, 2, 3, 4]
    if name == "wandb":
        runs = {record.run.run_id for record in wandb_records(folder) if record.HasField("run")}
        assert runs == {folder.name}


def test_tensorboard_shows_an_epoch_that_is_trained_anew_as_it_became(folder: Path) -> None:
    attempt(folder, range(3), names=("tensorboard",))
    attempt(folder, range(1, 3), names=("tensorboard",), loss=8.0)
    assert losses_in("tensorboard", folder) == [(0, 0.5), (1, 4.0), (2, pytest.approx(8 / 3))]


@pytest.mark.parametrize("name", NAMES)
def test_a_logger_that_comes_later_gets_the_rows_that_it_missed(name: str, folder: Path) -> None:
    attempt(folder, range(2), names=())
    attempt(folder, range(2, 3), names=(name,))
    assert [epoch for epoch, _ in losses_in(name, folder)] == [0, 1, 2]


def test_tensorboard_has_options_and_figures(folder: Path) -> None:
    attempt(folder, range(1), names=("tensorboard",))
    events = events_of(folder)
    (image,) = events.Images("figures/views")
    pixels = cv2.imdecode(np.frombuffer(image.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    assert pixels[0, 0].tolist() == [10, 120, 250]
    assert "lr: 0.25" in events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()


def test_mlflow_has_options_and_figures_and_an_end(folder: Path) -> None:
    attempt(folder, range(1), names=("mlflow",))
    attempt(folder, range(1, 2), names=("mlflow",))
    client, run = mlflow_run(folder)
    assert (run.data.params["lr"], run.info.run_name, run.info.status) == ("0.25", folder.name, "FINISHED")
    assert [file.path for file in client.list_artifacts(run.info.run_id, "figures")] == ["figures/views.png"]


def test_wandb_has_options_and_figures_and_nothing_of_the_machine(folder: Path) -> None:
    attempt(folder, range(1), names=("wandb",))
    kinds = {record.WhichOneof("record_type") for record in wandb_records(folder)}
    options = {
        item.key for record in wandb_records(folder) for item in (*record.run.config.update, *record.config.update)
    }
    assert {"lr", "logger"} <= options
    assert any(key.startswith("figures/views") for row in wandb_rows(folder) for key in row)
    assert not kinds & {"environment", "stats", "output", "output_raw"}
    assert not [*folder.glob("wandb/*/files/requirements.txt"), *folder.glob("wandb/*/files/wandb-metadata.json")]


@pytest.mark.parametrize("moment", ["options", "row", "picture", "end"])
def test_a_logger_that_fails_is_said_once_and_the_others_go_on(
    moment: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr(KINDS["mlflow"], moment, fails)
    attempt(folder, range(3), names=("mlflow", "tensorboard"))
    sentence = "logger: mlflow fails (OSError: no route\\nto host); the run goes on without it"
    assert capsys.readouterr().out.splitlines() == [sentence]
    assert len(losses_in("tensorboard", folder)) == 3


def test_a_logger_that_cannot_be_opened_is_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    attempt(folder, range(2), names=("mlflow",))
    assert capsys.readouterr().out.count("logger: mlflow fails (MlflowException") == 1


def test_a_run_that_failed_is_closed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Loggers, "row", stopped)
    with pytest.raises(KeyboardInterrupt):
        attempt(folder, range(1), names=("mlflow",))
    assert mlflow_run(folder)[1].info.status == "FAILED"


def test_loggers_draw_from_nobody_elses_random_numbers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draws(self: LoggedRun, row: object, epoch: int) -> None:
        torch.rand(3), np.random.rand(3)  # noqa: NPY002

    monkeypatch.setattr(KINDS["tensorboard"], "row", draws)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    attempt(folder, range(2), names=("tensorboard",))
    assert torch.rand(1) == expected


def test_of_several_processes_the_first_alone_logs(folder: Path) -> None:
    loggers = Loggers(Options(folder.parent), Run(folder, first=False))
    loggers.begin(0)
    loggers.row({"epoch": 0, "loss": 1.0})
    loggers.end("success")
    assert list(folder.iterdir()) == []


def test_a_missing_package_is_refused_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = {"tensorboard": ModuleSpec("tensorboard", None, origin="there"), "wandb": ModuleSpec("wandb", None)}
    monkeypatch.setattr(logger_config, "find_spec", specs.get)
    with pytest.raises(UserError) as caught:
        need_loggers(("mlflow", "tensorboard", "wandb", "mlflow"))
    assert str(caught.value).splitlines() == [
        f"--logger {name}: the package {name} is not installed; type pip install 'dermssl[{name}]', or leave it out"
        for name in ("mlflow", "wandb")
    ]
