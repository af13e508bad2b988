from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dermssl.errors import UserError
from finetune.model import build_model
from finetune.model_file import ModelCard, write_model
from finetune.predict_config import PredictConfig
from finetune.predict_run import predict


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of a network that calls about half of the pixels lesion."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    card = ModelCard(
        encoder="tu-test_efficientnet", decoder="unet", encoder_depth=None, image_size=32, mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25), init="random", encoder_sha256="", data="", commit="",
    )  # fmt: skip
    write_model(path, build_model(card.encoder, card.decoder, None), card)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three pictures of three sizes, one of them a folder below."""
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, size in (("a", (40, 60)), ("b", (64, 48)), ("more/c", (50, 50))):
        cv2.imwrite(str(folder / f"{name}.png"), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    return folder


def masks_in(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in folder.rglob("*.png")}


def config(model: Path, images: Path, out: Path, **more: object) -> PredictConfig:
    return PredictConfig(model=model, images=images, out=out, threads=1, **more)


def test_every_image_gets_a_mask_of_its_own_size(model: Path, images: Path, tmp_path: Path) -> None:
    found = masks_in(predict(config(model, images, tmp_path / "out")))
    sizes = {name: mask.shape for name, mask in found.items()}
    expected = {"a_segmentation.png": (40, 60), "b_segmentation.png": (64, 48), "c_segmentation.png": (50, 50)}
    assert sizes == expected
    assert {value for mask in found.values() for value in np.unique(mask)} == {0, 255}


def test_batches_change_no_mask(model: Path, images: Path, tmp_path: Path) -> None:
    one, three = (masks_in(predict(config(model, images, tmp_path / str(n), batch_size=n))) for n in (1, 3))
    assert all(np.array_equal(one[name], three[name]) for name in one)


def test_a_higher_threshold_finds_less(model: Path, images: Path, tmp_path: Path) -> None:
    less, more = (masks_in(predict(config(model, images, tmp_path / str(t), threshold=t))) for t in (0.55, 0.45))
    assert sum(mask.sum() for mask in less.values()) < sum(mask.sum() for mask in more.values())


def test_masks_that_stand_are_left_alone(
    model: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = predict(config(model, images, tmp_path / "out"))
    (out / "b_segmentation.png").unlink()
    (out / "a_segmentation.png").write_bytes(b"mine")
    predict(config(model, images, out))
    assert (out / "a_segmentation.png").read_bytes() == b"mine"
    assert cv2.imread(str(out / "b_segmentation.png"), cv2.IMREAD_UNCHANGED).shape == (64, 48)
    assert "(1 masks written, 2 stood already)" in capsys.readouterr().out


def test_masks_that_lie_beside_the_images_are_not_predicted(model: Path, images: Path) -> None:
    out = predict(config(model, images, images / "predicted"))
    assert set(masks_in(predict(config(model, images, out)))) == {f"{name}_segmentation.png" for name in "abc"}


def test_the_folder_of_the_images_is_no_place_for_masks(model: Path, images: Path) -> None:
    with pytest.raises(UserError, match="is the folder of the images; give one of its own"):
        predict(config(model, images, images))
    assert not list(images.rglob("*_segmentation.png"))


def test_a_missing_model_is_one_sentence_and_nothing_is_written(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--model .*: no such file; give the run folder of a finished"):
        predict(config(tmp_path / "nowhere", images, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_folder_without_images_is_one_sentence(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        predict(config(model, tmp_path / "nowhere", tmp_path / "out"))
