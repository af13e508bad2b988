"""What a run folder tells of its run, in words."""

import dataclasses
from collections.abc import Iterator, Mapping
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from compare.estimates.kinds import default_options
from compare.estimates.timings import METRICS
from compare.records.run_files import run_environment, run_options, run_result
from compare.text import WIDTH, sparkline, text_table, wrapped
from dermssl.errors import UserError, first_ten
from dermssl.flags import plain_value
from dermssl.runs.seal import RESULT, broken
from dermssl.training.divergence import loss_in_digits
from dermssl.weights.encoder_file import read_card
from dermssl.wording import counted, duration, interval_in_words, percentage

# What is said elsewhere in the text, or is not the run's own.
SAID_ELSEWHERE = frozenset(
    {"encoder", "decoder", "method", "init", "data", "out", "threads", "resume", "checkpoints", "protect"}
)
WORTH = (
    "report.html", "figures/predictions.png", "figures/learning_curves.png", "figures/iou_histogram.png",
    "figures/augmentation.png", "scores.parquet", "model.safetensors", "encoder.safetensors", "explorer.html",
    "figures/umap.png", "leaks.csv", "tables/threshold.csv", METRICS,
)  # fmt: skip
SCORES = {
    "jaccard": "mean IoU", "isic_jaccard": "ISIC threshold Jaccard", "dice": "Dice", "sensitivity": "sensitivity",
    "specificity": "specificity",
}  # fmt: skip


def run_in_words(folder: Path) -> Iterator[str]:
    """What a run folder tells."""
    options, result = run_options(str(folder)), run_result(str(folder))
    if not options:
        yield "\n".join(search_in_words(result))
        return
    yield "\n".join(facts_in_words(folder, options, result))
    yield own_options(folder, options)
    yield "\n".join(loss_in_words(folder))
    yield "\n".join(scores_in_words(folder, result))
    yield "\n".join(files_in_words(folder))


def search_in_words(result: Mapping[str, Any]) -> Iterator[str]:
    """What the search of a learning rate found; it has no options of its own in its folder."""
    if not result:
        yield "The search of a learning rate; it has not ended."
        return
    edge = ", which lies at the edge of what was tried: a better one may lie beyond" if result.get("at_edge") else ""
    yield wrapped(
        f"The search of a learning rate ({result['strategy']}), scored on inner training images alone: "
        f"{result['best']:g} is best, mean IoU {result['jaccard']:.3f}{edge}."
    )
    cells = [[f"{trial['lr']:.3g}", str(trial["seed"]), f"{trial['jaccard']:.4f}"] for trial in result["trials"]]
    yield text_table(cells, ["rate", "seed", "IoU"], right=[0, 1, 2])


