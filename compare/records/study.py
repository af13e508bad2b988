"""A study folder as it stands: its options, its runs and their scores, complete or not."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from compare.records.pixel_counts import scores_from_counts
from compare.records.run_files import KEPT_RUNS, is_kept
from compare.statistics.decisions import FloatArray
from compare.study.factors import FACTORS, NUMBERS, OPTIONAL, PLAN_COLUMNS, arm_label, level, phrase
from dermssl import flags
from dermssl.errors import UserError

Cell = tuple[str, float]  # setting, label fraction

SCORES = ["run", *FACTORS, "image_id", "lesion_id", "jaccard", "isic_jaccard", "dice"]
WORDS = ["id", "stage", "name", "hash", "state", "host", "started", "folder", "error"]


@dataclass(frozen=True)
class Study:
    """What a study folder holds. `plan` and `scores` carry two labels beside the factors.

    `arm` is what is compared: the level of the factor that `arms` names, by default the init, with its pretraining
    method where the study has several. `setting` is what it is compared under: the decoder, with the encoder, loss,
    rate and whatever else the study has several of. A cell is a setting and a label fraction. Folds are no cells: each
    image is scored by the network that did not train on it, so together they score every image once a seed.
    """

    folder: Path
    options: dict[str, object]
    plan: pd.DataFrame
    scores: pd.DataFrame
    environment: dict[str, object]

    @property
    def name(self) -> str:
        """What the study calls itself, else its folder's name."""
        return str(self.options.get("name") or self.folder.resolve().name)

    @property
    def kept(self) -> bool:
        """Whether this is what was kept of a study, whose run folders are elsewhere or gone."""
        return is_kept(self.folder)

    @property
    def margin(self) -> float:
        """Differences below this, in IoU, count as equal."""
        return float(cast(float, self.options.get("margin", 0.01)))

    @property
    def chosen_on(self) -> list[int]:
        """The folds whose images had a part in choosing what is compared."""
        return list(cast("list[int]", self.options.get("chosen_on") or []))

    @property
    def arms(self) -> str:
        """The factor whose levels are compared."""
        return str(self.options.get("arms") or "init")

    @cached_property
    def varying(self) -> list[str]:
        """The factors of which this study has several levels, in their usual order."""
        return [factor for factor in FACTORS if len(_factor_levels(self.options, self._tuned, factor)) > 1]

    def runs(self, stage: str) -> pd.DataFrame:
        """The plan's rows of one stage."""
        return self.plan[self.plan["stage"] == stage]

    @cached_property
    def _tuned(self) -> pd.DataFrame:
        """Every combination of factors among the fine-tuning runs, planned or scored."""
        return pd.concat([self.runs("finetune"), self.scores])[[*FACTORS, "arm", "setting"]].drop_duplicates()

    def levels(self, key: str) -> list[str]:
        """Arms, settings or levels of a factor among fine-tuning runs, in the order in which study.yaml names them."""
        first = {"arm": [self.arms, "method"], "setting": []}.get(key, [key])
        keys = [*first, *(factor for factor in FACTORS if factor not in ("fold", "seed", *first))]
        ranks = zip(*(self._rank(self._tuned[name]) for name in keys), strict=True)
        values = self._tuned[key] if key in ("arm", "setting") else [level(key, value) for value in self._tuned[key]]
        ordered = sorted(zip(ranks, values, strict=True), key=itemgetter(0))
        return list(dict.fromkeys(value for _, value in ordered))

    @cached_property
    def cells(self) -> list[Cell]:
        """Settings x label fractions of the fine-tuning runs, planned or scored, fractions rising."""
        pairs = set(zip(self._tuned["setting"], self._tuned["label_fraction"], strict=True))
        fractions = sorted({fraction for _, fraction in pairs})
        return [(setting, f) for setting in self.levels("setting") for f in fractions if (setting, f) in pairs]

    @cached_property
    def seeds(self) -> list[float]:
        """Seeds of the fine-tuning runs, planned or scored."""
        return sorted(set(self._tuned["seed"]))

    @cached_property
    def lesions(self) -> "pd.Series[str]":
        """Lesion of each scored image, by image id; an image without one is its own lesion."""
        images = self.scores.drop_duplicates("image_id").set_index("image_id").sort_index()
        return images["lesion_id"].where(images["lesion_id"] != "", images.index.to_series())

    def jaccard(self, arm: str) -> FloatArray:
        """One arm's Jaccard indices, (cells, seeds, images), nan where there is none."""
        cells, seeds, images = self.cells, self.seeds, self.lesions.index
        scores = self.scores[self.scores["arm"] == arm]
        if scores.empty:
            return np.full((len(cells), len(seeds), len(images)), np.nan)
        rows = pd.MultiIndex.from_tuples([(*cell, seed) for cell in cells for seed in seeds])
        wide = scores.pivot(index=["setting", "label_fraction", "seed"], columns="image_id", values="jaccard")
        return wide.reindex(index=rows, columns=images).to_numpy(dtype=float).reshape(len(cells), len(seeds), -1)

    @property
    def contrasts(self) -> list[tuple[str, str]]:
        """Every pair of arms, the primary one first and turned as study.yaml turns it."""
        arms = self.levels("arm")
        pairs = [(a, b) for i, a in enumerate(arms) for b in arms[i + 1 :]]
        named = self.options.get("contrast")
        if not isinstance(named, list) or len(named) != 2:
            return pairs
        first, second = (self._arm_of(str(name)) for name in named)
        return [(first, second), *(pair for pair in pairs if set(pair) != {first, second})]

    def _rank(self, values: "pd.Series[str] | pd.Series[float]") -> list[float]:
        """Place of each value in its factor's list in study.yaml; those not in it come last, numbers rising."""
        factor = str(values.name)
        named = self.options.get(factor)
        order = [level(factor, value) for value in named] if isinstance(named, list) else []
        words = [level(factor, value) for value in values]
        beyond = np.unique(values.to_numpy(dtype=float)) if factor in NUMBERS else np.zeros(0)
        last = {level(factor, float(value)): len(order) + i for i, value in enumerate(beyond)}
        return [order.index(word) if word in order else last.get(word, len(order)) for word in words]

    def _arm_of(self, name: str) -> str:
        """The arm that a name in `contrast` means: itself, that of a method, or the first method's under an init."""
        arms = self.levels("arm")
        word = level(self.arms, float(name)) if self.arms in NUMBERS else name
        if word in arms:
            return word
        of_method = next((arm for arm in arms if arm.endswith(f" ({name})")), None)
        by_method = self._tuned[self._tuned["method"] == name]["arm"] if self.arms == "init" else pd.Series(dtype=str)
        inits = (arm for arm in arms if arm.startswith(f"{name} ("))
        return of_method or next(iter(by_method), None) or next(inits, name)


