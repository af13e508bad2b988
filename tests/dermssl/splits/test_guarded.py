"""What a command scores is crossed with what trains and with what the encoder has seen, before anything is trained."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from dermssl.data.manifest import Manifest, read_manifest
from dermssl.errors import UserError
from dermssl.splits.config import SplitConfig
from dermssl.splits.guarded import Guarded, guarded_split
from dermssl.splits.leaks import seen_rows
from dermssl.splits.official import split_of
from dermssl.synthetic.dataset import draw_image
from dermssl.weights.encoder import Start, start_from

pytestmark = pytest.mark.usefixtures("apart")

IDS = [f"img_{number}" for number in range(8)]


def drawn(index: int) -> NDArray[np.uint8]:
    return cv2.cvtColor(draw_image(7, index, 144).image, cv2.COLOR_RGB2BGR)


def recompressed(manifest: Manifest, image: str, path: Path) -> None:
    """The picture of another file and another name."""
    cv2.imwrite(str(path), cv2.imread(str(manifest.root / f"{image}.jpg")), [cv2.IMWRITE_JPEG_QUALITY, 50])


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Six lesions; img_6 shows that of img_0 mirrored, and img_7 that of img_1, and nothing says so."""
    root = tmp_path_factory.mktemp("twins")
    for number in range(6):
        cv2.imwrite(str(root / f"img_{number}.jpg"), drawn(number))
    cv2.imwrite(str(root / "img_6.jpg"), cv2.flip(drawn(0), 1))
    cv2.imwrite(str(root / "img_7.jpg"), cv2.resize(drawn(1), (100, 100), interpolation=cv2.INTER_AREA))
    return read_manifest(root)


@pytest.fixture(scope="module")
def beginner() -> Start:
    torch.set_num_threads(1)
    return start_from("random", "resnet18", 0)


@pytest.fixture(scope="module")
def pretrained(beginner: Start) -> Callable[..., Start]:
    """An encoder that says it was pretrained here, on these images."""

    def start(*tables: pd.DataFrame, folder: Path | str = "elsewhere") -> Start:
        card = replace(beginner.card, method="simclr", data={"folder": str(folder)})
        return replace(beginner, card=card, seen=seen_rows(tables) if tables else None)

    return start


def file_of(path: Path, train: list[str], val: list[str]) -> str:
    rows = [*(f"{image},train" for image in train), *(f"{image},val" for image in val)]
    path.write_text("\n".join(["image_id,split", *rows]))
    return str(path)


@pytest.fixture
def leaking(tmp_path: Path) -> str:
    """A split file with img_0 held out and its mirror image trained on."""
    return file_of(tmp_path / "leaking.csv", [f"img_{n}" for n in (6, 2, 3, 1, 7)], ["img_0", "img_4"])


