"""Everything in which a study departs from what was declared: read from its history, its plan and its runs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from compare.records.data_sets import DataSets, data_sets
from compare.records.run_files import finished_runs, run_environment, run_options, run_result
from compare.records.study import Study
from compare.statistics.pairs import complete_pairs
from compare.tables.data_card import leak_table
from dermssl.errors import SHOWN, first_ten
from dermssl.runs.seal import broken
from dermssl.wording import counted

DEVIATIONS = ["kind", "what", "when"]
EVENTS = ("extended", "changed", "retried", "trusted", "budget", "lost", "cleaned")
Row = tuple[str, str, str]


def deviation_table(study: Study, sets: DataSets | None = None) -> pd.DataFrame:
    """A row per departure, those with a date first; empty for a study that went as it was declared.

    Returns:
        `kind`: an event of the history (extended, changed, retried, trusted, budget, lost, cleaned), or what the
        folders show: failed, missing, diverged, files, code, versions, machines, images, data, leaks. `what` is a
        sentence, `when` UTC or ''.
    """
    rows = [
        *event_rows(study),
        *unfinished_rows(study),
        *diverged_rows(study),
        *changed_file_rows(study),
        *code_rows(study),
        *image_rows(study),
        *data_rows(study, sets or data_sets(study)),
        *leak_rows(study),
    ]
    return pd.DataFrame(rows, columns=DEVIATIONS)


def event_rows(study: Study) -> Iterator[Row]:
    """What the history tells: a study that was extended or changed, runs that were tried again or trusted."""
    path = study.folder / "history.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in lines:
        event = json.loads(line) if line.endswith("}") else {}  # a killed process may leave half a line
        if event.get("event") in EVENTS:
            yield str(event["event"]), str(event.get("what", "")), str(event.get("when", ""))


def unfinished_rows(study: Study) -> Iterator[Row]:
    """Runs that failed, and those that are planned and not there."""
    for state, kind in (("failed", "failed"), ("planned", "missing"), ("running", "missing")):
        names = study.plan.loc[study.plan["state"] == state, "name"].tolist()
        if names:
            verb = {"failed": "failed", "planned": "not begun", "running": "not finished"}[state]
            yield kind, f"{len(names)} of {len(study.plan)} runs {verb}: {_named(names)}", ""


def diverged_rows(study: Study) -> Iterator[Row]:
    """Finished runs whose loss has blown up."""
    runs = finished_runs(study.plan)[["name", "folder"]].to_numpy()
    names = [name for name, folder in runs if run_result(folder).get("diverged")]
    if names:
        yield "diverged", f"the loss of {len(names)} of {len(runs)} finished runs has blown up: {_named(names)}", ""


def _named(runs: list[str]) -> str:
    """The first ten, apart by semicolons, since a run's name has commas in it, and how many more there are."""
    more = f" and {len(runs) - SHOWN} more" if len(runs) > SHOWN else ""
    return "; ".join(runs[:SHOWN]) + more


def changed_file_rows(study: Study) -> Iterator[Row]:
    """Finished runs whose files are not as the run left them, and those of which nothing can tell it."""
    changes = {name: broken(Path(folder)) for name, folder in finished_runs(study.plan)[["name", "folder"]].to_numpy()}
    runs_by_files: dict[tuple[str, ...], list[str]] = {}
    for name, files in changes.items():
        if files and files != ["seal.json"]:
            runs_by_files.setdefault(tuple(files), []).append(name)
    for gone, names in runs_by_files.items():
        what = f"changed since the run ended, or gone: {first_ten(gone)}"
        several = f"{what}, in {len(names)} of {len(changes)} runs: {_named(names)}"
        yield "files", several if len(names) > 1 else f"{names[0]}: {what}", ""
    unsealed = [name for name, files in changes.items() if files == ["seal.json"]]
    if unsealed:
        yield (
            "files",
            f"{len(unsealed)} of {len(changes)} runs have no seal that would show a change: {_named(unsealed)}",
            "",
        )


def code_rows(study: Study) -> Iterator[Row]:
    """Runs of several commits, of code that was not committed, with several versions of a library, on several CPUs."""
    environments = [
        environment for folder in finished_runs(study.plan)["folder"] if (environment := run_environment(folder))
    ]
    commits = sorted({str(run.get("commit") or "unknown")[:10] for run in environments})
    if len(commits) > 1:
        yield "code", f"runs of {len(commits)} commits: {first_ten(commits)}", ""
    dirty = sum(bool(run.get("dirty")) for run in environments)
    if dirty:
        yield "code", f"{dirty} of {len(environments)} runs had uncommitted changes", ""
    for library, versions in sorted(versions_of(environments).items()):
        if len(versions) > 1:
            yield "versions", f"{library} in {len(versions)} versions: {', '.join(sorted(versions))}", ""
    machines = sorted({f"{run.get('cpu')}, {run.get('platform')}" for run in environments})
    if len(machines) > 1:
        yield "machines", f"runs on {len(machines)} kinds of machine: {'; '.join(machines)}", ""


def image_rows(study: Study) -> Iterator[Row]:
    """Images that not every run of the primary contrast scored, and those that `--limit` left out."""
    if study.contrasts and len(study.scores):
        scores = [study.jaccard(arm) for arm in study.contrasts[0]]
        used, scored = int(complete_pairs(scores[0], scores[1]).images.sum()), len(study.lesions)
        if 0 < used < scored:
            yield (
                "images",
                f"{scored - used} of {scored} images left out of the primary contrast: not scored by all",
                "",
            )
    limits = {run_options(folder).get("limit") for folder in finished_runs(study.runs("finetune"))["folder"]} - {None}
    if limits:
        counts = " or ".join(sorted(map(str, limits)))
        yield "images", f"only {counts} images of the data set were used (--limit)", ""


def data_rows(study: Study, sets: DataSets) -> Iterator[Row]:
    """Labelled images that changed between runs or since them."""
    hashes, manifest = sets.labelled_seen, sets.labelled
    if len(hashes) > 1:
        yield "data", f"runs saw {len(hashes)} states of the labelled images: {', '.join(sorted(hashes))}", ""
    if manifest is not None and hashes and manifest.hash not in hashes:
        yield "data", f"{manifest.place} has changed since the runs: {manifest.hash} now", ""


def leak_rows(study: Study) -> Iterator[Row]:
    """What the leak firewall let pass, left out, or could not know."""
    words = {
        "allowed": "{leaking_training} images were trained on that leak into {leaking_held_out} held-out ones",
        "dropped": "{leaking_training} leaking images were left out of training",
        "unknown": "an encoder does not say which images it has seen",
    }
    for row in leak_table(study).to_dict("records"):
        if row["action"] in words:
            what = words[str(row["action"])].format(**{str(key): value for key, value in row.items()})
            yield "leaks", f"{what}, in {counted(int(row['runs']), str(row['stage']) + ' run')}", ""


def versions_of(environments: list[dict[str, object]]) -> dict[str, set[str]]:
    """The versions of Python and each library that the runs name."""
    versions_by_library: dict[str, set[str]] = {}
    for environment in environments:
        libraries = environment.get("versions")
        named = {"python": environment.get("python"), **(libraries if isinstance(libraries, dict) else {})}
        for library, version in named.items():
            if version:
                versions_by_library.setdefault(str(library), set()).add(str(version))
    return versions_by_library
