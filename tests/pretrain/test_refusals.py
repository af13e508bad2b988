"""What a user is told when a pretraining cannot begin, cannot go on, or goes on otherwise than it began."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import pretrain.pool
import pretrain.run
from dermssl.errors import UserError
from pretrain.config import PretrainConfig
from pretrain.known_methods import METHODS
from pretrain.methods.simclr import SimCLR
from pretrain.run import run

Configure = Callable[..., PretrainConfig]


@pytest.fixture
def configure(draw_photographs: Callable[..., Path], tmp_path: Path) -> Configure:
    data = draw_photographs(tmp_path / "photographs")

    def configured(method: str = "simclr", **more: object) -> PretrainConfig:
        small = {
            "data": data, "encoder": "tu-test_efficientnet", "init": "random", "image_size": 32, "cache_size": 40,
            "epochs": 2, "batch_size": 4, "precision": "32-true", "threads": 1, "out": tmp_path / "runs",
            "checkpoints": None, "look_every": 0,
        }  # fmt: skip
        return METHODS[method](**(small | more))  # type: ignore[operator]

    return configured


@pytest.mark.parametrize("method", ["moco", "densecl", "swav"])
def test_a_queue_that_outgrows_the_images_is_refused_with_one_that_fits(method: str, configure: Configure) -> None:
    groups = {} if method == "swav" else {"norm_groups": 2}
    with pytest.raises(
        UserError, match=r"--queue_size 16: .*has only 12 images.*itself in the queue; give --queue_size 12"
    ):
        run(configure(method, queue_size=16, **groups))


@pytest.mark.parametrize(("method", "size"), [("simclr", 5), ("moco", 4)])
def test_fewer_images_than_a_batch_are_answered_with_one_that_the_method_takes(
    method: str, size: int, configure: Configure
) -> None:
    own = {"norm_groups": 2, "queue_size": 12} if method == "moco" else {}
    with pytest.raises(UserError, match=f"raise --limit or --batch_size {size}$"):
        run(configure(method, batch_size=12, limit=10, **own))


def test_a_batch_that_processes_share_is_the_remedy_where_they_train(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrain.pool, "world", lambda: 4)
    assert pretrain.pool.largest_batch(configure(batch_size=16), 11) == 8
    assert pretrain.pool.largest_batch(configure(batch_size=16), 7) == 0


def test_the_next_command_looks_where_the_encoder_was_copied_to(configure: Configure, tmp_path: Path) -> None:
    file = run(configure(epochs=1, checkpoints=tmp_path / "my encoders"))
    assert (file.parent / "log.txt").read_text().splitlines()[-1] == (
        f"next:    python -m finetune --init ssl --checkpoints '{tmp_path / 'my encoders'}' "
        "--encoder tu-test_efficientnet"
    )


@pytest.mark.parametrize(("processes", "batch_size"), [(3, 4), (4, 4)])
def test_a_batch_that_the_processes_cannot_share_is_refused(
    processes: int, batch_size: int, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(batch_size=batch_size)
    for module in (pretrain.run, pretrain.pool):
        monkeypatch.setattr(module, "world", lambda: processes)
    monkeypatch.setattr(pretrain.run, "meet", lambda: None)
    with pytest.raises(UserError, match=f"--batch_size 4: cannot be shared equally by {processes} processes"):
        run(config)


def test_a_gpu_that_is_too_small_is_answered_with_the_options_to_lower(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has")

    monkeypatch.setattr(SimCLR, "training_step", full)
    said = "out of memory: the GPU's does not hold this; lower --batch_size, --image_size, --micro_batch, or "
    with pytest.raises(UserError, match=said):
        run(configure())


def test_a_resume_under_other_circumstances_says_that_bits_may_differ(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pretrain.run, "write_encoder_file", killed)
        with pytest.raises(KeyboardInterrupt):
            run(config)
    [folder] = config.out.iterdir()
    run(configure(threads=2, resume=folder))
    torch.set_num_threads(1)
    said = capsys.readouterr().out
    assert "resuming: after step 6; its last bits may differ from an unbroken run's: threads 1 then, 2 now" in said


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("simclr", {"micro_batch": 3}, "--micro_batch must divide --batch_size"),
        ("dino", {"local_size": 31}, "--local_size must be at least 32"),
        ("dino", {"local_crops": -1}, "--local_crops must not be negative"),
        ("decoder", {"places": 1}, "--places must be at least 2"),
        ("vicreg", {"covariance": -1.0}, "--covariance must not be negative"),
        ("densecl", {"dense_share": 1.5, "norm_groups": 2}, "--dense_share is a share"),
        ("distill", {"pooled_share": -0.1}, "--pooled_share is a share"),
        ("distill", {"teacher_size": 14}, "--teacher_size must be at least 32"),
        ("decon", {"encoder_share": 1.5, "norm_groups": 2}, "--encoder_share is a share"),
        ("decon", {"decoder_grid": 0, "norm_groups": 2}, "--decoder_grid must be above 0"),
        ("spark", {"mask_ratio": 1.0}, r"--mask_ratio is a share in \(0, 1\)"),
        ("spark", {"decoder_width": 31}, "--decoder_width must be at least 32"),
        ("vicregl", {"global_share": -0.1}, "--global_share is a share"),
        ("byol", {"momentum": 1.0}, r"--momentum is a share in \[0, 1\)"),
        ("swav", {"queue_size": 3}, "--queue_size must be 0 or hold a batch"),
        ("barlow_twins", {"redundancy": 0.0}, "--redundancy must be above 0"),
        ("simclr", {"solarise": 2.0}, "--solarise is a probability"),
        ("simclr", {"save_every": -1}, "--save_every must not be negative"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_its_name(
    method: str, options: dict[str, object], said: str, configure: Configure
) -> None:
    with pytest.raises(ValueError, match=said):
        configure(method, **options)


def test_a_training_that_blew_up_in_its_only_epoch_ends_with_a_sentence_and_is_recorded(configure: Configure) -> None:
    file = run(configure("vicreg", epochs=1, projection_dim=16, lr=1e4, warmup=0.0, on_collapse="warn"))
    assert json.loads((file.parent / "result.json").read_text())["diverged"] is True
    lines = (file.parent / "log.txt").read_text().splitlines()
    (sentence,) = [line for line in lines if line.startswith("divergence: the loss was ")]
    assert sentence.endswith("so do not trust what came of it; start anew with --lr 0.3")


@pytest.mark.parametrize("method", ["simclr", "vicreg"])
def test_an_ordinary_training_has_not_diverged(method: str, configure: Configure) -> None:
    file = run(configure(method, epochs=1, projection_dim=16))
    assert json.loads((file.parent / "result.json").read_text())["diverged"] is False
    assert "divergence" not in (file.parent / "log.txt").read_text()
