"""A study folder drawn from nothing: discs for lesions, known effects for inits, everything the report can read."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import yaml
from PIL import Image, ImageDraw

LIFT = {"ssl": 0.03, "imagenet": 0.015, "random": -0.05}


@dataclass(frozen=True, kw_only=True)
class Design:
    """What to draw; the defaults are the demo's factorial."""

    init: tuple[str, ...] = ("ssl", "imagenet", "random")
    decoder: tuple[str, ...] = ("unet", "fpn")
    label_fraction: tuple[float, ...] = (0.1, 1.0)
    seed: tuple[int, ...] = (0, 1)
    images: int = 80
    examples: int = 6
    failed: frozenset[tuple[str, str, float, int]] = field(default_factory=frozenset)
    probes: bool = True
    pretrained: bool = True


def draw_study(folder: Path, design: Design | None = None) -> Path:
    """A study folder as `python -m compare` leaves it; returns its path."""
    design = design or Design()
    folder.mkdir(parents=True)
    rng = np.random.default_rng(7)
    plan: list[dict[str, object]] = []
    scores: list[pd.DataFrame] = []
    if design.pretrained:
        plan.append(_pretrain(folder, rng))
    difficulty = rng.normal(0, 0.09, design.images)
    for fraction in design.label_fraction:
        for decoder in design.decoder:
            for init in design.init:
                for seed in design.seed:
                    row, table = _finetune(folder, design, (init, decoder, fraction, seed), difficulty, rng)
                    plan.append(row)
                    scores += [table] if row["state"] == "done" else []
    if design.probes:
        plan += [_probe(folder, init, rng) for init in design.init]
    _write_whole(folder, design, plan, scores)
    return folder


def _write_whole(folder: Path, design: Design, plan: list[dict[str, object]], scores: list[pd.DataFrame]) -> None:
    options = {
        "name": "drawn",
        "contrast": ["ssl", "imagenet"],
        "margin": 0.01,
        "init": list(design.init),
        "method": ["simclr"],
        "encoder": ["tu-tf_efficientnet_lite0"],
        "decoder": list(design.decoder),
        "label_fraction": list(design.label_fraction),
        "seed": list(design.seed),
        "data": "synthetic",
    }
    versions = {"torch": "2.13.0", "lightly": "1.6.0", "segmentation-models-pytorch": "0.6.0"}
    environment = {"commit": "1a2b3c4d5e6f", "dirty": False, "python": "3.11.2", "torch": "2.13.0", "cpu": "2 cores"}
    (folder / "study.yaml").write_text(yaml.safe_dump(options, sort_keys=False))
    (folder / "environment.json").write_text(json.dumps({**environment, "versions": versions}))
    pd.DataFrame(plan).to_csv(folder / "plan.csv", index=False)
    if scores:
        pd.concat(scores).to_parquet(folder / "scores.parquet")


def _plan_row(stage: str, folder: Path, **factors: object) -> dict[str, object]:
    row = {"stage": stage, "name": folder.name, "hash": f"{crc32(folder.name.encode()):08x}", "state": "done"}
    return {**row, "seconds": 21.5, "method": "simclr", "encoder": "tu-tf_efficientnet_lite0", **factors} | {
        "folder": str(folder),
        "error": "",
    }


def _pretrain(study: Path, rng: np.random.Generator) -> dict[str, object]:
    folder = study / "runs" / "pretrain-simclr"
    folder.mkdir(parents=True)
    epochs = np.arange(10)
    loss = 5.2 * np.exp(-epochs / 5) + 1.1 + rng.normal(0, 0.03, 10)
    metrics = pd.DataFrame({"epoch": epochs, "loss": loss, "lr": 0.1, "seconds": 6.0})
    metrics.assign(images_per_second=64.0, data_wait_share=0.04).to_csv(folder / "metrics.csv", index=False)
    (folder / "result.json").write_text(json.dumps({"loss": float(loss[-1])}))
    return _plan_row("pretrain", folder, init="imagenet", seed=0)


