"""What every method must hold, on a dozen drawn images of 32 px and timm's smallest encoder."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import segmentation_models_pytorch as smp
import torch
from torch import Tensor

import pretrain.run
from dermssl import flags
from dermssl.data.manifest import read_manifest
from dermssl.errors import UserError
from dermssl.files import sha256_of
from dermssl.runs.seal import broken, hashes
from dermssl.splits.config import SplitConfig
from dermssl.splits.official import split_of
from dermssl.training.checkpoint import newest_whole, position
from dermssl.training.randomness import CountedRandomness
from dermssl.training.trainer import Progress
from dermssl.weights.encoder import start_from
from dermssl.weights.encoder_file import EncoderCard, read_encoder_file
from pretrain.config import PretrainConfig
from pretrain.known_methods import METHODS
from pretrain.recipes import SimCLRConfig
from pretrain.run import card_of_pretraining, run
from pretrain.views.batch import Batch

pytestmark = pytest.mark.usefixtures("checkpoints_stay")

ENCODER, EPOCHS, STEPS = "tu-test_efficientnet", 3, 3
SMALL = {
    "encoder": ENCODER, "init": "random", "image_size": 32, "cache_size": 40, "epochs": EPOCHS, "batch_size": 4,
    "precision": "32-true", "threads": 1, "warmup": 0.0,
}  # fmt: skip
KILLS = 2  # of each method
# What a run does before and after the steps of its method hangs on no method; the decoder's file holds more tensors.
TWO = ("simclr", "decoder")
two_methods = pytest.mark.parametrize("finished", TWO, indirect=True)
# Those with a queue, a slow copy, prototypes or a decoder are resumed by the fast tests; what the others keep is less.
KEEPS_MOST = ("simclr", "moco", "densecl", "dino", "swav", "decoder")
DEAR = {name: () if name in KEEPS_MOST else pytest.mark.slow for name in METHODS}
ROOT = Path(__file__).parents[2]
# Of those options that a method has of its own.
OWN = {
    "queue_size": 10, "queue_from": 1, "norm_groups": 2, "hidden_dim": 32, "projection_dim": 16, "prediction_dim": 8,
    "bottleneck_dim": 16, "map_dim": 16, "prototypes": 12, "frozen_epochs": 1, "places": 8, "matches": 2,
    "local_crops": 1, "local_size": 32, "decoder_grid": 4, "decoder_width": 32,
}  # fmt: skip
LARGER: dict[str, dict[str, object]] = {"spark": {"image_size": 64}}  # which hides a part of 2 x 2 patches

Draw = Callable[..., Path]


class Finished(NamedTuple):
    """A run that nothing interrupted, and the batches that it saw: a hash by step."""

    config: PretrainConfig
    file: Path
    batches: dict[int, str]


def options(method: str, place: Path, data: Path, **more: object) -> PretrainConfig:
    given = {"data": data, "out": place / "runs", "checkpoints": place / "checkpoints"}
    own = {name: value for name, value in OWN.items() if name in flags.option_names(METHODS[method])}
    return METHODS[method](**(SMALL | LARGER.get(method, {}) | own | given | more))


@pytest.fixture(scope="module")
def photographs(draw_photographs: Draw, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photographs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def finish(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Finished]:
    """Does the run of a method, once for all tests that read it."""

    @cache
    def finished(method: str) -> Finished:
        config = options(method, tmp_path_factory.mktemp("finished"), photographs)
        with pytest.MonkeyPatch.context() as patch:
            batches = note_batches(patch)
            file = run(config)
        return Finished(config, file, batches)

    return finished


@pytest.fixture(params=METHODS)
def finished(request: pytest.FixtureRequest, finish: Callable[[str], Finished]) -> Finished:
    return finish(request.param)


def note_batches(patch: pytest.MonkeyPatch, stop_before: int | None = None) -> dict[int, str]:
    """Writes down every batch of the coming training; Ctrl-C comes before step `stop_before`."""
    seen: dict[int, str] = {}
    original = CountedRandomness.on_train_batch_start

    def noted(self: CountedRandomness, trainer: object, module: object, batch: Batch, batch_idx: int) -> None:
        if trainer.global_step == stop_before:
            raise KeyboardInterrupt
        shown = b"".join(part.numpy().tobytes() for part in batch)
        seen[trainer.global_step] = hashlib.sha256(shown).hexdigest()
        original(self, trainer, module, batch, batch_idx)

    patch.setattr(CountedRandomness, "on_train_batch_start", noted)
    return seen


def stop(config: PretrainConfig, step: int) -> Path:
    """Begins the run and has it interrupted before that step; returns its folder."""
    with pytest.MonkeyPatch.context() as patch:
        note_batches(patch, stop_before=step)
        with pytest.raises(KeyboardInterrupt):
            run(config)
    [folder] = config.out.iterdir()
    return folder


def again(config: PretrainConfig, place: Path, **more: object) -> PretrainConfig:
    """The same run in another place."""
    moved = {"out": place / "runs", "checkpoints": place / "checkpoints"}
    return type(config)(**(vars(config) | moved | more))


def everything_trained(folder: Path) -> dict[str, Tensor]:
    """Encoder file, heads, queue, optimiser and schedule at the end of a run."""
    state = torch.load(newest_whole(folder / "checkpoints"), weights_only=True)
    optimiser = {
        f"optimiser {index} {name}": torch.as_tensor(value)
        for index, values in state["optimizer_states"][0]["state"].items()
        for name, value in values.items()
        if value is not None
    }
    rates = {"rate": torch.tensor([group["lr"] for group in state["optimizer_states"][0]["param_groups"]])}
    _, encoder = read_encoder_file(folder / "encoder.safetensors")
    return {f"file {name}": tensor for name, tensor in encoder.items()} | state["state_dict"] | optimiser | rates


def assert_same_end(folder: Path, other: Path) -> None:
    ours, theirs = everything_trained(folder), everything_trained(other)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_the_encoder_learned_and_the_loss_stayed_finite(finished: Finished) -> None:
    metrics = pd.read_csv(finished.file.parent / "metrics.csv")
    assert metrics["epoch"].tolist() == list(range(EPOCHS))
    assert np.isfinite(metrics[["loss", "spread", "lr", "images_per_second"]]).all().all()
    assert (metrics["spread"] > 0.01).all()
    before = start_from("random", ENCODER, seed=0).encoder.state_dict()
    _, after = read_encoder_file(finished.file)
    assert [name for name in before if name.endswith("weight") and torch.equal(before[name], after[name])] == []


def test_no_batch_is_seen_twice(finished: Finished) -> None:
    assert list(finished.batches) == list(range(EPOCHS * STEPS))
    assert len(set(finished.batches.values())) == EPOCHS * STEPS


def test_the_card_says_what_was_done(finished: Finished) -> None:
    card, _ = read_encoder_file(finished.file)
    known = (card.encoder, card.method, card.image_size, card.epochs, card.images_seen, card.parent)
    assert known == (ENCODER, finished.config.method, finished.config.image_size, EPOCHS, EPOCHS * STEPS * 4, "random")
    assert card.data["count"] == 12
    assert card.data["manifest"] == read_manifest(finished.config.data).hash
    assert card.config == flags.plain_options(finished.config)
    start = start_from("random", ENCODER, seed=0)
    assert (tuple(card.mean), tuple(card.std)) == (start.card.mean, start.card.std)


def test_the_encoder_loads_strictly_into_a_decoder(finished: Finished) -> None:
    _, tensors = read_encoder_file(finished.file)
    encoder = smp.Unet(ENCODER, encoder_weights=None).encoder
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith("decoder.")}
    assert (len(own) < len(tensors)) == bool(finished.config.decoder)
    encoder.load_state_dict(own, strict=True)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in encoder.state_dict().items())


def test_the_encoder_is_published_where_init_ssl_looks(finished: Finished) -> None:
    copy = finished.config.checkpoints / finished.config.method / "encoder.safetensors"
    assert copy.read_bytes() == finished.file.read_bytes()
    card, _ = read_encoder_file(finished.file)
    assert start_from("ssl", ENCODER, 0, finished.config.checkpoints).sha256 == card.sha256


@two_methods
def test_two_checkpoints_are_kept(finished: Finished) -> None:
    kept = {path.name for path in (finished.file.parent / "checkpoints").iterdir()}
    assert kept == {f"step-{(EPOCHS - 1) * STEPS}", f"step-{EPOCHS * STEPS}"}


def test_the_written_config_gives_the_same_config_back(finished: Finished) -> None:
    argv = ["--config", str(finished.file.parent / "config.yaml")]
    assert flags.parse_choice(METHODS, "method", "pretrain", argv) == finished.config


@two_methods
def test_a_run_that_stands_is_refused_or_returned(finished: Finished) -> None:
    written = {path: path.stat().st_mtime_ns for path in finished.file.parent.rglob("*") if path.name != ".lock"}
    with pytest.raises(UserError, match="a run with these very options is there already, its results are there"):
        run(finished.config)
    assert run(finished.config, standing_is_fine=True) == finished.file
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_finished_run_is_sealed_and_tells_its_costs(finished: Finished) -> None:
    folder = finished.file.parent
    assert broken(folder) == []
    assert {"encoder.safetensors", "metrics.csv", "config.yaml"} < set(hashes(folder))
    result, rows = json.loads((folder / "result.json").read_text()), pd.read_csv(folder / "metrics.csv")
    assert result["seconds"] > rows["seconds"].sum() > 0
    assert result["images_per_second"] == pytest.approx(rows["images_per_second"].median())
    assert result["memory_mb"] > 100
    assert result["host"]


def test_a_resumed_run_counts_the_seconds_of_every_attempt(photographs: Path, tmp_path: Path) -> None:
    config = options("simclr", tmp_path, photographs)
    folder = stop(config, STEPS + 1)
    state = newest_whole(folder / "checkpoints")
    content = torch.load(state, weights_only=True)
    assert content["callbacks"]["Spending"]["seconds"] > 0
    content["callbacks"]["Spending"]["seconds"] += 1000.0  # as if the first attempt had taken so long
    torch.save(content, state)
    kept = json.loads((state.parent / "manifest.json").read_text())
    kept["files"][state.name] = {"size": state.stat().st_size, "sha256": sha256_of(state)}
    (state.parent / "manifest.json").write_text(json.dumps(kept))
    run(config, standing_is_fine=True)
    assert 1000 < json.loads((folder / "result.json").read_text())["seconds"] < 1600


@pytest.mark.parametrize(
    ("finished", "every", "left"),
    [
        *(pytest.param(name, 0, STEPS, id=f"{name}-of epochs") for name in TWO),
        *(pytest.param(name, 2, STEPS + 1, id=f"{name}-inside an epoch", marks=DEAR[name]) for name in METHODS),
    ],
    indirect=["finished"],
)
def test_resumed_training_equals_unbroken_training(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, left: int
) -> None:
    """To the bit, from the first step on: what was trained before the break was trained anew as well."""
    config = again(finished.config, tmp_path, save_every=every)
    folder = stop(config, step=STEPS + 2)  # in the middle of the second epoch
    batches = note_batches(monkeypatch)
    file = run(again(config, tmp_path, resume=folder))
    assert file.parent.name == finished.file.parent.name
    assert batches == {step: batch for step, batch in finished.batches.items() if step >= left}
    assert_same_end(folder, finished.file.parent)
    metrics, unbroken = (pd.read_csv(path / "metrics.csv") for path in (folder, finished.file.parent))
    exact = ["epoch", "loss", "spread", "lr"]
    assert metrics[exact].equals(unbroken[exact])


@two_methods
def test_a_damaged_checkpoint_is_passed_over(finished: Finished, tmp_path: Path) -> None:
    config = again(finished.config, tmp_path)
    folder = stop(config, step=2 * STEPS + 1)
    state = folder / "checkpoints" / f"step-{2 * STEPS}" / "state.ckpt"
    damaged = bytearray(state.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    state.write_bytes(damaged)
    assert newest_whole(folder / "checkpoints").parent.name == f"step-{STEPS}"
    run(again(config, tmp_path, resume=folder))
    assert_same_end(folder, finished.file.parent)
    assert pd.read_csv(folder / "metrics.csv")["epoch"].tolist() == list(range(EPOCHS))


@two_methods
@pytest.mark.parametrize("chapter", ["write_encoder_file", "copy_to_checkpoints"])
def test_a_run_stopped_after_training_ends_as_if_it_had_not_been(
    finished: Finished, tmp_path: Path, chapter: str
) -> None:
    config = again(finished.config, tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain.run, chapter, killed)
        with pytest.raises(KeyboardInterrupt):
            run(config)
    [folder] = config.out.iterdir()
    assert run(config, standing_is_fine=True) == folder / "encoder.safetensors"
    assert_same_end(folder, finished.file.parent)
    assert pd.read_csv(folder / "metrics.csv")["epoch"].tolist() == list(range(EPOCHS))
    published = config.checkpoints / config.method / "encoder.safetensors"
    assert published.read_bytes() == (folder / "encoder.safetensors").read_bytes()


def test_a_queue_survives_a_resume(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = options("moco", tmp_path, photographs, epochs=2)
    folder = stop(config, step=STEPS + 1)
    state = torch.load(newest_whole(folder / "checkpoints"), weights_only=True)["state_dict"]
    found = {}

    def look(self: CountedRandomness, trainer: object, module: torch.nn.Module, *_: object) -> None:
        found.setdefault("keys", module.queue.keys.clone())
        found.setdefault("oldest", int(module.queue.oldest))

    monkeypatch.setattr(CountedRandomness, "on_train_batch_start", look)
    run(again(config, tmp_path, resume=folder))
    assert torch.equal(found["keys"], state["queue.keys"])
    assert found["oldest"] == STEPS * 4 % 10


def test_a_resumed_run_is_pulled_to_where_the_whole_one_began(photographs: Path, tmp_path: Path) -> None:
    config = options("simclr", tmp_path, photographs, epochs=2, l2_sp=50.0)
    free, whole = (run(again(config, tmp_path / name, l2_sp=pull)) for name, pull in (("free", 0.0), ("whole", 50.0)))
    folder = stop(config, step=STEPS + 1)
    assert_same_end(run(again(config, tmp_path, resume=folder)).parent, whole.parent)
    start = start_from(config.init, config.encoder, config.seed).encoder.state_dict()
    far, near = (sum(float((t - start[n]).square().sum()) for n, t in read_encoder_file(file)[1].items()
                     if "running" not in n and "num_batches" not in n) for file in (free, whole))  # fmt: skip
    assert near < far


def test_a_resumed_run_keeps_the_precision_that_was_timed(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = options("simclr", tmp_path, photographs, epochs=2, precision="auto")
    monkeypatch.setattr(pretrain.run, "quickest", lambda *_: "bf16-mixed")
    folder = stop(config, step=STEPS + 1)
    monkeypatch.setattr(pretrain.run, "quickest", lambda *_: "32-true")
    run(again(config, tmp_path, resume=folder))
    manifest = json.loads((newest_whole(folder / "checkpoints").parent / "manifest.json").read_text())
    assert manifest["precision"] == "bf16-mixed"


def test_another_run_is_not_continued(photographs: Path, tmp_path: Path) -> None:
    folder = stop(options("simclr", tmp_path, photographs, epochs=2), step=STEPS + 1)
    with pytest.raises(UserError, match=r"holds another run .*epochs is 2 there and 3 here"):
        run(options("simclr", tmp_path, photographs, epochs=3, resume=folder))


def test_an_unfinished_run_says_how_to_go_on(photographs: Path, tmp_path: Path) -> None:
    config = options("simclr", tmp_path, photographs, epochs=2)
    folder = stop(config, step=STEPS + 1)
    with pytest.raises(UserError, match=f"unfinished; add --resume {folder} to continue it"):
        run(config)


def test_ctrl_c_is_heard_again_after_it_stopped_a_training(photographs: Path, tmp_path: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stop(options("simclr", tmp_path, photographs), step=1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_images_that_finetune_holds_out_are_left_out(draw_photographs: Draw, tmp_path: Path) -> None:
    data = draw_photographs(tmp_path / "labelled", masks=True)
    file = run(options("simclr", tmp_path, data, epochs=1, val_fraction=0.3))
    manifest = read_manifest(data)
    card, _ = read_encoder_file(file)
    assert card.data["count"] == 8  # of six lesions with two images each, two are left out
    assert card.data["manifest"] == manifest.take(sorted(split_of(manifest, SplitConfig(val_fraction=0.3)).train)).hash


def test_fewer_images_than_a_batch_are_refused_before_anything_is_written(photographs: Path, tmp_path: Path) -> None:
    config = options("simclr", tmp_path, photographs, batch_size=13)
    with pytest.raises(
        UserError, match="images to train on: 12, too few for a batch of 13; give more or --batch_size 6"
    ):
        run(config)
    assert list(tmp_path.iterdir()) == []


@two_methods
def test_an_encoder_file_is_continued_and_named_as_the_parent(finished: Finished, tmp_path: Path) -> None:
    card, _ = read_encoder_file(finished.file)
    config = again(finished.config, tmp_path, init=str(finished.file), epochs=1)
    continued, _ = read_encoder_file(run(config))
    assert continued.parent == card.sha256


def test_the_licence_of_the_images_stands_on_the_card(photographs: Path) -> None:
    manifest = read_manifest(photographs)
    manifest.table["licence"] = ["CC-0"] * 6 + ["CC-BY-NC"] * 6
    card = card_of_pretraining(SimCLRConfig(encoder=ENCODER), start_from("random", ENCODER, 0), manifest)
    assert isinstance(card, EncoderCard)
    assert card.data["licence"] == "CC-0, CC-BY-NC"


def test_a_mean_is_over_the_steps_that_an_epoch_had(tmp_path: Path) -> None:
    class Stub:
        """A trainer that stopped after two of an epoch's ten steps."""

        num_training_batches, current_epoch, global_step, max_epochs, estimated_stepping_batches = 10, 0, 2, 1, 10
        optimizers = (torch.optim.SGD([torch.zeros(1)], lr=0.1),)

    progress = Progress(tmp_path / "metrics.csv", batch_size=4, say=lambda _: None)
    progress.on_train_epoch_start(Stub(), None)
    for batch, loss in enumerate((1.0, 3.0)):
        progress.on_train_batch_start(Stub(), None, None, batch)
        progress.on_train_batch_end(Stub(), None, {"loss": torch.tensor(loss)}, None, batch)
    progress.on_train_epoch_end(Stub(), None)
    assert pd.read_csv(tmp_path / "metrics.csv")["loss"].tolist() == [2.0]


