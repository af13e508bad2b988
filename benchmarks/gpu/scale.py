"""How large the kit's measurements are: as the goals are meant, and tiny, so that they run on a CPU in seconds."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.processes import IMAGES

LITE = "tu-tf_efficientnet_lite0"


@dataclass(frozen=True)
class Scale:
    """Encoders, sizes and counts of all parts."""

    pretrained: tuple[str, ...] = ("resnet50", LITE)
    methods: tuple[str, ...] = ("simclr", "moco", "densecl", "dino")
    jpegs: int = IMAGES
    """Drawn, to train on."""
    side: int = 224
    cache: int = 256
    batch: int = 256
    steps: int = 20
    """Steps that are timed, after some that are not."""
    own: Mapping[str, object] = field(default_factory=dict)
    """Options of methods other than their recipes' own; each method takes those that it has."""
    tuned: tuple[str, ...] = ("resnet34", LITE)
    tuned_side: int = 256
    tuned_batch: int = 32
    tuned_steps: int = 48
    pictures: tuple[tuple[int, int, int], ...] = ((600, 450, 1024), (1022, 767, 512))
    """Width, height and number of the JPEGs to predict."""
    predicted_side: int = 256
    predicted_batch: int = 64
    rounds: int = 3
    """Turns that every side gets at most."""
    workers: int = field(default_factory=lambda: min(16, os.cpu_count() or 1))
    """Processes that read for the peers, and for fine-tuning's second row."""


FULL = Scale()
TINY = Scale(
    pretrained=("tu-test_efficientnet",), jpegs=24, side=32, cache=40, batch=8, steps=2,
    own={"queue_size": 16, "hidden_dim": 32, "projection_dim": 16, "bottleneck_dim": 16, "prototypes": 24,
         "norm_groups": 2, "local_crops": 1, "local_size": 32},
    tuned=("tu-test_efficientnet",), tuned_side=32, tuned_batch=4, tuned_steps=2, pictures=((60, 45, 3),),
    predicted_side=32, predicted_batch=2, rounds=1, workers=1,
)  # fmt: skip
