"""Places that cannot be read or written: every command answers each of them in one line, before it works."""

import os
import runpy
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
import pytorch_lightning
from faults.tally import generator, tallied, trials

import finetune.predict.run
import finetune.run
import pretrain.run
import probe.run
from compare import run as study_of
from dermssl.check import run as check_of
from dermssl.errors import in_one_line
from dermssl.exchange import export_run, import_run
from dermssl.synthetic import dataset as synthetic
from dermssl.weights.encoder import normalisation, random_state
from dermssl.weights.encoder_file import EncoderCard, write_encoder_file

NOBODY = 65534
LONG = "n" * 300
SMALL = "--encoder resnet18 --init random --image_size 32 --batch_size 2 --threads 1"
WRITERS = {  # command -> the options that name what it writes
    f"pretrain --method simclr --data set --on_leak allow --precision 32-true {SMALL}": ("--out", "--checkpoints"),
    f"finetune --data set {SMALL}": ("--out",),
    "probe --data set --encoder resnet18 --init random --threads 1": ("--out",),
    "compare run --data set --unlabelled set": ("--out", "--runs"),
    "dermssl check set": ("--out", "--fix"),
    "dermssl synthesize --count 2": ("--out",),
    "dermssl download isic2018 --yes": ("--out",),
    "dermssl import encoder.safetensors --as resnet18": ("--out",),
    "dermssl export encoder.safetensors --to smp": ("--out",),
    "finetune.predict --model encoder.safetensors --images set --out masks": ("--submission",),
    "finetune.predict --model encoder.safetensors --images set": ("--out",),
    "finetune.ensemble --models encoder.safetensors --images set": ("--out",),
    "finetune.export --model encoder.safetensors": ("--out",),
    "finetune.preview --data set": ("--out",),
}
READERS = {  # command -> the options that name what it reads
    f"pretrain --method simclr --on_leak allow {SMALL}": ("--data",),
    f"pretrain --method simclr --data set {SMALL}": ("--protect", "--init", "--resume", "--config"),
    f"finetune {SMALL}": ("--data",),
    f"finetune --data set {SMALL}": ("--split", "--masks", "--augmentation", "--init", "--resume", "--config"),
    "finetune --data set --encoder resnet18 --init ssl": ("--checkpoints",),
    "probe --encoder resnet18": ("--data",),
    "probe --data set --init random --encoder resnet18": (
        "--init",
        "--resume",
        "--config",
        "--against",
        "--split",
        "--predictions",
    ),
    "compare run --unlabelled set": ("--data",),
    "compare run --data set": ("--unlabelled",),
    "compare plan --data set --unlabelled set": ("--config", "--pretrain", "--finetune", "--probe"),
    "dermssl check": ("--data",),
    "dermssl check set": ("--split", "--masks"),
    "dermssl import --encoder resnet18": ("--file",),
    "dermssl export --to smp": ("--file",),
    "finetune.predict --model encoder.safetensors --out masks": ("--images",),
    "finetune.predict --images set --out masks": ("--model",),
    "finetune.ensemble --images set --out masks": ("--models",),
    "finetune.export --out x.onnx": ("--model",),
    "finetune.preview": ("--data", "--augmentation"),
    "compare.publish": ("--root",),
    "probe.embed --init imagenet --out features.csv": ("--data", "--checkpoints"),
    "probe.embed --data set --out features.csv": ("--init",),
}
UNWRITABLE = (
    "/proc/x", "/proc/self/x", "/sys/x", "/dev/null", "/dev/null/x", "/dev/full", "/dev/zero/x/y", "/root/x",
    "file", "file/x", "file/x/y", "pipe", "pipe/x", "socket", "socket/x", "gone", "gone/x", "round", "round/x",
    "to_file", "to_file/x", "closed", "closed/x", "closed/x/y", "sealed", "sealed/x", "sealed/x/y",
    LONG, f"new/{LONG}", f"{LONG}/new", "ä" * 120, "\udcff", "new/\udcff\udcfe", "zero\0letter",
)  # fmt: skip
UNREADABLE = (
    "missing", "missing/x", "pipe", "pipe/x", "socket", "/dev/zero", "/dev/full", "/dev/null/x", "gone", "gone/x",
    "round", "round/x", "file/x", "secret", "sealed", "sealed/x", LONG, f"new/{LONG}", "\udcff", "zero\0letter",
    "/root/x", "/proc/self/mem", "--", " ",
)  # fmt: skip


