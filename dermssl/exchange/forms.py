"""How each library takes an encoder: under which names, into which of its models, by which lines."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from segmentation_models_pytorch.encoders import TimmViTEncoder
from torch import Tensor, nn

from dermssl.errors import first_ten
from dermssl.weights.encoder import Start, library_encoder
from dermssl.weights.library_names import (
    Names,
    by_name,
    classifier,
    classifier_state,
    counterparts,
    dialects,
    idle,
    skeleton,
)
from dermssl.weights.loading import State, meta_state

# What a user of timm asks it for, the plainest first: the network that pools features, and the one that gives maps.
TIMM_CALLS: tuple[Mapping[str, Any], ...] = (
    {"num_classes": 0},
    {"features_only": True},
    {"features_only": True, "out_indices": (0, 1, 2, 3, 4, 5)},
    {"features_only": True, "out_indices": (1, 2, 3, 4, 5)},
    {"features_only": True, "out_indices": (0, 1, 2, 3)},
)


@dataclass(frozen=True)
class Form:
    """An encoder as a library takes it."""

    names: Names
    """Their name -> our name, of all that the file holds."""
    model_state: State
    """The tensors of the library's model, without values, by their names."""
    open_model: Callable[[Path], nn.Module]
    """The library's model, loaded strictly from the file; no line of ours takes part in it."""
    lines: Sequence[str]
    """The same in Python, for the user; PATH stands for the file."""
    names_in_model: Names
    """Their name in the opened model -> our name; mostly `names`."""
    lacks: Sequence[str] = ()
    """Tensors of the library's network, without its classifier, that the encoder does not hold."""

    @property
    def remark(self) -> str:
        """What to know of `lacks`, in a sentence, or nothing."""
        if not self.lacks:
            return ""
        return f"the library's own network goes on behind this encoder, with {first_ten(self.lacks)}; they are not here"

    def renamed(self, tensors: State) -> dict[str, Tensor]:
        """The encoder's tensors under the library's names and in its shapes."""
        return {
            theirs: tensors[ours].reshape(self.model_state[theirs].shape).contiguous()
            for theirs, ours in self.names.items()
        }


def form_of(library: str, start: Start) -> Form | None:
    """How a library takes the encoder; None where it has no such network. ONNX is no library of networks."""
    encoder = start.card.encoder
    if library == "smp":
        return smp_form(encoder, "DPT" if isinstance(start.encoder, TimmViTEncoder) else "Unet")
    forms = {"timm": timm_form, "torchvision": torchvision_form, "huggingface": huggingface_form}
    return forms[library](encoder)


def network_in_form(build: Callable[[], nn.Module], path: Path) -> nn.Module:
    """What `build` makes, with the tensors of a file."""
    model = build()
    model.load_state_dict(load_file(path))
    return model


def smp_form(encoder: str, decoder: str) -> Form:
    """All tensors under our own names, for the encoder of smp's decoders, of which `decoder` can take it."""
    more = ", dynamic_img_size=True" if decoder == "DPT" else ""  # positions for pictures of any size
    lines = (
        "import segmentation_models_pytorch as smp",
        "from safetensors.torch import load_file",
        f'model = smp.{decoder}("{encoder}", encoder_weights=None{more})',
        'model.encoder.load_state_dict(load_file("PATH"))',
    )
    build, names = partial(library_encoder, encoder, pretrained=False), dialects(encoder)["smp"]
    return Form(names, skeleton(encoder), partial(network_in_form, build), lines, names)


@dataclass(frozen=True)
class TimmCall:
    """The first of `TIMM_CALLS` whose model holds the encoder's tensors and no others."""

    model: str
    options: Mapping[str, Any]
    names: Names
    """Names in timm's classifier -> ours."""
    own: Names
    """Names in timm's classifier -> those in the model that the call makes."""
    lacks: Sequence[str]
    """Names in timm's network without classifier that the encoder does not hold."""


