"""An export is opened by the other library alone and gives our features there, or nothing is written."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from dermssl.errors import UserError
from dermssl.exchange import export_run
from dermssl.exchange.export_config import ExportConfig
from dermssl.exchange.export_run import libraries_for, run
from dermssl.exchange.forms import form_of, layers_kept, timm_call
from dermssl.exchange.model_card import public
from dermssl.exchange.proof import largest_difference, readings_of, tensors_in
from dermssl.flags import parse
from dermssl.weights.encoder import build_encoder, feature_maps, from_state, start_from
from dermssl.weights.encoder_file import EncoderCard, write_encoder_file

CARD = EncoderCard(
    encoder="resnet18", method="simclr", mean=(0.7, 0.6, 0.5), std=(0.1, 0.2, 0.3), image_size=64, epochs=3,
    images_seen=30, parent="imagenet", config={"lr": 0.1, "data": "/home/me/pictures"},
    data={"count": 10, "licence": "CC-0, CC-BY", "folder": "/home/me/pictures"},
)  # fmt: skip

Encoder = Callable[[str], Path]


@pytest.fixture(scope="module")
def encoder_file(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """A file of an encoder whose every tensor has values of its own."""
    torch.set_num_threads(1)

    def make(name: str) -> Path:
        path = tmp_path_factory.getbasetemp() / "encoders" / name / "encoder.safetensors"
        if not path.exists():
            generator = torch.Generator().manual_seed(0)
            state = {
                key: 1 + 0.1 * torch.rand(tensor.shape, generator=generator) if key.endswith("running_var")
                else tensor + 0.02 * (torch.rand(tensor.shape, generator=generator) - 0.5) if tensor.is_floating_point()
                else tensor + 7
                for key, tensor in build_encoder(name).state_dict().items()
            }  # fmt: skip
            write_encoder_file(path, state, dataclasses.replace(CARD, encoder=name))
        return path

    return make


def opened_as_printed(text: str) -> nn.Module:
    """What a user gets who copies the lines that an export ends with."""
    code = text[text.index("next:\n") + len("next:\n") :]
    names: dict[str, object] = {}
    exec("\n".join(line.removeprefix("    ") for line in code.splitlines()), names)
    model = names["model"]
    assert isinstance(model, nn.Module)
    return model


@pytest.mark.parametrize(
    ("encoder", "to"),
    [
        ("resnet18", "timm"), ("resnet18", "torchvision"), ("resnet18", "smp"), ("resnet18", "huggingface"),
        ("tu-tf_efficientnet_lite0", "timm"), ("tu-tf_efficientnet_lite0", "huggingface"),
        ("tu-convnext_atto", "timm"), ("tu-convnext_atto", "huggingface"), ("tu-mobilenetv2_100", "torchvision"),
        pytest.param("tu-vit_tiny_patch16_224", "timm", marks=pytest.mark.slow),
        pytest.param("tu-vit_tiny_patch16_224", "smp", marks=pytest.mark.slow),
        pytest.param("tu-swin_tiny_patch4_window7_224", "huggingface", marks=pytest.mark.slow),
        pytest.param("tu-convnext_tiny", "torchvision", marks=pytest.mark.slow),
        pytest.param("densenet121", "torchvision", marks=pytest.mark.slow),
        pytest.param("vgg11", "torchvision", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_the_lines_that_are_printed_open_a_model_with_our_features(
    encoder: str, to: str, encoder_file: Encoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / ("weights" if to == "huggingface" else "weights.safetensors")
    options = ["--file", str(encoder_file(encoder)), "--to", to, "--out", str(out)]
    assert run(parse(ExportConfig, "export", options)) == out
    printed = capsys.readouterr().out
    model = opened_as_printed(printed)
    ours = start_from(str(encoder_file(encoder)), encoder, 0).encoder
    side = 224 if encoder.endswith("224") else 96
    assert f"results: {out}" in printed
    assert largest_difference(ours, getattr(model, "encoder", model), side) <= 1e-5


def test_the_pooled_features_of_timm_are_ours(encoder_file: Encoder, tmp_path: Path) -> None:
    place = run(ExportConfig(file=encoder_file("resnet18"), to="timm", out=tmp_path / "a.safetensors"))
    model = timm.create_model("resnet18", num_classes=0).eval()
    model.load_state_dict(load_file(place), strict=True)
    ours = start_from(str(encoder_file("resnet18")), "resnet18", 0).encoder.eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(images), feature_maps(ours, images)[-1].mean(dim=(2, 3)))


def test_a_file_carries_the_card_without_paths(encoder_file: Encoder, tmp_path: Path) -> None:
    place = run(ExportConfig(file=encoder_file("resnet18"), to="smp", out=tmp_path / "a.safetensors"))
    with safe_open(place, framework="pt") as file:
        header = file.metadata()
    card = json.loads(header["card"])
    assert header["format"] == "pt"
    assert (card["method"], card["mean"], card["parent"]) == ("simclr", [0.7, 0.6, 0.5], "imagenet")
    assert card["data"] == {"count": 10, "licence": "CC-0, CC-BY"}
    assert card["config"] == {"lr": 0.1}


def test_the_folder_tells_timm_how_to_normalise_and_people_where_it_comes_from(
    encoder_file: Encoder, tmp_path: Path
) -> None:
    place = run(ExportConfig(file=encoder_file("tu-convnext_atto"), to="huggingface", out=tmp_path / "folder"))
    settings = timm.create_model(f"local-dir:{place}", pretrained=True).pretrained_cfg
    assert (tuple(settings["mean"]), tuple(settings["std"])) == ((0.7, 0.6, 0.5), (0.1, 0.2, 0.3))
    assert tuple(settings["input_size"]) == (3, 64, 64)
    readme = (place / "README.md").read_text()
    assert sorted(path.name for path in place.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert "| licence | CC-0, CC-BY |" in readme
    assert "| continued from | imagenet |" in readme
    assert "head.norm.weight" in readme  # what timm's own network has besides
    assert "/home/me" not in readme


@pytest.mark.slow
def test_an_onnx_file_takes_pixels_and_gives_every_stage(encoder_file: Encoder, tmp_path: Path) -> None:
    place = run(ExportConfig(file=encoder_file("resnet18"), to="onnx", out=tmp_path / "a.onnx"))
    start = start_from(str(encoder_file("resnet18")), "resnet18", 0)
    pixels = torch.randint(256, (3, 3, 64, 64), dtype=torch.uint8)
    given = onnxruntime.InferenceSession(place).run([f"stage_{i}" for i in range(1, 6)], {"pixels": pixels.numpy()})
    with torch.no_grad():
        wanted = feature_maps(start.encoder.eval(), start.normalise(pixels))
    for its, ours in zip(given, wanted, strict=True):
        assert (torch.from_numpy(its) - ours).abs().max() <= 1e-5 * ours.abs().max()
    texts = {entry.key: entry.value for entry in onnx.load(place).metadata_props}
    assert "RGB pixels in 0 to 255, uint8, (B, 3, 64, 64)" in texts["input"]
    assert json.loads(texts["outputs"])["stage_5"] == ["B", 512, 2, 2]


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["tu-tf_efficientnet_lite0", "tu-convnext_atto", "mit_b0"])
def test_other_families_go_to_onnx_without_a_warning(encoder: str, encoder_file: Encoder, tmp_path: Path) -> None:
    assert run(ExportConfig(file=encoder_file(encoder), to="onnx", out=tmp_path / "a.onnx", size=32)).is_file()


def test_a_failed_proof_leaves_no_file(encoder_file: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = start_from(str(encoder_file("resnet18")), "resnet18", 0)
    form = form_of("timm", start)
    assert form is not None
    one, two = "layer1.0.conv1.weight", "layer1.0.conv2.weight"  # of one shape
    swapped = {**form.names, one: form.names[two], two: form.names[one]}
    wrong = dataclasses.replace(form, names=swapped, names_in_model=swapped)
    monkeypatch.setattr(export_run, "form_of", lambda *_: wrong)
    with pytest.raises(UserError, match=r"0 of 120 tensors differ .* its features by"):
        run(ExportConfig(file=encoder_file("resnet18"), to="timm", out=tmp_path / "a.safetensors"))
    assert not list(tmp_path.iterdir())


def test_a_tensor_that_the_library_leaves_out_is_seen(
    encoder_file: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = form_of("timm", start_from(str(encoder_file("resnet18")), "resnet18", 0))
    assert form is not None

    def forgetful(path: Path) -> nn.Module:
        model = form.open_model(path)
        model.state_dict()["bn1.num_batches_tracked"].zero_()  # no feature tells
        return model

    monkeypatch.setattr(export_run, "form_of", lambda *_: dataclasses.replace(form, open_model=forgetful))
    with pytest.raises(UserError, match="1 of 120 tensors differ"):
        run(ExportConfig(file=encoder_file("resnet18"), to="timm", out=tmp_path / "a.safetensors"))


def test_a_library_that_does_not_open_the_file_is_told(
    encoder_file: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = form_of("timm", start_from(str(encoder_file("resnet18")), "resnet18", 0))
    assert form is not None
    names = {their: our for their, our in form.names.items() if their != "conv1.weight"}
    monkeypatch.setattr(export_run, "form_of", lambda *_: dataclasses.replace(form, names=names))
    with pytest.raises(UserError, match="does not open what was written"):
        run(ExportConfig(file=encoder_file("resnet18"), to="huggingface", out=tmp_path / "folder"))
    assert not list(tmp_path.iterdir())


def test_a_library_without_the_network_is_told_with_those_that_have_it(encoder_file: Encoder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'mit_b0'; take --to smp, onnx"):
        run(ExportConfig(file=encoder_file("mit_b0"), to="timm", out=tmp_path / "a"))
    with pytest.raises(UserError, match="take --to timm, smp, onnx, huggingface"):
        run(ExportConfig(file=encoder_file("tu-convnext_atto"), to="torchvision", out=tmp_path / "a"))


def test_what_stands_is_not_written_over(encoder_file: Encoder, tmp_path: Path) -> None:
    (tmp_path / "there.safetensors").write_text("weights")
    with pytest.raises(UserError, match="is there already"):
        run(ExportConfig(file=encoder_file("resnet18"), to="timm", out=tmp_path / "there.safetensors"))
    with pytest.raises(UserError, match="is there already"):
        run(ExportConfig(file=encoder_file("resnet18"), to="huggingface", out=tmp_path))
    with pytest.raises(UserError, match="is a folder; give the name of a file"):
        run(ExportConfig(file=encoder_file("resnet18"), to="timm", out=tmp_path))


def test_a_file_that_is_no_encoder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; give the encoder file of a pretraining"):
        run(ExportConfig(file=tmp_path / "none.safetensors", to="timm", out=tmp_path / "a"))
    (tmp_path / "note.safetensors").write_text("not weights")
    with pytest.raises(UserError, match="damaged, or no file of"):
        run(ExportConfig(file=tmp_path / "note.safetensors", to="timm", out=tmp_path / "a"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--to", "keras"], "--to takes one of timm, torchvision, smp, onnx, huggingface; got 'keras'"),
        (["--to", "timm", "--size", "64"], "--size is the side of an ONNX file's pictures"),
        (["--to", "smp", "--out", "checkpoints/a.safetensors"], "checkpoints holds encoder files"),
    ],
)
def test_wrong_options_are_told(options: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse(ExportConfig, "export", ["--file", "encoder.safetensors", *options])


def test_the_default_place_names_the_run_and_the_library() -> None:
    file = Path("checkpoints/simclr/encoder.safetensors")
    assert ExportConfig(file=file, to="timm").place == Path("runs/export/simclr-encoder-timm.safetensors")
    assert ExportConfig(file=file, to="huggingface").place == Path("runs/export/simclr-encoder-huggingface")


def test_takers_are_the_libraries_that_have_the_network() -> None:
    start = from_state("resnet18", build_encoder("resnet18").state_dict(), "random")
    assert libraries_for(start) == ["timm", "torchvision", "smp", "onnx", "huggingface"]


@pytest.mark.parametrize(
    ("encoder", "options", "lacks"),
    [
        ("resnet18", {"num_classes": 0}, 0), ("tu-vit_tiny_patch16_224", {"num_classes": 0}, 0),
        ("tu-convnext_atto", {"features_only": True}, 2), ("tu-tf_efficientnet_lite0", {"features_only": True}, 6),
    ],
)  # fmt: skip
def test_timm_is_asked_for_the_network_that_holds_the_encoder_and_no_more(
    encoder: str, options: dict[str, object], lacks: int
) -> None:
    call = timm_call(encoder)
    assert call is not None
    assert (call.options, len(call.lacks)) == (options, lacks)


def test_layers_behind_the_encoder_are_cut_and_its_own_are_kept() -> None:
    model = nn.Module()
    model.features = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
    model.classifier = nn.Sequential(nn.Linear(1, 1))
    assert layers_kept(model, {"features.0.weight", "features.0.bias"}) == {"features": 2, "classifier": 0}


def test_maps_are_found_whatever_way_a_layer_shows_them() -> None:
    wanted = torch.arange(-12.0, 12.0).view(1, 4, 2, 3)
    tokens = torch.cat([torch.zeros(1, 1, 4), wanted.flatten(2).transpose(1, 2)], dim=1)  # behind a class token
    for output in (wanted, wanted.permute(0, 2, 3, 1), tokens, (wanted[:, :1], [wanted[:, 1:]])):
        assert any(torch.equal(shown, wanted) for shown in readings_of(output, wanted.shape))
        assert any(torch.equal(shown, wanted.relu()) for shown in readings_of(output, wanted.shape))
    assert not list(readings_of(wanted[:, :3], wanted.shape))
    assert tensors_in({"a": wanted}) == []


def test_every_map_must_be_found() -> None:
    encoder = build_encoder("resnet18")
    same = largest_difference(encoder, build_like(encoder), 64)
    one_off = build_like(encoder)
    one_off.state_dict()["layer4.1.bn2.bias"][7] += 0.01  # of 512 channels, in the last map alone
    assert same == 0
    assert largest_difference(encoder, one_off, 64) > 1e-4
    assert largest_difference(encoder, nn.Conv2d(3, 8, 3), 64) == torch.inf


def build_like(encoder: nn.Module) -> nn.Module:
    other = build_encoder("resnet18")
    other.load_state_dict(dict(encoder.state_dict()))
    return other


def test_a_card_in_public_has_no_path() -> None:
    assert "/home" not in json.dumps(public(CARD))
    assert public(CARD)["epochs"] == 3
