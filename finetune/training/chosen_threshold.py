"""The threshold that a run's masks are cut at: the one that is asked for, or the one that suits the inner images."""

import numpy as np

from dermssl.parallel import of_the_first
from dermssl.runs.folder import Run, write_table
from finetune.scoring.image_scores import own_images
from finetune.scoring.threshold import best_on_curve, threshold_curve
from finetune.training.inner_part import Parts
from finetune.training.loop import TrainedNetwork, TrainingMaterial


def threshold_of(work: Run, material: TrainingMaterial, trained: TrainedNetwork, parts: Parts) -> float:
    """The threshold that is asked for; with `threshold_search` the one that suits the inner images best."""
    config = material.config
    if not config.threshold_search:
        return config.threshold
    images, pixels = own_images(*material.subset(parts.inner))
    predictor = material.predictor(trained.model)
    probabilities = predictor.probabilities(lambda i: np.asarray(pixels[i]), images.native_sizes)
    curve = threshold_curve((probability for _, probability in probabilities), map(images.lesion, range(len(images))))
    if work.first:
        write_table(work.folder / "tables" / "threshold.csv", curve)
    best = of_the_first(best_on_curve(curve))
    work.say(
        f"threshold: {best:.2f} gives the highest mean IoU of all from 0.01 to 0.99 on {len(parts.inner)} inner "
        "images, which are set aside and do not train"
    )
    return best