@cache
def timm_call(encoder: str) -> TimmCall | None:
    """How timm is asked for a model that this encoder fills; None where it has none."""
    if "timm" not in dialects(encoder):
        return None
    model = counterparts(encoder)["timm"]
    spare = idle(encoder)
    names = {theirs: ours for theirs, ours in dialects(encoder)["timm"].items() if ours not in spare}
    whole = classifier_state("timm", model)
    headless = timm_state(model, TIMM_CALLS[0])
    for options in TIMM_CALLS:
        try:
            own = by_name(whole, timm_state(model, options))
        except (IndexError, AssertionError, TypeError, ValueError):  # fewer stages than asked for, or none at all
            continue
        if own is not None and own.keys() == names.keys():
            return TimmCall(model, options, names, own, [name for name in headless if name not in names])
    return None


def timm_state(model: str, options: Mapping[str, Any]) -> State:
    """The tensors, without their values, of what timm makes."""
    return meta_state(partial(timm.create_model, model, pretrained=False, **options))


def timm_form(encoder: str) -> Form | None:
    """A file for timm's network without classifier, or for its network of features where the encoder ends sooner."""
    call = timm_call(encoder)
    if call is None:
        return None
    options = ", ".join(f"{key}={value!r}" for key, value in call.options.items())
    lines = (
        "import timm",
        "from safetensors.torch import load_file",
        f'model = timm.create_model("{call.model}", pretrained=False, {options})',
        'model.load_state_dict(load_file("PATH"))',
    )
    build = partial(timm.create_model, call.model, pretrained=False, **call.options)
    names = {call.own[theirs]: ours for theirs, ours in call.names.items()}
    return Form(names, meta_state(build), partial(network_in_form, build), lines, names, call.lacks)


def huggingface_form(encoder: str) -> Form | None:
    """A folder's weights under the names of timm's classifier, which timm cuts itself as the folder's config says."""
    call = timm_call(encoder)
    if call is None:
        return None
    lines = ("import timm", 'model = timm.create_model("local-dir:PATH", pretrained=True)')
    names_in_model = {call.own[theirs]: ours for theirs, ours in call.names.items()}
    return Form(call.names, classifier_state("timm", call.model), open_folder, lines, names_in_model, call.lacks)


def open_folder(path: Path) -> nn.Module:
    """What timm makes of a folder with config.json and model.safetensors."""
    return timm.create_model(f"local-dir:{path}", pretrained=True)


def torchvision_form(encoder: str) -> Form | None:
    """A file for torchvision's network without its classifier, and without the layers behind the encoder."""
    if "torchvision" not in dialects(encoder):
        return None
    model, names = counterparts(encoder)["torchvision"], dialects(encoder)["torchvision"]
    with torch.device("meta"):
        layer_counts = layers_kept(classifier("torchvision", model), names.keys())
    build = partial(without_layers, model, layer_counts)
    model_state = meta_state(build)
    if model_state.keys() != names.keys():
        return None
    cuts = [
        f"model.{part} = model.{part}[:{count}]" if count else f"model.{part} = torch.nn.Identity()"
        for part, count in layer_counts.items()
    ]
    lines = (
        "import torch",
        "import torchvision",
        "from safetensors.torch import load_file",
        f"model = torchvision.models.{model}()",
        *cuts,
        'model.load_state_dict(load_file("PATH"))',
    )
    return Form(names, model_state, partial(network_in_form, build), lines, names)


def layers_kept(model: nn.Module, names: Container[str]) -> dict[str, int]:
    """How many layers stay of those parts of torchvision's model that hold more than `names`; 0 for the classifier."""
    layer_counts = {}
    for part, module in model.named_children():
        other_layers = [name for name in module.state_dict() if f"{part}.{name}" not in names]
        if other_layers:
            layer_counts[part] = (
                int(other_layers[0].split(".")[0]) if len(other_layers) < len(module.state_dict()) else 0
            )
    return layer_counts


def without_layers(name: str, layer_counts: Mapping[str, int]) -> nn.Module:
    """The model of torchvision with random weights, and only as many layers of its parts as are `kept`."""
    model = classifier("torchvision", name)
    for part, count in layer_counts.items():
        layers = getattr(model, part)
        setattr(model, part, layers[:count] if count else nn.Identity())
    return model
