"""The options of exporting a network."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dermssl.bounds import processes


@dataclass(frozen=True, kw_only=True)
class ModelExportConfig:
    """The network of a finished run as an ONNX file, which programs without torch can run.

    Its input `pixels` is (B, 3, S, S), RGB, uint8, any B: normalisation is in the graph. Its output `probability` is (B, 1, S, S).
    """  # noqa: E501

    EXAMPLES: ClassVar[tuple[str, ...]] = ("python -m finetune.export --model RUN --out model.onnx",)

    model: Path
    """Run folder of `python -m finetune`, or its model.safetensors."""
    out: Path
    """File to write, such as model.onnx."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""

    def __post_init__(self) -> None:
        if self.out.suffix != ".onnx":
            raise ValueError(f"--out {self.out}: an ONNX file ends with .onnx; give such a name")
        processes(self, "threads")
