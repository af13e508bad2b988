"""What a checkpoint lacks of an encoder, as a table, and which encoder it holds instead."""

import difflib
import re

import timm
from segmentation_models_pytorch import encoders as smp_encoders
from torch import Tensor

from dermssl.errors import UserError, first_ten
from dermssl.exchange.foreign import ForeignCheckpoint, Place
from dermssl.exchange.recognise import EncoderLayout, EncoderMatch, at_prefix, encoders_in, layout_of, matches
from dermssl.wording import counted

SHOWN = 10
FEW = 0.1  # of an encoder's tensors: where no more differ, it is this encoder and was changed
COLOURS = 3  # channels of the pictures that every encoder here takes
TRIED = 8  # encoders of a similar name whose shapes are compared; each is built without its values


def incomplete_encoder(checkpoint: ForeignCheckpoint, layout: EncoderLayout, prefix: str | None) -> UserError:
    """The error for a checkpoint that does not hold the whole encoder: a sentence, then the table."""
    best = next(iter(at_prefix(matches(checkpoint, layout), prefix)), None)
    total = f"of its {len(layout.tensors)} tensors"
    table: list[str] = []
    if best is None:
        names = ", ".join(".".join(place) for place in list(checkpoint.tensors)[:3])
        lacks = f"none {total} is there (the file begins with {names})"
    elif best.surplus:
        more = f"{len(best.surplus)} more between or beside them"
        lacks = f"all {total[3:]} are there at {best.where}, and {more} of another network (first: {best.surplus[0]})"
    else:
        lacks = f"{len(best.missing)} {total} are missing or of another shape at {best.where}"
        table = table_of_missing(checkpoint, layout, best)
    at = "" if prefix is None else f" at --prefix {prefix}"
    help_in_words = remedy(checkpoint, layout, prefix, best)
    return UserError(f"{checkpoint.file}: not '{layout.encoder}' whole{at}: {lacks}; {help_in_words}", *table)


def remedy(checkpoint: ForeignCheckpoint, layout: EncoderLayout, prefix: str | None, best: EncoderMatch | None) -> str:
    """Where the encoder does lie, which other one the file holds, or what else would help."""
    elsewhere = [] if prefix is None else encoders_in(checkpoint, layout)
    if elsewhere:
        return f"whole it lies at {first_ten([match.where for match in elsewhere])}"
    other = other_encoder(checkpoint, layout.encoder)
    if other:
        return f"its tensors are those of --as {other}"
    if best is not None and best.surplus:
        return (
            "name the network that it is with --as; no encoder of a similar name has these, and without them its "
            "features would be others"
        )
    differing = [] if best is None else [name for name in best.missing if name not in layout.spare]
    if best is None or len(differing) > FEW * len(layout.tensors):
        return "name the encoder that it is with --as"
    stem = stem_remedy(checkpoint, layout, best, differing[0]) if len(differing) == 1 else ""
    return stem or (
        "its other tensors fit, and no encoder of a similar name fits better; "
        f"take a checkpoint of '{layout.encoder}' that was saved whole and unchanged"
    )


def stem_remedy(checkpoint: ForeignCheckpoint, layout: EncoderLayout, match: EncoderMatch, name: str) -> str:
    """What to do where the one tensor that differs is a first convolution for other pictures; else nothing."""
    ours, theirs = layout.tensors[name], checkpoint.tensors.get(place := expected_place(match, name))
    if theirs is None or ours.ndim != 4 or theirs.ndim != 4 or ours.shape[1] != COLOURS or len(theirs) != len(ours):
        return ""
    channels, wanted, kernel = theirs.shape[1], kernel_size(ours), kernel_size(theirs)
    if kernel != wanted:
        return (
            f"its first convolution is {kernel} and not {wanted}, and no encoder of a similar name has such a one "
            f"(3 x 3 is made for small pictures); take weights of the usual network, with {wanted}"
        )
    if channels != 1:
        return (
            f"its first convolution takes pictures of {counted(channels, 'channel')} and every encoder here those of "
            f"{COLOURS}, red, green and blue; take weights that were trained on colour pictures"
        )
    return (
        f"its first convolution takes grey pictures; put `{'.'.join(place)}.repeat(1, {COLOURS}, 1, 1) / {COLOURS}` in "
        "its place, which gives grey pictures in three channels the same features"
    )


def kernel_size(convolution: Tensor) -> str:
    """The size of a convolution's kernel, such as `7 x 7`."""
    return " x ".join(map(str, convolution.shape[2:]))


def expected_place(match: EncoderMatch, name: str) -> Place:
    """Where a tensor of ours should lie in the checkpoint."""
    theirs = next(their for their, our in match.dialect.names.items() if our == name)
    return (*match.prefix, *theirs.split("."))


def table_of_missing(checkpoint: ForeignCheckpoint, layout: EncoderLayout, match: EncoderMatch) -> list[str]:
    """The first tensors that are missing, a line each: name, wanted shape, and what lies there."""
    rows = [("tensor", "wanted", "found")]
    for name in match.missing[:SHOWN]:
        place = expected_place(match, name)
        rows.append(
            (".".join(place[len(match.prefix) :]), str(tuple(layout.tensors[name].shape)), shape_at(checkpoint, place))
        )
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"  {name:{widths[0]}}  {shape:{widths[1]}}  {contents}" for name, shape, contents in rows]
    more = len(match.missing) - SHOWN
    return [*lines, f"  ... and {more} more"] if more > 0 else lines


def shape_at(checkpoint: ForeignCheckpoint, place: Place) -> str:
    """The shape of what lies there, and its type where it is not what weights are."""
    tensor = checkpoint.tensors.get(place)
    if tensor is None:
        return "nothing"
    kind = "" if tensor.is_floating_point() else f" {str(tensor.dtype).removeprefix('torch.')}"
    return f"{tuple(tensor.shape)}{kind}"


def other_encoder(checkpoint: ForeignCheckpoint, encoder: str) -> str:
    """What the file calls its network, or an encoder of a similar name, if all its tensors are there; else nothing."""
    pool = [*smp_encoders.encoders, *(f"tu-{name}" for name in timm.list_models())]
    bare_name = encoder.removeprefix("tu-")
    own_names = [checkpoint.architecture, f"tu-{checkpoint.architecture}", bare_name, f"tu-{bare_name}"]
    sizes = [name for name in pool if without_numbers(name) in (without_numbers(encoder), without_numbers(bare_name))]
    similar = difflib.get_close_matches(encoder, pool, n=TRIED)
    names = [name for name in dict.fromkeys([*own_names, *sizes, *similar]) if name in pool and name != encoder]
    return next((name for name in names[:TRIED] if holds_encoder(checkpoint, name)), "")


def without_numbers(name: str) -> str:
    """The family of a network: its name without its sizes."""
    return re.sub(r"\d+", "", name)


def holds_encoder(checkpoint: ForeignCheckpoint, encoder: str) -> bool:
    """Whether all of an encoder's tensors are in the checkpoint; False for names that give no feature maps."""
    try:
        return bool(encoders_in(checkpoint, layout_of(encoder)))
    except UserError:
        return False
