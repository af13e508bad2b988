"""The model that a checkpoint comes from, built with its own library and filled under its own names."""

from collections.abc import Mapping
from typing import NamedTuple

import timm
import torchvision
from torch import Tensor, nn

from dermssl.exchange.forms import timm_call
from dermssl.exchange.recognise import Dialect
from dermssl.weights.encoder import build_encoder
from dermssl.weights.known_encoders import is_known_to_timm
from dermssl.weights.library_names import classifier, counterparts
from dermssl.weights.tensor_file import in_a_short_line


class SourceModel(NamedTuple):
    """A model in the library that names its tensors so."""

    model: nn.Module
    title: str
    remark: str = ""
    """What the file calls its network, where it is not this one."""
    side: int = 0
    """Of the pictures that it takes as it is, pixels; 0 where any will do."""


def source_model(encoder: str, dialect: Dialect, tensors: Mapping[str, Tensor], architecture: str) -> SourceModel:
    """The library's model, filled strictly with the tensors under the library's own names.

    What the dialect does not name (a classifier, counters) stays as the library draws it, for no feature of ours
    depends on it.

    Args:
        encoder: Our name.
        dialect: The library's names.
        tensors: By our names.
        architecture: What the checkpoint calls its network; that one is built if the library knows it and it holds
            these tensors, for two networks may have equal tensors and yet differ (padding, epsilon, activation).
    """
    usual = counterparts(encoder)[dialect.library]
    for name in [architecture, usual] if library_has(dialect.library, architecture) else [usual]:
        model = build_source(dialect, name)
        if load_under_names(model, dialect, tensors):
            title = title_of(dialect, name)
            remark = (
                f" (the file names '{in_a_short_line(architecture)}', which is no network there that takes its tensors)"
            )
            return SourceModel(model, title, "" if architecture in ("", name, encoder) else remark)
    raise AssertionError(f"{dialect} are not those of {title_of(dialect, usual)}")


def library_has(library: str, name: str) -> bool:
    """Whether a library has a network of that name."""
    if library == "timm":
        return is_known_to_timm(name)
    return library == "torchvision" and name in torchvision.models.list_models()


def build_source(dialect: Dialect, name: str) -> nn.Module:
    """The library's model in the form that the dialect names."""
    if dialect.library == "smp":
        return build_encoder(name)
    if dialect.form == "features":
        call = timm_call(f"tu-{name}")
        return timm.create_model(name, pretrained=False, **(call.options if call else {"features_only": True}))
    model = classifier(dialect.library, name)
    return nn.Sequential(*list(model.children())[:-1]) if dialect.form == "numbered" else model


def title_of(dialect: Dialect, name: str) -> str:
    """The model as people know it."""
    return f"torchvision.models.{name}" if dialect.library == "torchvision" else f"{dialect.library}'s {name}"


def load_under_names(model: nn.Module, dialect: Dialect, tensors: Mapping[str, Tensor]) -> bool:
    """Loads the tensors under the library's names; whether all of them had a place of their shape."""
    state = dict(model.state_dict())
    named = {their: tensors[our] for their, our in dialect.names.items()}
    if any(name not in state or state[name].numel() != tensor.numel() for name, tensor in named.items()):
        return False
    state |= {name: tensor.reshape(state[name].shape) for name, tensor in named.items()}
    model.load_state_dict(state, strict=True)
    return True
