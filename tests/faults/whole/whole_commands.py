"""Every command from its own line to its end, one on what another left, small enough for seconds."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
ENCODER = "tu-test_efficientnet"
SMALL = f"--encoder {ENCODER} --image_size 32 --threads 1"
TUNING = f"finetune --data set --init random --steps 3 --batch_size 4 --cache_size 40 {SMALL}"
RUN, RUNS = "$(ls -d runs/finetune/*/ | head -n 1)", "$(ls -d runs/finetune/*/)"
WEIGHTS = "$(ls checkpoints/simclr/*.safetensors)"
COMMANDS: Mapping[str, str] = {
    "synthesize": "dermssl synthesize --out drawn --count 24 --size 64",
    "check": "dermssl check set --fix clean",
    "pretrain": f"pretrain --method simclr --data set --on_leak allow --init random --epochs 1 --batch_size 4 "
                f"--precision 32-true --warmup 0 --hidden_dim 16 --projection_dim 8 --cache_size 40 {SMALL}",
    "finetune": TUNING,
    "another network": f"{TUNING} --seed 1",
    "predict": f"finetune.predict --model {RUN} --images set/images --out masks --threads 1",
    "ensemble": f"finetune.ensemble --models {RUNS} --images set/images --out both --threads 1",
    "to ONNX": f"finetune.export --model {RUN} --out model.onnx",
    "probe": f"probe --data set --init random --k 3 --dense_images 4 --encoder {ENCODER} --image_size 32 --threads 1",
    "export": f"dermssl export {WEIGHTS} --to timm --out theirs.safetensors",
    "import": f"dermssl import theirs.safetensors --as {ENCODER} --out back.safetensors",
    "plan": "compare plan study.yaml",
    "study": "compare run study.yaml",
    "report": "compare report study.yaml",
    "status": "compare status study.yaml --once",
}  # fmt: skip
ALONE = tuple(
    name for name, line in COMMANDS.items() if name not in ("import", "report", "status") and "$(" not in line
)
"""Those that need nothing of others."""
STUDY = {
    "name": "study", "init": ["ssl", "random"], "contrast": ["ssl", "random"], "method": ["simclr"], "jobs": 1,
    "encoder": [ENCODER], "decoder": ["unet"], "label_fraction": [1.0], "seed": [0], "data": "set",
    "unlabelled": "set", "pretrain": "pretrain.yaml", "finetune": "finetune.yaml", "probe": "probe.yaml",
}  # fmt: skip
STAGES: Mapping[str, Mapping[str, object]] = {
    "study": STUDY,
    "pretrain": {"init": "random", "image_size": 32, "cache_size": 40, "epochs": 1, "batch_size": 4,
                 "precision": "32-true"},
    "finetune": {"image_size": 32, "cache_size": 40, "steps": 3, "batch_size": 4},
    "probe": {"image_size": 32, "k": 3, "dense_images": [4]},
}  # fmt: skip


def write_options(place: Path) -> None:
    """The files of options that the study names."""
    for name, options in STAGES.items():
        (place / f"{name}.yaml").write_text(yaml.safe_dump(dict(options)))


def typed(
    name: str, place: Path, before: str = "", behind: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """A command as it is typed into a shell in that place, with what stands before and behind it."""
    line = f"{before} exec {sys.executable} -m {COMMANDS[name]} {behind}"
    own = {"PYTHONPATH": str(ROOT), "DERMSSL_CACHE": str(place / "cache"), "COLUMNS": "200"}
    return subprocess.run(
        ["bash", "-c", line], cwd=place, env={**os.environ, **own, **environment}, capture_output=True, check=False
    )
