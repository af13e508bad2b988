"""Commands that are started at once: one does the work and the others say so, or all end alike, and all is whole."""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from faults.drawn_set import draw_set
from faults.tally import Tally, tallied, trials
from safetensors.torch import load_file
from small_study import Here, small_study

import compare.page.report
import compare.run
import finetune.run
import finetune.training.loop
import pretrain.run
import probe.run
from dermssl.check import run as check
from dermssl.check.config import CheckConfig
from dermssl.errors import UserError
from dermssl.exchange import export_run, import_run
from dermssl.exchange.export_config import ExportConfig
from dermssl.exchange.import_config import ImportConfig
from dermssl.synthetic import run as synthetic
from dermssl.synthetic.config import SynthesizeConfig
from dermssl.weights.encoder import normalisation, random_state
from dermssl.weights.encoder_file import EncoderCard, write_encoder_file
from finetune.options.config import FinetuneConfig
from finetune.predict.config import PredictConfig
from finetune.predict.run import predict_masks
from pretrain.recipes import SimCLRConfig
from probe.config import ProbeConfig

STARTS = 20
TINY = {"encoder": "tu-test_efficientnet", "init": "random", "image_size": 32, "cache_size": 40, "threads": 1}


def child(work: Callable[[], object], said: Path, gate: int) -> int:
    """A process that waits for the gate to be closed, does the work, and leaves its sentence."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        with said.open("w") as stream:
            os.dup2(stream.fileno(), 1)
        os.read(gate, 1)
        work()
        code = 0
    except UserError as error:
        said.write_text(str(error))
        code = 2
    except BaseException as error:
        said.write_text(f"Traceback {error!r}")
    finally:
        sys.stdout.flush()
        os._exit(code)


def started_together(count: int, work: Callable[[], object], place: Path, tally: Tally, *words: str) -> list[int]:
    """Starts the work `count` times at once; counts who won and who said why not."""
    gate, closing = os.pipe()
    place.mkdir(parents=True)
    logs = [place / f"{number}.txt" for number in range(count)]
    processes = [child(work, log, gate) for log in logs]
    os.write(closing, b"x" * count)
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    for code, log in zip(codes, logs, strict=True):
        if code == 0:
            tally.right += 1
        else:
            tally.told(log.read_text(), *words)
    os.close(gate)
    os.close(closing)
    return codes


@pytest.mark.slow  # forks beside the threads of other tests
def test_double_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "cache"))
    draw_set(tmp_path / "set")
    starts = trials(whole=STARTS, sample=4)
    config = SimCLRConfig(**TINY, data=tmp_path / "set", out=tmp_path / "runs", checkpoints=None, epochs=1,
                          batch_size=4, precision="32-true", warmup=0.0, hidden_dim=16, projection_dim=8)  # fmt: skip
    with tallied("concurrency") as tally:
        codes = started_together(
            starts, lambda: pretrain.run.run(config), tmp_path / "alone", tally, "runs/simclr-random-"
        )
        assert codes.count(0) == 1, codes
        waiting = replace(config, out=tmp_path / "waited")
        codes = started_together(
            starts, lambda: pretrain.run.run(waiting, standing_is_fine=True), tmp_path / "together", tally
        )
        assert set(codes) == {0}, codes
        assert len(list((tmp_path / "waited").glob("*/result.json"))) == 1


ENCODER = str(TINY["encoder"])
Work = Callable[[Path], object]


def checked(data: Path, place: Path) -> None:
    """Checks and cleans; an error in the set is the command's own end."""
    with suppress(SystemExit):
        check.run(CheckConfig(data=data, out=place / "checked", fix=place / "fixed"))


