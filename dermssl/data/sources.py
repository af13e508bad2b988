"""Where the images come from when nobody says: the folders that the README names, else the synthetic set."""

from dataclasses import dataclass
from pathlib import Path

from dermssl.errors import UserError

LABELLED = Path("data/isic2018")
UNLABELLED = Path("data/unlabelled")
SYNTHETIC_LABELLED = Path("data/synthetic/labelled")
SYNTHETIC_UNLABELLED = Path("data/synthetic/unlabelled")
CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@dataclass(frozen=True)
class Source:
    """A folder of images and why it was taken."""

    folder: Path
    why: str
    synthetic: bool


def labelled(given: Path | None) -> Source:
    """The images with masks: `given`, else data/isic2018 where it exists, else the synthetic set."""
    return choose(given, [LABELLED], SYNTHETIC_LABELLED)


def unlabelled(given: Path | None, flag: str = "--data") -> Source:
    """The images to pretrain on: `given` by a flag, else data/unlabelled or data/isic2018, else the synthetic set."""
    return choose(given, [UNLABELLED, LABELLED], SYNTHETIC_UNLABELLED, flag)


def choose(given: Path | None, wanted: list[Path], synthetic: Path, flag: str = "--data") -> Source:
    """The first of these that is there, with the reason in words."""
    if given == synthetic:
        return Source(synthetic, f"the synthetic set in {synthetic}", synthetic=True)
    if given is not None:
        if not given.is_dir():
            raise UserError(f"{flag} {given}: no such folder; give a folder of images, or leave {flag} out")
        return Source(given, f"{given} ({flag})", synthetic=False)
    for folder in wanted:
        if folder.is_dir():
            return Source(folder, f"{folder} (no {flag} given, and this folder exists)", synthetic=False)
    absent = " or ".join(map(str, wanted))
    return Source(synthetic, f"the synthetic set in {synthetic} (no {flag} given, and no {absent})", synthetic=True)


def draw_if_absent(source: Source, *, count: int, size: int, workers: int) -> None:
    """Draws the synthetic set where `source` is one and nobody has drawn it yet."""
    if not source.synthetic or source.folder.is_dir():
        return
    from dermssl.synthetic.dataset import write_dataset  # OpenCV is not needed to parse flags

    print(f"drawing {count} synthetic images of {size} px into {source.folder}", flush=True)
    has_masks = source.folder == SYNTHETIC_LABELLED
    write_dataset(source.folder, count, size, seed=0 if has_masks else 1, masks=has_masks, workers=workers)


def quick(command: str, source: Source) -> Path | None:
    """The options that let `command` end within minutes on the synthetic set; None on real images."""
    return CONFIGS / command / "synthetic.yaml" if source.synthetic else None
