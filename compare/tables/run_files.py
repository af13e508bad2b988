"""What the folders of a study's runs say of them: results, options, machine. Nothing where a folder is gone."""

import json
from collections.abc import Mapping
from functools import lru_cache
from math import nan
from pathlib import Path

import pandas as pd

from compare.tables.study import run_result
from dermssl import flags


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
    path = Path(folder) / "config.yaml"
    return dict(_options(path, path.stat().st_mtime_ns)) if folder and path.is_file() else {}


def run_environment(folder: str) -> dict[str, object]:
    """Commit, versions and machine of a run, from environment.json."""
    path = Path(folder) / "environment.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if folder and path.is_file() else {}


@lru_cache(maxsize=1000)
def _options(path: Path, _: int) -> Mapping[str, object]:
    """YAML takes milliseconds a run, and several tables ask; a file that was written since is read again."""
    return flags.read_options(path)


def finished_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of the plan whose runs are done."""
    return runs[(runs["state"] == "done") & (runs["folder"] != "")]
