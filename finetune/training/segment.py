"""The training of a segmentation network."""

from collections.abc import Mapping
from typing import cast

from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from dermssl.parallel import whole_batch_draws, world
from dermssl.training.optimise import optimiser, warmup_and_cosine
from dermssl.training.trainer import share_gradients_anew
from dermssl.weights.encoder import Normalise
from finetune.losses.sum import loss_of
from finetune.network.compatibility import all_learn
from finetune.options.config import FinetuneConfig
from finetune.options.training_length import Schedule
from finetune.training.average import WeightAverage
from finetune.training.training_schedule import parameter_groups


class Segment(LightningModule):
    """A network, its loss and its optimiser; its encoder, where it is frozen; the average of its weights, if wanted.

    Args:
        model: A network of segmentation-models-pytorch.
        normalise: Pixels to what its encoder was trained on.
        config: The options; `lr` is a number.
        schedule: Steps of the training, `finetune.training.training_schedule.schedule_of`.
    """

    def __init__(self, model: nn.Module, normalise: Normalise, config: FinetuneConfig, schedule: Schedule) -> None:
        super().__init__()
        self.model, self.normalise, self.config = model, normalise, config
        self.schedule, self.loss = schedule, loss_of(config)
        self.average = WeightAverage(model, config.ema) if config.ema else None
        self.frozen = False
        if config.freeze:
            self.freeze_encoder()

    @property
    def encoder(self) -> nn.Module:
        """The network's encoder."""
        return cast(nn.Module, self.model.encoder)

    @property
    def trained(self) -> nn.Module:
        """The network to score and to publish: the average of the weights where one is kept, else the weights."""
        return self.model if self.average is None else self.average.model

    @property
    def idles(self) -> bool:
        """Whether weights that take gradients now have no part in the output, which several processes must be told."""
        self.eval()
        learns = all_learn(self.model, self.config.image_size)
        self.train()
        return not learns

    def freeze_encoder(self) -> None:
        """Holds every tensor of the encoder: no gradient, BatchNorm by its statistics, no Dropout, no DropPath.

        Without smp's own `freeze_encoder`, which leaves Dropout and DropPath on. Where nothing asks for a gradient,
        torch keeps no graph, so the encoder's backward pass is saved as well.
        """
        self.frozen = True
        self.encoder.requires_grad_(False).eval()

    def thaw_encoder(self) -> None:
        """Lets the encoder be trained from here on."""
        self.frozen = False
        self.encoder.requires_grad_(True).train(self.training)

    def train(self, mode: bool = True) -> "Segment":
        """As of every module, but that a frozen encoder stays in eval mode, whoever calls."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Mapping[str, Tensor]:
        """Images (B, 3, H, W) and masks (B, 1, H, W), both uint8."""
        images, masks = batch
        with whole_batch_draws():
            logits = self.model(self.normalise(images))
        return self.loss(logits, masks)

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        """Thaws the encoder when its step has come, in a resumed training as well."""
        if self.frozen and self.schedule.thaw is not None and self.global_step >= self.schedule.thaw:
            self.thaw_encoder()
            if world() > 1:
                share_gradients_anew(self.trainer, idle=self.idles)

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        """Takes the step's weights into the average."""
        if self.average is not None:
            self.average.follow(self.model, self.global_step)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with warm-up and cosine over all steps, each part of the network with its own peak rate."""
        config = self.config
        assert config.lr != "auto"  # found before the module is made
        groups = parameter_groups(self.model, config, self.schedule, config.image_size)
        return warmup_and_cosine(optimiser("adamw", groups, config.lr), self.schedule.steps, config.warmup)
