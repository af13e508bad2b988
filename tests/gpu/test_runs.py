"""Whole commands on the GPU: resumed after a kill, their precision, their energy, too little memory, two of a study."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningModule
from small_study import plan_of, small_study
from torch import Tensor, nn
from torch.utils.data import DataLoader

from compare.run import run as compare
from dermssl import flags
from dermssl.errors import UserError
from dermssl.runs.energy import Meter
from dermssl.training.checkpoint import newest_whole, position
from dermssl.training.randomness import CountedRandomness
from dermssl.training.trainer import fit
from pretrain.config import PretrainConfig
from pretrain.known_methods import recipe_of
from pretrain.run import run

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("checkpoints_stay"), pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
ON_A_GPU = 1e-3  # of a tensor's length, or of 1 where it is shorter: kernels of a GPU add in another order each time
OPTIONS: dict[str, object] = {
    "encoder": "tu-test_efficientnet", "init": "random", "image_size": 64, "cache_size": 72, "epochs": 3,
    "batch_size": 4, "precision": "32-true", "threads": 1, "warmup": 0.0, "save_every": 2, "look_every": 0,
    "queue_size": 8, "queue_from": 1, "norm_groups": 2, "hidden_dim": 32, "projection_dim": 16, "prediction_dim": 8,
    "bottleneck_dim": 16, "prototypes": 12, "frozen_epochs": 1, "local_crops": 1, "local_size": 32,
}  # fmt: skip
KILLED = 5  # the step before which it dies, in the middle of the second epoch of three steps
KILLER = f"""
import os, signal, sys
from dermssl.flags import parse_choice
from dermssl.training.randomness import CountedRandomness
from pretrain.known_methods import METHODS
from pretrain.run import run
begin = CountedRandomness.on_train_batch_start
def killing(self, trainer, *rest):
    os.kill(os.getpid(), signal.SIGKILL) if trainer.global_step == {KILLED} else begin(self, trainer, *rest)
CountedRandomness.on_train_batch_start = killing
run(parse_choice(METHODS, "method", "test", ["--config", sys.argv[1]]))
"""
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def photographs(draw_photographs: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photographs(tmp_path_factory.mktemp("photographs"), masks=True)


def options(method: str, data: Path, place: Path, **more: object) -> PretrainConfig:
    """A small run of a method."""
    recipe = recipe_of(method)
    own = {name: value for name, value in (OPTIONS | more).items() if name in flags.option_names(recipe)}
    return recipe(data=data, out=place / "runs", checkpoints=place / "checkpoints", **own)  # type: ignore[arg-type]


def state_of(folder: Path) -> dict[str, Tensor]:
    """All tensors at the end of a run, queues, slow copies and counters among them."""
    state: dict[str, Tensor] = torch.load(newest_whole(folder / "checkpoints"), "cpu", weights_only=True)["state_dict"]
    return state


@pytest.mark.slow
@pytest.mark.parametrize("method", ["moco", "densecl", "byol", "dino", "swav"])
def test_a_run_that_was_killed_and_resumed_ends_as_an_unbroken_one(
    method: str, photographs: Path, tmp_path: Path, device: torch.device, record_property: Record
) -> None:
    unbroken = options(method, photographs, tmp_path / "unbroken")
    broken = replace(unbroken, out=tmp_path / "broken" / "runs", checkpoints=tmp_path / "broken" / "checkpoints")
    expected = state_of(run(unbroken).parent)
    if method == "densecl":  # with queue, slow copy and counters; the system kills one, the others are told to end
        killed_by_the_system(broken, tmp_path)
    else:
        interrupted(broken)
    [folder] = broken.out.iterdir()
    assert position(newest_whole(folder / "checkpoints")) < KILLED
    resumed = state_of(run(replace(broken, resume=folder)).parent)
    assert resumed.keys() == expected.keys()
    counters = [name for name, tensor in expected.items() if not tensor.is_floating_point()]
    assert all(torch.equal(expected[name], resumed[name]) for name in counters)
    apart = max(difference(resumed[name], expected[name]) for name in expected.keys() - set(counters))
    record_property("difference of a tensor, of its length (1e-3 is allowed)", apart)
    assert apart <= (ON_A_GPU if device.type == "cuda" else 0.0)


def difference(one: Tensor, other: Tensor) -> float:
    """The length of the difference, of the other's length or of 1."""
    return float((one.double() - other.double()).norm() / max(1.0, float(other.double().norm())))


