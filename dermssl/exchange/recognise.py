"""Where in a checkpoint an encoder lies: known by names and shapes of all its tensors, never by a part of a name."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dermssl.exchange.foreign import WRAPPERS, Foreign, Place
from dermssl.weights.library_names import Names, State, classifier, counterparts, dialects, idle, skeleton

COUNTER = "num_batches_tracked"  # of BatchNorm; no feature depends on it, and some formats leave it out
LIBRARIES = ("torchvision", "timm", "smp")  # where several call the tensors alike, the first is named


@dataclass(frozen=True)
class Dialect:
    """Names that a library has for an encoder's tensors."""

    library: str
    names: Names
    """Theirs to ours."""
    network: frozenset[str]
    """All names in the library's model, its classifier's too."""
    form: Literal["whole", "features", "numbered"] = "whole"
    """Of the library's classifier, of timm's network of features, or of a model's layers in an `nn.Sequential`."""

    def __str__(self) -> str:
        forms = {"whole": "names", "features": "names of a feature network", "numbered": "layers by number"}
        return f"{self.library}'s {forms[self.form]}"


@dataclass(frozen=True)
class Fit:
    """What lies under one prefix of a checkpoint, read in one dialect."""

    prefix: Place
    dialect: Dialect
    found: Mapping[str, Place]
    """Of each of our tensors that is there and fits, where it lies."""
    missing: tuple[str, ...]
    """Our tensors that are not there or do not fit."""
    surplus: tuple[str, ...] = ()
    """Where none is missing: weights among its layers that the library's model lacks, so it is another network."""

    @property
    def where(self) -> str:
        """The prefix as `--prefix` takes it."""
        return ".".join(self.prefix) or "the top of the file"


@dataclass(frozen=True)
class Wanted:
    """An encoder's tensors, and what others call them."""

    encoder: str
    tensors: State
    dialects: Sequence[Dialect]
    spare: frozenset[str]
    """Tensors that no feature depends on: BatchNorm's counters, and the classifier that smp leaves in a transformer."""

    def whole(self, fit: Fit) -> bool:
        """Whether all tensors are there that a feature depends on, and no further layers between them."""
        return self.spare.issuperset(fit.missing) and not fit.surplus


def wanted(encoder: str) -> Wanted:
    """What a checkpoint must hold to be this encoder's.

    Raises:
        UserError: If nobody knows the encoder.
    """
    ours = skeleton(encoder)
    spoken = [Dialect("smp", dialects(encoder)["smp"], frozenset(ours))]
    for library, model in counterparts(encoder).items():
        if library != "smp" and library in dialects(encoder):
            spoken += spoken_by(library, model, dialects(encoder)[library])
    if encoder.startswith("tu-"):
        features = {name.removeprefix("model."): name for name in ours}  # smp wraps timm's `features_only=True`
        spoken.append(Dialect("timm", features, frozenset(features), "features"))
    forms = ("whole", "features", "numbered")
    spoken.sort(key=lambda dialect: (forms.index(dialect.form), LIBRARIES.index(dialect.library)))
    counters = {name for name in ours if name.rpartition(".")[2] == COUNTER}
    return Wanted(encoder, ours, spoken, idle(encoder) | counters)


def spoken_by(library: str, model: str, names: Names) -> list[Dialect]:
    """The names in a library's model, and those of `nn.Sequential(*list(model.children())[:-1])`.

    lightly's examples train such a row of layers. It has no name for what a model holds beside its layers, such as
    class tokens, so for models with such tensors there is the one dialect alone.
    """
    with torch.device("meta"):
        network = classifier(library, model)
    number = {layer: str(index) for index, (layer, _) in enumerate(network.named_children())}

    def numbered(name: str) -> str:
        layer, dot, rest = name.partition(".")
        return number.get(layer, layer) + dot + rest

    held = frozenset(network.state_dict())
    whole = Dialect(library, names, held)
    if not all(name.partition(".")[0] in number for name in names):
        return [whole]
    by_number = {numbered(their): our for their, our in names.items()}
    return [whole, Dialect(library, by_number, frozenset(map(numbered, held)), "numbered")]


def fits(foreign: Foreign, want: Wanted) -> list[Fit]:
    """Every prefix under which at least one tensor of the encoder lies, in every dialect; the fullest first."""
    found = [fit for dialect in want.dialects for fit in fits_in(foreign, want, dialect)]
    return sorted(found, key=lambda fit: (len(fit.missing), len(fit.surplus), len(fit.prefix)))


def fits_in(foreign: Foreign, want: Wanted, dialect: Dialect) -> Iterable[Fit]:
    """The same in one dialect."""
    by_prefix: dict[Place, dict[str, Place]] = {}
    for place, tensor in foreign.tensors.items():
        for cut in range(len(place)):
            name = dialect.names.get(".".join(place[cut:]))
            if name is not None and alike(tensor, want.tensors[name]):
                by_prefix.setdefault(place[:cut], {})[name] = place
    for prefix, found in by_prefix.items():
        missing = tuple(name for name in want.tensors if name not in found)
        all_there = want.spare.issuperset(missing)
        yield Fit(prefix, dialect, found, missing, tuple(surplus(foreign, prefix, dialect)) if all_there else ())


def surplus(foreign: Foreign, prefix: Place, dialect: Dialect) -> Iterable[str]:
    """Weights under a prefix that belong to the encoder's layers by name but to no layer that the library's model has.

    A resnet34 holds every name of a resnet18 with its shape, and a resnet50 with attention every one of a resnet50.
    """
    layers = {name.partition(".")[0] for name in dialect.names}
    depth = len(prefix)
    for place, tensor in foreign.tensors.items():
        if len(place) > depth and place[depth] in layers and place[:depth] == prefix and tensor.is_floating_point():
            name = ".".join(place[depth:])
            if name not in dialect.network:
                yield name


def alike(theirs: Tensor, ours: Tensor) -> bool:
    """Whether a tensor can take ours's place: the same shape but for axes of length 1, and floating if ours is."""
    kind = theirs.is_floating_point() == ours.is_floating_point() and not theirs.is_complex()
    return kind and theirs.layout == torch.strided and theirs.squeeze().shape == ours.squeeze().shape


def encoders_in(foreign: Foreign, want: Wanted, prefix: str | None = None) -> list[Fit]:
    """The whole encoders in a checkpoint, each once: what two dialects read alike is one, and so are equal copies.

    Args:
        foreign: The checkpoint.
        want: The encoder.
        prefix: Where the user says that it lies, if he does.
    """
    apart: list[Fit] = []
    for fit in under(fits(foreign, want), prefix):
        if want.whole(fit) and not any(equal(foreign, fit, other) for other in apart):
            apart.append(fit)
    return apart


def under(fits: Iterable[Fit], prefix: str | None) -> list[Fit]:
    """Those that lie at this very prefix, parted by dots or slashes; all where none is given."""
    asked = tuple(part for part in (prefix or "").replace("/", ".").split(".") if part and part not in WRAPPERS)
    return [fit for fit in fits if prefix is None or fit.prefix == asked]


def equal(foreign: Foreign, one: Fit, other: Fit) -> bool:
    """Whether two fits hold the same values, so that it does not matter which is taken."""
    return one.found.keys() == other.found.keys() and all(
        place == other.found[name] or torch.equal(foreign.tensors[place], foreign.tensors[other.found[name]])
        for name, place in one.found.items()
    )
