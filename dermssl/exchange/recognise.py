"""Where in a checkpoint an encoder lies: known by names and shapes of all its tensors, never by a part of a name."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Literal

import torch
from torch import Tensor

from dermssl.errors import first_ten
from dermssl.exchange.foreign import WRAPPERS, ForeignCheckpoint, Place
from dermssl.weights.library_names import Names, classifier, counterparts, dialects, idle, skeleton
from dermssl.weights.loading import State
from dermssl.wording import counted

COUNTER = "num_batches_tracked"  # of BatchNorm; no feature depends on it, and some formats leave it out
# Words in the first part of a name beside an encoder's layers that say it is of a head, of the loss or of the training,
# and so of nothing that a feature depends on.
BESIDE = frozenset({
    "fc", "head", "heads", "classifier", "linear", "logits", "projector", "projection", "predictor", "prediction",
    "decoder", "mask", "queue", "prototypes", "center", "centre", "criterion", "loss", "temperature", "optimizer",
    "scheduler", "scaler", "averaged", "mean", "std", "pooler",
})  # fmt: skip
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
    """Whose names they are: the classifier's, timm's network of features', or those of layers in `nn.Sequential`."""
    origin: str = ""
    """Whose names were brought to these, where the file has others."""

    def __str__(self) -> str:
        forms = {"whole": "names", "features": "names of a feature network", "numbered": "layers by number"}
        own = f"{self.library}'s {forms[self.form]}"
        return f"names of {self.origin}, brought to {own}" if self.origin else own


@dataclass(frozen=True)
class EncoderMatch:
    """What lies under one prefix of a checkpoint, read in one dialect."""

    prefix: Place
    dialect: Dialect
    places: Mapping[str, Place]
    """Where each of our tensors lies that is there and of its shape."""
    missing: tuple[str, ...]
    """Our tensors that are not there or do not fit."""
    surplus: tuple[str, ...] = ()
    """Where none is missing: weights among its layers that the library's model lacks, so it is another network."""

    @property
    def where(self) -> str:
        """The prefix as `--prefix` takes it."""
        return ".".join(self.prefix) or "the top of the file"


@dataclass(frozen=True)
class EncoderLayout:
    """An encoder's tensors, and what others call them."""

    encoder: str
    tensors: State
    dialects: Sequence[Dialect]
    spare: frozenset[str]
    """Tensors that no feature depends on: BatchNorm's counters, and the classifier that smp leaves in a transformer."""

    def is_whole(self, match: EncoderMatch) -> bool:
        """Whether all tensors are there that a feature depends on, and no further layers between them."""
        return self.spare.issuperset(match.missing) and not match.surplus


@cache  # an import asks several times, and it builds the encoder in each library
def layout_of(encoder: str) -> EncoderLayout:
    """The tensors that a checkpoint must hold to be this encoder's, and the names that libraries have for them.

    Raises:
        UserError: If nobody knows the encoder.
    """
    ours = skeleton(encoder)
    all_dialects = [Dialect("smp", dialects(encoder)["smp"], frozenset(ours))]
    for library, model in counterparts(encoder).items():
        if library != "smp" and library in dialects(encoder):
            all_dialects += library_dialects(library, model, dialects(encoder)[library])
    if encoder.startswith("tu-"):
        features = {name.removeprefix("model."): name for name in ours}  # smp wraps timm's `features_only=True`
        all_dialects.append(Dialect("timm", features, frozenset(features), "features"))
    forms = ("whole", "features", "numbered")
    all_dialects.sort(key=lambda dialect: (forms.index(dialect.form), LIBRARIES.index(dialect.library)))
    counters = {name for name in ours if name.rpartition(".")[2] == COUNTER}
    return EncoderLayout(encoder, ours, all_dialects, idle(encoder) | counters)


def library_dialects(library: str, model: str, names: Names) -> list[Dialect]:
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


def matches(checkpoint: ForeignCheckpoint, layout: EncoderLayout) -> list[EncoderMatch]:
    """Every prefix under which at least one tensor of the encoder lies, in every dialect; the fullest first."""
    everywhere = [match for dialect in layout.dialects for match in matches_in(checkpoint, layout, dialect)]
    return sorted(everywhere, key=lambda match: (len(match.missing), len(match.surplus), len(match.prefix)))


