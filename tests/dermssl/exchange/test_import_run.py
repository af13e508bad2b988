"""From a stranger's checkpoint to an encoder file that `--init` takes, told line by line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from dermssl.data.manifest import read_manifest
from dermssl.errors import UserError
from dermssl.exchange import export_run
from dermssl.exchange.export_config import ExportConfig
from dermssl.exchange.import_config import ImportConfig, as_options
from dermssl.exchange.import_run import run
from dermssl.flags import parse
from dermssl.splits.config import SplitConfig
from dermssl.splits.guarded import verdict_on_encoder
from dermssl.weights.encoder import pooled, start_from
from dermssl.weights.encoder_file import read_card, read_encoder_file

State = dict[str, Tensor]
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    """torchvision's resnet18, its BatchNorms as after a training."""
    return lived_in(torchvision.models.resnet18())


def lived_in(model: nn.Module) -> nn.Module:
    """The model with statistics and scales that are not those that BatchNorm begins with."""
    generator = torch.Generator().manual_seed(0)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.running_mean, layer.running_var):
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return model.eval()


def imported(content: object, encoder: str = "resnet18", **options: object) -> Path:
    torch.save(content, "net.pth")
    return run(ImportConfig(file=Path("net.pth"), encoder=encoder, **options))  # type: ignore[arg-type]


def refusal(content: object, encoder: str = "resnet18", **options: object) -> str:
    with pytest.raises(UserError) as caught:
        imported(content, encoder, **options)
    return str(caught.value)


@torch.inference_mode()
def test_the_imported_encoder_gives_the_features_of_its_source(resnet: nn.Module) -> None:
    file = imported({"state_dict": {f"module.{name}": tensor for name, tensor in resnet.state_dict().items()}})
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    theirs = nn.Sequential(*list(resnet.children())[:-1])(images).flatten(1)
    for init in (str(file), "ssl"):
        start = start_from(init, "resnet18", seed=0)
        assert torch.equal(pooled(start.encoder.eval(), images), theirs)


def test_what_is_told(resnet: nn.Module, capsys: pytest.CaptureFixture[str]) -> None:
    imported({"arch": "resnet18", "state_dict": {f"module.encoder_q.{k}": v for k, v in resnet.state_dict().items()}})
    assert capsys.readouterr().out.splitlines() == [
        "recognised: moco: query encoder at state_dict.module.encoder_q, torchvision's names, 120 of 120 tensors",
        "left: state_dict.module.encoder_q.fc (2 tensors)",
        "features: equal to those of torchvision.models.resnet18: largest difference 0",
        "pixels: mean 0.485 0.456 0.406, std 0.229 0.224 0.225, which torchvision takes by default; "
        "if the training took others, give --mean and --std",
        "leaks: the checkpoint does not list the images that it was trained on, so no command can compare them "
        "with held-out images; make sure yourself that none of those was among them",
        "results: checkpoints/imported-net/encoder.safetensors",
        "next:    python -m finetune --init checkpoints/imported-net/encoder.safetensors --encoder resnet18",
    ]


def test_the_encoder_that_is_left_is_told(resnet: nn.Module, capsys: pytest.CaptureFixture[str]) -> None:
    other = torchvision.models.resnet18()
    imported({"teacher": resnet.state_dict(), "student": other.state_dict()})
    assert "not taken: network at student, for DINO judges the teacher" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_weights_of_another_precision_become_float32_and_it_is_told(
    dtype: torch.dtype, resnet: nn.Module, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in named(resnet).items()}
    _, tensors = read_encoder_file(imported(state))
    assert tensors["conv1.weight"].dtype == torch.float32
    assert torch.equal(tensors["conv1.weight"], state["conv1.weight"].float())
    assert f"100 tensors from {str(dtype)[6:]} to float32" in capsys.readouterr().out


def named(model: nn.Module) -> State:
    return dict(model.state_dict())


