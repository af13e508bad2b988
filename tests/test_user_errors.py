"""What users get when something is wrong: a sentence with culprit and remedy, before any training, and nothing left."""

import errno
import runpy
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import cv2
import huggingface_hub.constants
import numpy as np
import pytest
import pytorch_lightning

import finetune.training.loop
from compare import run as study_of
from compare.study.config import StudyConfig
from dermssl.errors import UserError
from dermssl.flags import parse, parse_choice
from dermssl.weights.encoder import normalisation, random_state
from dermssl.weights.encoder_file import EncoderCard, write_encoder_file
from finetune.options.config import FinetuneConfig
from finetune.predict.config import PredictConfig
from finetune.predict.run import predict_masks
from finetune.run import run as run_finetune
from pretrain.known_methods import METHODS
from pretrain.recipes import SimCLRConfig
from pretrain.run import run as pretrain

Draw = Callable[..., Path]
Files = Callable[[Path], dict[str, bytes]]
IMAGES, MASKS = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"


class TrainingReachedError(Exception):
    """Training would have begun."""


class Refused:
    """Runs both commands, and holds them to one sentence, to no training, and to leaving nothing behind."""

    def __init__(self, place: Path, files_in: Files) -> None:
        self.place, self.files_in = place, files_in

    def files(self) -> dict[str, bytes]:
        """Everything but what is kept of a data set to be quicker next time."""
        return {name: data for name, data in self.files_in(self.place.parent).items() if not name.startswith("cache/")}

    def __call__(self, run: Callable[[], object]) -> str:
        before = self.files()
        with pytest.raises(UserError) as caught:
            run()
        assert self.files() == before
        assert not [name for name in self.files_in(self.place.parent) if ".part-" in name]
        assert not list(self.place.glob("runs/*/*"))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def tuning(self, **options: object) -> str:
        small: dict[str, object] = {"init": "random", "encoder": "resnet18", "image_size": 64, "threads": 1}
        return self(lambda: run_finetune(FinetuneConfig(**(small | options))))  # type: ignore[arg-type]

    def pretraining(self, **options: object) -> str:
        small: dict[str, object] = {
            "init": "random", "encoder": "resnet18", "image_size": 32, "batch_size": 2, "threads": 1,
            "precision": "32-true", "on_leak": "allow",
        }  # fmt: skip
        return self(lambda: pretrain(SimCLRConfig(**(small | options))))  # type: ignore[arg-type]


@pytest.fixture
def refused(workplace: Path, files_in: Files, monkeypatch: pytest.MonkeyPatch) -> Refused:
    def fit(*_: object, **__: object) -> NoReturn:
        raise TrainingReachedError

    monkeypatch.setattr(pytorch_lightning.Trainer, "fit", fit)
    monkeypatch.setattr(finetune.training.loop, "show_pictures", lambda *_: {})  # drawn before it, for seconds
    return Refused(workplace, files_in)


@pytest.fixture
def isic(draw_isic: Draw, tmp_path: Path) -> Path:
    return draw_isic(tmp_path / "isic", 6)


def both(refused: Refused, data: Path) -> list[str]:
    return [refused.tuning(data=data), refused.pretraining(data=data)]


def full(after: int = 0) -> Callable[[Path], SimpleNamespace]:
    return lambda _: SimpleNamespace(free=after)


def encoder_file(path: Path, name: str) -> Path:
    mean, std = normalisation(name)
    write_encoder_file(path, random_state(name, 0), EncoderCard(encoder=name, method="simclr", mean=mean, std=std))
    return path


def test_what_is_right_would_be_trained(refused: Refused, isic: Path) -> None:
    with pytest.raises(TrainingReachedError):
        refused.tuning(data=isic)
    with pytest.raises(TrainingReachedError):
        refused.pretraining(data=isic)


def test_an_unknown_option_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match="test has no option --decodr; did you mean --decoder"):
        parse(FinetuneConfig, "test", ["--decodr", "fpn"])
    with pytest.raises(UserError, match="test --method simclr has no option --epoch; did you mean --epochs"):
        parse_choice(METHODS, "method", "test", ["--epoch", "3"])


def test_a_missing_folder_is_named(refused: Refused, tmp_path: Path) -> None:
    for said in both(refused, tmp_path / "none"):
        assert said == (
            f"--data {tmp_path / 'none'}: no such folder or list; give a folder of images or a CSV of their paths, "
            "or leave --data out"
        )