@contextmanager
def somebody() -> Iterator[None]:
    """Acts as a user whom permissions hold for; the superuser may do everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, draw_isic: Callable[..., Path]) -> Iterator[Path]:
    """A working folder of that user, with one of each kind of place that is none."""

    def begin(*_: object, **__: object) -> NoReturn:
        raise AssertionError("the work has begun")

    for owner, name in (
        (pytorch_lightning.Trainer, "fit"), (pretrain.run, "open_run"), (finetune.run, "build_network"),
        (study_of, "schedule"), (check_of, "write_table"), (finetune.predict.run, "write_masks"),
        (synthetic, "write_drawing"), (probe.run, "measure_encoder"), (export_run, "write_tensor_file"),
        (import_run, "write_encoder_file"),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, begin)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        work = root / "work"
        draw_isic(work / "set", 6)
        mean, std = normalisation("resnet18")
        card = EncoderCard(encoder="resnet18", method="simclr", mean=mean, std=std)
        write_encoder_file(work / "encoder.safetensors", random_state("resnet18", 0), card)
        make_places(work)
        if os.geteuid() == 0:
            for path in (work, *work.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        monkeypatch.chdir(work)
        monkeypatch.setenv("DERMSSL_CACHE", str(work / "cache"))
        yield work
        for name in ("closed", "sealed"):
            (work / name).chmod(0o700)


def make_places(work: Path) -> None:
    """A file, a pipe, a socket, links, and what is closed."""
    (work / "file").write_text("text")
    os.mkfifo(work / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(work / "socket"))
    (work / "gone").symlink_to("not/there")
    (work / "round").symlink_to("round")
    (work / "to_file").symlink_to("file")
    (work / "secret").write_text("text")
    (work / "secret").chmod(0)
    (work / "closed").mkdir(mode=0o500)
    (work / "sealed").mkdir(mode=0)


def ending(words: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """Runs a command here; how it ends: its exit code, or the error that it let through."""
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.delitem(sys.modules, f"{words[0]}.__main__", raising=False)  # which another test may have imported
    sys.modules.pop(words[0], None) if words[0] == "finetune.ensemble" else None  # a module that is run twice
    try:
        with somebody():
            runpy.run_module(words[0], run_name="__main__")
    except SystemExit as stop:
        return stop.code
    except BaseException as error:
        return error
    return 0


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("kind", ["places to write", "places to read"])
def test_a_place_that_is_none_is_answered_in_one_line(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    commands, places = (WRITERS, UNWRITABLE) if kind == "places to write" else (READERS, UNREADABLE)
    cases = [(command, option, bad) for command, options in commands.items() for option in options for bad in places]
    cases = [case for case in cases if case[1:] != ("--against", " ")]  # which is a list of none
    order = generator(kind).permutation(len(cases))[: trials(len(cases), 20)]
    with tallied(kind) as tally:
        for index in order:
            command, option, bad = cases[index]
            end = ending([*command.split(), f"{option}={bad}"], monkeypatch)
            said = os.fsdecode(capsysbinary.readouterr().err)
            by_model = "encoder.safetensors: holds no segmentation network" in said  # told before the pictures
            shown = option if option in said else "" if by_model else in_one_line(bad.split("\0")[0][:20])
            if end == 2:
                tally.told(said, shown)
            else:
                tally.wrong.append(f"{command} {option} {bad[:20]!a}: {end!r} {said[-200:]}")