def read_study(folder: Path) -> Study:
    """A study from its folder; scores and environment may be missing, study.yaml may not.

    Raises:
        UserError: If there is no study.yaml, or one image is scored twice in an arm under one seed.
    """
    path = folder / "study.yaml"
    if not path.is_file():
        raise UserError(f"{folder}: no study here (looked for study.yaml); run `python -m compare` first")
    options = flags.read_options(path)
    plan, scores = _read_plan(folder / "plan.csv"), _read_scores(folder / "scores.parquet")
    if is_kept(folder):
        plan["folder"] = [str(folder / KEPT_RUNS / name) if name else "" for name in plan["folder"]]
        scores = scores_from_counts(scores)
    tuned = pd.concat([plan[plan["stage"] == "finetune"], scores])
    environment = folder / "environment.json"
    return Study(
        folder=folder,
        options=options,
        plan=_labelled(plan, tuned, options),
        scores=_refuse_duplicates(_labelled(scores, tuned, options), folder / "scores.parquet"),
        environment=json.loads(environment.read_text(encoding="utf-8")) if environment.is_file() else {},
    )


def study_scores(folder: str | Path) -> pd.DataFrame:
    """The scores of a study's held-out images, a row for each image of each fine-tuning run.

    Columns are the factors (init, method, decoder, label_fraction, seed, ...; '' or nan where a study has none of it),
    `arm` and `setting` in the report's words, image_id, lesion_id, and jaccard, isic_jaccard, dice and more in [0, 1].

    Args:
        folder: Of a study, such as runs/compare/demo, or of what was kept of one.

    Raises:
        UserError: If there is no study.
    """
    return read_study(Path(folder)).scores.reset_index(drop=True)


