"""How a data set is read where its names and values leave it open; the options of every command that reads masks."""

import os
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

ID = "{id}"  # in a pattern of masks' names


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a person knows of a data set that its files do not say."""

    GROUP: ClassVar[str] = "data"

    masks: str | None = None
    """Where masks lie or how they are named: a folder, or a pattern such as {id}_roi.png; found by common names by default."""  # noqa: E501
    lesion_value: str | None = None
    """The value of a mask's pixels that means lesion, of several: a number, or a colour as 0xff0000; all but 0 by default."""  # noqa: E501

    def __post_init__(self) -> None:
        # Path.is_dir raises at a name that is too long.
        if self.masks is not None and ID not in self.masks and not os.path.isdir(self.masks):  # noqa: PTH112
            raise ValueError(
                f"--masks {self.masks}: neither a folder that exists nor a pattern with {{id}}; "
                "give a folder, or a pattern such as {id}_roi.png"
            )
        if self.lesion_value is not None:
            number_of(self.lesion_value)

    @property
    def lesion(self) -> float | None:
        """`lesion_value` as a number."""
        return None if self.lesion_value is None else number_of(self.lesion_value)


def number_of(word: str) -> float:
    """A value as a person types it: `1`, `0.5`, `0xff0000`.

    Raises:
        ValueError: If it is none.
    """
    try:
        number = float(int(word, 16)) if word.lower().startswith("0x") else float(word)
        if not isfinite(number):
            raise ValueError
        return number
    except ValueError:
        raise ValueError(
            f"--lesion_value {word}: is no number; give a value of the masks' pixels, such as 1 or 0xff0000"
        ) from None


AS_NAMED = Reading()  # by the names and values that are common
READING_OPTIONS = frozenset({"masks", "lesion_value"})  # what stands for these in a run's name are the masks
