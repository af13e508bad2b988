"""What is the same in two folders of equal work: names of all files, and contents without what tells of time."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file

TIMES = {
    "seconds", "images_per_second", "memory_mb", "gpu_memory_mb", "energy_wh", "energy_of", "host", "started", "date",
    "data_wait_share", "attempts", "commit", "command", "dirty", "address",
}  # fmt: skip
TELLING = (
    "log.txt",
    "costs.csv",
    "deviations.csv",
    "environment.json",
    "seal.json",
    "history.jsonl",
    ".dermssl-download.json",
)


def contents(place: Path) -> dict[str, object]:
    """Every file and folder with what is in it; of those that tell of time the name alone."""
    return {str(path.relative_to(place)): content_of(path) for path in sorted(place.rglob("*"))}


def content_of(path: Path) -> object:
    """What equal work has equal in a file."""
    if path.is_dir() or path.name in TELLING or path.suffix in (".html", ".md") or path.parent.name == "logs":
        return None
    if path.suffix == ".json":
        return without_times(json.loads(path.read_text()))
    if path.suffix in (".csv", ".parquet"):
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        return table.drop(columns=[name for name in table if name in TIMES]).to_csv(index=False)
    if path.suffix == ".safetensors":
        return {name: tensor.numpy().tobytes() for name, tensor in load_file(path).items()}
    return hashlib.sha256(path.read_bytes()).hexdigest()


def without_times(value: object) -> object:
    """The value without what is another each time."""
    if isinstance(value, dict):
        return {key: without_times(one) for key, one in value.items() if key not in TIMES}
    return value


def differences(found: Mapping[str, object], expected: Mapping[str, object]) -> list[str]:
    """Files that are left over, lacking or other."""
    return (
        [f"{name} is left over" for name in found if name not in expected]
        + [f"{name} is lacking" for name in expected if name not in found]
        + [f"{name} is another" for name in expected if name in found and found[name] != expected[name]]
    )


def finished(place: Path) -> dict[str, tuple[int, int]]:
    """What nobody may do again, with the time and number of its file: results, masks, pixels, what was fetched."""
    done = [path.parent for path in place.rglob("result.json")]
    done += [path.parent for path in place.rglob(".dermssl-download.json") if not path.parent.name.startswith(".part")]
    files = [folder / name for folder in done for name in ("result.json", ".dermssl-download.json")]
    files += [*place.rglob("masks/*_segmentation.png"), *place.rglob("pixels.u8")]
    whole = [path for path in files if path.is_file() and ".part-" not in str(path)]
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_ino) for path in whole}
