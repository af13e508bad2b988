"""Where the images come from when nobody says: the folders that the README names, else the synthetic set."""

from dataclasses import dataclass
from pathlib import Path

from dermssl.errors import UserError
from dermssl.log import say
from dermssl.places import need_readable
from dermssl.shipped import CONFIGS
from dermssl.synthetic.config import LABELLED_COUNT, SIDE, UNLABELLED_COUNT

LABELLED = Path("data/isic2018")
UNLABELLED = Path("data/unlabelled")
SYNTHETIC_LABELLED = Path("data/synthetic/labelled")
SYNTHETIC_UNLABELLED = Path("data/synthetic/unlabelled")
LIST_ENDINGS = (".csv", ".tsv")  # of a list of paths


@dataclass(frozen=True)
class ImageSource:
    """A folder of images and why it was taken."""

    folder: Path
    why: str
    synthetic: bool


def labelled_source(folder: Path | None) -> ImageSource:
    """The images with masks: in `folder`, else in data/isic2018 where it exists, else the synthetic set."""
    return choose_source(folder, [LABELLED], SYNTHETIC_LABELLED)


def unlabelled_source(folder: Path | None, flag: str = "--data") -> ImageSource:
    """The images to pretrain on: in `folder`, else in data/unlabelled or data/isic2018, else the synthetic set.

    `flag` is the option that gave `folder`, or could have.
    """
    return choose_source(folder, [UNLABELLED, LABELLED], SYNTHETIC_UNLABELLED, flag)


def is_data_set(place: Path) -> bool:
    """Whether something is there to be read as a data set: a folder, or a list of paths."""
    return place.is_dir() or (place.suffix.lower() in LIST_ENDINGS and place.is_file())


def choose_source(folder: Path | None, defaults: list[Path], synthetic: Path, flag: str = "--data") -> ImageSource:
    """`folder` where it is given, else the first of `defaults` that exists, else the synthetic set; with the reason."""
    if folder == synthetic:
        return ImageSource(synthetic, f"the synthetic set in {synthetic}", synthetic=True)
    if folder is not None:
        need_readable(flag, folder)
        if not is_data_set(folder):
            raise UserError(
                f"{flag} {folder}: no such folder or list; give a folder of images or a CSV of their paths, "
                f"or leave {flag} out"
            )
        return ImageSource(folder, f"{folder} ({flag})", synthetic=False)
    for default in defaults:
        if default.is_dir():
            return ImageSource(default, f"{default} (no {flag} given, and this folder exists)", synthetic=False)
    absent = " or ".join(map(str, defaults))
    return ImageSource(
        synthetic, f"the synthetic set in {synthetic} (no {flag} given, and no {absent})", synthetic=True
    )


def draw_if_absent(source: ImageSource, *, workers: int) -> None:
    """Draws the synthetic set where `source` is one and nobody has drawn it yet."""
    if not source.synthetic or source.folder.is_dir():
        return
    from dermssl.synthetic.dataset import write_dataset  # OpenCV is not needed to parse flags

    has_masks = source.folder == SYNTHETIC_LABELLED
    count = LABELLED_COUNT if has_masks else UNLABELLED_COUNT
    say(f"drawing {count} synthetic images of {SIDE} px into {source.folder}")
    write_dataset(source.folder, count, SIDE, seed=0 if has_masks else 1, masks=has_masks, workers=workers)


def quick_options(command: str, source: ImageSource) -> Path | None:
    """The options that let `command` end within minutes on the synthetic set; None on real images."""
    return CONFIGS / command / "synthetic.yaml" if source.synthetic else None