def test_a_folder_without_images_says_what_was_looked_for(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for said in both(refused, tmp_path / "empty"):
        assert said.startswith(f"{tmp_path / 'empty'}: no images (no file here or in a folder below ends in .jpg")


def test_images_without_masks_and_masks_without_images_are_listed_together(
    refused: Refused, draw_isic: Draw, tmp_path: Path
) -> None:
    root = draw_isic(tmp_path / "isic", 26)
    for index in range(12):
        (root / MASKS / f"ISIC_{index:07d}_segmentation.png").unlink()
    for index in range(12, 25):
        (root / IMAGES / f"ISIC_{index:07d}.jpg").unlink()
    said = refused.tuning(data=root)
    assert f"12 images without a mask ({IMAGES}/ISIC_0000000.jpg, " in said
    assert f"{IMAGES}/ISIC_0000009.jpg and 2 more; move them elsewhere" in said
    assert f"13 masks without an image ({MASKS}/ISIC_0000012_segmentation.png, " in said
    assert f"{MASKS}/ISIC_0000021_segmentation.png and 3 more; rename or move them)" in said
    assert said.count(".jpg") == said.count("_segmentation.png") == 10
    assert said.endswith(f"; python -m dermssl check {root} lists them all")


def test_a_limit_does_not_hide_masks_without_images(refused: Refused, isic: Path) -> None:
    (isic / IMAGES / "ISIC_0000003.jpg").unlink()
    assert "1 mask without an image" in refused.tuning(data=isic, limit=2)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((48, 60), "1 image with a mask of another size ({}: mask is 60 x 48 but its image is 64 x 48; export"),
        (
            (64, 48),
            "1 image with a mask that is turned ({}: mask is 48 x 64 but its image is 64 x 48: height and width",
        ),
    ],
)
def test_sizes_that_differ_are_told(size: tuple[int, int], said: str, refused: Refused, isic: Path) -> None:
    cv2.imwrite(str(isic / MASKS / "ISIC_0000002_segmentation.png"), np.zeros(size, np.uint8))
    assert refused.tuning(data=isic).startswith(f"{isic}: {said.format(f'{IMAGES}/ISIC_0000002.jpg')}")


def test_masks_of_more_than_two_values_are_told_with_the_values(refused: Refused, isic: Path) -> None:
    path = isic / MASKS / "ISIC_0000002_segmentation.png"
    cv2.imwrite(str(path), cv2.GaussianBlur(cv2.imread(str(path)), (0, 0), 2))
    said = refused.tuning(data=isic)
    assert f"{IMAGES}/ISIC_0000002.jpg: mask has " in said
    assert "as of soft edges or a JPEG, where two are needed; `check --fix` thresholds soft edges" in said


@pytest.mark.parametrize(
    "break_it", [lambda data: data[:-99], lambda _: b"", lambda _: b"text"], ids=["truncated", "empty", "text"]
)
def test_an_unreadable_image_is_told_to_both_commands(
    break_it: Callable[[bytes], bytes], refused: Refused, isic: Path
) -> None:
    path = isic / IMAGES / "ISIC_0000002.jpg"
    path.write_bytes(break_it(path.read_bytes()))
    for said in both(refused, isic):
        assert said.startswith(f"{isic}: 1 image with a file that cannot be used ({IMAGES}/ISIC_0000002.jpg: ")


def test_a_truncated_mask_is_told(refused: Refused, isic: Path) -> None:
    path = isic / MASKS / "ISIC_0000002_segmentation.png"
    path.write_bytes(path.read_bytes()[:-60])
    assert "mask ISIC_0000002_segmentation.png cannot be read: image file is truncated" in refused.tuning(data=isic)


def test_a_single_lesion_cannot_be_split(refused: Refused, draw_isic: Draw, tmp_path: Path) -> None:
    root = draw_isic(tmp_path / "one", 1)
    assert "1 lesion cannot be split" in refused.tuning(data=root)


@pytest.mark.parametrize(("batch", "remedy"), [(8, "give more or --batch_size 3"), (7, "--batch_size 3")])
def test_fewer_images_than_a_batch_are_told_with_a_batch_that_fits(
    batch: int, remedy: str, refused: Refused, isic: Path
) -> None:
    said = refused.pretraining(data=isic, batch_size=batch)
    assert said.startswith(f"{isic}: images to train on: 6, too few for a batch of {batch}; ")
    assert said.endswith(remedy)


