"""A training in TensorBoard, Weights & Biases and MLflow, through Lightning's own loggers.

Their libraries are extras and are imported as a run is opened. They send what is logged and no news of their own: what
they report to their makers, of the machine and of its use is turned off where nobody has turned it on.
"""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from dermssl.runs.lock import lock_to_make
from dermssl.training.logger_config import LoggerName

PROJECT = "dermssl"
PATIENCE = 60  # seconds that a service may take to answer
SILENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
ANSWERS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}  # else minutes of a dead server


class Place(NamedTuple):
    """Where a training is logged."""

    folder: Path
    """Of the run."""
    out: Path
    """The folder of run folders."""
    id: str
    """What an earlier attempt was called by this logger; empty for the first one."""
    purged: int | None
    """The first epoch whose row an earlier attempt has logged and this one logs anew; None where there is none."""


class LoggedRun:
    """What every logger does with a training; an epoch is its step, as in metrics.csv.

    Args:
        logger: Lightning's.
        name: What a later attempt finds it by.
    """

    def __init__(self, logger: Logger, name: str = "") -> None:
        self.logger, self.id = logger, name

    def options(self, options: Mapping[str, Any]) -> None:
        """The resolved options."""
        self.logger.log_hyperparams(dict(options))

    def row(self, row: Mapping[str, float], epoch: int) -> None:
        """The scalars of an epoch, which are safe from a kill afterwards."""
        self.logger.log_metrics(dict(row), epoch)
        self.logger.save()

    def picture(self, file: Path, epoch: int) -> None:
        """A PNG file."""
        raise NotImplementedError

    def end(self, status: str) -> None:
        """Lets go of it; `status` is success or failed."""
        self.logger.finalize(status)


class TensorBoardRun(LoggedRun):
    """The folder `tensorboard` of the run; `tensorboard --logdir runs` shows all of them."""

    logger: TensorBoardLogger

    def __init__(self, place: Place) -> None:
        options: dict[str, Any] = {"purge_step": place.purged, "default_hp_metric": False}
        super().__init__(TensorBoardLogger(place.folder, "tensorboard", version="", **options))

    def options(self, options: Mapping[str, Any]) -> None:
        """As text, and in hparams.yaml."""
        super().options(options)
        lines = (f"    {key}: {value}" for key, value in options.items())
        self.logger.experiment.add_text("config", "\n".join(lines), 0)

    def picture(self, file: Path, epoch: int) -> None:
        """Under its name."""
        pixels = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
        self.logger.experiment.add_image(f"figures/{file.stem}", pixels, epoch, dataformats="HWC")
        self.logger.save()

    def end(self, status: str) -> None:
        """Writes what is left, whatever became of the training."""
        self.logger.experiment.close()


class WandbRun(LoggedRun):
    """A run of Weights & Biases under the name of the run folder; WANDB_MODE and its like are obeyed.

    A second attempt has the same id, so the service goes on with the run.
    """

    logger: WandbLogger

    def __init__(self, place: Place) -> None:
        import wandb

        settings = wandb.Settings(
            silent=True, show_warnings=False, console="off", disable_git=True, disable_code=True, save_code=False,
            x_disable_meta=True, x_disable_stats=True, x_disable_machine_info=True, x_save_requirements=False,
            init_timeout=PATIENCE, login_timeout=PATIENCE, finish_timeout=PATIENCE,
        )  # fmt: skip
        name, project = place.id or place.folder.name, os.environ.get("WANDB_PROJECT", PROJECT)
        begun = wandb.init(project=project, id=name, name=place.folder.name, dir=place.folder, resume="allow",
                           reinit="create_new", settings=settings)  # fmt: skip
        begun.define_metric("*", step_metric="trainer/global_step", step_sync=True)  # as Lightning names the step
        super().__init__(WandbLogger(experiment=begun), name)

    def picture(self, file: Path, epoch: int) -> None:
        """Under its name."""
        self.logger.log_image(f"figures/{file.stem}", [str(file)], epoch)

    def end(self, status: str) -> None:
        """Sends what is left; the next training of this process is another run."""
        self.logger.experiment.finish(exit_code=int(status != "success"))


class MLFlowRun(LoggedRun):
    """A run of MLflow at MLFLOW_TRACKING_URI, else in the folder `mlruns` beside the run folders."""

    logger: MLFlowLogger

    def __init__(self, place: Place) -> None:
        logging.getLogger("pytorch_lightning.loggers.mlflow").setLevel(logging.ERROR)  # tells of a new experiment
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        store = (place.out / "mlruns").absolute()
        if not uri:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        logger = MLFlowLogger(PROJECT, place.folder.name, uri or store.as_uri(), run_id=place.id or None)
        try:
            with lock_to_make(store):  # of two runs that begin at once both would make the experiment
                super().__init__(logger, str(logger.run_id))
        finally:  # the library tells it to the processes to come, which would take it for the user's word
            if not uri:
                os.environ.pop("MLFLOW_TRACKING_URI", None)

    def picture(self, file: Path, epoch: int) -> None:
        """Among the run's artifacts."""
        self.logger.experiment.log_artifact(self.id, str(file), "figures")


KINDS: Mapping[LoggerName, Callable[[Place], LoggedRun]] = {
    "tensorboard": TensorBoardRun, "wandb": WandbRun, "mlflow": MLFlowRun,
}  # fmt: skip


def opened_run(name: LoggerName, place: Place) -> LoggedRun:
    """The run in that logger, begun or gone on with."""
    for variable, value in (SILENT | ANSWERS).items():
        os.environ.setdefault(variable, value)
    return KINDS[name](place)
