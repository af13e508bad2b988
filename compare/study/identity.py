"""What a run is, of its options: all but place and pace, and with what stands in the files that they name."""

from pathlib import Path

from dermssl.data.config import READING_OPTIONS
from dermssl.files import short_hash
from dermssl.flags import added_and_unused, plain_value
from finetune.options.config import FinetuneConfig

PLACE = READING_OPTIONS | {
    "data", "protect", "out", "folder", "checkpoints", "resume", "workers", "threads", "logger",
}  # fmt: skip
FILES = (".yaml", ".yml", ".json", ".csv", ".safetensors")


def run_identity(config: object) -> dict[str, object]:
    """The options that a run's name is made of, as JSON knows them.

    More than a run folder's own hash is made of: split options stand for the split, which is not drawn yet. Two names
    for equal work cost a second, when the second finds the first one's folder.
    """
    silent = PLACE | added_and_unused(config)
    options = {key: value for key, value in vars(config).items() if key not in silent}
    return {
        key: run_identity(value) if isinstance(value, FinetuneConfig) else file_identity(value)
        for key, value in options.items()
    }


def file_identity(value: object) -> object:
    """A value as JSON knows it; for the name of a file that is there, what its bytes come to."""
    path = Path(value) if isinstance(value, str) and value.endswith(FILES) else None
    return short_hash(path.read_bytes().hex()) if path is not None and path.is_file() else plain_value(value)
