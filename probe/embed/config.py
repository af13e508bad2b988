"""The options of writing features."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dermssl.bounds import at_least, processes, sides, whole_seeds

FORMATS = (".parquet", ".npz", ".csv")


@dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """An encoder's features of every picture of a folder, in one file with their ids and paths."""

    REST: ClassVar[str] = "features"
    EXAMPLES: ClassVar[tuple[str, ...]] = ("python -m probe.embed --init ssl --out features.parquet",)

    out: Path
    """The file to write: its ending says whether it is .parquet, .npz or .csv."""
    init: str = "ssl"
    """Weights: ssl (the newest of this encoder in --checkpoints), imagenet, random, or an encoder file."""
    data: Path | None = None
    """Folder of images, with or without masks. By default data/unlabelled, data/isic2018, or the synthetic set."""
    encoder: str = "tu-tf_efficientnet_lite0"
    """Name in segmentation-models-pytorch, or a timm model as tu-NAME. The default's ImageNet weights are installed."""
    checkpoints: Path = Path("checkpoints")
    """Folder that `--init ssl` looks in."""
    stages: bool = False
    """Write every stage of the encoder as well, each averaged over its positions."""
    umap: bool = False
    """Write each picture's place on the map (UMAP) as well, which takes all features at once."""
    image_size: int = 224
    """Side of the square that every picture is brought to, pixels; a multiple of 32."""
    batch_size: int = 32
    """Images that are read at once, and on a GPU go through the encoder at once; memory for speed."""
    seed: int = 0
    """Seed of random weights and of the map."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""

    def __post_init__(self) -> None:
        if self.out.suffix.lower() not in FORMATS:
            raise ValueError(f"--out {self.out}: its ending says the format, one of {', '.join(FORMATS)}; give one")
        if self.image_size % 32:
            raise ValueError(
                f"--image_size must be a multiple of 32, the stride of the last stage; got {self.image_size}"
            )
        sides(self, "image_size", least=32)
        at_least(self, 1, "batch_size")
        whole_seeds(self, "seed")
        processes(self, "threads")