def test_too_few_images_for_any_batch_are_answered_without_a_batch_size(
    refused: Refused, draw_isic: Draw, tmp_path: Path
) -> None:
    root = draw_isic(tmp_path / "one", 1)
    assert refused.pretraining(data=root) == f"{root}: images to train on: 1, too few for a batch of 2; give more"


def test_an_encoder_file_of_another_encoder_is_refused_with_the_name_to_give(
    refused: Refused, isic: Path, tmp_path: Path
) -> None:
    path = encoder_file(tmp_path / "encoder.safetensors", "tu-resnet18")
    expected = f"{path}: holds 'tu-resnet18' and --encoder is 'resnet18'; give --encoder tu-resnet18"
    assert refused.tuning(data=isic, init=str(path)) == refused.pretraining(data=isic, init=str(path)) == expected


@pytest.mark.parametrize("damage", [-1, 5, 400], ids=["in the tensors", "in the length", "in the card"])
def test_a_damaged_encoder_file_is_refused(damage: int, refused: Refused, isic: Path, tmp_path: Path) -> None:
    path = encoder_file(tmp_path / "encoder.safetensors", "resnet18")
    data = bytearray(path.read_bytes())
    data[damage] ^= 4
    path.write_bytes(data)
    said = refused.tuning(data=isic, init=str(path))
    assert said.startswith(f"{path}: damaged")
    assert said.endswith("; copy it or make it again")


def test_an_encoder_file_that_is_not_there_says_what_init_takes(refused: Refused, isic: Path) -> None:
    assert refused.tuning(data=isic, init="weights") == (
        "weights: no such file; --init takes ssl, imagenet, random or a file of `python -m pretrain`"
    )


def test_ssl_without_pretraining_names_the_command(refused: Refused, isic: Path) -> None:
    assert refused.tuning(data=isic, init="ssl") == (
        "--init ssl: checkpoints holds no encoder file; "
        "run `python -m pretrain --method simclr --encoder resnet18` first"
    )


def test_an_unknown_encoder_is_named(refused: Refused, isic: Path) -> None:
    assert refused.tuning(data=isic, encoder="resnet17").startswith("--encoder resnet17: no such encoder")


