from pathlib import Path

import pytest

from finetune.options.config import FinetuneConfig
from finetune.predict.config import PredictConfig


def test_the_defaults_are_a_recipe_that_is_allowed() -> None:
    assert FinetuneConfig().decoder == "unet"


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("image_size", 0, "--image_size must be at least 32"),
        ("cache_size", 0, "--cache_size must be at least 1"),
        ("label_fraction", 0.0, r"--label_fraction is a share in \(0, 1\]"),
        ("label_fraction", 1.1, r"--label_fraction is a share in \(0, 1\]"),
        ("val_fraction", 1.0, r"--val_fraction is a share in \(0, 1\)"),
        ("batch_size", 1, "--batch_size must be at least 2"),
        ("steps", 0, "--steps must be at least 1"),
        ("lr", 0.0, "--lr must be above 0"),
        ("warmup", 1.0, r"--warmup is a share of the steps in \[0, 1\)"),
        ("threshold", 1.0, r"--threshold is a probability in \(0, 1\)"),
        ("limit", 1, "--limit must be at least 2, an image on either side"),
        ("encoder_depth", 2, "--encoder_depth 2: unet takes 3 to 5 stages"),
        ("seed", -1, "--seed must not be negative"),
        ("split_seed", -1, "--split_seed must not be negative"),
        ("weight_decay", -1e-2, "--weight_decay must not be negative"),
        ("workers", -1, "--workers must not be negative"),
        ("threads", -1, "--threads must not be negative"),
    ],
)
def test_options_that_no_training_can_obey_are_refused(option: str, value: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        FinetuneConfig(**{option: value})


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("threshold", 0.0, r"--threshold is a probability in \(0, 1\)"),
        ("batch_size", 0, "--batch_size must be at least 1"),
        ("threads", -1, "--threads must not be negative"),
    ],
)
def test_options_that_no_prediction_can_obey_are_refused(option: str, value: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        PredictConfig(model=Path("run"), images=Path("images"), out=Path("out"), **{option: value})