def _probe(study: Path, init: str, rng: np.random.Generator) -> dict[str, object]:
    folder = study / "runs" / f"probe-{init}"
    (folder / "figures").mkdir(parents=True)
    middle = 0.6 + LIFT[init]
    accuracy = {"balanced_accuracy": middle, "low": middle - 0.05, "high": middle + 0.05, "n": 80}
    dense = {"jaccard": middle + 0.1, "low": middle + 0.07, "high": middle + 0.13, "n": 80, "n_train": 240}
    result = {"knn": {**accuracy, "k": 20}, "linear": accuracy, "dense": dense}
    (folder / "result.json").write_text(json.dumps(result))
    points = Image.new("RGB", (640, 480), "white")
    brush = ImageDraw.Draw(points)
    for x, y in rng.normal((320, 240), (90, 60), (200, 2)):
        brush.ellipse((x - 4, y - 4, x + 4, y + 4), fill=(0, 114, 178) if x > 320 else (213, 94, 0))
    points.save(folder / "figures" / "umap.png")
    return _plan_row("probe", folder, init=init, seed=0)


def _finetune(
    study: Path,
    design: Design,
    cell: tuple[str, str, float, int],
    difficulty: np.ndarray,
    rng: np.random.Generator,
) -> tuple[dict[str, object], pd.DataFrame]:
    init, decoder, fraction, seed = cell
    folder = study / "runs" / f"finetune-{init}-{decoder}-{fraction:g}-{seed}"
    factors = {"init": init, "decoder": decoder, "label_fraction": fraction, "seed": seed}
    row = _plan_row("finetune", folder, **factors)
    level = 0.86 + LIFT[init] * (2 - fraction) - 0.08 * (1 - fraction) + rng.normal(0, 0.003)
    jaccard = np.clip(level + difficulty + rng.normal(0, 0.03, len(difficulty)), 0.02, 0.985)
    if cell in design.failed:
        error = "Traceback (most recent call last):\n  File 'run.py'\nRuntimeError: loss is nan | at epoch 3 <step 12>"
        return row | {"state": "failed", "error": error}, pd.DataFrame()
    table = pd.DataFrame({"run": folder.name, **factors, "method": "simclr", "encoder": row["encoder"]}, range(80))
    table = table.head(len(jaccard)).assign(
        image_id=[f"ISIC_{i:07d}" for i in range(len(jaccard))],
        lesion_id=[f"IL_{i // 2 if i < 20 else i:04d}" for i in range(len(jaccard))],  # ten lesions taken twice
        width=192,
        height=144,
        jaccard=jaccard,
        isic_jaccard=np.where(jaccard >= 0.65, jaccard, 0),
        dice=2 * jaccard / (1 + jaccard),
    )
    _examples(folder / "examples", table.iloc[:: max(1, len(table) // max(design.examples, 1))].head(design.examples))
    result = {"n_train": round(240 * fraction), "n_val": len(table), "jaccard": float(jaccard.mean())}
    result |= {"encoder_share_used": 1.0 if decoder == "unet" else 0.43, "tensors_compared": 288}
    (folder / "result.json").write_text(json.dumps(result))
    return row, table


def _examples(folder: Path, scores: pd.DataFrame) -> None:
    """A disc on skin for a lesion, and a shifted disc for a prediction that overlaps about as much as was scored."""
    folder.mkdir(parents=True)
    for i, (image_id, jaccard) in enumerate(zip(scores["image_id"], scores["jaccard"], strict=True)):
        x, y, r = 110 + 12 * (i % 4), 80 + 7 * (i % 3), 34 + 5 * (i % 4)
        shift = 1.4 * r * (1 - jaccard)
        _disc((x, y, r), "RGB", (222, 184, 160), (112, 66, 48)).save(folder / f"{image_id}.jpg", quality=90)
        _disc((x, y, r), "L", 0, 255).save(folder / f"{image_id}_truth.png")
        _disc((x + shift, y - shift / 2, r), "L", 0, 255).save(folder / f"{image_id}_prediction.png")


def _disc(circle: tuple[float, float, float], mode: str, ground: object, colour: object) -> Image.Image:
    x, y, r = circle
    picture = Image.new(mode, (256, 192), ground)  # type: ignore[arg-type]
    ImageDraw.Draw(picture).ellipse((x - r, y - r, x + r, y + r), fill=colour)  # type: ignore[arg-type]
    return picture
