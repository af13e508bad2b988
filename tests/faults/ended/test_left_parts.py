"""Parts of killed processes where a command writes: the next one removes them, and none of living ones or elsewhere."""

import itertools
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from faults.drawn_set import draw_set
from faults.tally import generator, tallied, trials

from dermssl.check.cleaned_copy import write_cleaned_copy
from dermssl.data.manifest import read_manifest
from dermssl.data.pixel_cache import cached_images
from dermssl.exchange import export_run
from dermssl.exchange.export_config import ExportConfig
from dermssl.parts import DAY, machine, sweep_parts_once
from dermssl.runs.folder import append_row
from dermssl.training.checkpoint import Checkpoints
from dermssl.weights.encoder import normalisation, random_state
from dermssl.weights.encoder_file import EncoderCard, write_encoder_file
from dermssl.weights.seen import SEEN_COLUMNS
from finetune.network.build import build_model
from finetune.network.model_file import ModelCard, write_model
from finetune.predict.config import PredictConfig
from finetune.predict.run import predict_masks

ENCODER = "tu-test_efficientnet"
NAMES = ("a_segmentation.png", "step-9-x1y2", "encoder.safetensors", "metrics.csv", "copy-ab c", "ü\udcff")
Writer = tuple[Path, Callable[[], object]]
"""The folder in which something writes, and what does."""


def saved(folder: Path, step: int) -> None:
    """A checkpoint, as a training writes it."""
    trainer = SimpleNamespace(global_step=step, save_checkpoint=lambda path, **_: torch.save({}, path))
    Checkpoints(folder, {}).save(trainer, step)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def writers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Writer]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("parts")
    data, (mean, std) = draw_set(root / "set"), normalisation(ENCODER)
    manifest = read_manifest(data, keep_in=root / "kept")
    model, encoder = root / "model.safetensors", root / "encoder.safetensors"
    card = ModelCard(encoder=ENCODER, decoder="fpn", image_size=32, mean=mean, std=std, init="random",
                     encoder_sha256="", data="", commit="")  # fmt: skip
    write_model(model, build_model(ENCODER, "fpn", {}), card)
    seen = pd.DataFrame([dict.fromkeys(SEEN_COLUMNS, "") | {"image_id": "a", "path": "a.jpg"}])
    write_encoder_file(encoder, random_state(ENCODER, 0), EncoderCard(encoder=ENCODER, method="simclr", mean=mean,
                                                                      std=std, image_size=32), seen)  # fmt: skip
    prediction = PredictConfig(model=model, images=data / "images", out=root / "masks", threads=1)

    def fresh(folder: Path) -> Path:
        return folder / f"{time.monotonic_ns()}"

    def exported() -> None:
        out = fresh(root / "out")
        export_run.run(ExportConfig(file=encoder, to="smp", out=out))
        out.unlink()

    pairs, steps, sizes = pd.DataFrame(columns=["image_a", "image_b"]), itertools.count(), itertools.count(8)
    return {
        "predict": (root / "masks", lambda: predict_masks(prediction)),
        "checkpoint": (root / "checkpoints", lambda: saved(root / "checkpoints", next(steps))),
        "metrics": (root / "run", lambda: append_row(root / "run" / "metrics.csv", {"epoch": time.monotonic_ns()})),
        "check --fix": (root / "copies", lambda: write_cleaned_copy(fresh(root / "copies"), manifest, pairs)),
        "export": (root / "out", exported),
        "cache": (data / ".dermssl", lambda: cached_images(manifest, next(sizes))),
    }


@contextmanager
def one_that_ended() -> Iterator[int]:
    """The number of a process that has ended and that its parent has not yet waited for, as in many containers."""
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        yield process.pid


def left(folder: Path, draw: np.random.Generator, ended: int) -> tuple[Path, bool]:
    """A part that is left in the folder, and whether nobody will finish it."""
    other, days = f"{draw.integers(2**32):08x}", float(draw.choice([0, 0.9, 1.1, 40]))
    owner = str(draw.choice(["gone", "ended", "living", "elsewhere", "nobody"]))
    process = {"gone": 2**22 + int(draw.integers(2**20)), "ended": ended, "living": os.getppid()}.get(owner, 7)
    name = f"{draw.integers(10**9)}{draw.choice(NAMES)}"
    prefix = {"elsewhere": f".part-{process}-{other}-", "nobody": ".part-"}.get(owner, f".part-{process}-{machine()}-")
    part = folder / f"{prefix}{name}"
    match draw.integers(3):
        case 0:
            part.write_bytes(draw.bytes(int(draw.integers(5000))))
        case 1:
            (part / "below").mkdir(parents=True)
            (part / "below" / "state.ckpt").write_text("half")
        case _:
            part.symlink_to(Path(__file__).parent)
    os.utime(part, (time.time() - days * DAY,) * 2, follow_symlinks=False)
    return part, owner in ("gone", "ended") or (owner != "living" and days > 1)


def test_the_next_command_sweeps_what_killed_ones_left(writers: Mapping[str, Writer]) -> None:
    draw, names = generator("left parts"), list(writers)
    with tallied("left parts") as tally, one_that_ended() as ended:
        for trial in range(trials(whole=240, sample=12)):
            name = names[trial % len(names)]
            folder, write = writers[name]
            folder.mkdir(exist_ok=True)
            parts = [left(folder, draw, ended) for _ in range(int(draw.integers(1, 6)))]
            sweep_parts_once.cache_clear()  # as in a new process
            write()
            wrong = [part.name for part, is_left in parts if os.path.lexists(part) == is_left]
            if wrong:
                tally.wrong.append(f"{name}: {wrong}")
            else:
                tally.right += 1