@pytest.mark.slow
@pytest.mark.parametrize("point", range(KILLS))
def test_a_run_killed_by_the_system_at_any_moment_resumes_bit_for_bit(
    finished: Finished, tmp_path: Path, point: int
) -> None:
    config = again(finished.config, tmp_path, save_every=1)  # most of its time goes into writing checkpoints
    folder = config.out / finished.file.parent.name
    process = started(config, tmp_path)
    while not (folder / "checkpoints").exists():
        assert process.poll() is None
        time.sleep(0.001)
    rng = np.random.default_rng([point, *finished.config.method.encode()])
    time.sleep(rng.uniform(0, 0.4))
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "result.json").exists()
    run(again(config, tmp_path, resume=folder))
    assert_same_end(folder, finished.file.parent)


# The third checkpoint is killed between its state and the manifest that would make it count.
KILLER = """
import os, signal, sys
import dermssl.training.checkpoint
from dermssl.flags import parse_choice
from pretrain.known_methods import METHODS
from pretrain.run import run
write, written = dermssl.training.checkpoint.write_json, []
def killing(*given):
    written.append(given)
    os.kill(os.getpid(), signal.SIGKILL) if len(written) == 3 else write(*given)
dermssl.training.checkpoint.write_json = killing
run(parse_choice(METHODS, "method", "test", ["--config", sys.argv[1]]))
"""


