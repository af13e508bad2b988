"""The options of prediction by one network, and by an ensemble of several."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dermssl.bounds import at_least, processes, share

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """The options that prediction by one network and by several have in common."""

    REST: ClassVar[str] = "masks"

    images: Path
    """Folder of images, searched to any depth, or a single image."""
    out: Path
    """Folder to write NAME_segmentation.png into, 0 and 255, of each image's own size."""
    overlay: bool = False
    """Write NAME_overlay.jpg too: the image with the mask's outline."""
    probability: bool = False
    """Write NAME_probability.png too: 16 bit grey, 65535 times the probability."""
    submission: Path | None = None
    """Archive of the masks for the ISIC challenge, such as submission.zip; the names must be ISIC's."""
    threshold: float | None = None
    """Probability above which a pixel is lesion; by default that of the run's scoring."""
    symmetries: bool | None = None
    """Average over the eight symmetries of the square, eight times slower; by default as in the run's scoring."""
    largest: bool | None = None
    """Keep the largest region of each mask alone; by default as in the run's scoring."""
    fill_holes: bool | None = None
    """Make skin that a lesion encloses a part of it; by default as in the run's scoring."""
    device: Device = "auto"
    """Where the network runs; auto takes a GPU where there is one."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Numbers that the network computes in: 32-true is float32; bf16-mixed is quicker on a GPU and moves probabilities a little."""  # noqa: E501
    batch_size: int = 16
    """Images that are read at once, and on a GPU go through the network at once; no mask depends on it on a CPU."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""

    def __post_init__(self) -> None:
        share(self, "threshold", interval="(0, 1)", noun="probability")
        at_least(self, 1, "batch_size")
        processes(self, "threads")
        if self.submission is not None and self.submission.suffix != ".zip":
            raise ValueError(f"--submission {self.submission}: an archive ends with .zip; give such a name")


@dataclass(frozen=True, kw_only=True)
class PredictConfig(PredictOptions):
    """Masks of new images, by the network of a finished run."""

    REST: ClassVar[str] = "masks"
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "python -m finetune.predict --model RUN --images DIR --out DIR",
        "python -m finetune.predict --model RUN --images DIR --out DIR --overlay",
    )

    model: Path
    """Run folder of `python -m finetune`, its model.safetensors, or an .onnx of `python -m finetune.export`."""


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig(PredictOptions):
    """Masks of new images by several networks: the mean of their probabilities, with equal weights."""

    REST: ClassVar[str] = "masks"
    EXAMPLES: ClassVar[tuple[str, ...]] = ("python -m finetune.ensemble --models RUN RUN --images DIR --out DIR",)

    models: tuple[Path, ...]
    """Run folders or files, as `--model` of `python -m finetune.predict` takes them; encoders, decoders, sizes and data may differ."""  # noqa: E501

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.models:
            raise ValueError("--models takes one run folder or more, got none")
