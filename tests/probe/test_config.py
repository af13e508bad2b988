import re
from pathlib import Path

import pytest

from dermssl import flags
from dermssl.errors import UserError
from probe.config import ProbeConfig


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("image_size", 100, "multiple of 32"),
        ("batch_size", 0, "at least 1"),
        ("k", 0, "at least 1"),
        ("dense_images", (), "numbers of pictures"),
        ("dense_images", (1, 10), "at least 2"),
        ("val_fraction", 1.0, "in (0, 1)"),
        ("limit", 1, "at least 2"),
        ("seed", -1, "negative"),
        ("pairs", -1, "negative"),
        ("threads", -1, "negative"),
        ("against", "imagenet,imagenet", "names an init twice"),
        ("against", "imagenet,ssl", "or --init ssl itself"),
    ],
)
def test_impossible_options_are_refused_in_a_sentence(option: str, value: object, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        ProbeConfig(**{option: value})


def test_a_written_config_reads_back_equal(tmp_path: Path) -> None:
    config = ProbeConfig(init="random", dense_images=(5, 7), labels="a.csv:b", limit=30, data=Path("x"))
    flags.write_options(config, tmp_path / "config.yaml")
    assert flags.parse(ProbeConfig, "python -m probe", ["--config", str(tmp_path / "config.yaml")]) == config


def test_options_that_are_no_part_of_a_run_exist() -> None:
    assert set(flags.option_names(ProbeConfig)) >= ProbeConfig.ELSEWHERE


def test_a_misspelt_option_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean --dense_images"):
        flags.parse(ProbeConfig, "python -m probe", ["--dense_image", "10"])
