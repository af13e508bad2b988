import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from dermssl.errors import UserError
from dermssl.flags import parse
from finetune.network.model_file import read_model
from finetune.predict.config import EnsembleConfig, PredictConfig
from finetune.predict.run import predict_masks, predict_masks_by_ensemble
from finetune.scoring.inference import Mask

Made = Callable[..., Path]


@pytest.fixture(scope="module")
def members(made: Made) -> list[Path]:
    """Three networks that differ in decoder, encoder, size and fit."""
    return [
        made(seed=3),
        made(seed=1, decoder="fpn", image_size=64, fit="letterbox", padding="black"),
        made(seed=2, encoder="tu-test_resnet", fit="crop", cache_size=32, symmetries=True),
    ]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name, size in (("a", (40, 60)), ("b", (64, 48)), ("c", (50, 50))):
        cv2.imwrite(str(folder / f"{name}.png"), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    return folder


def by_all(models: list[Path], images: Path, out: Path, **more: object) -> EnsembleConfig:
    return EnsembleConfig(models=tuple(models), images=images, out=out, threads=1, **more)  # type: ignore[arg-type]


def by_one(model: Path, images: Path, out: Path, **more: object) -> PredictConfig:
    return PredictConfig(model=model, images=images, out=out, threads=1, **more)  # type: ignore[arg-type]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"}


def probabilities(folder: Path) -> dict[str, np.ndarray]:
    paths = sorted(folder.glob("*_probability.png"))
    return {path.name: cv2.imread(str(path), cv2.IMREAD_UNCHANGED) / 65535 for path in paths}


def test_an_ensemble_of_one_is_its_prediction_bit_for_bit(members: list[Path], images: Path, tmp_path: Path) -> None:
    for number, model in enumerate(members):
        one, alone = tmp_path / f"one{number}", tmp_path / f"alone{number}"
        predict_masks_by_ensemble(by_all([model], images, one, overlay=True, probability=True))
        predict_masks(by_one(model, images, alone, overlay=True, probability=True))
        assert files(one) == files(alone)
        assert len(files(one)) == 9
        assert (one / "prediction.json").read_text() == (alone / "prediction.json").read_text()


def test_the_mean_is_of_probabilities_at_native_size_with_equal_weights(
    members: list[Path], images: Path, tmp_path: Path
) -> None:
    predict_masks_by_ensemble(by_all(members, images, tmp_path / "all", probability=True))
    for number, model in enumerate(members):
        predict_masks(by_one(model, images, tmp_path / str(number), probability=True))
    apart = [probabilities(tmp_path / str(number)) for number in range(3)]
    for name, found in probabilities(tmp_path / "all").items():
        each = [one[name] for one in apart]
        assert found == pytest.approx(sum(each) / 3, abs=2 / 65535)
        assert min(np.abs(found - one).max() for one in each) > 0.01


def test_the_mask_is_cut_from_the_mean_and_is_no_vote(members: list[Path], images: Path, tmp_path: Path) -> None:
    out = tmp_path / "all"
    predict_masks_by_ensemble(by_all(members, images, out, probability=True, threshold=0.4))
    areas = []
    for name, found in probabilities(out).items():
        mask = mask_in(out / name.replace("probability", "segmentation"))
        away = np.abs(found - 0.4) > 1 / 65535
        assert np.array_equal(mask[away], (found > 0.4)[away])
        areas.append(mask.mean())
    assert 0 < np.mean(areas) < 1


def mask_in(path: Path) -> Mask:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED) > 0


def test_the_order_of_the_members_does_not_matter(members: list[Path], images: Path, tmp_path: Path) -> None:
    for name, order in (("one", members), ("other", members[::-1])):
        predict_masks_by_ensemble(by_all(order, images, tmp_path / name, probability=True))
    assert files(tmp_path / "one") == files(tmp_path / "other")
    assert predict_masks_by_ensemble(by_all(members[::-1], images, tmp_path / "one")).stood == 3


def test_the_record_names_the_members(members: list[Path], images: Path, tmp_path: Path) -> None:
    predict_masks_by_ensemble(by_all(members, images, tmp_path / "out"))
    record = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert {one["sha256"] for one in record["models"]} == {read_model(model)[1].sha256 for model in members}
    assert {(one["decoder"], one["image_size"], one["fit"], one["symmetries"]) for one in record["models"]} == {
        ("unet", 32, "resize", False), ("fpn", 64, "letterbox", False), ("unet", 32, "crop", True),
    }  # fmt: skip


def test_masks_of_fewer_members_are_not_mixed_with_those_of_more(
    members: list[Path], images: Path, tmp_path: Path
) -> None:
    predict_masks_by_ensemble(by_all(members[:2], images, tmp_path / "out"))
    with pytest.raises(UserError, match=r"holds masks made otherwise \(models .*\); give another --out"):
        predict_masks_by_ensemble(by_all(members, images, tmp_path / "out"))
    with pytest.raises(UserError, match="give another --out"):
        predict_masks(by_one(members[0], images, tmp_path / "out"))


def test_a_member_given_twice_is_refused_under_whatever_name(members: list[Path], images: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(members[0], tmp_path / "copy"))
    with pytest.raises(UserError, match=rf"--models: {members[0]} and {copy} are the same network; give each one once"):
        predict_masks_by_ensemble(by_all([members[0], members[1], copy], images, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"threshold": 0.4}, r"--threshold \(0\.4 and 0\.5\); give --threshold"),
        ({"largest": True}, r"--largest \(False and True\); give --largest"),
    ],
)
def test_members_that_were_scored_differently_want_to_be_told(
    made: Made, images: Path, tmp_path: Path, option: dict[str, object], said: str
) -> None:
    pair = [made(seed=3), made(seed=1, **option)]
    with pytest.raises(UserError, match=f"--models: their runs were scored with different {said}"):
        predict_masks_by_ensemble(by_all(pair, images, tmp_path / "out"))
    assert predict_masks_by_ensemble(by_all(pair, images, tmp_path / "out", **option)).written == 3


def test_a_damaged_picture_is_left_out_by_all_members(members: list[Path], images: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(images, tmp_path / "images"))
    (folder / "damaged.png").write_bytes(b"1")
    outcome = predict_masks_by_ensemble(by_all(members, folder, tmp_path / "out"))
    assert (outcome.written, outcome.exit_code) == (3, 1)


def test_models_are_read_from_flags() -> None:
    found = parse(EnsembleConfig, "test", ["--models", "a", "b", "--images", "i", "--out", "o"])
    assert found == EnsembleConfig(models=(Path("a"), Path("b")), images=Path("i"), out=Path("o"))
    for wrong in ([], ["--models"]):
        with pytest.raises(UserError):
            parse(EnsembleConfig, "test", [*wrong, "--images", "i", "--out", "o"])
