"""Names as a reader says them: an encoder of timm without the `tu-` that segmentation_models_pytorch puts before it."""

from dataclasses import replace
from typing import cast

import pandas as pd

from compare.records.study import Study

PREFIX = "tu-"
COLUMNS = ("encoder", "arm", "setting", "a", "b", "level", "alike")


def with_short_encoder_names(study: Study, tables: dict[str, pd.DataFrame]) -> tuple[Study, dict[str, pd.DataFrame]]:
    """A study and its tables with encoders so named in arms, settings and levels.

    Nothing changes where two encoders would then be called alike. Names of runs, and an encoder's in the table of
    lineage, stay as they are typed.
    """
    encoders = list(dict.fromkeys(study.runs("finetune")["encoder"]))
    short_names = {name: name.removeprefix(PREFIX) for name in encoders}
    if len(set(short_names.values())) < len(short_names) or list(short_names.values()) == encoders:
        return study, tables

    def named(options: object) -> list[object]:
        return [short_names.get(str(name), name) for name in cast("list[object]", options)]

    options = {key: named(study.options[key]) for key in ("encoder", "contrast") if study.options.get(key)}
    own = replace(
        study,
        options=study.options | options,
        plan=_with_names(study.plan, short_names),
        scores=_with_names(study.scores, short_names),
    )
    return own, {
        name: table if name == "lineage" else _with_names(table, short_names) for name, table in tables.items()
    }


def _with_names(table: pd.DataFrame, short_names: dict[str, str]) -> pd.DataFrame:
    """A table with other names in the words of its columns."""
    for long, short in short_names.items():
        for column in (name for name in COLUMNS if name in table and len(table) and long != short):
            words = table[column].astype(object)
            table = table.assign(**{column: words.where(words.isna(), words.astype(str).str.replace(long, short))})
    return table
