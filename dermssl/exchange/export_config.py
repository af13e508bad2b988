"""The options of `python -m dermssl export`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dermssl.bounds import sides

Library = Literal["timm", "torchvision", "smp", "onnx", "huggingface"]


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Write an encoder file as another library takes it, proved there by equal features.

    Written `python -m dermssl export FILE --to LIBRARY`.
    """

    EXAMPLES: ClassVar[tuple[str, ...]] = ("python -m dermssl export FILE --to timm",)

    file: Path
    """The encoder file, of `python -m pretrain` or `python -m dermssl import`; its name may stand without --file."""
    to: Library
    """timm, torchvision and smp: a safetensors file for load_state_dict. onnx: the encoder with its normalisation, from
    uint8 pixels to the maps of all stages. huggingface: a folder that timm opens by its path, and the hub by its id."""
    out: Path | None = None
    """File or folder to write; by default in runs/export, named after FILE and the library."""
    size: int = 0
    """Side of the pictures that an ONNX file takes, pixels; 0 takes the one that the encoder was trained on, or 224."""

    def __post_init__(self) -> None:
        if self.size < 0 or (self.size and self.to != "onnx"):
            raise ValueError(
                f"--size is the side of an ONNX file's pictures, at least 0, got {self.size} --to {self.to}"
            )
        sides(self, "size", least=0)
        if "checkpoints" in self.place.parts:
            raise ValueError(
                f"--out {self.place}: checkpoints holds encoder files, which --init ssl reads; write elsewhere"
            )

    @property
    def place(self) -> Path:
        """Where the file or folder goes."""
        ending = {"onnx": ".onnx", "huggingface": ""}.get(self.to, ".safetensors")
        name = "-".join(filter(None, (self.file.parent.name, self.file.stem, self.to)))
        return self.out or Path("runs", "export", name + ending)
