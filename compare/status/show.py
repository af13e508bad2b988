"""One run in words: `python -m compare show RUN`, where RUN is a folder, a hash, an id or a name in a study."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from compare.estimates.timings import size_mb
from compare.records.run_files import run_options
from compare.status.at_work import command_at, place_of, runs_at_work
from compare.status.run_folders import folder_at_work, unfinished_runs
from compare.status.run_in_words import run_in_words, stage_of
from compare.status.status import NO_REASON, Row, rows_of
from compare.study.config import StudyConfig
from compare.text import last_line, megabytes, wrapped
from dermssl.errors import UserError, first_ten
from dermssl.runs.seal import RESULT
from dermssl.wording import counted, duration, spelling_hint

STAGES = ("pretrain", "finetune", "probe")
LEAST = 4  # signs of a hash that may stand for it
LINES = 12  # of a log


class ShownRun(NamedTuple):
    """The run that is meant."""

    folder: Path | None
    """None for one that has none: it has not begun, or failed before it had one."""
    row: Row
    """The run's row of plan.csv; empty where no study has it."""
    study: Path | None
    """Folder of that study."""


def explain_run(word: str, study: StudyConfig) -> str:
    """A run in words.

    Args:
        word: Its folder or the name of that, its hash or the beginning of it, its id, or its name in a study.
        study: Whose `out` and `runs` are looked through, its own plan first.

    Raises:
        UserError: If no run is meant, with the spelling_hint, or several are.
    """
    shown = run_meant(word, study)
    folder, row = shown.folder, shown.row
    parts = [
        run_heading(shown),
        *([] if folder is None else run_in_words(folder)),
        command_again(shown),
        failure_in_words(shown),
    ]
    if folder is None and row["state"] == "planned":
        parts.append(f"It has not begun: {row['stage']} runs come in the order of plan.csv.")
    return "\n\n".join(part for part in parts if part)


def run_meant(word: str, study: StudyConfig) -> ShownRun:
    """The run that `word` means.

    Raises:
        UserError: If it means none or several.
    """
    plans = sorted(study.out.glob("*/plan.csv"), key=lambda path: (path.parent != study.folder, path))
    rows = [(row, plan.parent) for plan in plans for row in rows_of(plan)]
    place = Path(word)
    if (place / "config.yaml").is_file():
        return with_row(place, rows)
    in_plan = [pair for pair in rows if is_named(word, pair[0])]
    folders = {folder_of(row, study): (row, plan) for row, plan in reversed(in_plan) if folder_of(row, study)}
    on_disk = [path.parent for stage in STAGES for path in (study.runs / stage).glob("*/config.yaml")]
    by_name = [path for path in on_disk if path.name == word or is_hash_prefix(word, path.name.rpartition("-")[2])]
    meanings = sorted({str(path) for path in [*folders, *by_name]})
    if len(meanings) > 1:
        raise UserError(
            f"'{word}' means {counted(len(meanings), 'run')} ({first_ten(meanings)}); type more of its name or hash"
        )
    if folders:
        folder, (row, plan) = next(iter(folders.items()))
        return ShownRun(folder, row, plan)
    if by_name:
        return with_row(by_name[0], rows)
    if in_plan:
        return ShownRun(None, *in_plan[0])
    names = [str(row[key]) for row, _ in rows for key in ("name", "id", "hash") if row.get(key)]
    hint = spelling_hint(word, [*names, *(path.name for path in on_disk)])
    looked = f"{study.out}/*/plan.csv and {study.runs}"
    raise UserError(f"'{word}': no run has this folder, hash, id or name (looked in {looked}){hint}")


def is_named(word: str, row: Row) -> bool:
    """Whether the word is the row's name, or begins its id or its hash."""
    return (
        word == row["name"] or is_hash_prefix(word, row.get("id") or "") or is_hash_prefix(word, row.get("hash") or "")
    )


def is_hash_prefix(word: str, name: str) -> bool:
    """Whether the word is the beginning of a hash, or all of it."""
    return name.startswith(word) and (len(word) >= LEAST or word == name) and bool(word)


def folder_of(row: Row, study: StudyConfig) -> Path | None:
    """The run folder of a row, or the one that is being worked at."""
    if row.get("folder"):
        return Path(row["folder"])
    return folder_at_work(row, unfinished_runs(study.runs / row["stage"])) if row["state"] == "running" else None


def with_row(folder: Path, rows: list[tuple[Row, Path]]) -> ShownRun:
    """A run folder with the row of a study that has it, if one has."""
    for row, plan in rows:
        if row.get("folder") and Path(row["folder"]).resolve() == folder.resolve():
            return ShownRun(folder, row, plan)
    return ShownRun(folder, {}, None)


def run_heading(shown: ShownRun) -> str:
    """What it is, where it lies, and what became of it."""
    folder, row = shown.folder, shown.row
    lines = [wrapped(row["name"] if row else str(folder))]
    if folder is not None:
        lines.append(f"  folder:   {folder}  ({megabytes(size_mb(folder))})")
    if row:
        study_line = f"  study:    {shown.study}  (id {row['id']})" if row.get("id") else f"  study:    {shown.study}"
        lines += [study_line, f"  state:    {', '.join(state_in_words(shown))}"]
    elif folder is not None:
        lines.append(f"  state:    {'done' if (folder / RESULT).exists() else 'unfinished'}; in no study's plan")
    return "\n".join(lines)


def state_in_words(shown: ShownRun) -> Iterator[str]:
    """State, time, memory, machine and attempts."""
    row, study = shown.row, shown.study
    # plan.csv has a run that was killed with its command as running.
    begun = runs_at_work([row], place_of(study), command_at(study, [row])) if study else []
    yield begun[0].state if begun else str(row["state"])
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


def command_again(shown: ShownRun) -> str:
    """The command that does it again elsewhere."""
    if shown.folder is not None and (shown.folder / "config.yaml").is_file():
        stage, config = stage_of(run_options(str(shown.folder))), shlex.quote(str(shown.folder / "config.yaml"))
        return f"again:   python -m {stage} --config {config} --out runs/again"
    return f"to do:   python -m compare run {shown.study}"


def failure_in_words(shown: ShownRun) -> str:
    """Why it failed, with the last lines of its log and where that lies."""
    row = shown.row
    if not row or row["state"] != "failed":
        return ""
    lines = [wrapped(f"failed: {last_line(row.get('error', ''), NO_REASON)}")]
    log = shown.study / "logs" / f"{row.get('id')}.txt" if shown.study else None
    if log is not None and log.is_file():
        lines.append(f"the last lines of {log}:")
        lines += [f"  {line}" for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:]]
    return "\n".join(lines)
