import json
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from dermssl.data.images import read_rgb
from dermssl.data.manifest import read_manifest
from dermssl.data.pixel_cache import cached_images
from dermssl.errors import UserError
from dermssl.flags import parse
from dermssl.parts import machine
from finetune.network.model_file import ModelCard, read_model, write_model
from finetune.predict import prediction
from finetune.predict import run as predict_run
from finetune.predict.config import PredictConfig
from finetune.predict.mask_files import overlaid
from finetune.predict.run import predict_masks
from finetune.scoring.inference import Predictor, TorchSegmenter

Made = Callable[..., Path]


@pytest.fixture(scope="module")
def model(made: Made) -> Path:
    return made() / "model.safetensors"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three pictures of three sizes, one of them a folder below."""
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, size in (("a", (40, 60)), ("b", (64, 48)), ("more/c", (50, 50))):
        cv2.imwrite(str(folder / f"{name}.png"), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    return folder


def config(model: Path, images: Path, out: Path, **more: object) -> PredictConfig:
    return PredictConfig(model=model, images=images, out=out, threads=1, **more)  # type: ignore[arg-type]


def files_of(model: Path, images: Path, out: Path, **more: object) -> dict[str, np.ndarray]:
    """The pictures that a prediction leaves, by name, with the bytes' own type and channels."""
    predict_masks(config(model, images, out, **more))
    return pictures_in(out)


def pictures_in(folder: Path) -> dict[str, np.ndarray]:
    paths = [path for path in folder.rglob("*") if path.suffix in (".png", ".jpg")]
    return {path.name: cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths}


def test_every_image_gets_a_mask_of_its_own_size(model: Path, images: Path, tmp_path: Path) -> None:
    found = files_of(model, images, tmp_path / "out")
    sizes = {name: (mask.shape, mask.dtype) for name, mask in found.items()}
    expected = {"a_segmentation.png": (40, 60), "b_segmentation.png": (64, 48), "c_segmentation.png": (50, 50)}
    assert sizes == {name: (size, np.uint8) for name, size in expected.items()}
    assert {value for mask in found.values() for value in np.unique(mask)} == {0, 255}


def test_masks_are_those_of_the_run_whose_pictures_came_from_its_cache(
    made: Made, images: Path, tmp_path: Path
) -> None:
    path = made(fit="letterbox", padding="edge", cache_size=30, threshold=0.45, largest=True, symmetries=True)
    model, card = read_model(path)
    manifest = read_manifest(images, keep_in=tmp_path / "kept")
    cache = cached_images(manifest, 30)
    predictor = Predictor(TorchSegmenter(model, card.normalise), card.fitted, 2, symmetries=True)
    sizes = list(zip(manifest.table["height"], manifest.table["width"], strict=True))
    scored = {i: card.cut(found) for i, found in predictor.probabilities(lambda i: cache[i], sizes)}
    written = files_of(path, images, tmp_path / "out")
    for index, name in enumerate(manifest.table["image_id"]):
        assert np.array_equal(written[f"{name}_segmentation.png"] > 0, scored[index])
    assert sum(mask.sum() for mask in scored.values()) > 0


@pytest.mark.parametrize("option", [{"threshold": 0.55}, {"symmetries": True}, {"largest": True}, {"fill_holes": True}])
def test_a_flag_is_stronger_than_the_card_and_the_card_than_nothing(
    made: Made, images: Path, tmp_path: Path, option: dict[str, object]
) -> None:
    plain, carded = made(), made(**option)
    (name,) = option
    without = files_of(plain, images, tmp_path / "without")
    by_flag = files_of(plain, images, tmp_path / "flag", **option)
    by_card = files_of(carded, images, tmp_path / "card")
    back = files_of(carded, images, tmp_path / "back", **{name: 0.5 if name == "threshold" else False})
    assert all(np.array_equal(by_flag[mask], by_card[mask]) for mask in by_flag)
    assert all(np.array_equal(without[mask], back[mask]) for mask in by_flag)
    assert not all(np.array_equal(without[mask], by_card[mask]) for mask in by_flag)


def test_batches_change_no_mask(model: Path, images: Path, tmp_path: Path) -> None:
    one, three = (files_of(model, images, tmp_path / str(n), batch_size=n, probability=True) for n in (1, 3))
    for name in one:
        assert np.abs(one[name].astype(int) - three[name]).max() <= (1 if name.endswith("_probability.png") else 0)