@pytest.mark.slow
def test_a_run_killed_while_it_writes_a_checkpoint_resumes_from_the_one_before(
    finished: Finished, tmp_path: Path
) -> None:
    config = again(finished.config, tmp_path, save_every=1)
    folder = config.out / finished.file.parent.name
    process = started(config, tmp_path, "-c", KILLER)
    assert process.wait() == -signal.SIGKILL
    assert position(newest_whole(folder / "checkpoints")) == 2
    assert [path for path in (folder / "checkpoints").iterdir() if path.name.startswith(".")]  # what it had begun
    run(again(config, tmp_path, resume=folder))
    assert_same_end(folder, finished.file.parent)


def started(config: PretrainConfig, place: Path, *program: str) -> subprocess.Popen[bytes]:
    """The command, or another program, in a process of its own."""
    written = place / "options.yaml"
    flags.write_options(config, written)
    words = [*(program or ("-m", "pretrain")), *(() if program else ("--config",)), str(written)]
    return subprocess.Popen([sys.executable, *words], env=os.environ | {"OMP_NUM_THREADS": "1"}, cwd=ROOT)


@pytest.mark.slow
def test_ctrl_c_ends_the_command_with_one_sentence(photographs: Path, tmp_path: Path) -> None:
    config = options("simclr", tmp_path, photographs, epochs=10_000)
    written = tmp_path / "options.yaml"
    flags.write_options(config, written)
    process = subprocess.Popen(
        [sys.executable, "-m", "pretrain", "--config", str(written)], stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in the background
    )  # fmt: skip
    while not list(config.out.glob("*/checkpoints/step-*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate()
    assert process.returncode == 130
    [folder] = config.out.iterdir()
    kept = "python -m pretrain: stopped by SIGINT; what was finished is kept"
    assert complaint.strip() == f"{kept}; go on with: python -m pretrain --resume {folder}"


CLOCK = {"seconds", "images_per_second", "data_wait_share"}


@pytest.mark.slow
def test_loggers_change_nothing_of_a_run(
    finish: Callable[[str], Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    done = finish("simclr")
    names = ("tensorboard", "wandb", "mlflow")
    folder = run(again(done.config, tmp_path, logger=names)).parent
    assert_same_end(done.file.parent, folder)
    ours, theirs = (pd.read_csv(place / "metrics.csv").drop(columns=CLOCK) for place in (done.file.parent, folder))
    assert ours.equals(theirs)
    assert done.file.parent.name == folder.name
    sent = json.loads((folder / ".loggers.json").read_text())
    assert {name: (state["epoch"], list(state["pictures"])) for name, state in sent.items()} == dict.fromkeys(
        names, (EPOCHS - 1, ["views.png"])
    )
    assert broken(folder) == []


def test_a_resumed_run_is_one_curve(finish: Callable[[str], Finished], tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = again(finish("simclr").config, tmp_path, logger=("tensorboard",))
    folder = stop(config, STEPS + 2)
    run(again(config, tmp_path, resume=folder))
    metrics, events = pd.read_csv(folder / "metrics.csv"), EventAccumulator(str(folder / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == set(metrics)
    for column in metrics:
        scalars = events.Scalars(column)
        assert [scalar.step for scalar in scalars] == list(range(EPOCHS))
        assert [scalar.value for scalar in scalars] == pytest.approx(metrics[column].tolist())
