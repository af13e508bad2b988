"""What folders and file names say of an image: its id, and the official part that it belongs to."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dermssl.data.roles import below
from dermssl.errors import UserError, first_ten
from dermssl.wording import as_text

PART = {  # official part -> how a folder says so: ISIC2018_Task1-2_Training_Input, ISIC-2017_Test_v2_Data, train
    "train": re.compile(r"(^|[_\-])train(ing)?($|[_\-])", re.IGNORECASE),
    "validation": re.compile(r"(^|[_\-])val(id(ation)?)?($|[_\-])", re.IGNORECASE),
    "test": re.compile(r"(^|[_\-])test(ing)?($|[_\-])", re.IGNORECASE),
}


def ids_of(images: Sequence[Path], root: Path, also: str = "") -> list[str]:
    """File names without suffix where these tell the images apart, else paths below `root` without suffix.

    Args:
        images: The files.
        root: Their folder.
        also: What else a person could do where two have one path without suffix.

    Raises:
        UserError: If two have.
    """
    stems = [as_text(path.stem) for path in images]
    if len(set(stems)) == len(stems):
        return stems
    ids = [str(Path(below(path, root)).with_suffix("")) for path in images]
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise UserError(
            f"{root}: two images have the same name without its ending ({first_ten(twice)}); "
            f"rename or remove one of each{also}"
        )
    return ids


def part_of(path: str) -> str:
    """The official part, train, validation or test, that the folders of a path name; else nothing."""
    folders = () if Path(path).is_absolute() else Path(path).parts[:-1]
    return next((part for part, wording in PART.items() if any(wording.search(folder) for folder in folders)), "")
