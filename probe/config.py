"""The options of a probe."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dermssl.bounds import at_least, processes, sides, whole_seeds
from dermssl.splits.config import SPLIT_OPTIONS, SplitConfig


@dataclass(frozen=True, kw_only=True)
class ProbeConfig(SplitConfig):
    """What a frozen encoder knows of skin lesions before anybody has trained it on them.

    Classes are told apart by nearest neighbours and by a linear classifier, masks are drawn by a linear map from
    feature maps, two views are told from strangers, and the features of all images are drawn as a map. Each score is of
    held-out images.
    """

    REST: ClassVar[str] = "scoring"
    USUAL: ClassVar[tuple[str, ...]] = (
        "init",
        "against",
        "encoder",
        "data",
        "labels",
        "split",
        "image_size",
        "k",
        "dense_images",
        "umap",
        "seed",
        "out",
        "threads",
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "python -m probe --init ssl --against imagenet,random",
        "python -m probe --init imagenet --no-umap",
    )

    # Where a run lies and how fast it goes is no part of it; hashes stand for images, classes, split and weights.
    ELSEWHERE: ClassVar[frozenset[str]] = SPLIT_OPTIONS | {
        "init", "against", "checkpoints", "data", "predictions", "labels", "limit", "batch_size", "threads",
        "out", "resume",
    }  # fmt: skip

    init: str = "ssl"
    """Weights: ssl (the newest of this encoder in --checkpoints), imagenet, random, or an encoder file; or features that were made elsewhere, as .parquet, .npz or .csv (`--from` says so too)."""  # noqa: E501
    against: str = ""
    """Weights to compare these with, separated by commas: imagenet,random, encoder files or files of features."""
    encoder: str = "tu-tf_efficientnet_lite0"
    """Name in segmentation-models-pytorch, or a timm model as tu-NAME. The default's ImageNet weights are installed."""
    checkpoints: Path = Path("checkpoints")
    """Folder that `--init ssl` looks in."""
    data: Path | None = None
    """Folder of images, with or without masks. By default data/isic2018, or the synthetic set."""
    labels: str | None = None
    """Classes as CSV:COLUMN, the CSV having a column image_id. By default the `dx` of the data set's own metadata."""
    limit: int | None = None
    """Take this many images, from both sides of the split in their proportion; all by default."""
    image_size: int = 224
    """Side of the square that every picture is brought to, pixels; a multiple of 32."""
    batch_size: int = 32
    """Images that are read at once, and on a GPU go through the encoder at once; memory for speed."""
    k: int = 20
    """Nearest neighbours that vote on a held-out image's class."""
    dense_images: tuple[int, ...] = (10, 50, 200)
    """Pictures with masks to fit the dense probe on, one probe for each number; few labels tell encoders apart best."""
    pairs: int = 256
    """Held-out images whose two views are compared with strangers, and whose stages with another encoder's; 0 for none."""  # noqa: E501
    umap: bool = True
    """Whether to draw the map; its library takes seconds to load."""
    sheets: bool = True
    """Whether to draw sheets of neighbours and of nearest strangers, and where the encoder looks."""
    explorer: bool = True
    """Whether to write explorer.html, a page to look around the map in; needs --umap."""
    predictions: Path | None = None
    """Folder of predicted masks (`python -m finetune.predict --out`) for the explorer to show."""
    seed: int = 0
    """Seed of the random numbers: of random weights, inner folds, resampling and the map."""
    threads: int = 0
    """CPU threads; 0 takes all cores. Threads x processes must not exceed the cores."""
    out: Path = Path("runs/probe")
    """Folder of run folders."""
    resume: Path | None = None
    """Run folder of a probe that was stopped, to do again."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size < 32 or self.image_size % 32:
            raise ValueError(
                f"--image_size must be a multiple of 32, the stride of the last stage; got {self.image_size}"
            )
        at_least(self, 1, "batch_size")
        at_least(self, 1, "k", why="for somebody has to vote")
        if not self.dense_images or min(self.dense_images) < 2:
            raise ValueError(f"--dense_images are numbers of pictures, each at least 2; got {self.dense_images}")
        at_least(self, 2, "limit", why="an image on either side of the split")
        at_least(self, 0, "pairs")
        whole_seeds(self, "seed")
        processes(self, "threads")
        sides(self, "image_size")
        inits = self.inits
        if len(set(inits)) < len(inits):
            raise ValueError(f"--against {self.against}: names an init twice, or --init {self.init} itself")

    @property
    def inits(self) -> tuple[str, ...]:
        """All weights to probe, --init first."""
        return (self.init, *(init.strip() for init in self.against.split(",") if init.strip()))
