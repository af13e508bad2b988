from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import dermssl
from dermssl.errors import UserError
from finetune.predict.config import PredictConfig
from finetune.predict.run import predict_masks


def test_an_array_and_a_file_get_the_mask_that_the_command_writes(tmp_path: Path, made: Callable[..., Path]) -> None:
    run = made()
    rng = np.random.default_rng(0)
    pictures = {f"{height}": rng.integers(0, 256, (height, 50, 3), dtype=np.uint8) for height in (40, 70)}
    (tmp_path / "images").mkdir()
    for name, picture in pictures.items():
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), picture[..., ::-1])
    predict_masks(PredictConfig(model=run, images=tmp_path / "images", out=tmp_path / "masks", threads=1))
    model = dermssl.load_model(run)
    for name, picture in pictures.items():
        mask, probability = model.predict(picture)
        written = cv2.imread(str(tmp_path / "masks" / f"{name}_segmentation.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask * 255, written)
        assert probability.shape == picture.shape[:2]
        of_file = model.predict(tmp_path / "images" / f"{name}.png")
        np.testing.assert_array_equal(of_file.probability, probability)


@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8), (8, 8, 4), (0, 8, 3)])
def test_an_array_that_is_no_picture_is_refused(shape: tuple[int, ...], made: Callable[..., Path]) -> None:
    model = dermssl.load_model(made())
    with pytest.raises(UserError, match="an array"):
        model.predict(np.zeros(shape, np.uint8))
    with pytest.raises(UserError, match="float64"):
        model.predict(np.zeros((8, 8, 3)))
    with pytest.raises(UserError, match="absent"):
        model.predict("absent.png")
