"""One run in words: `python -m compare show RUN`, where RUN is a folder, a hash, an id or a name in a study."""

import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from compare.config import StudyConfig
from compare.overview.aligned import WIDTH, aligned, counted, duration, megabytes, sparkline, wrapped
from compare.overview.chapters import METRICS, size_mb
from compare.overview.found import folder_at_work
from compare.overview.kinds import defaults
from compare.overview.status import Row, last_line, rows_of
from compare.tables.run_files import environment_of, options_of
from compare.tables.study import run_result
from dermssl.encoder_file import read_card
from dermssl.errors import UserError, first_ten
from dermssl.flags import nearest, plain_value
from dermssl.seal import RESULT, broken

STAGES = ("pretrain", "finetune", "probe")
LEAST = 4  # signs of a hash that may stand for it
LINES = 12  # of a log
# What is said elsewhere in the text, or is not the run's own.
SAID = frozenset({"encoder", "decoder", "method", "init", "data", "out", "threads", "resume", "checkpoints", "protect"})
WORTH = (
    "figures/predictions.png", "figures/learning_curves.png", "figures/iou_histogram.png", "figures/augmentation.png",
    "scores.parquet", "model.safetensors", "encoder.safetensors", "explorer.html", "figures/umap.png", "leaks.csv",
    "tables/threshold.csv", METRICS,
)  # fmt: skip
SCORES = {
    "jaccard": "mean IoU", "isic_jaccard": "ISIC threshold Jaccard", "dice": "Dice", "sensitivity": "sensitivity",
    "specificity": "specificity",
}  # fmt: skip


class Shown(NamedTuple):
    """The run that is meant."""

    folder: Path | None
    """None for one that has none: it has not begun, or failed before it had one."""
    row: Row
    """Of the plan.csv that has it; empty where none has."""
    study: Path | None
    """Folder of that study."""


def explain(word: str, study: StudyConfig) -> str:
    """A run in words.

    Args:
        word: Its folder or the name of that, its hash or the beginning of it, its id, or its name in a study.
        study: Whose `out` and `runs` are looked through, its own plan first.

    Raises:
        UserError: If no run is meant, with the nearest, or several are.
    """
    shown = meant(word, study)
    folder, row = shown.folder, shown.row
    parts = [heading(shown), *([] if folder is None else whole(folder)), again(shown), failure(shown)]
    if folder is None and row["state"] == "planned":
        parts.append(f"It has not begun: {row['stage']} runs come in the order of plan.csv.")
    return "\n\n".join(part for part in parts if part)


def whole(folder: Path) -> Iterator[str]:
    """What a run folder tells."""
    options, result = options_of(str(folder)), run_result(str(folder))
    if not options:
        yield "\n".join(search(result))
        return
    yield "\n".join(sentences(folder, options, result))
    yield own_options(folder, options)
    yield "\n".join(learning(folder))
    yield "\n".join(scores(folder, result))
    yield "\n".join(files(folder))


def search(result: Mapping[str, Any]) -> Iterator[str]:
    """What the search of a learning rate found; it has no options of its own in its folder."""
    if not result:
        yield "The search of a learning rate; it has not ended."
        return
    edge = ", which lies at the edge of what was tried: a better one may lie beyond" if result.get("at_edge") else ""
    yield wrapped(
        f"The search of a learning rate ({result['strategy']}), scored on inner training images alone: "
        f"{result['best']:g} is best, mean IoU {result['jaccard']:.3f}{edge}."
    )
    cells = [[f"{one['lr']:.3g}", str(one["seed"]), f"{one['jaccard']:.4f}"] for one in result["trials"]]
    yield aligned(cells, ["rate", "seed", "IoU"], right=[0, 1, 2])


