"""What a checkpoint lacks of an encoder, as a table, and which encoder it holds instead."""

import difflib
import re

import timm
from segmentation_models_pytorch import encoders as smp_encoders

from dermssl.errors import UserError, first_ten
from dermssl.exchange.foreign import ForeignCheckpoint, Place
from dermssl.exchange.recognise import EncoderLayout, EncoderMatch, at_prefix, encoders_in, layout_of, matches

SHOWN = 10
TRIED = 8  # encoders of a similar name whose shapes are compared; each is built without its values


def incomplete_encoder(checkpoint: ForeignCheckpoint, layout: EncoderLayout, prefix: str | None) -> UserError:
    """The error for a checkpoint that does not hold the whole encoder: a sentence, then the table."""
    best = next(iter(at_prefix(matches(checkpoint, layout), prefix)), None)
    total = f"of its {len(layout.tensors)} tensors"
    if best is None:
        names = ", ".join(".".join(place) for place in list(checkpoint.tensors)[:3])
        lacks, table = f"none {total} is there (the file begins with {names})", ""
    elif best.surplus:
        more, table = f"{len(best.surplus)} more between them", ""
        lacks = f"all {total[3:]} are there at {best.where}, and {more} of another network (first: {best.surplus[0]})"
    else:
        lacks = f"{len(best.missing)} {total} are missing or of another shape at {best.where}"
        table = "\n" + table_of_missing(checkpoint, layout, best)
    at = "" if prefix is None else f" at --prefix {prefix}"
    return UserError(
        f"{checkpoint.file}: not '{layout.encoder}' whole{at}: {lacks}; {remedy(checkpoint, layout, prefix)}{table}"
    )


def remedy(checkpoint: ForeignCheckpoint, layout: EncoderLayout, prefix: str | None) -> str:
    """Where the encoder does lie, or which other one the file holds."""
    elsewhere = [] if prefix is None else encoders_in(checkpoint, layout)
    if elsewhere:
        return f"whole it lies at {first_ten([match.where for match in elsewhere])}"
    other = other_encoder(checkpoint, layout.encoder)
    return f"its tensors are those of --as {other}" if other else "name the encoder that it is with --as"


def table_of_missing(checkpoint: ForeignCheckpoint, layout: EncoderLayout, match: EncoderMatch) -> str:
    """The first tensors that are missing: name, wanted shape, and what lies there."""
    theirs = {our: their for their, our in match.dialect.names.items()}
    rows = [("tensor", "wanted", "found")]
    for name in match.missing[:SHOWN]:
        place = (*match.prefix, *theirs[name].split("."))
        rows.append((theirs[name], str(tuple(layout.tensors[name].shape)), shape_at(checkpoint, place)))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"  {name:{widths[0]}}  {shape:{widths[1]}}  {contents}" for name, shape, contents in rows]
    more = len(match.missing) - SHOWN
    return "\n".join([*lines, f"  ... and {more} more"] if more > 0 else lines)


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