def works(data: Path, model: Path, encoder: Path) -> Mapping[str, Work]:
    """Every command that writes, in a place of its own."""
    pretraining = SimCLRConfig(**TINY, data=data, checkpoints=None, epochs=1, batch_size=4, precision="32-true",
                               warmup=0.0, hidden_dim=16, projection_dim=8)  # fmt: skip
    finetuning = FinetuneConfig(**TINY, data=data, steps=3, batch_size=4, val_fraction=0.25)
    few = {name: value for name, value in TINY.items() if name != "cache_size"}
    probing = ProbeConfig(**few, data=data, k=3, dense_images=(4,), umap=False, sheets=False, explorer=False,
                          val_fraction=0.34, split_seed=2)  # fmt: skip
    return {
        "pretrain": lambda place: pretrain.run.run(replace(pretraining, out=place / "runs")),
        "finetune": lambda place: finetune.run.run(replace(finetuning, out=place / "runs")),
        "probe": lambda place: probe.run.run(replace(probing, out=place / "runs")),
        "predict": lambda place: predict_masks(
            PredictConfig(model=model, images=data / "images", out=place / "masks", threads=1)
        ),
        "compare run": lambda place: compare.run.run(small_study(place, data, seed=(0,))),
        "check --fix": lambda place: checked(data, place),
        "synthesize": lambda place: synthetic.run(SynthesizeConfig(out=place / "drawn", count=4)),
        "export": lambda place: export_run.run(ExportConfig(file=encoder, to="smp", out=place / "a.safetensors")),
        "import": lambda place: import_run.run(
            ImportConfig(file=encoder.with_name("theirs.safetensors"), encoder=ENCODER, out=place / "a.safetensors")
        ),
    }


def encoder_files(place: Path) -> Path:
    """One of ours, and beside it one with timm's names."""
    mean, std = normalisation(ENCODER)
    card = EncoderCard(encoder=ENCODER, method="simclr", mean=mean, std=std, image_size=32)
    state = random_state(ENCODER, 0)
    for name, prefix in (("ours", "model."), ("theirs", "")):
        tensors = {prefix + key.removeprefix("model."): tensor for key, tensor in state.items()}
        write_encoder_file(place / f"{name}.safetensors", tensors, card)
    return place / "ours.safetensors"


def pictures(place: Path) -> dict[str, bytes]:
    """What a command wrote beside weights, scores and masks: drawn or copied pictures."""
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*.png")) if path.is_file()}


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
    """Parts of processes, and checkpoints of finished runs."""
    return [str(path.relative_to(place)) for path in place.rglob("*") if path.name.startswith((".part-", "step-"))]


def found_in(place: Path) -> tuple[object, ...]:
    copies = {name: data for name, data in pictures(place).items() if name.startswith(("fixed/", "drawn/"))}
    return results(place), copies


def start_twice(name: str, work: Work, place: Path, whole: tuple[object, ...], tally: Tally) -> None:
    """Two at once; the one that does not do the work says why in a sentence, and nothing else comes of it."""
    trial = Tally("one")
    codes = started_together(2, lambda: work(place), place, trial)
    if 0 in codes and not trial.wrong and found_in(place) == whole and not left_over(place):
        tally.right += trial.right
        tally.refused += trial.refused
    else:
        differs = found_in(place) != whole
        tally.wrong.append(f"{name}: exit codes {codes}, {trial.wrong}, other results {differs}, {left_over(place)}")


@pytest.mark.slow  # forks beside the threads of other tests
def test_each_command_started_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(finetune.run, "draw_figures", lambda *_: None)
    monkeypatch.setattr(finetune.training.loop, "show_pictures", lambda *_: {})
    monkeypatch.setattr(compare.run, "executor_of", lambda *_: Here())
    monkeypatch.setattr(compare.page.report, "DRAWS", 50)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(1)))
    data, encoder = draw_set(tmp_path / "set"), encoder_files(tmp_path)
    every = works(data, tmp_path / "model", encoder)
    assert started_together(1, lambda: every["finetune"](tmp_path / "model"), tmp_path / "model", Tally("")) == [0]
    [run] = (tmp_path / "model" / "runs").iterdir()
    every = works(data, run, encoder)
    with tallied("double starts") as tally:
        for name, work in every.items():
            alone, first = tmp_path / f"{name} alone", Tally("")
            assert started_together(1, lambda work=work, alone=alone: work(alone), alone, first) == [0], first.wrong
            for trial in range(trials(whole=20, sample=1)):
                start_twice(name, work, tmp_path / f"{name} {trial}", found_in(alone), tally)
