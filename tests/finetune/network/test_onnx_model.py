import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from dermssl.errors import UserError
from finetune.export.config import ModelExportConfig
from finetune.export.run import export_onnx
from finetune.network.build import build_model
from finetune.network.model_file import ModelCard, read_model, write_model
from finetune.network.onnx_model import OnnxSegmenter
from finetune.predict.config import PredictConfig
from finetune.predict.run import predict_masks
from finetune.scoring.inference import TorchSegmenter

FIELDS = {
    "encoder": "tu-test_efficientnet", "decoder": "fpn", "image_size": 32, "mean": (0.5, 0.45, 0.4),
    "std": (0.25, 0.2, 0.3), "init": "random", "encoder_sha256": "", "data": "", "commit": "",
}  # fmt: skip
CPU = torch.device("cpu")
PAIRS = [
    ("tu-tf_efficientnet_lite0", "unet"), ("tu-tf_efficientnet_lite0", "pspnet"),
    ("tu-tf_efficientnet_lite0", "linknet"),
    ("resnet18", "unet"), ("resnet18", "fpn"), ("resnet18", "pspnet"), ("mit_b0", "unet"), ("mit_b0", "segformer"),
    *(("tu-test_resnet", name) for name in ("unetplusplus", "manet", "pan", "deeplabv3", "deeplabv3plus", "upernet")),
    ("tu-vit_tiny_patch16_224", "dpt"),
]  # fmt: skip


def run_of(folder: Path, **fields: object) -> Path:
    """A run folder whose network is sure of itself, so that probabilities of all sizes occur."""
    torch.manual_seed(0)
    card = ModelCard(**FIELDS | fields)  # type: ignore[arg-type]
    model = build_model(card.encoder, card.decoder, card.options)
    with torch.no_grad():
        [*(part for part in model.segmentation_head.modules() if isinstance(part, nn.Conv2d))][-1].weight.mul_(10)
    write_model(folder / "model.safetensors", model, card)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_of(tmp_path_factory.mktemp("run"), fit="letterbox", cache_size=50, fill_holes=True, threshold=0.4)


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(ModelExportConfig(model=run, out=tmp_path_factory.mktemp("onnx") / "model.onnx", threads=1))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name, size in (("a", (90, 120)), ("b", (64, 48)), ("c", (20, 20))):
        cv2.imwrite(str(folder / f"{name}.png"), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    return folder


def pixels(count: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def answers(run: Path, file: Path, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    model, card = read_model(run)
    return TorchSegmenter(model, card.normalise)(given), OnnxSegmenter(file, CPU)(given)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_batches_of_any_size_have_the_same_probabilities(run: Path, exported: Path, count: int) -> None:
    ours, theirs = answers(run, exported, pixels(count))
    assert theirs.dtype == np.float32
    assert theirs == pytest.approx(ours, abs=1e-4)
    assert ours.std() > 0.01


def test_a_program_without_this_code_needs_uint8_pixels_alone(run: Path, exported: Path) -> None:
    session = onnxruntime.InferenceSession(exported)
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[1:]) == ("pixels", "tensor(uint8)", [3, 32, 32])
    assert (made.name, made.type, made.shape[1:]) == ("probability", "tensor(float)", [1, 32, 32])
    squares = pixels(2)
    (found,) = session.run(None, {"pixels": squares.transpose(0, 3, 1, 2)})
    model, card = read_model(run)
    assert found[:, 0] == pytest.approx(TorchSegmenter(model, card.normalise)(squares), abs=1e-4)


def test_the_file_is_whole_by_onnxs_own_check_and_holds_the_card(run: Path, exported: Path) -> None:
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    props = {entry.key: entry.value for entry in model.metadata_props}
    card = read_model(run)[1]
    assert json.loads(props["card"])["sha256"] == card.sha256
    assert OnnxSegmenter(exported, CPU).card == card


def test_the_file_predicts_the_same_masks_but_where_the_threshold_is_near(
    run: Path, exported: Path, images: Path, tmp_path: Path
) -> None:
    for name, model in (("run", run), ("file", exported)):
        predict_masks(
            PredictConfig(
                model=model, images=images, out=tmp_path / name, fill_holes=False, probability=True, threads=1
            )
        )
    shares = []
    for name in "abc":
        ours, theirs = (picture(tmp_path / by / f"{name}_probability.png") / 65535 for by in ("run", "file"))
        masks = [picture(tmp_path / by / f"{name}_segmentation.png") > 0 for by in ("run", "file")]
        assert np.abs(ours - theirs).max() < 1e-3
        assert (np.abs(ours - 0.4)[masks[0] != masks[1]] < 1e-3).all()
        shares.append(masks[0].mean())
    assert 0 < np.mean(shares) < 1


def picture(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_masks_of_the_file_are_not_mixed_with_those_of_the_run(
    run: Path, exported: Path, images: Path, tmp_path: Path
) -> None:
    predict_masks(PredictConfig(model=run, images=images, out=tmp_path / "out", threads=1))
    with pytest.raises(UserError, match="give another --out"):
        predict_masks(PredictConfig(model=exported, images=images, out=tmp_path / "out", threads=1))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_one_flipped_bit_is_refused(exported: Path, tmp_path: Path, share: float) -> None:
    data = bytearray(exported.read_bytes())
    data[round(share * (len(data) - 1))] ^= 1
    path = tmp_path / "flipped.onnx"
    path.write_bytes(data)
    with pytest.raises(
        UserError, match=r"flipped\.onnx: is damaged, or was not written by `python -m finetune\.export`"
    ):
        OnnxSegmenter(path, CPU)


def test_an_onnx_file_of_somebody_else_is_refused(exported: Path, tmp_path: Path) -> None:
    model = onnx.load(exported)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    for path in (tmp_path / "other.onnx", tmp_path / "nowhere.onnx"):
        with pytest.raises(
            UserError,
            match=r"--model .*: (is damaged, or was not written by|no such file;) `python -m finetune\.export`",
        ):
            OnnxSegmenter(path, CPU)


def test_half_precision_is_none_for_a_file(exported: Path) -> None:
    with pytest.raises(UserError, match="--precision bf16-mixed: an ONNX file computes in float32"):
        OnnxSegmenter(exported, CPU, "bf16-mixed")


def test_nothing_is_written_over(run: Path, exported: Path) -> None:
    with pytest.raises(UserError, match="this file exists already; give another name"):
        export_onnx(ModelExportConfig(model=run, out=exported, threads=1))
    with pytest.raises(ValueError, match=r"an ONNX file ends with \.onnx"):
        ModelExportConfig(model=run, out=Path("model.pt"))


def test_a_decoder_that_cannot_be_written_is_named(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise torch.onnx.OnnxExporterError("no such operator")

    monkeypatch.setattr(torch.onnx, "export", never)
    with pytest.raises(UserError, match=r"decoder fpn on encoder tu-test_efficientnet: .*no such operator"):
        export_onnx(ModelExportConfig(model=run, out=tmp_path / "model.onnx", threads=1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_decoders_of_every_kind_are_written(tmp_path: Path, encoder: str, decoder: str) -> None:
    run = run_of(tmp_path, encoder=encoder, decoder=decoder, image_size=64 if decoder != "pan" else 128)
    file = export_onnx(ModelExportConfig(model=run, out=tmp_path / "model.onnx", threads=1))
    side = read_model(run)[1].image_size
    ours, theirs = answers(run, file, pixels(3, side))
    assert theirs == pytest.approx(ours, abs=1e-3)
    assert ours.std() > 0
