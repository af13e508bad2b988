"""The method that docs/methods.md adds as an example is one file and one line, and trains like the shipped ones."""

import re
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pandas as pd
import pytest

from dermssl.flags import parse_choice
from dermssl.weights.encoder_file import read_card
from pretrain import known_methods
from pretrain.methods.method import in_float32, with_autocast_off
from pretrain.run import run

TEXT = (Path(__file__).parents[2] / "docs" / "methods.md").read_text().partition("\n### Adding a method\n")[2]
FILE, LINE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)[:2]


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """METHODS with the example's line in it, and its file where Python finds it."""
    name, place = re.findall(r'"(\S+)": "(\S+)",', LINE)[0]
    module = place.partition(":")[0]
    spec = spec_from_loader(module, loader=None)
    assert spec is not None
    made = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module, made)
    exec(compile(FILE, f"{module}.py", "exec"), vars(made))
    monkeypatch.setitem(known_methods.METHODS, name, place)
    return known_methods.METHODS


def test_the_example_trains_from_its_flags_to_its_encoder_file(
    methods: dict[str, object], draw_photographs: Callable[..., Path], tmp_path: Path
) -> None:
    place = ["--data", str(draw_photographs(tmp_path / "photographs")), "--out", str(tmp_path / "runs")]
    small = "--encoder tu-test_efficientnet --init random --image_size 32 --cache_size 40 --epochs 2 --batch_size 4"
    words = [*place, *small.split(), "--checkpoints", "None", "--threads", "1", "--precision", "32-true"]
    file = run(parse_choice(methods, "method", "test", ["--method", "agreement", "--projection_dim", "8", *words]))
    assert read_card(file).method == "agreement"
    metrics = pd.read_csv(file.parent / "metrics.csv")
    assert metrics["loss"].between(0, 2).all()
    assert {"spread", "gradient_norm"} <= set(metrics)


def test_an_option_of_the_example_is_checked_like_any_other(methods: dict[str, object]) -> None:
    with pytest.raises(
        Exception, match="test --method agreement has no option --projection_dims; did you mean --projection_dim"
    ):
        parse_choice(methods, "method", "test", ["--method", "agreement", "--projection_dims", "8"])


def test_a_method_written_with_the_earlier_name_of_the_float32_decorator_is_still_imported() -> None:
    assert in_float32 is with_autocast_off
