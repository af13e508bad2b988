"""What a checkpoint lacks of an encoder, as a table, and which encoder it holds instead."""

import difflib
import re
from collections.abc import Sequence
from math import isqrt

import timm
from segmentation_models_pytorch import encoders as smp_encoders
from torch import Tensor

from dermssl.errors import UserError, first_ten
from dermssl.exchange.foreign import ForeignCheckpoint, Place
from dermssl.exchange.peer_names import unread_format
from dermssl.exchange.peer_tensors import translated
from dermssl.exchange.recognise import EncoderLayout, EncoderMatch, at_prefix, encoders_in, layout_of, matches
from dermssl.wording import counted

SHOWN = 10
FEW = 0.1  # of an encoder's tensors: where no more differ, it is this encoder and was changed
COLOURS = 3  # channels of the pictures that every encoder here takes
TRIED = 8  # encoders of a similar name whose shapes are compared; each is built without its values


def incomplete_encoder(as_read: ForeignCheckpoint, layout: EncoderLayout, prefix: str | None) -> UserError:
    """The error for a checkpoint that does not hold the whole encoder: a sentence, then the table.

    Args:
        as_read: The checkpoint under its own names.
        layout: What the encoder needs.
        prefix: Where it lies, if the user says so.
    """
    checkpoint, _ = translated(as_read, layout)
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
    help_in_words = remedy(as_read, layout, prefix, best)
    return UserError(f"{checkpoint.file}: not '{layout.encoder}' whole{at}: {lacks}; {help_in_words}", *table)


def remedy(as_read: ForeignCheckpoint, layout: EncoderLayout, prefix: str | None, best: EncoderMatch | None) -> str:
    """Where the encoder does lie, which other one the file holds, or what else would help."""
    checkpoint, peers = translated(as_read, layout)
    elsewhere = [] if prefix is None else encoders_in(checkpoint, layout)
    if elsewhere:
        return f"whole it lies at {first_ten([match.where for match in elsewhere])}"
    formats = [peer.format for peer in peers.values()]
    other = other_encoder(as_read, layout.encoder, [name for peer in peers.values() for name in peer.likely])
    if other:
        return f"its tensors are those of --as {other}" + (
            f", under the names of {formats[0].title}" if formats else ""
        )
    differing = [] if best is None else [name for name in best.missing if name not in layout.spare]
    few = best is not None and len(differing) <= FEW * len(layout.tensors)
    special = special_remedy(checkpoint, layout, best, differing[0]) if best and few and len(differing) == 1 else ""
    if special:
        return special
    if formats:
        return (
            f"its tensors are named as those of {formats[0].title}, of which import takes "
            f"{', '.join(formats[0].encoders)}; its width, depth, patches or registers are those of none of these"
        )
    if best is not None and best.surplus:
        return (
            "name the network that it is with --as; no encoder of a similar name has these, and without them its "
            "features would be others"
        )
    if few:
        return (
            "its other tensors fit, and no encoder of a similar name fits better; "
            f"take a checkpoint of '{layout.encoder}' that was saved whole and unchanged"
        )
    unread = unread_format(as_read)
    if unread:
        return (
            f"its tensors are named as those of {unread}, which import does not read; take these weights as timm or "
            "torchvision publishes them, or save them under the names of one of these where they were made"
        )
    return "name the encoder that it is with --as"


def special_remedy(checkpoint: ForeignCheckpoint, layout: EncoderLayout, match: EncoderMatch, name: str) -> str:
    """What to do where the one tensor that differs is a first convolution or positions; else nothing."""
    if name.endswith("pos_embed"):
        return positions_remedy(checkpoint, layout, match, name)
    return stem_remedy(checkpoint, layout, match, name)


def positions_remedy(checkpoint: ForeignCheckpoint, layout: EncoderLayout, match: EncoderMatch, name: str) -> str:
    """What to do where positions are for larger pictures than the encoder's; nothing where they are not."""
    ours, theirs = layout.tensors[name], checkpoint.tensors.get(expected_place(match, name))
    if theirs is None or theirs.ndim != 3 or theirs.shape[1] <= ours.shape[1]:
        return ""
    sides = [isqrt(positions.shape[1]) for positions in (theirs, ours)]
    return (
        f"its positions are for {sides[0]} x {sides[0]} patches and those of '{layout.encoder}' for {sides[1]} x "
        f"{sides[1]}; a smaller grid is brought to this one without a change of features, a larger one cannot be; "
        "name with --as an encoder for larger pictures, if there is one"
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


def other_encoder(checkpoint: ForeignCheckpoint, encoder: str, likely: Sequence[str] = ()) -> str:
    """What the file calls its network, or an encoder of a similar name, if all its tensors are there; else nothing.

    Args:
        checkpoint: Under its own names.
        encoder: What is not in it.
        likely: What else may be, such as what is made of its format.
    """
    pool = [*smp_encoders.encoders, *(f"tu-{name}" for name in timm.list_models())]
    bare_name = encoder.removeprefix("tu-")
    own_names = [checkpoint.architecture, f"tu-{checkpoint.architecture}", bare_name, f"tu-{bare_name}"]
    sizes = [name for name in pool if without_numbers(name) in (without_numbers(encoder), without_numbers(bare_name))]
    similar = difflib.get_close_matches(encoder, pool, n=TRIED)
    names = [name for name in dict.fromkeys([*own_names, *sizes, *similar]) if name in pool and name != encoder]
    tried = dict.fromkeys([*likely, *names[:TRIED]])
    return next((name for name in tried if name != encoder and holds_encoder(checkpoint, name)), "")


def without_numbers(name: str) -> str:
    """The family of a network: its name without its sizes."""
    return re.sub(r"\d+", "", name)


def holds_encoder(checkpoint: ForeignCheckpoint, encoder: str) -> bool:
    """Whether all of an encoder's tensors are in the checkpoint; False for names that give no feature maps."""
    try:
        layout = layout_of(encoder)
        return bool(encoders_in(translated(checkpoint, layout)[0], layout))
    except UserError:
        return False
