"""A study folder drawn from nothing: discs for lesions, known effects for inits, everything the report can read."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image, ImageDraw

from compare.study.factors import FACTORS
from dermssl.runs.seal import seal
from dermssl.weights.encoder_file import EncoderCard, write_encoder_file
from dermssl.weights.tensor_file import sha256_of_tensors

LIFT = {"ssl": 0.03, "imagenet": 0.015, "random": -0.05}
ENCODER = "tu-tf_efficientnet_lite0"
ENVIRONMENT: dict[str, object] = {
    "commit": "1a2b3c4d5e6f", "dirty": False, "python": "3.11.2", "cpu": "drawn", "platform": "paper",
    "versions": {"torch": "2.13.0", "lightly": "1.6.0", "segmentation-models-pytorch": "0.6.0"},
}  # fmt: skip
CLEAN = {"action": "clean", "held_out": 80, "leaking_held_out": 0, "leaking_training": 0, "pairs": {}}
WEIGHTS = {"weight": torch.zeros(3)}
COUNTED = {"skin": 0.0, "black": 0.0, "reflect": 0.125, "edge": 0.0625}  # share of draws that padding adds lesion to

Factors = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Design:
    """What to draw; the defaults are the demo's factorial, and an empty tuple is no factor."""

    init: tuple[str, ...] = ("ssl", "imagenet", "random")
    decoder: tuple[str, ...] = ("unet", "fpn")
    loss: tuple[str, ...] = ()
    image_size: tuple[int, ...] = ()
    padding: tuple[str, ...] = ()
    label_fraction: tuple[float, ...] = (0.1, 1.0)
    fold: tuple[int, ...] = ()
    seed: tuple[int, ...] = (0, 1)
    arms: str = "init"
    contrast: tuple[str, str] = ("ssl", "imagenet")
    images: int = 80
    masks: bool = True
    """Whether the runs have kept their masks."""
    failed: frozenset[tuple[str, str, float, int]] = field(default_factory=frozenset)
    probes: bool = True
    pretrained: bool = True
    searched: bool = False
    """Whether each arm's learning rate was searched in each cell."""
    pictures: bool = False
    """Whether the data set that was scored is there, with pictures, masks and classes."""
    history: tuple[tuple[str, str], ...] = ()
    """Events and what they say, a minute apart."""


def draw_study(folder: Path, design: Design | None = None) -> Path:
    """A study folder as `python -m compare` leaves it; returns its path."""
    design = design or Design()
    folder.mkdir(parents=True)
    rng = np.random.default_rng(7)
    plan: list[dict[str, object]] = []
    scores: list[pd.DataFrame] = []
    if design.pictures:
        draw_data_set(folder / "data", design.images)
    if design.pretrained:
        plan.append(_pretrain(folder, rng))
    if design.searched:
        plan += [_search(folder, cell) for cell in _cells(design) if cell["seed"] == design.seed[0]]
    difficulty = rng.normal(0, 0.09, design.images)
    for cell in _cells(design):
        row, table = _finetune(folder, design, cell, difficulty, rng)
        plan.append(row)
        scores += [table] if row["state"] == "done" else []
    if design.probes:
        plan += [_probe(folder, init, rng) for init in design.init]
    _write_whole(folder, design, plan, scores)
    return folder