def meant(word: str, study: StudyConfig) -> Shown:
    """The run that `word` means.

    Raises:
        UserError: If it means none or several.
    """
    plans = sorted(study.out.glob("*/plan.csv"), key=lambda path: (path.parent != study.folder, path))
    rows = [(row, plan.parent) for plan in plans for row in rows_of(plan)]
    place = Path(word)
    if (place / "config.yaml").is_file():
        return with_row(place, rows)
    in_plan = [pair for pair in rows if names(word, pair[0])]
    folders = {folder_of(row, study): (row, plan) for row, plan in reversed(in_plan) if folder_of(row, study)}
    on_disk = [path.parent for stage in STAGES for path in (study.runs / stage).glob("*/config.yaml")]
    by_name = [path for path in on_disk if path.name == word or begins(word, path.name.rpartition("-")[2])]
    several = sorted({str(one) for one in [*folders, *by_name]})
    if len(several) > 1:
        raise UserError(f"'{word}' means {counted(len(several), 'run')} ({first_ten(several)}); give more of it")
    if folders:
        folder, (row, plan) = next(iter(folders.items()))
        return Shown(folder, row, plan)
    if by_name:
        return with_row(by_name[0], rows)
    if in_plan:
        return Shown(None, *in_plan[0])
    known = [str(row[key]) for row, _ in rows for key in ("name", "id", "hash") if row.get(key)]
    hint = nearest(word, [*known, *(path.name for path in on_disk)])
    looked = f"{study.out}/*/plan.csv and {study.runs}"
    raise UserError(f"'{word}': no run has this folder, hash, id or name (looked in {looked}){hint}")


def names(word: str, row: Row) -> bool:
    """Whether the word is the row's name, or begins its id or its hash."""
    return word == row["name"] or begins(word, row.get("id") or "") or begins(word, row.get("hash") or "")


def begins(word: str, name: str) -> bool:
    """Whether the word is the beginning of a hash, or all of it."""
    return name.startswith(word) and (len(word) >= LEAST or word == name) and bool(word)


def folder_of(row: Row, study: StudyConfig) -> Path | None:
    """The run folder of a row, or the one that is being worked at."""
    if row.get("folder"):
        return Path(row["folder"])
    return folder_at_work(row, study.runs) if row["state"] == "running" else None


def with_row(folder: Path, rows: list[tuple[Row, Path]]) -> Shown:
    """A run folder with the row of a study that has it, if one has."""
    for row, plan in rows:
        if row.get("folder") and Path(row["folder"]).resolve() == folder.resolve():
            return Shown(folder, row, plan)
    return Shown(folder, {}, None)


def heading(shown: Shown) -> str:
    """What it is, where it lies, and what became of it."""
    folder, row = shown.folder, shown.row
    lines = [wrapped(row["name"] if row else str(folder))]
    if folder is not None:
        lines.append(f"  folder:   {folder}  ({megabytes(size_mb(folder))})")
    if row:
        found = f"  study:    {shown.study}  (id {row['id']})" if row.get("id") else f"  study:    {shown.study}"
        lines += [found, f"  state:    {', '.join(state(row))}"]
    elif folder is not None:
        lines.append(f"  state:    {'done' if (folder / RESULT).exists() else 'unfinished'}; in no study's plan")
    return "\n".join(lines)


def state(row: Row) -> Iterator[str]:
    """State, time, memory, machine and attempts."""
    yield str(row["state"])
    if row.get("seconds"):
        yield f"took {duration(float(row['seconds']))}"
    if row.get("memory_mb"):
        yield f"held {megabytes(float(row['memory_mb']))}"
    if row.get("host"):
        yield f"on {row['host']}"
    if row.get("started"):
        yield f"begun {row['started']}"
    if row.get("attempts"):
        yield counted(int(row["attempts"]), "attempt")