def test_no_network_for_weights_is_told_with_the_encoder_that_needs_none(
    refused: Refused, isic: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unreachable(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)  # and so it is put back afterwards
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache" / "hub"))
    for said in (refused.tuning(data=isic, init="imagenet"), refused.pretraining(data=isic, init="imagenet")):
        assert said.startswith("--init imagenet: no weights for 'resnet18' could be had from huggingface.co (")
        assert said.endswith("or take --encoder tu-tf_efficientnet_lite0, whose weights are installed")


@pytest.mark.slow
def test_a_decoder_that_does_not_go_with_the_encoder_is_told(refused: Refused, isic: Path) -> None:
    said = refused.tuning(data=isic, encoder="mit_b0", decoder="unetplusplus")
    assert said.startswith("--decoder unetplusplus does not go with --encoder mit_b0 (")


@pytest.mark.parametrize("command", ["tuning", "pretraining"])
def test_a_disk_that_is_too_full_for_the_work_is_told_before_it(
    command: str, refused: Refused, isic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", full())
    said = getattr(refused, command)(data=isic)
    assert " and the disk has 0 MB free; free some, or write elsewhere: --out moves runs" in said


@pytest.mark.parametrize("command", ["tuning", "pretraining"])
def test_a_disk_that_fills_while_the_cache_is_written_is_told(
    command: str, refused: Refused, isic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", fill)
    assert "no room left on the disk; free some, or write elsewhere: " in getattr(refused, command)(data=isic)


@pytest.mark.parametrize("command", ["finetune", "pretrain"])
def test_a_run_folder_that_holds_a_run_is_refused_with_the_remedy(
    command: str, refused: Refused, isic: Path, workplace: Path
) -> None:
    common: dict[str, object] = {"init": "random", "encoder": "resnet18", "threads": 1, "data": isic, "batch_size": 2}
    config: FinetuneConfig | SimCLRConfig = (
        FinetuneConfig(image_size=64, **common)  # type: ignore[arg-type]
        if command == "finetune"
        else SimCLRConfig(image_size=32, precision="32-true", **common)  # type: ignore[arg-type]
    )

    def run(config: FinetuneConfig | SimCLRConfig) -> object:
        return run_finetune(config) if isinstance(config, FinetuneConfig) else pretrain(config)

    with pytest.raises(TrainingReachedError):
        run(config)
    (folder,) = workplace.glob("runs/*/*")
    with pytest.raises(UserError) as standing:
        run(config)
    where = folder.relative_to(workplace)
    assert str(standing.value) == (
        f"{where}: a run with these very options is there already, unfinished; add --resume {where} to continue it"
    )
    with pytest.raises(UserError, match=r"holds another run \(lr is \S+ there and 0\.5 here\)"):
        run(replace(config, resume=folder, lr=0.5))
    with pytest.raises(TrainingReachedError):
        run(replace(config, resume=folder))
    assert list(workplace.glob("runs/*/*")) == [folder]


@pytest.fixture
def study(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """A whole study, which stops where its first run would begin."""

    def begin(*_: object, **__: object) -> NoReturn:
        raise TrainingReachedError

    monkeypatch.setattr(study_of, "schedule", begin)
    return lambda **options: study_of.run(StudyConfig(jobs=1, **options))


def test_a_study_of_what_is_right_would_be_done(study: Callable[..., object], isic: Path, tmp_path: Path) -> None:
    (tmp_path / "pretrain.yaml").write_text("batch_size: 2\n")
    with pytest.raises(TrainingReachedError):
        study(data=isic, unlabelled=isic, pretrain=tmp_path / "pretrain.yaml")


def test_a_study_whose_pretraining_lacks_images_is_refused(
    study: Callable[..., object], refused: Refused, isic: Path
) -> None:
    said = refused(lambda: study(data=isic, unlabelled=isic))
    assert said.startswith(
        f"simclr: {isic}: images to train on: 5, too few for a batch of 256; give more or --batch_size 2"
    )
    assert said.endswith("in the file of --pretrain")


def test_a_study_without_its_folder_is_refused(
    study: Callable[..., object], refused: Refused, isic: Path, tmp_path: Path
) -> None:
    for name in ("data", "unlabelled"):
        folders = {"data": isic, "unlabelled": isic} | {name: tmp_path / "none"}
        said = refused(lambda folders=folders: study(**folders))  # type: ignore[misc]
        assert said.startswith(f"--{name} {tmp_path / 'none'}: no such folder")


def test_a_study_checks_its_images_before_its_first_run(
    study: Callable[..., object], refused: Refused, isic: Path
) -> None:
    (isic / MASKS / "ISIC_0000002_segmentation.png").unlink()
    said = refused(lambda: study(data=isic, unlabelled=isic))
    assert said.startswith(f"{isic}: 1 image without a mask ({IMAGES}/ISIC_0000002.jpg; move them elsewhere, ")


def test_a_study_of_options_that_no_run_takes_is_refused_by_the_options() -> None:
    with pytest.raises(UserError, match=r"--label_fraction is a share in \(0, 1\], got 5.0"):
        parse(StudyConfig, "test", ["--label_fraction", "0.1", "5"])
    with pytest.raises(UserError, match=r"--seed must not be negative, got -1"):
        parse(StudyConfig, "test", ["--seed", "-1"])


def test_predicting_without_a_network_or_images_is_refused(refused: Refused, isic: Path, tmp_path: Path) -> None:
    def predicting(model: Path) -> str:
        return refused(lambda: predict_masks(PredictConfig(model=model, images=isic, out=tmp_path / "out", threads=1)))

    assert predicting(tmp_path / "none") == (
        f"--model {tmp_path / 'none'}: no such file; give the run folder of a `python -m finetune` that is finished"
    )
    assert predicting(isic).startswith(f"--model {isic / 'model.safetensors'}: no such file")
    weights = encoder_file(tmp_path / "encoder.safetensors", "resnet18")
    assert predicting(weights) == (
        f"--model {weights}: holds no segmentation network: its card lacks init; "
        "give a run folder of `python -m finetune`"
    )
    assert not (tmp_path / "out").exists()


def test_a_command_that_is_refused_says_one_line_and_ends_with_code_2(
    isic: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (isic / MASKS / "ISIC_0000002_segmentation.png").unlink()
    monkeypatch.setattr(sys, "argv", ["finetune", "--data", str(isic), "--init", "imagenet", "--threads", "1"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("finetune", run_name="__main__")
    assert stop.value.code == 2
    assert capsys.readouterr() == (
        "",
        f"python -m finetune: {isic}: 1 image without a mask ({IMAGES}/ISIC_0000002.jpg; move them elsewhere, or "
        f"say with `--masks` how masks are named); python -m dermssl check {isic} lists them all\n",
    )
    assert list(workplace.iterdir()) == []
