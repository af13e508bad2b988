"""The options of `python -m dermssl import`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """Turn a checkpoint of another library into an encoder file that `--init` takes.

    Written `python -m dermssl import FILE --as ENCODER`, which is `--file FILE --encoder ENCODER`.
    """

    EXAMPLES: ClassVar[tuple[str, ...]] = ("python -m dermssl import FILE --as resnet50",)

    file: Path
    """The checkpoint: a .pt, .pth, .pth.tar, .ckpt, .torch or .safetensors file; nothing in it is run."""
    encoder: str
    """Name in segmentation-models-pytorch, or a timm model as tu-NAME, of what the file holds; also written --as."""
    out: Path | None = None
    """The encoder file; by default checkpoints/imported-NAME/encoder.safetensors, where `--init ssl` finds it."""
    prefix: str | None = None
    """Where in the file the encoder lies, such as state_dict.module.encoder_q, if there are several."""
    mean: tuple[float, ...] = ()
    """Mean of the pixels, in [0, 1], that it was trained on; by default what the naming library normalises with."""
    std: tuple[float, ...] = ()
    """Their standard deviation; `--mean 0 0 0 --std 1 1 1` where pixels were only divided by 255, as in torchgeo."""
    method: str = ""
    """How it was pretrained, for the card; by default what the file's structure tells, else `imported`."""
    licence: str = ""
    """Licence of the weights, for the card; `unknown` by default."""

    def __post_init__(self) -> None:
        if self.method == "random":
            raise ValueError("--method random: random weights need no import; give --init random")
        if self.out is not None and self.out.suffix != ".safetensors":
            raise ValueError(f"--out {self.out}: an encoder file ends in .safetensors")
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if numbers and not (len(numbers) == 3 and all(0 <= number <= 1 for number in numbers)):
                words = " ".join(map(str, numbers))
                raise ValueError(
                    f"--{name} is three numbers, of pixels in [0, 1]; got {words}; if in [0, 255], divide by 255"
                )
        if 0 in self.std:
            raise ValueError(f"--std divides, so it is above 0; got {' '.join(map(str, self.std))}")

    @property
    def place(self) -> Path:
        """Where the encoder file goes."""
        return self.out or Path("checkpoints", f"imported-{stem(self.file)}", "encoder.safetensors")


def stem(file: Path) -> str:
    """The name without its endings: `moco_v2_800ep.pth.tar` is `moco_v2_800ep`."""
    name = file.name
    while Path(name).suffix in (".pt", ".pth", ".tar", ".ckpt", ".torch", ".bin", ".safetensors"):
        name = Path(name).stem
    return name


def as_options(words: Sequence[str]) -> list[str]:
    """`FILE --as ENCODER` in the options' own names: `as` is a word of Python, which no field can be called."""
    named = [("--encoder" + word[4:]) if word == "--as" or word.startswith("--as=") else word for word in words]
    return ["--file", *named] if named and not named[0].startswith("-") else named
