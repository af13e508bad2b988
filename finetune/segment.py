"""The training of a segmentation network."""

from collections.abc import Mapping

from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from dermssl.encoder import Normalise
from dermssl.optimise import groups, optimiser, warmup_and_cosine
from finetune.config import FinetuneConfig
from finetune.losses import dice_and_bce


class Segment(LightningModule):
    """A network, its loss and its optimiser."""

    def __init__(self, model: nn.Module, normalise: Normalise, config: FinetuneConfig) -> None:
        super().__init__()
        self.model, self.normalise, self.config = model, normalise, config

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Mapping[str, Tensor]:
        """Images (B, 3, H, W) and masks (B, 1, H, W), both uint8."""
        images, masks = batch
        return {"loss": dice_and_bce(self.model(self.normalise(images)), masks)}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with warm-up and cosine over all steps."""
        config = self.config
        assert config.lr != "auto"  # found before the module is made
        adamw = optimiser("adamw", groups([self.model], config.weight_decay), config.lr)
        return warmup_and_cosine(adamw, config.steps, config.warmup)
