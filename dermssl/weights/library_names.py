"""How other libraries call the tensors of the encoders that we hold under smp's names."""

from collections.abc import Mapping
from functools import cache, partial
from typing import cast

import torchvision
from torch import nn

from dermssl.weights.encoder import build_encoder
from dermssl.weights.lean_libraries import timm
from dermssl.weights.loading import State, meta_state

Names = Mapping[str, str]

WRAPPERS = ("", "model.", "model.model.", "model.body.")  # of smp around timm, and of timm around its own models

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d")
VGGS = tuple(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn"))
DENSENETS = ("densenet121", "densenet161", "densenet169", "densenet201")
SENETS = ("se_resnet50", "se_resnet101", "se_resnet152", "se_resnext50_32x4d", "se_resnext101_32x4d")

# Encoders of smp's own that timm has too, by what they compute and not by their name. Not here: those whose padding is
# smp's own (inception*, xception, efficientnet-b1 and on), those of another width (timm-skresnet*), and mit_b*, which
# timm does not have.
TIMM: Names = {
    **{name: name for name in (*RESNETS, "resnext101_32x16d", "resnext101_32x32d", *VGGS, *DENSENETS)},
    **{name: name for name in ("dpn68", "dpn68b", "dpn92", "dpn98", "dpn107", "dpn131")},
    **{name: f"legacy_{name.replace('se_', 'se')}" for name in SENETS},
    **{f"timm-efficientnet-b{size}": f"efficientnet_b{size}" for size in range(9)},
    **{f"timm-tf_efficientnet_lite{size}": f"efficientnet_lite{size}" for size in range(5)},  # smp pads it evenly
    **{f"mobileone_s{size}": f"mobileone_s{size}" for size in range(4)},  # s4 registers its parts in another order
    "senet154": "legacy_senet154",
    "mobilenet_v2": "mobilenetv2_100",
    "efficientnet-b0": "tf_efficientnet_b0",
    "timm-efficientnet-l2": "efficientnet_l2",
}  # fmt: skip

# Models of timm that torchvision has too.
TORCHVISION: Names = {
    **{name: name for name in (*RESNETS, "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2")},
    **{name: name for name in (*VGGS, *DENSENETS)},
    **{f"efficientnet_b{size}": f"efficientnet_b{size}" for size in range(5)},  # from b5 on the epsilons differ
    **{name: name for name in ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large")},
    "mobilenetv2_100": "mobilenet_v2",
}


def counterparts(encoder: str) -> Names:
    """The same architecture's name in each library that has it: `smp` always, and `timm` and `torchvision` or not.

    That the features are equal, once the tensors are renamed, was measured for every family of the two tables above;
    an export measures it again.
    """
    theirs = encoder.removeprefix("tu-") if encoder.startswith("tu-") else TIMM.get(encoder)
    if theirs is None:
        return {"smp": encoder}
    names = {"smp": encoder, "timm": theirs}
    cousin = TORCHVISION.get(theirs.split(".")[0])  # the tag behind the dot says whose weights, not which network
    return names if cousin is None else {**names, "torchvision": cousin}


@cache
def dialects(encoder: str) -> Mapping[str, Names]:
    """Their name -> our name, for each library that has this very architecture.

    A dialect names all tensors of our encoder, one to one. What it does not name in the library's model has no place
    in the encoder: its classifier, and what stands before that (conv_head, head.norm, pre_logits, ...). A tensor has
    the shape that ours has, but for axes of length 1: torchvision's `layer_scale` of ConvNeXt is (C, 1, 1) and ours
    (C,), so load `tensor.reshape(ours.shape)`.

    Args:
        encoder: A name that smp accepts, `tu-` ones included.

    Returns:
        By library: `smp` (our own names), and where the library has the architecture `timm` and `torchvision` (the
        names in their classifiers, without prefix). timm's feature networks rename their modules
        (`features_only=True`: stages_0 for stages.0); those are the names of `smp` without `model.`.

    Raises:
        UserError: If nobody knows the encoder.
    """
    ours = skeleton(encoder)
    maps: dict[str, Names] = {"smp": {name: name for name in ours}}
    for library, name in counterparts(encoder).items():
        if library == "smp":
            continue
        theirs = classifier_state(library, name)
        matched = by_name(theirs, ours) or by_order(theirs, ours)
        if matched is not None:
            maps[library] = matched
    return maps


@cache
def idle(encoder: str) -> frozenset[str]:
    """Our tensors that no feature depends on: the classifier that smp leaves in a plain transformer; mostly none.

    A checkpoint of another library may lack them, and an export leaves them out.
    """
    names = dialects(encoder).get("timm")
    if names is None or not encoder.startswith("tu-"):
        return frozenset()
    model = encoder.removeprefix("tu-")
    headless = meta_state(partial(timm.create_model, model, pretrained=False, num_classes=0))
    behind = classifier_state("timm", model).keys() - headless.keys()
    return frozenset(names[name] for name in behind if name in names)


@cache
def classifier_state(library: str, name: str) -> State:
    """The tensors of a library's model without their values."""
    return meta_state(partial(classifier, library, name))


@cache
def skeleton(encoder: str) -> State:
    """The encoder's tensors without their values, on the meta device where that is possible."""
    return meta_state(partial(build_encoder, encoder))


def classifier(library: str, name: str) -> nn.Module:
    """The library's model of that name as it comes: with its classifier, and with random weights."""
    if library == "timm":
        return timm.create_model(name, pretrained=False)
    return cast(nn.Module, torchvision.models.get_model(name, weights=None))


def canonical(name: str) -> str:
    """A name without what timm's feature networks do to it: `stages_0` for `stages.0`; dots for all underscores."""
    return name.replace("_", ".")


def by_name(theirs: State, ours: State) -> Names | None:
    """Their name -> our name where the names tell, once what wraps ours is taken off; None unless all are found."""
    their_names = {canonical(name): name for name in theirs}
    for wrapper in WRAPPERS:
        our_names = {canonical(name.removeprefix(wrapper)): name for name in ours if name.startswith(wrapper)}
        whole = len(their_names) == len(theirs) and len(our_names) == len(ours)  # no two names became one
        if whole and our_names.keys() <= their_names.keys():
            return names_if_complete({their_names[key]: name for key, name in our_names.items()}, theirs, ours)
    return None


def by_order(theirs: State, ours: State) -> Names | None:
    """Their name -> our name where both register the same tensors in the same order; None where a shape disagrees.

    Two authors of one architecture write its layers down in the order of its forward pass, and the head comes last.
    """
    return names_if_complete(dict(zip(theirs, ours, strict=False)), theirs, ours)


def names_if_complete(names: Names, theirs: State, ours: State) -> Names | None:
    """`names` if it gives each of ours a tensor of its kind, else None."""
    alike = all(
        theirs[their].squeeze().shape == ours[our].squeeze().shape and theirs[their].dtype == ours[our].dtype
        for their, our in names.items()
    )
    return names if alike and len(names) == len(ours) == len(set(names.values())) else None
