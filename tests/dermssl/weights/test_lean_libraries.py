"""What a command does not need it does not load: libraries that take seconds, whoever else would bring them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RUNS = ("pretrain.run", "finetune.run", "probe.run", "finetune.predict.run", "dermssl.exchange.import_run")


def loaded_by(module: str) -> set[str]:
    code = f"import json, sys, {module}; print(json.dumps([name for name in sys.modules if '.' not in name]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
def test_a_prediction_loads_neither_what_trains_nor_what_draws() -> None:
    loaded = loaded_by("finetune.predict.run")
    assert {"torch", "timm", "segmentation_models_pytorch"} <= loaded
    heavy = {"pytorch_lightning", "lightly", "albumentations", "matplotlib", "scipy", "wandb", "mlflow"}
    assert loaded & heavy == set()


@pytest.mark.slow
@pytest.mark.parametrize("module", RUNS)
def test_no_command_loads_a_logger_that_nobody_asked_for(module: str) -> None:
    assert loaded_by(module) & {"wandb", "mlflow"} == set()


@pytest.mark.slow
def test_wandb_may_be_imported_afterwards() -> None:
    code = "import dermssl.weights.lean_libraries, sys; assert 'wandb' not in sys.modules; import wandb"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
