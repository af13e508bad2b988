"""The encoder that all commands share, and where its weights come from: ssl, imagenet, random, or a file."""

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from pkgutil import resolve_name
from typing import cast

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.weights.encoder_file import EncoderCard, read_card, read_encoder_file
from dermssl.weights.hub import HUB, INSTALLED, OFFLINE, hub_is_near
from dermssl.weights.known_encoders import is_known, known_names
from dermssl.weights.lean_libraries import smp, timm
from dermssl.weights.loading import State, load_strictly, meta_state, refuse_misfit
from dermssl.weights.seen import read_seen
from dermssl.weights.tensor_file import sha256_of_tensors
from dermssl.wording import spelling_hint

DECODER = "decoder."  # begins the names of a decoder's tensors in an encoder file; no encoder of smp has such a part
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Three = tuple[float, float, float]


class Normalise(nn.Module):
    """Pixels as the camera gave them, uint8 (B, 3, H, W), to what the encoder was trained on, float32 channels last."""

    mean: Tensor  # (3, 1, 1), of pixels in [0, 255]
    std: Tensor

    def __init__(self, mean: Three, std: Three) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1) * 255, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Subtracts the mean and divides by the deviation."""
        normal = (pixels.float() - self.mean) / self.std
        return normal.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Start:
    """An encoder with its weights, and what there is to say of them."""

    encoder: nn.Module
    card: EncoderCard
    sha256: str
    """Hash of the tensors, so that equal weights are known as such."""
    seen: pd.DataFrame | None = None
    """What is kept of the images that the weights were trained on here (`dermssl.splits.leaks`); None where unknown."""
    decoder: State = field(default_factory=dict)
    """The tensors of the decoder `card.decoder` that was trained with it, under smp's names; mostly none."""
    teacher: "Start | None" = None
    """The frozen network that the encoder is to learn from (`pretrain --method distill`); mostly none."""

    @property
    def lineage(self) -> list["Start"]:
        """Itself and its teacher: all weights that what is learned comes from."""
        return [self] if self.teacher is None else [self, self.teacher]

    @property
    def normalise(self) -> Normalise:
        """Pixels to what these weights were trained on."""
        return Normalise(self.card.mean, self.card.std)

    @property
    def init(self) -> str:
        """ssl, imagenet or random: what the weights are, wherever they came from."""
        return "ssl" if self.card.method not in ("imagenet", "random") else self.card.method


def build_encoder(name: str) -> nn.Module:
    """An encoder of segmentation-models-pytorch with random weights: features of five stages, (B, C, H/2, W/2) and on.

    Pretraining this very class means that no tensor is ever renamed on the way to a decoder.

    Raises:
        UserError: If neither smp nor timm (names with `tu-`) knows it, or it gives no feature maps.
    """
    refuse_unknown_encoder(name)
    try:
        return library_encoder(name, pretrained=False)
    except (ValueError, TypeError, AttributeError, RuntimeError, IndexError) as error:
        raise UserError(
            f"--encoder {name}: gives no feature maps, which decoders need ({error}); take another"
        ) from error


def refuse_unknown_encoder(name: str) -> None:
    """Stops at a name that neither library has, before either is asked: timm would look for some in a network."""
    if not is_known(name):
        hint = spelling_hint(name, known_names())
        raise UserError(f"--encoder {name}: no such encoder; take one of smp's names, or a timm model as tu-NAME{hint}")


def library_encoder(name: str, *, pretrained: bool) -> nn.Module:
    """What smp makes of a name; a plain transformer, whose maps are all of one size, becomes the encoder of its DPT."""
    weights = (True if name.startswith("tu-") else "imagenet") if pretrained else None  # smp takes False for a download
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`timm-` encoders are deprecated", DeprecationWarning)
        try:
            return cast(nn.Module, smp.encoders.get_encoder(name, weights=weights, **any_size(name)))
        except ValueError:
            if not name.startswith("tu-"):
                raise
            return cast(
                nn.Module,
                smp.encoders.TimmViTEncoder(name.removeprefix("tu-"), pretrained=pretrained, **any_size(name)),
            )