def sentences(folder: Path, options: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[str]:
    """What was done, on which images, from which weights."""
    yield wrapped(deed(options), 2)
    log = folder / "log.txt"
    said = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    for name in ("images", "split"):
        line = next((line for line in said if line.startswith(f"{name}: ")), "")
        if line:
            yield wrapped(f"{name}:   ".ljust(10) + line.partition(": ")[2], 2)
    yield wrapped(f"from:     {lineage(options)}", 2)
    commit = str(environment_of(str(folder)).get("commit") or "unknown")
    yield f"  code:     commit {commit[:10]}"
    if result.get("seconds"):
        rate = f", {result['images_per_second']:.0f} images/s" if result.get("images_per_second") else ""
        energy = f", {result['energy_wh']:.2f} Wh" if result.get("energy_wh") else ""
        yield f"  training: {duration(float(result['seconds']))}{rate}{energy}"


def deed(options: Mapping[str, Any]) -> str:
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


def lineage(options: Mapping[str, Any]) -> str:
    """The weights that it started from, and what those were made from, where they are a file of ours."""
    init = str(options.get("init"))
    path = Path(init)
    if not path.is_file():
        return f"{init} weights" if not path.suffix else f"{init}, which is gone"
    try:
        card = read_card(path)
    except UserError as error:
        return f"{init}, which cannot be read ({error})"
    parent = card.parent if len(card.parent) < LINES else f"weights {card.parent[:10]}"
    seen = f"{card.data.get('count')} images" if isinstance(card.data, dict) else "images"
    return f"{init}: {card.method}, {card.epochs} epochs on {seen}, from {parent}, weights {card.sha256[:10]}"


def own_options(folder: Path, options: Mapping[str, Any]) -> str:
    """The options that are not as they are by default."""
    stage = stage_of(options)
    standard = defaults(stage, str(options.get("method", "")))
    apart = {
        key: value
        for key, value in options.items()
        if key not in SAID and value is not None and value != plain_value(standard.get(key, dataclasses.MISSING))
    }
    if not apart:
        return "options: all as by default"
    return wrapped("options that are not the defaults: " + ", ".join(f"{key} {value}" for key, value in apart.items()))


def stage_of(options: Mapping[str, Any]) -> str:
    """The command whose options these are."""
    if "label_fraction" in options:
        return "finetune"
    return "pretrain" if "method" in options else "probe"


def learning(folder: Path) -> Iterator[str]:
    """The loss over the training as a line."""
    path = folder / METRICS
    if not path.is_file():
        return
    table = pd.read_csv(path)
    loss = [float(value) for value in table["loss"]]
    yield f"loss over {counted(len(loss), 'row')} of metrics.csv: {loss[0]:.4f} to {loss[-1]:.4f}"
    yield f"  {sparkline(loss, WIDTH - 20)}"
    inner = [name for name in table if "inner" in str(name)]
    for name in inner[:1]:
        curve = [float(value) for value in table[name]]
        yield f"{name}: best {max(curve):.4f}\n  {sparkline(curve, WIDTH - 20)}"


def scores(folder: Path, result: Mapping[str, Any]) -> Iterator[str]:
    """What was found, with how many images it rests on."""
    if "jaccard" in result:
        inner = result.get("scored") == "inner"
        count = result.get("n_inner") if inner else result.get("n_val")
        rows = [[said, f"{float(result[key]):.3f}"] for key, said in SCORES.items() if key in result]
        rows.append(["failed", f"{float(result.get('failure_rate', 0)):.0%}"])
        yield f"scores of {count} {'inner' if inner else 'held-out'} images, each at its native size"
        yield aligned(rows, right=[1])
    for name in ("knn", "linear", "dense"):
        found = result.get(name)
        if isinstance(found, dict) and found:
            key = "balanced_accuracy" if "balanced_accuracy" in found else "jaccard"
            if key in found:
                yield (f"{name}: {key.replace('_', ' ')} {found[key]:.3f} ({found.get('low', 0):.3f} to "
                       f"{found.get('high', 0):.3f}, n = {found.get('n')})")  # fmt: skip
    for said in result.get("diagnoses") or []:
        yield wrapped(f"doctor: {said}", 2)


def files(folder: Path) -> Iterator[str]:
    """Whether the files are as the run left them, and which are worth a look."""
    if not (folder / RESULT).exists():
        yield "files: the run is unfinished, and has no seal yet"
    elif not (folder / "seal.json").exists():
        yield "files: without a seal, for the run is of an earlier version"
    else:
        gone = broken(folder)
        yield wrapped(f"files: changed since the run ended: {first_ten(gone)}" if gone else "files: whole, as sealed")
    there = [name for name in WORTH if (folder / name).exists()]
    if there:
        yield wrapped("worth a look: " + ", ".join(there), 2)


def again(shown: Shown) -> str:
    """The command that does it again elsewhere."""
    if shown.folder is not None and (shown.folder / "config.yaml").is_file():
        stage, config = stage_of(options_of(str(shown.folder))), shlex.quote(str(shown.folder / "config.yaml"))
        return f"again:   python -m {stage} --config {config} --out runs/again"
    return f"to do:   python -m compare run {shown.study}"


def failure(shown: Shown) -> str:
    """Why it failed, with the last lines of its log and where that lies."""
    row = shown.row
    if not row or row["state"] != "failed":
        return ""
    lines = [wrapped(f"failed: {last_line(row.get('error', ''))}")]
    log = shown.study / "logs" / f"{row.get('id')}.txt" if shown.study else None
    if log is not None and log.is_file():
        lines.append(f"the last lines of {log}:")
        lines += [f"  {line}" for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:]]
    return "\n".join(lines)
