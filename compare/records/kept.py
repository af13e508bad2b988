"""A study that is kept: its scores and facts without weights, pictures and masks, small enough to publish.

It is read as any study: contrasts, arms, ranks, factors and subgroups are computed anew from the scores, what the
folders of runs and images have said is kept as it was.

    STUDY/study.yaml, plan.csv, history.jsonl   as in the study folder; of a run's folder its name alone
    STUDY/environment.json                      without the command and its places
    STUDY/scores.parquet                        pixel counts of every scored image of every run
    STUDY/images.parquet                        the subgroups of every scored image
    STUDY/runs.zip                              options, results and environments of the runs, as text
    STUDY/tables.json                           the tables that no score tells
"""

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pandas as pd

from compare.records.pixel_counts import COUNTS, counts_of_scores
from compare.records.run_files import KEPT_RUNS, finished_runs
from compare.records.study import Study
from compare.study.factors import FACTORS
from compare.text import last_line
from dermssl.errors import UserError, first_ten
from dermssl.files import whole_file, write_json, write_text
from dermssl.runs.parquet import write_parquet
from dermssl.wording import counted

SCORED = frozenset({
    "contrasts", "fresh_contrasts", "arms", "arm_ranks", "factors", "levels", "subgroups", "subgroup_arms",
    "claims_reloaded",
})  # fmt: skip
"""The tables that are computed from scores, whenever they are asked for."""
RUN_FILES = ("config.yaml", "result.json", "environment.json")
PRETRAINING_FILES = (*RUN_FILES, "metrics.csv")
COUNTED = ("image_id", "lesion_id", *COUNTS)
PLACES = ("command",)  # what environment.json says of the machine's folders
Tables = Mapping[str, pd.DataFrame]


def keep_study(study: Study, tables: Tables, groups: pd.DataFrame, place: Path) -> None:
    """Writes the study into a folder of its own; one that stands there is replaced file by file.

    Args:
        study: With its run folders.
        tables: Of `all_tables`, of which those that no score tells are kept.
        groups: Of `subgroups_of`.
        place: The folder.

    Raises:
        UserError: If nothing is scored yet, the study is a kept one itself, or its run folders are not to be found.
    """
    if study.kept or study.scores.empty:
        reason = "is a kept study already" if study.kept else "has no scores yet; `python -m compare run` makes them"
        raise UserError(f"{study.folder}: {reason}")
    refuse_runs_elsewhere(study)
    place.mkdir(parents=True, exist_ok=True)
    for name in ("study.yaml", "history.jsonl"):
        shutil.copyfile(study.folder / name, place / name)
    environment = {key: value for key, value in study.environment.items() if key not in PLACES}
    write_json(place / "environment.json", environment)
    plan = pd.read_csv(study.folder / "plan.csv", dtype=str, keep_default_na=False)
    reasons = [last_line(error, "") for error in plan["error"]]
    plan = plan.assign(folder=[Path(folder).name for folder in plan["folder"]], host="", error=reasons)
    write_text(place / "plan.csv", plan.to_csv(index=False))
    write_parquet(place / "scores.parquet", counts_of_scores(study.scores)[["run", *FACTORS, *COUNTED]], index=False)
    write_parquet(place / "images.parquet", groups.reset_index(names="image_id"), index=False)
    write_runs(study, place / KEPT_RUNS)
    facts = {name: table for name, table in tables.items() if name not in SCORED}
    facts["runs"] = facts["runs"].assign(host="")
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    write_json(
        place / "tables.json", {"date": date, "tables": {name: packed_table(table) for name, table in facts.items()}}
    )


def refuse_runs_elsewhere(study: Study) -> None:
    """Stops where the folder of a finished run is not where the plan says: its facts would be missing in silence."""
    finished = finished_runs(study.plan)["folder"]
    lost = [folder for folder in dict.fromkeys(finished) if not (Path(folder) / "result.json").is_file()]
    if lost:
        raise UserError(
            f"{study.folder}: {counted(len(lost), 'finished run')} not found ({first_ten(lost)}); type this where "
            "`python -m compare run` was typed, or put the folders back"
        )


def write_runs(study: Study, path: Path) -> None:
    """The small files of every finished run, in one archive whose bytes are a function of them."""
    with whole_file(path) as part, ZipFile(part, "w", ZIP_DEFLATED, compresslevel=9) as archive:
        for stage, folder in finished_runs(study.plan)[["stage", "folder"]].drop_duplicates("folder").to_numpy():
            for name in PRETRAINING_FILES if stage == "pretrain" else RUN_FILES:
                file = Path(folder) / name
                if file.is_file():
                    text = without_places(name, file.read_text(encoding="utf-8"))
                    archive.writestr(ZipInfo(f"{Path(folder).name}/{name}"), text, ZIP_DEFLATED)


def without_places(name: str, text: str) -> str:
    """A file of a run without what it says of the machine's folders."""
    if name != "environment.json":
        return text
    facts = {key: value for key, value in json.loads(text).items() if key not in PLACES}
    return json.dumps(facts, indent=2)


def packed_table(table: pd.DataFrame) -> dict[str, object]:
    """A table as JSON holds it: its columns, and its rows with nan as null."""
    rows = table.astype(object).where(table.notna(), None).to_numpy().tolist()
    return {"columns": list(table.columns), "numbers": numbers_in(table), "rows": rows}


def numbers_in(table: pd.DataFrame) -> list[str]:
    """The columns that hold numbers, some of which may be nan."""
    return [str(name) for name in table if pd.api.types.is_float_dtype(table[name])]


def kept_tables(study: Study) -> dict[str, pd.DataFrame]:
    """The tables that were kept with a study."""
    return {name: unpacked_table(table) for name, table in _kept(study)["tables"].items()}


def unpacked_table(packed: Mapping[str, list[str]]) -> pd.DataFrame:
    """The table that `packed_table` has made JSON of."""
    table = pd.DataFrame(packed["rows"], columns=packed["columns"])
    return table.astype(dict.fromkeys(packed["numbers"], float))


def kept_groups(study: Study) -> pd.DataFrame:
    """The subgroups of every image, as they were kept with the study."""
    return pd.read_parquet(study.folder / "images.parquet").set_index("image_id")


def kept_on(study: Study) -> str:
    """When the study was kept."""
    return str(_kept(study)["date"])


def _kept(study: Study) -> dict[str, dict[str, dict[str, list[str]]]]:
    return dict(json.loads((study.folder / "tables.json").read_text(encoding="utf-8")))