@cache
def any_size(name: str) -> Mapping[str, bool]:
    """What timm must be told of an encoder so that it takes images of any size, where it can; mostly nothing.

    Positions of a plain transformer are then interpolated to the image's size, and Swin's windows are padded. No
    parameter depends on it, and features at the transformer's own size stay what they are.
    """
    if not name.startswith("tu-"):
        return {}
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                model = timm.create_model(name.removeprefix("tu-"), pretrained=False)
        except RuntimeError:  # it reads a value while it is built
            model = timm.create_model(name.removeprefix("tu-"), pretrained=False)
    return {"dynamic_img_size": True} if "dynamic_img_size" in inspect.signature(type(model)).parameters else {}


@cache
def is_plain_transformer(name: str) -> bool:
    """Whether an encoder gives maps of blocks, all of one size, and not of stages; found without its values."""
    if not name.startswith("tu-"):
        return False
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                encoder = build_encoder(name)
        except UserError:  # it reads a value while it is built
            encoder = build_encoder(name)
    return isinstance(encoder, smp.encoders.TimmViTEncoder)


def feature_maps(encoder: nn.Module, images: Tensor) -> list[Tensor]:
    """The maps of every stage, (B, C, H, W) each and finest first, from images (B, 3, H, W).

    Without what smp puts beside them: stage 0, which is the image itself, stages without channels, and class tokens.
    """
    outputs = encoder(images)
    maps = outputs[0] if isinstance(outputs, tuple) else outputs[1:]
    return [stage for stage in maps if stage.shape[1]]


def feature_width(encoder: nn.Module) -> int:
    """Channels of the last stage."""
    return int(encoder.out_channels[-1])  # type: ignore[index]


def pooled(encoder: nn.Module, images: Tensor) -> Tensor:
    """The mean over the last feature map: (B, 3, H, W) -> (B, C). Equals timm's pooled features exactly."""
    return feature_maps(encoder, images)[-1].mean(dim=(2, 3))


def start_from(init: str, name: str, seed: int, checkpoints: Path = Path("checkpoints")) -> Start:
    """The encoder `name` with the weights that `--init` asks for.

    Args:
        init: `imagenet`, `random`, `ssl` (the newest file in `checkpoints` that holds this encoder), or a file.
        name: The encoder's name in smp.
        seed: Of the random weights.
        checkpoints: Folder that `python -m pretrain` leaves its encoders in.

    Raises:
        UserError: If the encoder is unknown, the file is missing, damaged or another encoder's, or the weights would
            come from a network that is not there.
    """
    if init == "random":
        return from_state(name, random_state(name, seed), "random")
    if init == "imagenet":
        return from_state(name, imagenet_state(name), "imagenet")
    path = newest_encoder_file(checkpoints, name) if init == "ssl" else Path(init)
    card, tensors = read_encoder_file(path)
    if card.encoder != name:
        raise UserError(f"{path}: holds '{card.encoder}' and --encoder is '{name}'; give --encoder {card.encoder}")
    decoder = {key.removeprefix(DECODER): tensor for key, tensor in tensors.items() if key.startswith(DECODER)}
    own = {key: tensor for key, tensor in tensors.items() if not key.startswith(DECODER)}
    refuse_misfit(meta_state(partial(build_encoder, name)), own, str(path))  # before memory is taken for another size
    encoder = load_strictly(build_encoder(name), own, str(path))
    return Start(encoder, card, card.sha256, read_seen(path), decoder)


def from_state(name: str, state: State, method: str) -> Start:
    """An encoder whose weights no file of ours holds."""
    mean, std = normalisation(name)
    card = EncoderCard(encoder=name, method=method, mean=mean, std=std)
    return Start(load_strictly(build_encoder(name), state, method), card, sha256_of_tensors(state))


