"""SIGKILL at seeded moments of each command: the same work is gone on with and ends as if it never had been killed."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from faults.drawn_set import draw_set
from faults.tally import generator, tallied, trials
from safetensors.torch import load_file

import finetune.run
import finetune.training.loop
from dermssl.flags import option_names
from finetune.options.config import FinetuneConfig
from finetune.predict.config import PredictConfig
from finetune.predict.run import predict_masks
from pretrain.recipes import METHODS
from pretrain.run import run as pretrain
from probe.config import ProbeConfig
from probe.run import run as probe

TINY = {"encoder": "tu-test_efficientnet", "init": "random", "image_size": 32, "cache_size": 40, "threads": 1}
OWN = {
    "queue_size": 10, "queue_from": 1, "norm_groups": 2, "hidden_dim": 32, "projection_dim": 16, "prediction_dim": 8,
    "bottleneck_dim": 16, "map_dim": 16, "prototypes": 12, "frozen_epochs": 1, "places": 8, "matches": 2,
    "local_crops": 1, "local_size": 32,
}  # fmt: skip
Work = Callable[[Path], object]


@dataclass(frozen=True)
class Command:
    """Work in a folder of its own, the same each time."""

    name: str
    do: Work


def commands(data: Path, model: Path) -> list[Command]:
    """Every method of pretraining, fine-tuning, prediction and a probe."""

    def pretraining(method: str) -> Work:
        recipe = METHODS[method]
        own = {name: value for name, value in OWN.items() if name in option_names(recipe)}
        small = TINY | own | {"epochs": 3, "batch_size": 4, "precision": "32-true", "warmup": 0.0, "save_every": 1}
        config = recipe(**small, data=data, checkpoints=None)
        return lambda place: pretrain(replace(config, out=place / "runs"), standing_is_fine=True)

    def finetuning(place: Path) -> object:
        config = FinetuneConfig(**TINY, data=data, steps=6, batch_size=4, val_fraction=0.25)
        return finetune.run.run(replace(config, out=place / "runs"), standing_is_fine=True)

    def prediction(place: Path) -> object:
        return predict_masks(PredictConfig(model=model, images=data / "images", out=place / "masks", batch_size=1,
                                           threads=1, overlay=True))  # fmt: skip

    def probing(place: Path) -> object:
        few = {name: value for name, value in TINY.items() if name != "cache_size"}
        config = ProbeConfig(**few, data=data, k=3, dense_images=(4,), umap=False, sheets=False, explorer=False,
                             val_fraction=0.34, split_seed=2)  # fmt: skip
        return probe(replace(config, out=place / "runs"), standing_is_fine=True)

    trainings = [Command(f"pretrain {method}", pretraining(method)) for method in METHODS]
    return [Command("predict", prediction), Command("finetune", finetuning), Command("probe", probing), *trainings]


def forked(work: Work, place: Path) -> int:
    """A process that does the work in `place`, with a cache of its own there: a fork has its libraries loaded."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        os.environ["DERMSSL_CACHE"] = str(place / "cache")
        place.mkdir(exist_ok=True)
        with (place / "said.txt").open("a") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        work(place)
        code = 0
    except BaseException as error:  # an exit here must not run what belongs to pytest
        print(repr(error), file=sys.stderr, flush=True)
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(process: int) -> int:
    """The exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def results(place: Path) -> dict[str, object]:
    """What the work has found: tensors, scores, masks."""
    found: dict[str, object] = {}
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        if path.suffix == ".safetensors":
            found[name] = {key: tensor.numpy().tobytes() for key, tensor in load_file(path).items()}
        elif path.name == "scores.parquet":
            found[name] = pd.read_parquet(path).to_csv()
        elif path.parent.name == "masks":
            found[name] = path.read_bytes()
    return found


def left_over(place: Path) -> list[str]:
    """Parts of killed processes, and checkpoints of finished runs."""
    return [str(path.relative_to(place)) for path in place.rglob("*") if path.name.startswith((".part-", "step-"))]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    root = draw_set(tmp_path_factory.mktemp("kill") / "set")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune.run, "draw_figures", lambda *_: None)
        patch.setattr(finetune.training.loop, "show_pictures", lambda *_: {})
        yield root


@pytest.mark.slow  # forks beside the threads of other tests
def test_kills_at_any_moment(data: Path, tmp_path: Path) -> None:
    draw, unbroken = generator("kill"), dict[str, tuple[dict[str, object], float]]()
    model = tmp_path / "model"
    [finetuning] = [one.do for one in commands(data, model) if one.name == "finetune"]
    assert ended(forked(finetuning, tmp_path / "trained")) == 0, (tmp_path / "trained" / "said.txt").read_text()
    (tmp_path / "trained" / "runs").rename(model.with_name("models"))
    [run] = model.with_name("models").iterdir()
    every = commands(data, run)
    with tallied("kill") as tally:
        for trial in range(trials(whole=100, sample=2)):
            command = every[trial % len(every)]
            if command.name not in unbroken:
                place, began = tmp_path / f"unbroken-{trial}", time.monotonic()
                assert ended(forked(command.do, place)) == 0, (place / "said.txt").read_text()
                unbroken[command.name] = results(place), time.monotonic() - began
            whole, seconds = unbroken[command.name]
            place, kills = tmp_path / f"killed-{trial}", int(draw.integers(1, 4))
            for _ in range(kills):
                process = forked(command.do, place)
                time.sleep(draw.uniform(0, seconds))
                os.kill(process, signal.SIGKILL)
                ended(process)
            code = ended(forked(command.do, place))
            if code == 0 and results(place) == whole and not left_over(place):
                tally.right += 1
            else:
                differing = [name for name in whole if results(place).get(name) != whole[name]]
                said = (place / "said.txt").read_text()[-300:]
                tally.wrong.append(
                    f"{command.name} killed {kills} times: exit code {code}, other {differing}, "
                    f"left over {left_over(place)}, {said}"
                )
            shutil.rmtree(place)