def draw_data_set(folder: Path, count: int) -> None:
    """Pictures of 64 x 48 with the lesions that the scores are of, their masks, and classes in metadata.csv."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for i in range(count):
        radius = lesion_radius(i)
        skin = (232, 200, 180) if i % 4 else (120, 80, 60)
        disc((32, 24, radius), "RGB", skin, (70, 40, 30)).save(folder / "images" / f"{image_id(i)}.png")
        disc((32, 24, radius), "L", 0, 255).save(folder / "masks" / f"{image_id(i)}_segmentation.png")
    ids = range(count)
    words = {"image_id": [image_id(i) for i in ids], "lesion_id": [lesion_id(i) for i in ids]}
    table = pd.DataFrame(words | {"dx": ["mel" if i % 3 == 0 else "nv" for i in ids], "licence": "CC-0"})
    table.to_csv(folder / "metadata.csv", index=False)


def image_id(i: int) -> str:
    """Of the image of that number."""
    return f"ISIC_{i:07d}"


def lesion_id(i: int) -> str:
    """Of the lesion that it shows: ten lesions are taken twice."""
    return f"IL_{i // 2 if i < 20 else i:07d}"


def sha256_of(init: str) -> str:
    """Of the weights that a run began with."""
    return sha256_of_tensors(WEIGHTS) if init == "ssl" else f"{crc32(init.encode()):08x}" * 8


def write_run(folder: Path, options: Mapping[str, object], result: Mapping[str, object]) -> None:
    """Ends a run as the commands do: options, environment, seal, result."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(options), sort_keys=False))
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
    text = json.dumps(result)
    seal(folder, text.encode())
    (folder / "result.json").write_text(text)


def _cells(design: Design) -> list[Factors]:
    """The factors of every run of fine-tuning."""
    order = ("label_fraction", "decoder", "loss", "image_size", "padding", "fold", "init", "seed")
    levels = [getattr(design, name) or (None,) for name in order]
    return [
        {**dict(zip(order, values, strict=True)), **_init(values[order.index("init")])} for values in product(*levels)
    ]


def _init(init: str) -> Factors:
    return {"init": init, "method": "simclr" if init == "ssl" else "", "encoder": ENCODER}


def _write_whole(folder: Path, design: Design, plan: list[dict[str, object]], scores: list[pd.DataFrame]) -> None:
    options = {
        "name": "drawn",
        "arms": design.arms,
        "contrast": list(design.contrast),
        "margin": 0.01,
        "method": ["simclr"],
        "encoder": [ENCODER],
        "data": str(folder / "data") if design.pictures else "synthetic",
    }
    names = ("init", "decoder", "loss", "image_size", "padding", "label_fraction", "fold", "seed")
    options |= {name: list(getattr(design, name)) for name in names}
    (folder / "study.yaml").write_text(yaml.safe_dump(options, sort_keys=False))
    (folder / "environment.json").write_text(json.dumps({**ENVIRONMENT, "torch": "2.13.0"}))
    events = [
        {"when": f"2026-11-23T12:{minute:02d}:00Z", "event": event, "what": what}
        for minute, (event, what) in enumerate((("began", f"{len(plan)} runs"), *design.history))
    ]
    (folder / "history.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    pd.DataFrame(plan).to_csv(folder / "plan.csv", index=False)
    if scores:
        pd.concat(scores).to_parquet(folder / "scores.parquet")


def _plan_row(stage: str, folder: Path, **factors: object) -> dict[str, object]:
    digits = f"{crc32(folder.name.encode()):08x}"
    row = {"id": f"{digits}00", "stage": stage, "name": folder.name, "hash": digits, "state": "done", "attempts": 1}
    row |= {"seconds": 21.5, "memory_mb": 400.0, "host": "drawn", "started": "2026-11-23T12:00:00Z"}
    levels = dict.fromkeys(FACTORS) | {"encoder": ENCODER} | factors
    return row | levels | {"folder": str(folder), "error": ""}


def _pretrain(study: Path, rng: np.random.Generator) -> dict[str, object]:
    folder = study / "runs" / "pretrain-simclr"
    folder.mkdir(parents=True)
    epochs = np.arange(10)
    loss = 5.2 * np.exp(-epochs / 5) + 1.1 + rng.normal(0, 0.03, 10)
    metrics = pd.DataFrame({"epoch": epochs, "loss": loss, "lr": 0.1, "seconds": 6.0})
    metrics.assign(images_per_second=64.0, data_wait_share=0.04).to_csv(folder / "metrics.csv", index=False)
    data = {"count": 1000, "manifest": "0123456789ab", "licence": "CC-BY", "folder": "gone"}
    card = EncoderCard(
        encoder=ENCODER, method="simclr", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), image_size=96, epochs=10,
        images_seen=10_000, parent="imagenet", data=data, commit=str(ENVIRONMENT["commit"]),
    )  # fmt: skip
    written = write_encoder_file(folder / "encoder.safetensors", WEIGHTS, card)
    found = {"loss": float(loss[-1]), "leaks": CLEAN, "images_per_second": 64.0, "energy_wh": 2.5}
    write_run(folder, {"method": "simclr"}, found | {"encoder_sha256": written.sha256})
    return _plan_row("pretrain", folder, **_init("ssl"), seed=0)


