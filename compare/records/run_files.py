"""What the folders of a study's runs say of them: results, options, machine. Nothing where a folder is gone."""

import json
from collections.abc import Mapping
from functools import lru_cache
from math import nan
from pathlib import Path
from zipfile import ZipFile

import pandas as pd

from dermssl import flags

KEPT_RUNS = "runs.zip"  # of a kept study (compare/records/kept.py), in place of run folders


def is_kept(study_folder: Path) -> bool:
    """Whether a study folder is what `python -m compare keep` has written."""
    return (study_folder / KEPT_RUNS).is_file()


def run_result(run_folder: str) -> dict[str, object]:
    """A run's result.json; empty where the run has not got that far."""
    text = run_text(run_folder, "result.json")
    return dict(json.loads(text)) if text else {}


def run_text(run_folder: str, name: str) -> str:
    """A small file of a run, from its folder or from the archive that a kept study has; '' where there is none."""
    folder = Path(run_folder)
    if folder.parent.name != KEPT_RUNS:
        return (folder / name).read_text(encoding="utf-8") if run_folder and (folder / name).is_file() else ""
    texts = _archived(folder.parent, folder.parent.stat().st_mtime_ns)
    return texts.get(f"{folder.name}/{name}", "")


@lru_cache(maxsize=8)
def _archived(path: Path, _: int) -> dict[str, str]:
    """All files of an archive; one that was written since is read again."""
    with ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def result_number(result: Mapping[str, object], key: str) -> float:
    """A number of result.json, `invented_lesions.pictures` being one inside another; nan where there is none."""
    value: object = result
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else nan


def with_numbers(runs: pd.DataFrame, keys: Mapping[str, str]) -> pd.DataFrame:
    """Rows of the plan with numbers of each run's result.json beside them.

    Args:
        runs: Rows of the plan.
        keys: Name in the table -> key in result.json.
    """
    results = [run_result(folder) for folder in runs["folder"]]
    return runs.assign(**{name: [result_number(result, key) for result in results] for name, key in keys.items()})


def run_options(folder: str) -> dict[str, object]:
    """The resolved options of a run, from config.yaml."""
    return dict(_options(run_text(folder, "config.yaml"), Path(folder, "config.yaml")))


def run_environment(folder: str) -> dict[str, object]:
    """Commit, versions and machine of a run, from environment.json."""
    text = run_text(folder, "environment.json")
    return dict(json.loads(text)) if text else {}


@lru_cache(maxsize=1000)
def _options(text: str, path: Path) -> Mapping[str, object]:
    """YAML takes milliseconds a run, and several tables ask."""
    return flags.options_in(text, path) if text else {}


def finished_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of the plan whose runs are done."""
    return runs[(runs["state"] == "done") & (runs["folder"] != "")]