def pairs_in(guarded: Guarded) -> list[tuple[str, ...]]:
    return list(guarded.leaks[["side", "trained_on", "held_out", "why"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("fold", range(3))
def test_a_drawn_split_keeps_near_duplicates_together_and_has_no_leak(
    fold: int, twins: Manifest, beginner: Start
) -> None:
    guarded = guarded_split(twins, SplitConfig(folds=3, fold=fold), beginner)
    val = set(guarded.split.val)
    assert ("img_0" in val) == ("img_6" in val)
    assert ("img_1" in val) == ("img_7" in val)
    assert guarded.split.grouped_by == "near-duplicate"
    assert (guarded.training.action, guarded.encoder.action) == ("clean", "clean")


def test_the_split_is_the_one_that_the_options_ask_for(twins: Manifest, beginner: Start) -> None:
    config = SplitConfig(val_fraction=0.4, split_seed=3)
    assert guarded_split(twins, config, beginner).split == split_of(twins, config)


def test_a_split_file_with_a_near_duplicate_on_both_sides_stops(
    leaking: str, twins: Manifest, beginner: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError) as caught:
        guarded_split(twins, SplitConfig(split=leaking), beginner)
    assert str(caught.value).startswith(f"{twins.root}: 1 training images show what 1 of the 2 held-out images show")
    assert "--on_leak drop leaves them out of training" in str(caught.value)
    assert capsys.readouterr().err.splitlines()[1].split() == ["img_6", "img_0", "near-duplicate"]


def test_drop_leaves_out_exactly_the_training_image_that_leaks(leaking: str, twins: Manifest, beginner: Start) -> None:
    guarded = guarded_split(twins, SplitConfig(split=leaking, on_leak="drop"), beginner)
    assert guarded.split.train == ("img_2", "img_3", "img_1", "img_7")
    assert guarded.split.val == ("img_0", "img_4")
    assert pairs_in(guarded) == [("training", "img_6", "img_0", "near-duplicate")]
    assert guarded.summary["training"]["action"] == "dropped"


def test_allow_trains_on_it_all_the_same_and_says_so(leaking: str, twins: Manifest, beginner: Start) -> None:
    guarded = guarded_split(twins, SplitConfig(split=leaking, on_leak="allow"), beginner)
    assert "img_6" in guarded.split.train
    assert guarded.summary["training"] == {
        "action": "allowed", "held_out": 2, "leaking_held_out": 1, "leaking_training": 1,
        "pairs": {"near-duplicate": 1},
    }  # fmt: skip


def test_a_split_file_that_keeps_them_together_is_clean(twins: Manifest, beginner: Start, tmp_path: Path) -> None:
    split = file_of(tmp_path / "split.csv", [f"img_{n}" for n in (0, 6, 2, 3, 4)], ["img_1", "img_7"])
    guarded = guarded_split(twins, SplitConfig(split=split), beginner)
    assert guarded.training.action == "clean"
    assert guarded.split.aside == ("img_5",)


@pytest.mark.parametrize("on_leak", ["stop", "drop"])
def test_an_encoder_that_has_seen_held_out_images_is_refused(
    on_leak: str, twins: Manifest, pretrained: Callable[..., Start]
) -> None:
    config = SplitConfig(folds=3, on_leak=on_leak)
    with pytest.raises(UserError) as caught:
        guarded_split(twins, config, pretrained(twins.table, folder=twins.root))
    held = len(split_of(twins, config).val)
    assert str(caught.value).startswith("the encoder's pretraining: ")
    assert f" show what {held} of the {held} held-out images show" in str(caught.value)
    assert f"pretrain it anew with --protect {twins.root}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_encoder_that_has_seen_them_may_be_allowed(twins: Manifest, pretrained: Callable[..., Start]) -> None:
    config = SplitConfig(on_leak="allow")
    guarded = guarded_split(twins, config, pretrained(twins.table, folder=twins.root))
    assert guarded.split == split_of(twins, config)
    assert guarded.encoder.action == "allowed"
    assert set(guarded.leaks["side"]) == {"encoder"}
    assert set(guarded.leaks["held_out"]) == set(guarded.split.val)


@pytest.mark.parametrize("fold", range(3))
def test_an_encoder_that_has_seen_the_training_side_only_is_clean(
    fold: int, twins: Manifest, pretrained: Callable[..., Start]
) -> None:
    config = SplitConfig(folds=3, fold=fold)
    seen = twins.take(split_of(twins, config).train)
    guarded = guarded_split(twins, config, pretrained(seen.table, folder=twins.root))
    assert guarded.encoder.action == "clean"
    assert str(guarded).endswith("is among the images that the encoder was pretrained on")


def test_an_encoder_that_has_seen_a_near_duplicate_elsewhere_is_refused(
    twins: Manifest, pretrained: Callable[..., Start], tmp_path: Path
) -> None:
    config = SplitConfig(folds=3)
    copied = split_of(twins, config).val[0]
    recompressed(twins, copied, tmp_path / "copy.jpg")
    cv2.imwrite(str(tmp_path / "img_5.jpg"), drawn(9))
    seen = read_manifest(tmp_path).table
    for folder in (tmp_path, "gone"):
        with pytest.raises(UserError, match="the encoder's pretraining: 1 training images show what"):
            guarded_split(twins, config, pretrained(seen, folder=folder))


def test_an_encoder_file_that_says_nothing_is_unknown(twins: Manifest, pretrained: Callable[..., Start]) -> None:
    guarded = guarded_split(twins, SplitConfig(), pretrained())
    assert guarded.encoder.action == "unknown"
    assert "nobody can say whether any of the 2 held-out images is among them" in str(guarded)


def test_an_encoder_that_continued_from_one_that_says_nothing_is_unknown_but_a_leak_is_told(
    twins: Manifest, pretrained: Callable[..., Start]
) -> None:
    split = split_of(twins, SplitConfig())
    for side, action in ((split.train, "unknown"), (split.val, "stop")):
        start = pretrained(twins.take(side).table, folder=twins.root)
        partly = replace(start, card=replace(start.card, seen_whole=False))
        if action == "stop":
            with pytest.raises(UserError, match="the encoder's pretraining"):
                guarded_split(twins, SplitConfig(), partly)
        else:
            assert guarded_split(twins, SplitConfig(), partly).encoder.action == action


@pytest.mark.parametrize("init", ["random", "imagenet"])
def test_weights_that_were_never_pretrained_here_have_seen_nothing(init: str, twins: Manifest, beginner: Start) -> None:
    start = replace(beginner, card=replace(beginner.card, method=init))
    guarded = guarded_split(twins, SplitConfig(), start)
    assert guarded.encoder.action == "clean"
    said = {"random": "has seen no image", "imagenet": "whose photographs were not compared with held-out images"}
    assert str(guarded).endswith(said[init])


def test_the_report_says_how_the_split_came_to_be(twins: Manifest, beginner: Start, tmp_path: Path) -> None:
    split = file_of(tmp_path / "mine.csv", ["img_2"], ["img_3", "img_4"])
    guarded = guarded_split(twins, SplitConfig(split=split), beginner)
    assert str(guarded).splitlines() == [
        f"split: mine.csv, 5 images on neither side, hash {guarded.split.hash}",
        "leaks: none of the 2 held-out images, and no near-duplicate, lesion or patient of theirs, "
        "is among the 1 image of the training side",
        "leaks: the encoder begins with random weights and has seen no image",
    ]