def _probe(study: Path, init: str, rng: np.random.Generator) -> dict[str, object]:
    folder = study / "runs" / f"probe-{init}"
    (folder / "figures").mkdir(parents=True)
    middle = 0.6 + LIFT[init]
    accuracy = {"balanced_accuracy": middle, "low": middle - 0.05, "high": middle + 0.05, "n": 80}
    dense = {"jaccard": middle + 0.1, "low": middle + 0.07, "high": middle + 0.13, "n": 80, "n_train": 240}
    write_run(folder, {}, {"knn": {**accuracy, "k": 20}, "linear": accuracy, "dense": dense, "leaks": CLEAN})
    points = Image.new("RGB", (640, 480), "white")
    brush = ImageDraw.Draw(points)
    for x, y in rng.normal((320, 240), (90, 60), (200, 2)):
        brush.ellipse((x - 4, y - 4, x + 4, y + 4), fill=(0, 114, 178) if x > 320 else (213, 94, 0))
    points.save(folder / "figures" / "umap.png")
    return _plan_row("probe", folder, **_init(init), seed=0)


def _search(study: Path, cell: Factors) -> dict[str, object]:
    """Three rates under two seeds; the middle one is best, but for random weights, which want the highest."""
    named = {key: value for key, value in cell.items() if value is not None and key != "seed"}
    folder = study / "runs" / f"search-{'-'.join(str(value) for value in named.values() if value)}"
    rates = [0.0001, 0.001, 0.01]
    best = rates[2 if cell["init"] == "random" else 1]
    trials = [
        {"lr": lr, "seed": seed, "jaccard": 0.7 - 0.01 * abs(np.log10(lr / best)) - 0.001 * seed, "folder": ""}
        for lr in rates
        for seed in (0, 1)
    ]
    found = {"best": best, "jaccard": 0.6995, "at_edge": best == rates[2], "trials": trials}
    write_run(folder, {}, {"scored": "inner", "strategy": "grid", "rates": rates, "seeds": [0, 1], **found})
    return _plan_row("search", folder, **{**cell, "seed": None})


def _finetune(
    study: Path,
    design: Design,
    cell: Factors,
    difficulty: np.ndarray,
    rng: np.random.Generator,
) -> tuple[dict[str, object], pd.DataFrame]:
    init, decoder, fraction, seed = (cell[name] for name in ("init", "decoder", "label_fraction", "seed"))
    more = [f"-{cell[name]}" for name in ("loss", "image_size", "padding", "fold") if cell[name] is not None]
    folder = study / "runs" / f"finetune-{init}-{decoder}{''.join(more)}-{fraction:g}-{seed}"
    row = _plan_row("finetune", folder, **cell)
    level = 0.86 + LIFT[str(init)] * (2 - fraction) - 0.08 * (1 - fraction) + rng.normal(0, 0.003)
    level += 0.01 * sum(getattr(design, name).index(cell[name]) for name in ("loss", "image_size") if cell[name])
    jaccard = np.clip(level + difficulty + rng.normal(0, 0.03, len(difficulty)), 0.02, 0.985)
    if (init, decoder, fraction, seed) in design.failed:
        error = "Traceback (most recent call last):\n  File 'run.py'\nRuntimeError: loss is nan | at epoch 3 <step 12>"
        return row | {"state": "failed", "error": error}, pd.DataFrame()
    table = pd.DataFrame({"run": folder.name, **cell}, range(len(jaccard))).assign(
        image_id=[image_id(i) for i in range(len(jaccard))],
        lesion_id=[lesion_id(i) for i in range(len(jaccard))],
        width=192,
        height=144,
        jaccard=jaccard,
        isic_jaccard=np.where(jaccard >= 0.65, jaccard, 0),
        dice=2 * jaccard / (1 + jaccard),
        surface_dice=jaccard**2,
        hd95=100 * (1 - jaccard),
        area=np.linspace(0.05, 0.6, len(jaccard)),
    )
    if design.fold:
        fold_of = np.array([int(lesion.removeprefix("IL_")) % len(design.fold) for lesion in table["lesion_id"]])
        table = table[fold_of == design.fold.index(int(str(cell["fold"])))]
    folder.mkdir(parents=True)
    if design.masks:
        _masks(table).to_parquet(folder / "masks.parquet")
    _write_finetuned(folder, cell, table, str(study / "data") if design.pictures else "synthetic")
    return row, table


