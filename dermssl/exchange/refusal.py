"""What a checkpoint lacks of an encoder, as a table, and which encoder it holds instead."""

import difflib
import re

import timm
from segmentation_models_pytorch import encoders as smp_encoders

from dermssl.errors import UserError, first_ten
from dermssl.exchange.foreign import Foreign, Place
from dermssl.exchange.recognise import Fit, Wanted, encoders_in, fits, under, wanted

SHOWN = 10
TRIED = 8  # encoders of a similar name whose shapes are compared; each is built without its values


def refuse(foreign: Foreign, want: Wanted, prefix: str | None) -> UserError:
    """The error for a checkpoint that does not hold the whole encoder: a sentence, then the table."""
    best = next(iter(under(fits(foreign, want), prefix)), None)
    total = f"of its {len(want.tensors)} tensors"
    if best is None:
        names = ", ".join(".".join(place) for place in list(foreign.tensors)[:3])
        lacks, table = f"none {total} is there (the file begins with {names})", ""
    elif best.surplus:
        more, table = f"{len(best.surplus)} more between them", ""
        lacks = f"all {total[3:]} are there at {best.where}, and {more} of another network (first: {best.surplus[0]})"
    else:
        lacks = f"{len(best.missing)} {total} are missing or of another shape at {best.where}"
        table = "\n" + table_of(foreign, want, best)
    at = "" if prefix is None else f" at --prefix {prefix}"
    return UserError(f"{foreign.file}: not '{want.encoder}' whole{at}: {lacks}; {remedy(foreign, want, prefix)}{table}")


def remedy(foreign: Foreign, want: Wanted, prefix: str | None) -> str:
    """Where the encoder does lie, or which other one the file holds."""
    elsewhere = [] if prefix is None else encoders_in(foreign, want)
    if elsewhere:
        return f"whole it lies at {first_ten([fit.where for fit in elsewhere])}"
    other = other_encoder(foreign, want.encoder)
    return f"its tensors are those of --as {other}" if other else "name the encoder that it is with --as"


def table_of(foreign: Foreign, want: Wanted, fit: Fit) -> str:
    """The first tensors that are missing: name, wanted shape, and what lies there."""
    theirs = {our: their for their, our in fit.dialect.names.items()}
    rows = [("tensor", "wanted", "found")]
    for name in fit.missing[:SHOWN]:
        place = (*fit.prefix, *theirs[name].split("."))
        rows.append((theirs[name], str(tuple(want.tensors[name].shape)), lying_at(foreign, place)))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"  {name:{widths[0]}}  {shape:{widths[1]}}  {found}" for name, shape, found in rows]
    more = len(fit.missing) - SHOWN
    return "\n".join([*lines, f"  ... and {more} more"] if more > 0 else lines)


def lying_at(foreign: Foreign, place: Place) -> str:
    """The shape of what lies there, and its type where it is not what weights are."""
    tensor = foreign.tensors.get(place)
    if tensor is None:
        return "nothing"
    kind = "" if tensor.is_floating_point() else f" {str(tensor.dtype).removeprefix('torch.')}"
    return f"{tuple(tensor.shape)}{kind}"


def other_encoder(foreign: Foreign, encoder: str) -> str:
    """What the file calls its network, or an encoder of a similar name, if all its tensors are there; else nothing."""
    pool = [*smp_encoders.encoders, *(f"tu-{name}" for name in timm.list_models())]
    plain = encoder.removeprefix("tu-")
    called = [foreign.architecture, f"tu-{foreign.architecture}", plain, f"tu-{plain}"]
    sizes = [name for name in pool if without_numbers(name) in (without_numbers(encoder), without_numbers(plain))]
    similar = difflib.get_close_matches(encoder, pool, n=TRIED)
    names = [name for name in dict.fromkeys([*called, *sizes, *similar]) if name in pool and name != encoder]
    return next((name for name in names[:TRIED] if holds(foreign, name)), "")


def without_numbers(name: str) -> str:
    """The family of a network: its name without its sizes."""
    return re.sub(r"\d+", "", name)


def holds(foreign: Foreign, encoder: str) -> bool:
    """Whether all of an encoder's tensors are in the checkpoint; False for names that give no feature maps."""
    try:
        return bool(encoders_in(foreign, wanted(encoder)))
    except UserError:
        return False
