"""Odd files and folders as strangers hand them over, each drawn, with what must come of reading it."""

from functools import cache

from data.zoo.broken import broken_pictures
from data.zoo.exhibit import Exhibit
from data.zoo.layouts import layouts
from data.zoo.links import links
from data.zoo.masks import masks
from data.zoo.names import names
from data.zoo.pictures import pictures
from data.zoo.tables import tables
from data.zoo.turned import turned_pictures_and_masks
from data.zoo.unclear import unclear_masks


def draw_zoo() -> tuple[Exhibit, ...]:
    """Every exhibit, drawn anew in memory."""
    rooms = (
        pictures, turned_pictures_and_masks, broken_pictures, masks, unclear_masks, names, links, tables, layouts
    )  # fmt: skip
    return tuple(exhibit for room in rooms for exhibit in room())


@cache
def zoo() -> dict[str, Exhibit]:
    """Every exhibit by its name."""
    return {exhibit.name: exhibit for exhibit in draw_zoo()}
