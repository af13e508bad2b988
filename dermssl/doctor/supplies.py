"""Images and weights: which of those that commands look for by themselves are there."""

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from dermssl.data.sources import LABELLED, SYNTHETIC_LABELLED, SYNTHETIC_UNLABELLED, UNLABELLED
from dermssl.doctor.disks import written_folders
from dermssl.doctor.observation import Observation, fault, good, note
from dermssl.doctor.packages import module_origin
from dermssl.doctor.versions import own_requirements, reinstalling
from dermssl.errors import first_ten
from dermssl.weights.hub import INSTALLED
from dermssl.wording import counted

CHECKPOINTS = Path("checkpoints")
PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
MOST = 20_000  # files that are counted
LONGEST_HEADER = 100_000_000  # bytes, as safetensors itself has it


def examine_images() -> Iterator[Observation]:
    """The folders that are taken where nobody says --data."""
    for folder, what, remedy in (
        (LABELLED, "images with masks", "python -m dermssl download isic2018"),
        (UNLABELLED, "unlabelled images", f"put images into {UNLABELLED}, or python -m dermssl download ham10000"),
    ):
        if not folder.is_dir():
            text = f"{folder} is not there: without --data, {what} are drawn or taken from elsewhere."
            yield note("images", text, remedy)
            continue
        count = pictures_below(folder)
        more = " or more" if count == MOST else ""
        if count:
            yield good("images", f"{folder} holds {counted(count, 'picture')}{more}, with masks if it has any.")
        else:
            text = f"{folder} is there and holds no picture: every command that takes it by itself stops."
            yield fault("images", text, f"rmdir {folder}, or fill it: {remedy}")
    drawn = [str(folder) for folder in (SYNTHETIC_LABELLED, SYNTHETIC_UNLABELLED) if folder.is_dir()]
    if drawn:
        yield good("images", f"Drawn images are there: {' and '.join(drawn)}.")
    else:
        yield good("images", "Drawn images are not there yet; a command that needs them draws them in a minute.")


def pictures_below(folder: Path) -> int:
    """Pictures in a folder and below, by their endings; counting ends at 20,000."""
    count = 0
    for _, folders, files in os.walk(folder, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        count += sum(name.lower().endswith(PICTURES) for name in files)
        if count >= MOST:
            return MOST
    return count


def examine_encoders() -> Iterator[Observation]:
    """What `--init ssl` would find: the encoder files in checkpoints/, by their cards."""
    named: list[str] = []
    for path in sorted(CHECKPOINTS.glob("**/*.safetensors")):
        if path.name.startswith("."):
            continue
        try:
            card = card_fields(path)
        except (OSError, ValueError) as error:
            yield note(
                "encoders", f"{path} cannot be read ({error}).", f"rm {path}, and pretrain anew or copy it again"
            )
        else:
            if card:
                named.append(f"{card.get('encoder')} by {card.get('method')} ({path})")
    if named:
        yield good("encoders", f"Pretrained {'is' if len(named) == 1 else 'are'} {first_ten(named)}.")
    else:
        text = "No pretrained encoder is there yet, so --init ssl finds none."
        yield note("encoders", text, "python -m pretrain --method simclr")


def card_fields(path: Path) -> dict[str, object]:
    """The card in the header of a file of weights, read without a library; empty where it has none.

    Raises:
        ValueError: If it is no file of safetensors, or is cut short.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(LONGEST_HEADER, size - 8):
            raise ValueError("it is cut short, or no file of safetensors")
        header = json.loads(file.read(length))
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    if size != 8 + length + max(ends, default=0):
        raise ValueError("its length is not what its header says")
    card = json.loads(header.get("__metadata__", {}).get("card", "{}"))
    return card if isinstance(card, dict) else {}


def examine_weights() -> Iterator[Observation]:
    """ImageNet weights: those that come in packages, and others as they were fetched from the hub."""
    modules = {encoder: place.partition(":")[0] for encoder, place in INSTALLED.items()}
    absent = [encoder for encoder, module in modules.items() if module_origin(module) is None]
    for encoder in absent:
        package = modules[encoder].replace("_", "-")
        typed = next((one.typed for one in own_requirements() if one.name == package), package)
        yield fault("weights", f"The ImageNet weights of {encoder} are not installed.", reinstalling(typed))
    if not absent:
        yield good("weights", f"The ImageNet weights of {' and '.join(INSTALLED)} are installed.")
    hub = written_folders()["hub"]
    fetched = sorted(path.name.removeprefix("models--").replace("--", "/") for path in hub.glob("models--*"))
    if fetched:
        yield good("weights", f"Fetched from the hub before: {first_ten(fetched)}.")
