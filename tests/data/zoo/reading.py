"""How an exhibit asks to be read."""

from data.zoo.exhibit import Exhibit
from dermssl.data.config import Reading


def reading_of(exhibit: Exhibit) -> Reading:
    """The options that a person would give with it."""
    value = exhibit.lesion_value
    return Reading(masks=exhibit.masks, lesion_value=None if value is None else str(value))