def _write_finetuned(folder: Path, cell: Factors, table: pd.DataFrame, data: str) -> None:
    """The run folder, with a split, options, and a result that says what a run says."""
    train = round(240 * float(str(cell["label_fraction"])))
    held_out, fold = table["image_id"].tolist(), cell["fold"]
    origin = "hold-out of 20%" if fold is None else f"fold {fold}"
    ids = [f"T_{i}" for i in range(240)]
    split = {"seed": 0, "grouped_by": "lesion", "train": ids, "val": held_out, "origin": origin, "hash": f"s{fold}"}
    (folder / "split.json").write_text(json.dumps(split))
    padding, lr = str(cell["padding"] or "skin"), 0.01 if cell["init"] == "random" else 0.001
    options = {name: cell[name] for name in ("init", "encoder", "decoder", "label_fraction", "seed")}
    options |= {"loss": cell["loss"] or "bce_dice", "image_size": cell["image_size"] or 96, "padding": padding}
    result = {"n_train": train, "n_val": len(table), "jaccard": float(table["jaccard"].mean()), "init": cell["init"]}
    result |= {"encoder_share_used": 1.0 if cell["decoder"] == "unet" else 0.43, "tensors_compared": 288}
    result |= {
        "split": split["hash"],
        "leaks": {"training": CLEAN, "encoder": CLEAN},
        "steps": 150,
        "scored": "held_out",
    }
    invented = {"draws": 256, "pictures": COUNTED[padding], "of_lesion": 0.2 * (COUNTED[padding] > 0), "filled": 0.1}
    costs = {"seconds": 20.0, "images_per_second": 120.0, "memory_mb": 800.0, "energy_wh": 0.5}
    result |= {
        "lr": lr,
        "invented_lesions": invented,
        "encoder_sha256": sha256_of(str(cell["init"])),
        **costs,
    }
    write_run(folder, {**options, "augmentation": "dermoscopy", "steps": 150, "data": data}, result)


def _masks(scores: pd.DataFrame) -> pd.DataFrame:
    """The disc that the image is drawn with, and for a prediction one that overlaps it about as much as was scored."""
    rows = []
    for image, jaccard in zip(scores["image_id"], scores["jaccard"], strict=True):
        radius = lesion_radius(int(image.removeprefix("ISIC_")))
        shift = 1.4 * radius * (1 - jaccard)
        found = disc((32 + shift, 24 - shift / 2, radius), "L", 0, 255)
        rows.append({"image_id": image, "truth": png(disc((32, 24, radius), "L", 0, 255)), "prediction": png(found)})
    return pd.DataFrame(rows)


def png(picture: Image.Image) -> bytes:
    """The bytes of its file."""
    data = io.BytesIO()
    picture.save(data, format="PNG")
    return data.getvalue()


def lesion_radius(i: int) -> int:
    """Of the lesion of the image of that number, in pixels of 64 x 48."""
    return 5 + i % 11


def disc(
    circle: tuple[float, float, float], mode: str, ground: object, colour: object, size: tuple[int, int] = (64, 48)
) -> Image.Image:
    """A disc of x, y and radius on a plain ground, width x height."""
    x, y, r = circle
    picture = Image.new(mode, size, ground)  # type: ignore[arg-type]
    ImageDraw.Draw(picture).ellipse((x - r, y - r, x + r, y + r), fill=colour)  # type: ignore[arg-type]
    return picture