def killed_by_the_system(config: PretrainConfig, place: Path) -> None:
    """Begins the run in another process, which is killed in the middle of an epoch."""
    file = place / "config.yaml"
    flags.write_options(config, file)
    words = [sys.executable, "-c", KILLER, str(file)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def interrupted(config: PretrainConfig) -> None:
    """Begins the run, which Ctrl-C ends in the middle of an epoch."""
    begin = CountedRandomness.on_train_batch_start

    def ending(self: CountedRandomness, trainer: object, *rest: object) -> None:
        if trainer.global_step == KILLED:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        begin(self, trainer, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CountedRandomness, "on_train_batch_start", ending)
        with pytest.raises(KeyboardInterrupt):
            run(config)


def test_precision_auto_is_bf16_on_a_gpu_and_energy_is_counted(
    photographs: Path, tmp_path: Path, device: torch.device
) -> None:
    folder = run(options("simclr", photographs, tmp_path, precision="auto", epochs=2)).parent
    log = (folder / "log.txt").read_text(encoding="utf-8")
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    if device.type == "cpu":
        assert "precision bf16-mixed" in log or "precision 32-true" in log
        assert ("energy_wh" in result) == bool(Meter().devices)
        return
    assert "precision bf16-mixed" in log
    assert "on cuda" in log
    assert result["gpu_memory_mb"] > 0
    assert "GPU 0" in result["energy_of"]
    assert result["energy_wh"] >= 0


def test_the_energy_of_a_second_of_work_is_that_of_a_device(device: torch.device, record_property: Record) -> None:
    if device.type == "cpu":
        pytest.skip("there is no GPU whose energy could be counted")
    meter = Meter()
    assert "GPU 0" in meter.devices
    numbers = torch.randn(4096, 4096, device=device)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    while True:
        for _ in range(50):
            numbers = (numbers @ numbers).clamp(-1, 1)
        end.record()
        end.synchronize()
        if start.elapsed_time(end) > 1000:  # milliseconds
            break
    watt_hours = meter.look()
    watts = (watt_hours or 0.0) * 3.6e6 / start.elapsed_time(end)
    record_property("power while it multiplied matrices, W", watts)
    assert 20 < watts < 2000


class TooLarge(nn.Module):
    """Asks for a million gigabytes."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.empty(2**50, dtype=torch.uint8, device=images.device).sum() + images.float().mean()


def test_too_little_memory_is_told_in_a_sentence_and_less_can_be_trained_afterwards(
    photographs: Path, tmp_path: Path, device: torch.device
) -> None:
    class Training(LightningModule):
        """A network that no memory holds."""

        def __init__(self) -> None:
            super().__init__()
            self.network, self.weight = TooLarge(), nn.Parameter(torch.zeros(1))

        def training_step(self, batch: Tensor, batch_idx: int) -> dict[str, Tensor]:
            return {"loss": self.network(batch) * self.weight.sum()}

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    whose = "the GPU's does not hold this; lower --batch_size" if device.type == "cuda" else "out of memory"
    loader: DataLoader[object] = DataLoader([torch.zeros(2, 3)], batch_size=None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=whose):
        fit(Training(), loader, steps=1, precision="32-true", callbacks=[], resume=None)
    assert run(options("simclr", photographs, tmp_path, epochs=1)).is_file()


def test_a_batch_that_a_gpu_does_not_hold_names_what_to_lower(
    photographs: Path, tmp_path: Path, device: torch.device
) -> None:
    if device.type == "cpu":
        pytest.skip("a GPU's memory can be limited within a process, and a CPU's cannot")
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(device) + 2**25) / total)
    try:
        with pytest.raises(UserError, match="out of memory: the GPU's does not hold this; lower --batch_size"):
            run(options("simclr", photographs, tmp_path, batch_size=12, image_size=512, cache_size=512))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.slow
def test_two_runs_of_a_study_share_a_gpu(
    photographs: Path, tmp_path: Path, device: torch.device, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = 0 if device.type == "cuda" else 2
    study = small_study(tmp_path, photographs, jobs=jobs, per_gpu=2)
    compare(study)
    assert "runs side by side: 2" in capsys.readouterr().out
    plan = plan_of(study)
    assert set(plan["state"]) == {"done"}
    folders = [Path(folder) for folder in plan["folder"]]
    results = [json.loads((folder / "result.json").read_text(encoding="utf-8")) for folder in folders]
    assert len(results) >= 2
    assert all(("gpu_memory_mb" in result) == (device.type == "cuda") for result in results)
    workers = {log.read_text(encoding="utf-8").partition("in process ")[2].split()[0] for log in logs_of(study.folder)}
    assert len(workers) == 2


def logs_of(folder: Path) -> list[Path]:
    """What each run of a study printed."""
    return sorted((folder / "logs").glob("*.txt"))
