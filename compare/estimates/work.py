"""The images of a study, and how many steps and pictures its runs have to do with them."""

import math
from collections.abc import Sequence
from functools import cached_property

from compare.estimates.kinds import Amount, training_options
from compare.study.config import StudyConfig
from compare.study.images import StudyImages
from compare.study.plan import Task
from dermssl.data.manifest import Manifest, read_manifest
from dermssl.data.sources import labelled_source, unlabelled_source
from dermssl.splits.config import SPLIT_OPTIONS, SplitConfig
from dermssl.splits.drawn import Split, limited_split
from dermssl.splits.official import split_of
from finetune.options.config import FinetuneConfig
from finetune.options.training_length import optimiser_steps
from pretrain.config import PretrainConfig
from probe.config import ProbeConfig


class Workload:
    """The images of a study: how many train, and which are scored; read here where nobody has read them."""

    def __init__(self, study: StudyConfig, images: StudyImages | None = None) -> None:
        self.study, self.images = study, images
        self.splits: dict[str, Split] = {}

    @cached_property
    def labelled(self) -> Manifest:
        """Those with masks."""
        if self.images:
            return self.images.manifest
        return read_manifest(labelled_source(self.study.data).folder, self.study)

    @cached_property
    def unlabelled(self) -> Manifest:
        """Those that pretraining looks at."""
        if self.images:
            return self.images.unlabelled_manifest
        return read_manifest(unlabelled_source(self.study.unlabelled).folder, self.study)

    def split(self, config: SplitConfig, limit: int | None) -> Split:
        """The split of a run, each drawn once; leaks that are dropped from training are still in it."""
        key = str([*(getattr(config, name) for name in sorted(SPLIT_OPTIONS)), limit])
        if key not in self.splits:
            self.splits[key] = limited_split(split_of(self.labelled, config), limit)
        return self.splits[key]

    def scored(self, tasks: Sequence[Task]) -> tuple[int, int]:
        """Lesions and images that the fine-tunings score, over all folds together."""
        configs = [task.config for task in tasks if isinstance(task.config, FinetuneConfig)]
        images = {image for config in configs for image in self.split(config, config.limit).val}
        table = self.labelled.table
        held = table[table["image_id"].isin(images)]
        lesions = held["lesion_id"].where(held["lesion_id"] != "", held["image_id"])
        return int(lesions.nunique()), len(held)

    def to_pretrain_on(self, config: SplitConfig) -> int:
        """Images of pretraining: without those that are held out, where it is the same set."""
        same = self.unlabelled.root.resolve() == self.labelled.root.resolve() and config.on_leak != "allow"
        return len(self.unlabelled) - (len(self.split(config, None).val) if same else 0)

    def amount(self, task: Task) -> Amount:
        """What a run, or one training of a search, has to do."""
        config = training_options(task)
        if isinstance(config, PretrainConfig):
            images = min(config.limit or self.to_pretrain_on(config), self.to_pretrain_on(config))
            return Amount(config.epochs * (images // config.batch_size), config.epochs, 0)
        split = self.split(config, config.limit)
        if isinstance(config, ProbeConfig):
            return Amount(0, 0, len(split.train) + len(split.val))
        train = split.labelled(config.label_fraction)
        inner = math.ceil(config.inner_fraction * len(train))
        steps = optimiser_steps(config, len(train))
        watched = 10 * inner if config.patience else 0
        return Amount(steps, 10, watched + (inner if task.stage == "search" else len(split.val)))
