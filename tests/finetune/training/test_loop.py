"""What a fine-tuning says of its training, on sixteen drawn images of 32 px and timm's smallest encoder."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dermssl.flags import parse
from dermssl.training.finite import NotFiniteError
from finetune.options.config import FinetuneConfig
from finetune.run import run
from finetune.training.loop import slower_options

Options = Callable[..., FinetuneConfig]


@pytest.fixture
def options(photographs: Path, tmp_path: Path, no_figures: None) -> Options:
    """A config with small defaults, writing below this test's own folder; figures are left out."""

    def made(**more: object) -> FinetuneConfig:
        small = {
            "encoder": "tu-test_efficientnet", "init": "random", "image_size": 32, "cache_size": 40, "steps": 7,
            "batch_size": 4, "val_fraction": 0.25, "threads": 1, "lr": 3e-3, "loss": "dice+bce", "data": photographs,
            "out": tmp_path / "runs", "checkpoints": tmp_path / "checkpoints",
        }  # fmt: skip
        return FinetuneConfig(**(small | more))  # type: ignore[arg-type]

    return made


def told(folder: Path) -> tuple[bool, str]:
    """Whether result.json has it diverged, and the log."""
    return bool(json.loads((folder / "result.json").read_text())["diverged"]), (folder / "log.txt").read_text()


def test_a_training_that_comes_to_no_number_stops_at_its_step(options: Options) -> None:
    with pytest.raises(NotFiniteError, match=r"^divergence: at step \d .*; start anew with --lr 0.0003; "):
        run(options(lr=1e30, warmup=0.0))


def test_a_training_that_blew_up_ends_with_a_score_and_a_sentence(options: Options) -> None:
    folder = run(options(lr=1e3, warmup=0.0, threshold_search=True))
    diverged, log = told(folder)
    assert diverged
    [sentence] = [line for line in log.splitlines() if line.startswith("divergence: ")]
    assert sentence.startswith("divergence: the loss was ")
    assert sentence.endswith("so do not trust what came of it; start anew with --lr 0.0003")
    assert "jaccard" in json.loads((folder / "result.json").read_text())


def test_what_it_says_to_type_helps(options: Options) -> None:
    config = options(lr=1e-3, encoder_lr=1e4)
    words = slower_options(config).split()
    assert words == ["--lr", "0.0001", "--encoder_lr", "0.0001"]
    assert parse(FinetuneConfig, "test", words).encoder_lr == 0.0001
    assert told(run(options(lr=1e-4, encoder_lr=1e-4)))[0] is False


def test_an_ordinary_training_says_its_steps_and_nothing_of_divergence(options: Options) -> None:
    diverged, log = told(run(options()))
    assert not diverged
    assert "divergence" not in log
    assert [line.partition("  ")[0] for line in log.splitlines() if line.startswith("step")] == [
        "step 3/7", "step 6/7", "step 7/7"
    ]  # fmt: skip


def test_one_epoch_is_not_said_to_be_one_of_two(options: Options) -> None:
    _, log = told(run(options(epochs=1, batch_size=5)))  # twelve images are two batches and a part of one
    assert [line.partition("  ")[0] for line in log.splitlines() if line.startswith(("step", "epoch"))] == [
        "step 2/3", "step 3/3"
    ]  # fmt: skip