def random_state(name: str, seed: int) -> State:
    """The weights that the library draws, from `seed` alone; torch's own random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_encoder(name).state_dict()


def newest_encoder_file(checkpoints: Path, name: str) -> Path:
    """The encoder file in `checkpoints` that was written last, among those that hold the encoder `name`.

    Weights of other makers, which have no card, are passed over.
    """
    # A copy that was killed leaves a hidden part, which is no encoder.
    named_so = (path for path in checkpoints.glob("**/*.safetensors") if not path.name.startswith("."))
    files = sorted(filter(has_card, named_so), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files:
        if read_card(path).encoder == name:
            return path
    shortage = f"holds no '{name}'" if files else "holds no encoder file"
    raise UserError(
        f"--init ssl: {checkpoints} {shortage}; run `python -m pretrain --method simclr --encoder {name}` first"
    )


def has_card(path: Path) -> bool:
    """Whether a file is one of ours; a damaged one may be, and whoever reads its card is told so."""
    if not path.is_file():  # a folder, or a pipe that would be waited at
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return "card" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return True


def normalisation(name: str) -> tuple[Three, Three]:
    """Mean and standard deviation of the pixels, in [0, 1], that the encoder's ImageNet weights expect.

    Every init of an encoder gets the same ones, so that arms differ in their weights alone.
    """
    if not name.startswith("tu-"):
        return IMAGENET_MEAN, IMAGENET_STD
    settings = timm.get_pretrained_cfg(name.removeprefix("tu-"))
    if settings is None:
        return IMAGENET_MEAN, IMAGENET_STD
    return cast(Three, tuple(settings.mean)), cast(Three, tuple(settings.std))


def imagenet_state(name: str) -> State:
    """ImageNet weights: from an installed package for two EfficientNets, from the hub for every other encoder."""
    if name in INSTALLED:
        return installed_state(name)
    build_encoder(name)  # an unknown name is told here, before the network is asked
    if not is_published(name):
        raise UserError(
            f"--init imagenet: nobody publishes ImageNet weights of '{name}'; take --init random, or another "
            f"--encoder, such as {OFFLINE}, whose weights are installed"
        )
    if not hub_is_near():
        import huggingface_hub.constants

        # What was fetched before is still found, without half a minute of retries.
        huggingface_hub.constants.HF_HUB_OFFLINE = True
    try:
        return library_encoder(name, pretrained=True).state_dict()
    except (OSError, RuntimeError, KeyError) as error:
        raise UserError(
            f"--init imagenet: no weights for '{name}' could be had from {HUB} ({type(error).__name__}); "
            f"connect to the network once, or take --encoder {OFFLINE}, whose weights are installed"
        ) from error


def is_published(name: str) -> bool:
    """Whether the library of an encoder knows a place of ImageNet weights for it."""
    if name.startswith("tu-"):
        return timm.is_model_pretrained(name.removeprefix("tu-"))
    return "imagenet" in smp.encoders.encoders[name].get("pretrained_settings", {})


def installed_state(name: str) -> State:
    """The ImageNet weights that came as a package, of an encoder in INSTALLED, under smp's names.

    The package names its tensors otherwise but holds them in timm's order, shape for shape: of lite0 296 in the
    classifier, of which the 288 before the head are the encoder's. A test has the networks name photographs.
    """
    file: str = resolve_name(INSTALLED[name]).get_model_file_path()
    weights = torch.load(file, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        theirs = timm.create_model(name.removeprefix("tu-"), pretrained=False).state_dict()
    assert [t.shape for t in theirs.values()] == [t.shape for t in weights.values()], "the weight package has changed"
    by_name = {f"model.{key}": tensor for key, tensor in zip(theirs, weights.values(), strict=True)}
    return {key: by_name[key] for key in build_encoder(name).state_dict()}