def facts_in_words(folder: Path, options: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[str]:
    """What was done, on which images, from which weights."""
    yield wrapped(deed_in_words(options), 2)
    log = folder / "log.txt"
    log_lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    for name in ("images", "split"):
        line = next((line for line in log_lines if line.startswith(f"{name}: ")), "")
        if line:
            yield wrapped(f"{name}:   ".ljust(10) + line.partition(": ")[2], 2)
    yield wrapped(f"from:     {start_in_words(options)}", 2)
    commit = str(run_environment(str(folder)).get("commit") or "unknown")
    yield f"  code:     commit {commit[:10]}"
    if result.get("seconds"):
        rate = f", {result['images_per_second']:.0f} images/s" if result.get("images_per_second") else ""
        energy = f", {result['energy_wh']:.2f} Wh" if result.get("energy_wh") else ""
        yield f"  training: {duration(float(result['seconds']))}{rate}{energy}"


def deed_in_words(options: Mapping[str, Any]) -> str:
    """What the run does, in a sentence."""
    encoder, size = options.get("encoder"), options.get("image_size")
    if "decoder" in options and "steps" in options:
        length = f"{options['epochs']} epochs" if options.get("epochs") else f"{options['steps']} steps"
        return (
            f"Fine-tunes {options['decoder']} on {encoder} for {length} of {options['batch_size']} images at {size} "
            f"px, with {100 * float(options['label_fraction']):g} % of the labels, seed {options['seed']}."
        )
    if "method" in options:
        return (
            f"Pretrains {encoder} by {options['method']} for {options['epochs']} epochs in batches of "
            f"{options['batch_size']} at {size} px, seed {options['seed']}."
        )
    return f"Probes what a frozen {encoder} knows, at {size} px."


def start_in_words(options: Mapping[str, Any]) -> str:
    """The weights that it started from, and what those were made from, where they are a file of ours."""
    init = str(options.get("init"))
    path = Path(init)
    if not path.is_file():
        return f"{init} weights" if not path.suffix else f"{init}, which is gone"
    try:
        card = read_card(path)
    except UserError as error:
        return f"{init}, which cannot be read ({error})"
    parent = card.parent if card.parent in ("imagenet", "random") else f"weights {card.parent[:10]}"
    images = f"{card.data.get('count')} images" if isinstance(card.data, dict) else "images"
    return (
        f"{init}: {card.method}, {counted(card.epochs, 'epoch')} on {images}, from {parent}, weights {card.sha256[:10]}"
    )


def own_options(folder: Path, options: Mapping[str, Any]) -> str:
    """The options that are not as they are by default."""
    stage = stage_of(options)
    standard = default_options(stage, str(options.get("method", "")))
    apart = {
        key: value
        for key, value in options.items()
        if key not in SAID_ELSEWHERE
        and value is not None
        and value != plain_value(standard.get(key, dataclasses.MISSING))
    }
    if not apart:
        return "options: all as by default"
    return wrapped("options that are not the defaults: " + ", ".join(f"{key} {value}" for key, value in apart.items()))


def stage_of(options: Mapping[str, Any]) -> str:
    """The command whose options these are."""
    if "label_fraction" in options:
        return "finetune"
    return "pretrain" if "method" in options else "probe"


def loss_in_words(folder: Path) -> Iterator[str]:
    """The loss over the training as a line."""
    path = folder / METRICS
    if not path.is_file():
        return
    table = pd.read_csv(path)
    loss = [float(value) for value in table["loss"]]
    rows = f"loss over {counted(len(loss), 'row')} of metrics.csv"
    yield f"{rows}: {loss_in_digits(loss[0])} to {loss_in_digits(loss[-1])}"
    yield f"  {sparkline(loss, WIDTH - 20)}"
    inner = [name for name in table if "inner" in str(name)]
    for name in inner[:1]:
        curve = [float(value) for value in table[name]]
        yield f"{name}: best {max(curve):.4f}\n  {sparkline(curve, WIDTH - 20)}"


def scores_in_words(folder: Path, result: Mapping[str, Any]) -> Iterator[str]:
    """What was found, with how many images it rests on."""
    if "jaccard" in result:
        inner = result.get("scored") == "inner"
        count = result.get("n_inner") if inner else result.get("n_val")
        rows = [[words, f"{float(result[key]):.3f}"] for key, words in SCORES.items() if key in result]
        rows.append(["failed", percentage(float(result.get("failure_rate", 0)))])
        yield f"scores of {count} {'inner' if inner else 'held-out'} images, each at its native size"
        yield text_table(rows, right=[1])
    for name in ("knn", "linear", "dense"):
        measures = result.get(name)
        if isinstance(measures, dict) and measures:
            key = "balanced_accuracy" if "balanced_accuracy" in measures else "jaccard"
            if key in measures:
                ends = interval_in_words(measures.get("low", nan), measures.get("high", nan))
                yield (
                    f"{name}: {key.replace('_', ' ')} {measures[key]:.3f} "
                    f"(95 % interval {ends}, n = {counted(int(measures.get('n', 0)), 'image')})"
                )
    if result.get("diverged"):
        yield "diverged: the loss ended far above where it began, or as no number; log.txt ends with what may help"
    for words in result.get("diagnoses") or []:
        yield wrapped(f"doctor: {words}", 2)


def files_in_words(folder: Path) -> Iterator[str]:
    """Whether the files are as the run left them, and which are worth a look."""
    if not (folder / RESULT).exists():
        yield "files: the run is unfinished, and has no seal yet"
    elif not (folder / "seal.json").exists():
        yield "files: there is no seal.json, so nothing tells whether they were changed"
    else:
        changed = broken(folder)
        yield wrapped(
            f"files: changed since the run ended: {first_ten(changed)}" if changed else "files: whole, as sealed"
        )
    present = [name for name in WORTH if (folder / name).exists()]
    if present:
        yield wrapped("worth a look: " + ", ".join(present), 2)