def test_counters_that_a_format_lacks_are_0_and_it_is_told(
    resnet: nn.Module, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {name: tensor for name, tensor in named(resnet).items() if not name.endswith("num_batches_tracked")}
    _, tensors = read_encoder_file(imported(state))
    assert tensors["bn1.num_batches_tracked"] == 0
    assert "20 counters (num_batches_tracked) set to 0" in capsys.readouterr().out


def test_channels_last_is_undone(resnet: nn.Module) -> None:
    state = {k: v.contiguous(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in named(resnet).items()}
    _, tensors = read_encoder_file(imported(state))
    assert all(tensor.is_contiguous() for tensor in tensors.values())
    assert torch.equal(tensors["layer1.0.conv1.weight"], state["layer1.0.conv1.weight"])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_training_that_broke_is_refused(value: float, resnet: nn.Module) -> None:
    state = named(resnet)
    state["layer3.0.bn1.bias"] = torch.full((256,), value)
    assert "'layer3.0.bn1.bias' holds NaN or infinity" in refusal(state)
    assert not Path("checkpoints").exists()


def test_another_import_is_not_written_over(resnet: nn.Module) -> None:
    first = imported(named(resnet)).read_bytes()
    assert "holds other weights already; give --out" in refusal(torchvision.models.resnet18().state_dict())
    assert Path("checkpoints/imported-net/encoder.safetensors").read_bytes() == first
    imported(named(resnet), licence="CC-BY-4.0")
    assert read_card(Path("checkpoints/imported-net/encoder.safetensors")).data["licence"] == "CC-BY-4.0"


def test_a_network_of_equal_tensors_and_other_features_is_refused() -> None:
    # tf_efficientnet pads otherwise and divides by another epsilon; no name and no shape tells.
    tensors = timm.create_model("efficientnet_b0").state_dict()
    content = {"arch": "efficientnet_b0", "state_dict": tensors}
    assert "the features of timm's efficientnet_b0 differ" in refusal(content, "tu-tf_efficientnet_b0")


def test_a_classifier_that_no_feature_needs_may_be_absent(capsys: pytest.CaptureFixture[str]) -> None:
    encoder = "tu-vit_tiny_patch16_224"
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    _, tensors = read_encoder_file(imported(model.state_dict(), encoder))
    told = capsys.readouterr().out
    assert "model.head.weight, model.head.bias set to 0" in told
    assert "features: equal to those of timm's vit_tiny_patch16_224" in told
    assert torch.equal(tensors["model.blocks.3.attn.qkv.weight"], model.blocks[3].attn.qkv.weight)


def test_pixels_are_those_of_the_naming_library_unless_said(resnet: nn.Module) -> None:
    card = read_card(imported(named(resnet)))
    assert (card.mean, card.std) == IMAGENET
    options = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "out": Path("a.safetensors")}
    card = read_card(imported(named(resnet), **options))
    assert (card.mean, card.std) == ((0, 0, 0), (1, 1, 1))
    model = timm.create_model("tf_efficientnet_lite0")
    card = read_card(imported(model.state_dict(), "tu-tf_efficientnet_lite0", out=Path("b.safetensors")))
    assert card.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("beside", "mean", "source"),
    [
        ({"args": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}}, (0.1, 0.2, 0.3), "from args.mean in the file"),
        ({"args": {"mean": [51.0, 51, 51], "std": [51.0, 51, 51]}}, (0.2, 0.2, 0.2), "in the file, divided by 255"),
        ({"args": {"mean": None, "std": None}}, IMAGENET[0], "which torchvision takes by default"),
        ({"hyper_parameters": {"model": "resnet18", "in_channels": 3}}, (0, 0, 0), "as torchgeo divides by 255 alone"),
    ],
)
def test_pixels_are_those_that_the_file_tells(
    beside: dict[str, object], mean: object, source: str, resnet: nn.Module, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {f"backbone.{name}": tensor for name, tensor in named(resnet).items()}
    assert read_card(imported({"state_dict": state, **beside})).mean == pytest.approx(mean)
    assert source in capsys.readouterr().out


def test_pixels_are_those_of_timms_config_beside_the_weights(resnet: nn.Module) -> None:
    save_file(named(resnet), "model.safetensors")
    pixels = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    Path("config.json").write_text(json.dumps({"architecture": "resnet18", "pretrained_cfg": pixels}))
    card = read_card(run(ImportConfig(file=Path("model.safetensors"), encoder="resnet18")))
    assert (card.mean, card.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_pixels_that_are_none_are_refused_with_the_remedy(resnet: nn.Module) -> None:
    content = {"state_dict": named(resnet), "args": {"mean": [0.5, 0.5, 0.5], "std": [0, 0.2, 0.2]}}
    assert "no three numbers of pixels; give --mean and --std" in refusal(content)
    imported(content, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))


def test_a_tensor_of_no_head_refuses_the_file(resnet: nn.Module) -> None:
    content = {**named(resnet), "register_tokens": torch.ones(1, 4, 8)}
    assert "1 more between or beside them of another network (first: register_tokens)" in refusal(content)


@pytest.mark.parametrize(
    ("sign", "method"), [("predictor.0.weight", "byol"), ("dino_loss.center", "dino"), ("x", "imported")]
)
def test_stable_pretraining_is_told_by_what_lies_beside_its_teacher(sign: str, method: str, resnet: nn.Module) -> None:
    other = lived_in(torchvision.models.resnet18())
    state = {f"backbone.teacher.{name}": tensor for name, tensor in named(resnet).items()}
    state |= {f"backbone.student.{name}": tensor for name, tensor in named(other).items()}
    card, tensors = read_encoder_file(imported({"state_dict": {**state, sign: torch.ones(2)}}))
    assert card.method == method
    assert torch.equal(tensors["conv1.weight"], named(resnet)["conv1.weight"])


def test_a_name_that_the_tensors_do_not_fit_is_told(resnet: nn.Module, capsys: pytest.CaptureFixture[str]) -> None:
    imported({"arch": "resnet50", "state_dict": named(resnet)})
    assert "(the file names 'resnet50', which is no network there that takes its tensors)" in capsys.readouterr().out


def test_the_card_says_where_the_weights_are_from(resnet: nn.Module) -> None:
    card = read_card(imported({"teacher": {f"module.backbone.{k}": v for k, v in named(resnet).items()}}))
    assert (card.encoder, card.method, card.data) == ("resnet18", "dino", {"licence": "unknown"})
    source = card.config["imported"]
    assert isinstance(source, dict)
    assert source["prefix"] == "teacher.module.backbone"
    assert source["file"] == "net.pth"


@pytest.mark.parametrize(("method", "init"), [("", "ssl"), ("byol", "ssl"), ("imagenet", "imagenet")])
def test_the_user_says_how_it_was_trained(method: str, init: str, resnet: nn.Module) -> None:
    file = imported(named(resnet), method=method)
    assert read_card(file).method == (method or "imported")
    assert start_from(str(file), "resnet18", seed=0).init == init


def test_the_firewall_knows_that_nothing_is_known(resnet: nn.Module, draw_isic: Callable[..., Path]) -> None:
    start = start_from(str(imported(named(resnet))), "resnet18", seed=0)
    assert start.seen is None
    held = read_manifest(draw_isic(Path("isic"), count=2))
    assert verdict_on_encoder(start, held, SplitConfig()).action == "unknown"


def test_an_encoder_file_needs_no_import(resnet: nn.Module) -> None:
    file = imported(named(resnet))
    with pytest.raises(UserError, match="give it to --init as it is"):
        run(ImportConfig(file=file, encoder="resnet18"))


@pytest.mark.parametrize(
    ("encoder", "to"),
    [
        ("tu-convnext_atto", "timm"),
        pytest.param("resnet18", "smp", marks=pytest.mark.slow),
        pytest.param("resnet18", "timm", marks=pytest.mark.slow),
        pytest.param("tu-resnet18", "torchvision", marks=pytest.mark.slow),
    ],
)
def test_what_was_exported_comes_back_as_it_was(encoder: str, to: str) -> None:
    first = imported(start_from("random", encoder, seed=3).encoder.state_dict(), encoder, mean=(0.1, 0.2, 0.3))
    export_run.run(ExportConfig(file=first, to=to, out=Path("there.safetensors")))  # type: ignore[arg-type]
    again = run(ImportConfig(file=Path("there.safetensors"), encoder=encoder, out=Path("back.safetensors")))
    before, after = read_card(first), read_card(again)
    assert after.sha256 == before.sha256
    assert (after.method, after.mean, after.std) == (before.method, before.mean, before.std)


def test_what_does_not_fit_leaves_nothing_behind(resnet: nn.Module) -> None:
    assert "not 'resnet34' whole" in refusal(named(resnet), "resnet34")
    assert not Path("checkpoints").exists()


def test_a_command_is_a_file_and_an_encoder() -> None:
    config = parse(ImportConfig, "import", as_options(["moco_v2_800ep.pth.tar", "--as", "resnet50"]))
    assert (config.file, config.encoder) == (Path("moco_v2_800ep.pth.tar"), "resnet50")
    assert config.place == Path("checkpoints/imported-moco_v2_800ep/encoder.safetensors")
    words = ["--as=resnet50", "--file", "a.b.ckpt", "--mean", "0", "0", "0", "--prefix", "x/y"]
    config = parse(ImportConfig, "import", as_options(words))
    assert (config.encoder, config.mean, config.place.parent.name) == ("resnet50", (0, 0, 0), "imported-a.b")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--mean", "123.7", "116.3", "103.5"], "divide by 255"),
        (["--std", "0.2", "0", "0.2"], "above 0"),
        (["--std", "0.2"], "three numbers"),
        (["--method", "random"], "--init random"),
        (["--out", "encoder.pth"], "ends in .safetensors"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(words: list[str], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        parse(ImportConfig, "import", as_options(["a.pth", "--as", "resnet18", *words]))


def test_the_card_is_json_that_others_can_read(resnet: nn.Module) -> None:
    assert json.loads(json.dumps(dict(read_card(imported(named(resnet))).config)))["imported"]["architecture"] == ""
