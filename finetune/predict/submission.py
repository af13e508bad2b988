"""Submissions to ISIC 2018 Task 1: an archive of masks under official names, and what keeps one from being scored."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from zipfile import ZipFile, ZipInfo

import numpy as np

from dermssl.data.decoding import decode
from dermssl.data.roles import image_id_of
from dermssl.download.archives import DAMAGE, is_junk
from dermssl.errors import UserError, first_ten
from dermssl.files import whole_file

NUMBER = re.compile(r"ISIC_(\d{7})")  # by which the official scorer knows an image
ANY_NUMBER = re.compile(r"(?=(\d{7}))")  # it takes a file for an image's mask that has these digits anywhere
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # equal masks, equal archive
Size = tuple[int, int]  # height, width


class SubmissionFile(NamedTuple):
    """A file of a submission: its name without folders, and how to get at its bytes."""

    name: str
    read: Callable[[], bytes]


def official_name(image_id: str) -> str:
    """The name of an image's mask in a submission, which is flat: the folder in an id is left out."""
    return f"{PurePosixPath(image_id).name}_segmentation.png"


def unofficial(ids: Collection[str]) -> str:
    """A sentence about ids that the official scorer does not know; empty where it knows all."""
    foreign = [image_id for image_id in ids if not NUMBER.search(official_name(image_id))]
    rule = "the official scorer knows an image by ISIC_ and seven digits"
    return f"names that are not ISIC's: {len(foreign)} ({first_ten(foreign)}); {rule}" if foreign else ""


def write_submission(archive: Path, masks: Path, ids: Collection[str]) -> None:
    """Packs the masks of `ids` into a zip archive that the official scorer accepts; whole or not at all.

    Equal masks give equal bytes, whenever and wherever they are packed.

    Args:
        archive: The zip file to write; one that stands is replaced.
        masks: Folder that holds ID_segmentation.png of every id; what else it holds is left out.
        ids: Image ids; others than ISIC's keep their names, see `unofficial`.

    Raises:
        UserError: If a mask is missing or no such mask as the challenge takes, or two ids would have one name.
    """
    places = {image_id: masks / f"{image_id}_segmentation.png" for image_id in sorted(ids)}
    standing = [path for path in places.values() if path.is_file()]
    faults = [fault_of(SubmissionFile(path.name, path.read_bytes)) for path in standing]
    findings = {
        "ids without a mask": [image_id for image_id, path in places.items() if not path.is_file()],
        "ids of several masks": ids_of_several_masks([official_name(image_id) for image_id in ids], ids),
        "masks that do not fit": [fault for fault in faults if fault],
    }
    refuse_submission(masks, findings)
    with whole_file(archive) as part, ZipFile(part, "w") as opened:  # stored: a PNG does not shrink, and zlibs differ
        for image_id, path in places.items():
            opened.writestr(zip_entry(official_name(image_id)), path.read_bytes())


def zip_entry(name: str) -> ZipInfo:
    """A member of an archive that does not tell when and on what system it was written."""
    info = ZipInfo(name, LONG_AGO)
    info.create_system, info.external_attr = 3, 0o644 << 16
    return info


def check_submission(place: Path, ids: Collection[str], sizes: Mapping[str, Size] | None = None) -> None:
    """Refuses a submission that the official scorer would refuse, and some that it would score with a surprise.

    Beyond what the scorer refuses, these are files that belong to no id, and masks with other values than 0 and 255:
    the scorer takes what is above 128 for lesion, so that a mask of 0 and 1 is empty to it.

    Args:
        place: Folder or zip archive of masks called ID_segmentation.png.
        ids: Image ids, each of which must have a mask.
        sizes: Native (height, width) of each id; without them no size is checked.

    Raises:
        UserError: With all kinds of findings at once and ten culprits of each.
    """
    image_of = {official_name(image_id): image_id for image_id in ids}
    sizes = sizes or {}
    with submission_files(place) as members:
        names = {member.name for member in members}
        faults = [fault_of(member, sizes.get(image_of[member.name])) for member in members if member.name in image_of]
    findings = {
        "ids without a mask": [image_id for name, image_id in image_of.items() if name not in names],
        "ids of several masks": ids_of_several_masks([member.name for member in members], ids),
        "files that belong to no id": sorted(names - image_of.keys()),
        "masks that do not fit": [fault for fault in faults if fault],
    }
    refuse_submission(place, findings)


@contextmanager
def submission_files(place: Path) -> Iterator[list[SubmissionFile]]:
    """The files of a submission, while it is open; those that operating systems strew in are left out."""
    if place.is_dir():
        files = [path for path in sorted(place.iterdir()) if not is_junk(PurePosixPath(path.name))]
        yield [SubmissionFile(path.name, path.read_bytes) for path in files]
        return
    try:
        opened = ZipFile(place)
    except (OSError, *DAMAGE) as error:
        raise UserError(f"{place}: neither a folder nor a zip archive that can be read ({error})") from error
    with opened:
        infos = [info for info in opened.infolist() if not info.is_dir() and not is_junk(PurePosixPath(info.filename))]
        yield [SubmissionFile(PurePosixPath(info.filename).name, partial(opened.read, info)) for info in infos]


def ids_of_several_masks(names: Sequence[str], ids: Collection[str]) -> list[str]:
    """The ids that several of these files would be taken for the mask of, each with the files."""
    ids_by_key = defaultdict(list)
    for image_id in ids:
        number = NUMBER.search(official_name(image_id))
        ids_by_key[number[1] if number else PurePosixPath(image_id).name].append(image_id)
    files_by_id = defaultdict(list)
    for name in names:
        for key in {*ANY_NUMBER.findall(Path(name).stem), image_id_of(Path(name))} & ids_by_key.keys():
            for image_id in ids_by_key[key]:
                files_by_id[image_id].append(name)
    return [f"{image_id}: {first_two(files)}" for image_id, files in files_by_id.items() if len(files) > 1]


def first_two(files: Sequence[str]) -> str:
    """The first two of these files, and how many more there are."""
    return " and ".join([*files[:2], *[f"{len(files) - 2} more"] * (len(files) > 2)])


def fault_of(member: SubmissionFile, size: Size | None = None) -> str:
    """What keeps a file from being a mask of the challenge, in a sentence with its name; empty where nothing does."""
    try:
        data = member.read()
        stored = decode(data)
    except (OSError, RuntimeError, *DAMAGE) as error:
        return f"{member.name} cannot be decoded ({error})"
    if stored.mode not in ("1", "L"):
        return f"{member.name} is {stored.mode} and not a single channel of 8 bits"
    if stored.orientation != 1:
        return f"{member.name} is turned by its EXIF orientation, which the scorer does not see"
    if size is not None and (stored.height, stored.width) != size:
        return f"{member.name} is {stored.width} x {stored.height} and its image {size[1]} x {size[0]}"
    values = np.unique(np.asarray(stored.picture.convert("L"))).tolist()
    if not {0, 255} >= set(values):
        return f"{member.name} has other values than 0 and 255 ({first_ten(values)})"
    return ""


def refuse_submission(place: Path, findings: Mapping[str, Sequence[str]]) -> None:
    """Raises a `UserError` with every kind of finding that has culprits."""
    faults = [f"{kind}: {len(culprits)} ({first_ten(culprits)})" for kind, culprits in findings.items() if culprits]
    if faults:
        raise UserError(
            f"{place}: {'; '.join(faults)}; the official scorer wants one PNG an image, of its size, in 8-bit grey, "
            "0 for skin and 255 for lesion"
        )