def matches_in(checkpoint: ForeignCheckpoint, layout: EncoderLayout, dialect: Dialect) -> Iterable[EncoderMatch]:
    """Every prefix under which at least one tensor of the encoder lies, in one dialect."""
    by_prefix: dict[Place, dict[str, Place]] = {}
    for place, tensor in checkpoint.tensors.items():
        for cut in range(len(place)):
            name = dialect.names.get(".".join(place[cut:]))
            if name is not None and takes_place_of(tensor, layout.tensors[name]):
                by_prefix.setdefault(place[:cut], {})[name] = place
    lacks = {prefix: tuple(name for name in layout.tensors if name not in by_prefix[prefix]) for prefix in by_prefix}
    whole = [prefix for prefix, missing in lacks.items() if layout.spare.issuperset(missing)]
    for prefix, missing in lacks.items():
        below = {place for other in whole if len(other) > len(prefix) for place in by_prefix[other].values()}
        surplus = tuple(surplus_weights(checkpoint, prefix, dialect, below)) if prefix in whole else ()
        yield EncoderMatch(prefix, dialect, by_prefix[prefix], missing, surplus)


def surplus_weights(
    checkpoint: ForeignCheckpoint, prefix: Place, dialect: Dialect, others: Container[Place]
) -> Iterable[str]:
    """Weights under a prefix that the library's model lacks, and that are known to be of no head.

    A resnet34 holds every name of a resnet18 with its shape, a resnet50 with attention every one of a resnet50, and a
    transformer with registers all of the one without.

    Args:
        checkpoint: What is searched.
        prefix: Where the encoder lies.
        dialect: The library's names.
        others: Places of tensors that belong to further whole encoders below the prefix.
    """
    layers = {name.partition(".")[0] for name in dialect.names}
    depth = len(prefix)
    for place, tensor in checkpoint.tensors.items():
        name = ".".join(place[depth:])
        if place[:depth] != prefix or name in dialect.network or place in others or not tensor.is_floating_point():
            continue
        if place[depth] in layers or not BESIDE.intersection(place[depth].lower().split("_")):
            yield name


def takes_place_of(theirs: Tensor, ours: Tensor) -> bool:
    """Whether a tensor can take ours's place: the same shape but for axes of length 1, and floating if ours is."""
    kind = theirs.is_floating_point() == ours.is_floating_point() and not theirs.is_complex()
    return (
        kind
        and theirs.layout == torch.strided
        and theirs.device.type == "cpu"
        and theirs.squeeze().shape == ours.squeeze().shape
    )


def encoders_in(checkpoint: ForeignCheckpoint, layout: EncoderLayout, prefix: str | None = None) -> list[EncoderMatch]:
    """The whole encoders in a checkpoint, each once: what two dialects read alike is one, and so are equal copies.

    Args:
        checkpoint: What is searched.
        layout: The encoder's tensors and their names.
        prefix: Where the user says that it lies, if he does.
    """
    distinct: list[EncoderMatch] = []
    for match in at_prefix(matches(checkpoint, layout), prefix):
        if layout.is_whole(match) and not any(equal_matches(checkpoint, match, other) for other in distinct):
            distinct.append(match)
    return distinct


def at_prefix(matches: Iterable[EncoderMatch], prefix: str | None) -> list[EncoderMatch]:
    """The matches that lie at this very prefix, parted by dots or slashes; all where none is given."""
    parts = tuple(part for part in (prefix or "").replace("/", ".").split(".") if part and part not in WRAPPERS)
    return [match for match in matches if prefix is None or match.prefix == parts]


def equal_matches(checkpoint: ForeignCheckpoint, match: EncoderMatch, other: EncoderMatch) -> bool:
    """Whether two matches hold the same values, so that it does not matter which is taken."""
    return match.places.keys() == other.places.keys() and all(
        place == other.places[name] or torch.equal(checkpoint.tensors[place], checkpoint.tensors[other.places[name]])
        for name, place in match.places.items()
    )


def left_in_words(checkpoint: ForeignCheckpoint, match: EncoderMatch) -> str:
    """The tensors that are not taken, by the place where they part from those that are; nothing where all are."""
    taken = set(match.places.values())
    counts: Counter[Place] = Counter()
    for place in checkpoint.tensors:
        if place not in taken:
            steps = zip(place, match.prefix, strict=False)
            shared = sum(1 for _ in takewhile(lambda step: step[0] == step[1], steps))
            counts[place[: shared + 1]] += 1
    return first_ten([f"{'.'.join(place)} ({counted(count, 'tensor')})" for place, count in counts.items()])