def test_a_probability_is_kept_to_a_65535th(model: Path, images: Path, tmp_path: Path) -> None:
    found = files_of(model, images, tmp_path / "out", probability=True, threshold=0.51)
    for name in "abc":
        probability, mask = found[f"{name}_probability.png"], found[f"{name}_segmentation.png"]
        assert probability.dtype == np.uint16
        assert probability.shape == mask.shape
        away = np.abs(probability / 65535 - 0.51) > 1 / 65535
        assert np.array_equal((probability / 65535 > 0.51)[away], (mask > 0)[away])
        assert 0 < (mask > 0).mean() < 1


def test_an_overlay_is_the_picture_but_for_a_line(model: Path, images: Path, tmp_path: Path) -> None:
    found = files_of(model, images, tmp_path / "out", overlay=True, largest=True)
    assert set(found) == {f"{name}_{kind}" for name in "abc" for kind in ("segmentation.png", "overlay.jpg")}
    assert found["a_overlay.jpg"].shape == (40, 60, 3)


@pytest.mark.parametrize(("side", "least"), [(60, 1), (600, 2), (4000, 13)])
def test_an_outline_is_seen_at_any_size_and_covers_nothing_else(side: int, least: int) -> None:
    picture = np.full((side, side + side // 2, 3), 200, np.uint8)
    mask = np.zeros(picture.shape[:2], bool)
    mask[side // 4 : 3 * side // 4, side // 4 : side] = True
    drawn = overlaid(picture, mask)
    assert (picture == 200).all()  # the picture itself stays clean
    changed = (drawn != picture).any(axis=2)
    row = changed[side // 2]  # across two upright rims
    assert least <= row.sum() / 2 <= 4 * least + 2
    assert row[[side // 4, side - 1]].all()
    assert not changed[side // 2, side // 2]
    assert not changed[: side // 8].any()
    blue = drawn[side // 2, side // 4].astype(int)
    assert blue[2] > blue[0] + 100


def test_a_mask_without_lesion_has_no_outline() -> None:
    picture = np.full((9, 9, 3), 7, np.uint8)
    assert np.array_equal(overlaid(picture, np.zeros((9, 9), bool)), picture)


def test_pictures_of_every_kind_are_read(model: Path, tmp_path: Path) -> None:
    folder, rng = tmp_path / "odd", np.random.default_rng(0)
    folder.mkdir()
    cv2.imwrite(str(folder / "grey.png"), rng.integers(0, 256, (30, 20), dtype=np.uint8))
    cv2.imwrite(str(folder / "rgba.png"), rng.integers(0, 256, (30, 20, 4), dtype=np.uint8))
    cv2.imwrite(str(folder / "deep.png"), rng.integers(0, 65536, (30, 20, 3), dtype=np.uint16))
    cv2.imwrite(str(folder / "dot.png"), np.full((1, 1, 3), 9, np.uint8))
    cv2.imwrite(str(folder / "line.png"), np.full((1, 700, 3), 9, np.uint8))
    for fit in ("resize", "letterbox", "crop"):
        copy = tmp_path / fit
        write_model(copy, *refitted(model, fit))
        found = files_of(copy, folder, tmp_path / f"out-{fit}", overlay=True)
        sizes = {name.partition("_")[0]: mask.shape[:2] for name, mask in found.items()}
        assert sizes == {"grey": (30, 20), "rgba": (30, 20), "deep": (30, 20), "dot": (1, 1), "line": (1, 700)}


def refitted(model: Path, fit: str) -> tuple[torch.nn.Module, ModelCard]:
    network, card = read_model(model)
    return network, ModelCard(**vars(card) | {"fit": fit})


def test_a_turned_picture_gets_the_mask_of_the_picture_as_it_is_shown(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "turned"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    stored = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter
    stored.save(folder / "turned.png", exif=exif)
    Image.fromarray(np.rot90(pixels, -1).copy()).save(folder / "upright.png")
    found = files_of(model, folder, tmp_path / "out")
    assert found["turned_segmentation.png"].shape == (60, 40)
    assert np.array_equal(found["turned_segmentation.png"], found["upright_segmentation.png"])


def test_what_stands_is_left_alone_and_counted(
    model: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    predict_masks(config(model, images, out))
    (out / "b_segmentation.png").unlink()
    (out / "a_segmentation.png").write_bytes(b"mine")
    outcome = predict_masks(config(model, images, out))
    assert (outcome.written, outcome.stood, outcome.exit_code) == (1, 2, 0)
    assert (out / "a_segmentation.png").read_bytes() == b"mine"
    assert cv2.imread(str(out / "b_segmentation.png"), cv2.IMREAD_UNCHANGED).shape == (64, 48)
    said = capsys.readouterr().out.splitlines()
    assert said[-3] == f"open:    {out / 'a_segmentation.png'}"
    assert said[-2] == f"results: {out} (masks of 1 images written, 2 had theirs already)"
    assert said[-1].startswith("next:    python -m finetune.predict --model ")


def test_parts_of_a_killed_prediction_go_though_every_mask_stands(model: Path, images: Path, tmp_path: Path) -> None:
    predict_masks(config(model, images, tmp_path / "out"))
    left = tmp_path / "out" / f".part-{2**30}-{machine()}-a_overlay.jpg"
    left.write_text("half")
    predict_masks(config(model, images, tmp_path / "out"))
    assert not left.exists()


def test_the_next_command_goes_on_with_the_options_of_this_one(
    model: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict_masks(config(model, images, tmp_path / "out", threshold=0.3, fill_holes=True))
    said = capsys.readouterr().out.splitlines()[-1]
    words = said.removeprefix("next:    python -m finetune.predict ").split()
    following = parse(PredictConfig, "test", words)
    assert following == config(model, images, tmp_path / "out", threshold=0.3, fill_holes=True, overlay=True)
    assert (predict_masks(following).written, len(pictures_in(tmp_path / "out"))) == (3, 6)


def test_a_picture_is_done_when_all_kinds_of_its_files_stand(model: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_masks(config(model, images, out))
    (out / "a_segmentation.png").write_bytes(b"mine")
    masks = {path.name: path.read_bytes() for path in out.glob("*.png")}
    outcome = predict_masks(config(model, images, out, overlay=True))
    assert (outcome.written, outcome.stood) == (3, 0)
    assert {path.name: path.read_bytes() for path in out.glob("*.png")} == masks
    assert len(list(out.glob("*_overlay.jpg"))) == 3
    assert predict_masks(config(model, images, out, overlay=True)).stood == 3


def test_a_stopped_prediction_goes_on_and_ends_alike(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = files_of(model, images, tmp_path / "whole")
    written = prediction.PredictionPipeline.write

    def stop_at_second(self: prediction.PredictionPipeline, one: prediction.PictureProbabilities) -> None:
        if one.squares.picture.name == "b":
            raise KeyboardInterrupt
        written(self, one)

    with monkeypatch.context() as patch:
        patch.setattr(prediction.PredictionPipeline, "write", stop_at_second)
        with pytest.raises(KeyboardInterrupt):
            predict_masks(config(model, images, tmp_path / "out", batch_size=1))
    assert set(pictures_in(tmp_path / "out")) == {"a_segmentation.png"}
    found = files_of(model, images, tmp_path / "out", batch_size=1)
    assert all(np.array_equal(found[name], whole[name]) for name in whole)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"threshold": 0.4}, r"threshold is 0\.5 there and 0\.4 here"),
        ({"largest": True}, "largest is False there and True here"),
        ({"symmetries": True}, "symmetries"),
        ({"precision": "bf16-mixed"}, "precision is 32-true there and bf16-mixed here"),
    ],
)
def test_masks_of_other_options_are_not_mixed(
    model: Path, images: Path, tmp_path: Path, other: dict[str, object], said: str
) -> None:
    out = tmp_path / "out"
    predict_masks(config(model, images, out))
    with pytest.raises(UserError, match=rf"out: holds masks made otherwise \(.*{said}.*\); give another --out"):
        predict_masks(config(model, images, out, **other))
    predict_masks(config(model, images, out, batch_size=1))  # pace is no difference


def test_masks_of_another_model_are_not_mixed(made: Made, images: Path, tmp_path: Path) -> None:
    predict_masks(config(made(seed=0), images, tmp_path / "out"))
    with pytest.raises(UserError, match=r"holds masks made otherwise \(models .*\); give another --out"):
        predict_masks(config(made(seed=1), images, tmp_path / "out"))


def test_masks_of_other_pictures_of_the_same_names_are_not_mixed(model: Path, images: Path, tmp_path: Path) -> None:
    predict_masks(config(model, images, tmp_path / "out"))
    shutil.copytree(images, tmp_path / "others")
    with pytest.raises(UserError, match=r"holds masks made otherwise \(images is .*\); give another --out"):
        predict_masks(config(model, tmp_path / "others", tmp_path / "out"))


def test_masks_that_nobody_answers_for_are_not_mixed(model: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_masks(config(model, images, out))
    (out / "prediction.json").unlink()
    with pytest.raises(
        UserError, match=r"holds masks, but no prediction\.json that says what made them; give another --out"
    ):
        predict_masks(config(model, images, out))


def test_a_record_says_what_the_masks_were_made_with(model: Path, images: Path, tmp_path: Path) -> None:
    predict_masks(config(model, images, tmp_path / "out", threshold=0.3))
    record = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert record["threshold"] == 0.3
    assert [one["sha256"] for one in record["models"]] == [read_model(model)[1].sha256]


def test_damaged_pictures_are_told_and_the_others_done(
    model: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8))[1].tobytes()
    (images / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (images / "empty.png").write_bytes(b"")
    (images / "letter.png").write_text("no picture at all")
    outcome = predict_masks(config(model, images, tmp_path / "out", batch_size=2))
    assert outcome.exit_code == 1
    assert [one.picture.name for one in outcome.damaged] == ["cut", "empty", "letter"]
    assert set(pictures_in(tmp_path / "out")) == {f"{name}_segmentation.png" for name in "abc"}
    told = capsys.readouterr()
    assert "3 damaged images were left out:" in told.err
    assert f"{images / 'cut.jpg'}: " in told.err
    assert "truncated" in told.err
    assert "(masks of 3 images written, 0 had theirs already, 3 are damaged)" in told.out
    (images / "cut.jpg").write_bytes(whole)
    again = predict_masks(config(model, images, tmp_path / "out"))
    assert (again.written, again.stood, len(again.damaged)) == (1, 3, 2)


def test_a_batch_of_nothing_but_damage_is_left_out(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "one.png").write_bytes(b"1")
    assert predict_masks(config(model, folder, tmp_path / "out")).exit_code == 1


def test_the_command_ends_with_1_where_a_picture_is_damaged_and_with_0_where_none_is(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def code(folder: Path) -> object:
        words = ["--model", str(model), "--images", str(images), "--out", str(folder), "--threads", "1"]
        monkeypatch.setattr(sys, "argv", ["predict", *words])
        with pytest.raises(SystemExit) as stop:
            runpy.run_module("finetune.predict", run_name="__main__")
        return stop.value.code

    assert code(tmp_path / "out") == 0
    (images / "damaged.png").write_bytes(b"1")
    assert code(tmp_path / "out") == 1
    (images / "damaged.jpg").write_bytes(b"1")
    assert code(tmp_path / "out") == 2  # two images, one name


def test_two_pictures_with_one_masks_name_are_refused_before_the_start(
    model: Path, images: Path, tmp_path: Path
) -> None:
    shutil.copy(images / "a.png", images / "a.jpg")
    with pytest.raises(
        UserError, match=r"two images have the same name without its ending \(a\); rename or remove one of each"
    ):
        predict_masks(config(model, images, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_pictures_of_one_name_in_two_folders_keep_their_folders(model: Path, images: Path, tmp_path: Path) -> None:
    shutil.copy(images / "a.png", images / "more" / "a.png")
    predict_masks(config(model, images, tmp_path / "out"))
    masks = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png"))
    assert masks == ["a_segmentation.png", "b_segmentation.png", "more/a_segmentation.png", "more/c_segmentation.png"]


def test_a_single_picture_may_be_given(model: Path, images: Path, tmp_path: Path) -> None:
    one = files_of(model, images / "b.png", tmp_path / "one")
    all_of_them = files_of(model, images, tmp_path / "all")
    assert set(one) == {"b_segmentation.png"}
    assert np.array_equal(one["b_segmentation.png"], all_of_them["b_segmentation.png"])
    predict_masks(config(model, images, tmp_path / "one"))  # the same folder: it may go on with the others


def test_a_single_file_that_is_no_picture_by_its_name_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match=r"notes\.txt: its name does not end as a picture's"):
        predict_masks(config(model, tmp_path / "notes.txt", tmp_path / "out"))


def test_masks_that_lie_beside_the_images_are_not_predicted(model: Path, images: Path) -> None:
    shutil.copy(images / "a.png", images / "a_segmentation.png")
    expected = {f"{name}_{kind}" for name in "abc" for kind in ("segmentation.png", "overlay.jpg", "probability.png")}
    for _ in range(2):  # the second time overlays stand among the pictures
        assert set(files_of(model, images, images / "predicted", overlay=True, probability=True)) == expected


def test_the_folder_of_the_images_is_no_place_for_masks(model: Path, images: Path) -> None:
    with pytest.raises(UserError, match="this is the folder of the images; give the masks a folder of their own"):
        predict_masks(config(model, images, images))
    assert not list(images.rglob("*_segmentation.png"))


def test_a_missing_model_is_one_sentence_and_nothing_is_written(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--model .*: no such file; give the run folder of a `python -m finetune`"):
        predict_masks(config(tmp_path / "nowhere", images, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_folder_without_images_is_one_sentence(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        predict_masks(config(model, tmp_path / "nowhere", tmp_path / "out"))


def test_a_gpu_that_is_not_there_is_one_sentence(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="--device cuda: torch finds no GPU here; take --device cpu, or auto"):
        predict_masks(config(model, images, tmp_path / "out", device="cuda"))


def test_masks_do_not_depend_on_what_is_read_ahead(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (images / "damaged.png").write_bytes(b"1")
    inline = files_of(model, images, tmp_path / "inline", batch_size=1)
    monkeypatch.setattr(TorchSegmenter, "beside_cpu", True)  # as on a GPU: reading, network and writing side by side
    outcome = predict_masks(config(model, images, tmp_path / "ahead", batch_size=1))
    assert [one.picture.name for one in outcome.damaged] == ["damaged"]
    ahead = pictures_in(tmp_path / "ahead")
    assert set(ahead) == set(inline)
    assert all(np.array_equal(inline[name], ahead[name]) for name in inline)


@pytest.fixture
def isic(tmp_path: Path, draw_isic: Callable[..., Path]) -> Path:
    return draw_isic(tmp_path / "isic", count=4)


@pytest.mark.filterwarnings("ignore:The inplace keyword in Series.rename")  # of the scorer's own
def test_the_official_scorer_takes_the_submission(
    model: Path, isic: Path, tmp_path: Path, official_scorer: ModuleType
) -> None:
    archive = tmp_path / "submission.zip"
    predict_masks(config(model, isic, tmp_path / "out", submission=archive, overlay=True, probability=True))
    shutil.make_archive(str(tmp_path / "truth"), "zip", isic / "ISIC2018_Task1_Training_GroundTruth")
    score = official_scorer.SegmentationScore.from_zip_file(tmp_path / "truth.zip", archive)
    truths = {path.stem: cv2.imread(str(path), 0) > 128 for path in isic.rglob("*_segmentation.png")}
    masks = {path.stem: cv2.imread(str(path), 0) > 128 for path in (tmp_path / "out").glob("*_segmentation.png")}
    ours = [(truths[name] & masks[name]).sum() / (truths[name] | masks[name]).sum() for name in truths]
    assert score.macro_average["jaccard"] == pytest.approx(np.mean(ours), abs=1e-12)


def test_a_submission_lacks_no_mask(model: Path, isic: Path, tmp_path: Path) -> None:
    next(isic.rglob("*.jpg")).write_bytes(b"1")
    outcome = predict_masks(config(model, isic, tmp_path / "out", submission=tmp_path / "submission.zip"))
    assert outcome.exit_code == 1
    assert not (tmp_path / "submission.zip").exists()


def test_names_that_the_challenge_does_not_know_are_refused_before_the_start(
    model: Path, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"submission\.zip: names that are not ISIC's: 3 .*; rename them, or leave"):
        predict_masks(config(model, images, tmp_path / "out", submission=tmp_path / "submission.zip"))
    assert not (tmp_path / "out").exists()


def test_a_second_prediction_at_the_same_place_is_refused(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*_: object) -> None:
        predict_masks(config(model, images, tmp_path / "out"))

    monkeypatch.setattr(predict_run, "record_identity", meanwhile)
    with pytest.raises(UserError, match="another prediction works there"):
        predict_masks(config(model, images, tmp_path / "out"))


def test_options_are_read_from_flags() -> None:
    words = ["--model", "m", "--images", "i", "--out", "o"]
    assert parse(PredictConfig, "test", words) == PredictConfig(model=Path("m"), images=Path("i"), out=Path("o"))
    found = parse(PredictConfig, "test", [*words, "--overlay", "--largest", "True", "--threshold", "0.3"])
    assert (found.overlay, found.largest, found.threshold, found.symmetries) == (True, True, 0.3, None)
    for wrong in (["--threshold", "1.5"], ["--submission", "masks.tar"], ["--batch_size", "0"]):
        with pytest.raises(UserError):
            parse(PredictConfig, "test", [*words, *wrong])


@pytest.mark.slow
def test_a_picture_of_fifty_megapixels_is_predicted(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    cv2.imwrite(str(folder / "large.jpg"), np.full((5000, 10_000, 3), 90, np.uint8))
    found = files_of(model, folder, tmp_path / "out")
    assert found["large_segmentation.png"].shape == (5000, 10_000)
    assert read_rgb(folder / "large.jpg").shape == (5000, 10_000, 3)