def _read_plan(path: Path) -> pd.DataFrame:
    plan = pd.read_csv(path, dtype={"id": str, "hash": str, "name": str}) if path.is_file() else pd.DataFrame()
    return _typed(plan.reindex(columns=PLAN_COLUMNS), WORDS)


def _read_scores(path: Path) -> pd.DataFrame:
    scores = pd.read_parquet(path) if path.is_file() else pd.DataFrame(columns=SCORES)
    absent = [factor for factor in FACTORS if factor not in scores]
    return _typed(scores.assign(**dict.fromkeys(absent, np.nan)), ["run", "image_id", "lesion_id"])


def _typed(rows: pd.DataFrame, texts: list[str]) -> pd.DataFrame:
    """Words as str, '' where there is none, and numbers as float, whatever the file or pandas made of them."""
    words = [*texts, *(factor for factor in FACTORS if factor not in NUMBERS)]
    return rows.assign(
        **{name: rows[name].astype(object).where(rows[name].notna(), "").astype(str) for name in words},
        **{name: pd.to_numeric(rows[name], errors="coerce").astype(float) for name in NUMBERS},
    )


def _labelled(rows: pd.DataFrame, tuned: pd.DataFrame, options: dict[str, object]) -> pd.DataFrame:
    arms = str(options.get("arms") or "init")
    methods = tuned[tuned["method"] != ""].groupby("init")["method"].nunique()
    several = set(methods[methods > 1].index)
    under = _under(options, tuned, arms)
    factors = list(FACTORS)
    return rows.assign(
        arm=row_labels(rows, factors, lambda row: arm_label(arms, row, row["init"] in several)),
        setting=row_labels(rows, factors, lambda row: _setting(row, under, arms, row["init"] in several)),
    )


def row_labels(rows: pd.DataFrame, columns: Sequence[str], words: Callable[[dict[str, Any]], str]) -> list[str]:
    """What each row is called by its cells in these columns; a combination that many images share is named once."""
    combinations = rows.groupby(list(columns), dropna=False, sort=False).ngroup()
    distinct = rows.loc[~combinations.duplicated().to_numpy(), list(columns)].to_dict("records")
    names = [words({str(column): cell for column, cell in row.items()}) for row in distinct]
    return [names[combination] for combination in combinations]


def _under(options: dict[str, object], tuned: pd.DataFrame, arms: str) -> list[str]:
    """The factors that tell settings apart."""
    factors = [f for f in FACTORS if f not in ("label_fraction", "fold", "seed", "method", arms)]
    return [factor for factor in factors if len(_factor_levels(options, tuned, factor)) > 1]


def _factor_levels(options: dict[str, object], tuned: pd.DataFrame, factor: str) -> Sequence[object]:
    """Levels of a factor: as declared where it need not be one, for a searched rate differs and is no factor."""
    named = options.get(factor)
    if factor in OPTIONAL:
        return named if isinstance(named, list) else []
    return sorted(value for value in set(tuned[factor]) if value == value and value != "")


def _setting(row: dict[str, object], under: list[str], arms: str, several_methods: bool) -> str:
    """The setting in words, the decoder first, which is said even where there is but one."""
    words = {factor: phrase(factor, cast(str, row[factor])) for factor in under}
    if "init" in under and several_methods and row["method"]:
        words["init"] = f"from {row['init']} ({row['method']})"
    first = "decoder" if arms != "decoder" else "encoder"
    head = str(row[first])
    joined = [words[factor] for factor in ("init", "encoder") if factor in under and factor != first]
    rest = [words[factor] for factor in under if factor not in ("init", "encoder", "decoder")]
    return ", ".join(filter(None, [" ".join(filter(None, [head, *joined])), *rest]))


def _refuse_duplicates(scores: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The scores, none of them twice: a second one would mean a factor that the report knows nothing of."""
    twice = scores[scores.duplicated(["arm", "setting", "label_fraction", "seed", "image_id"])]
    if len(twice):
        row = twice.iloc[0]
        remedy = f"`python -m compare report {path.parent}` writes the scores anew"
        where = f"{row['arm']}, {row['setting']}, fraction {row['label_fraction']}, seed {row['seed']:.0f}"
        raise UserError(f"{path}: image '{row['image_id']}' is scored twice for {where}; {remedy}")
    return scores
