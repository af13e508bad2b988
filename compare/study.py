"""A study folder as it stands: its options, its runs and their scores, complete or not."""

import json
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import yaml

from compare.statistics import FloatArray
from dermssl.errors import UserError

Cell = tuple[str, float]  # network, label fraction

FACTORS = ["init", "method", "encoder", "decoder", "label_fraction", "seed"]
SCORES = ["run", *FACTORS, "image_id", "lesion_id", "jaccard", "isic_jaccard", "dice"]
PLAN = ["stage", "name", "hash", "state", "seconds", *FACTORS, "folder", "error"]


@dataclass(frozen=True)
class Study:
    """What a study folder holds. `plan` and `scores` carry two labels beside the factors.

    `arm` is what is compared: the init, with its pretraining method where the study has several. `network` is what it
    is compared under: the decoder, with the encoder where the study has several. A cell is a network and a fraction.
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
    def margin(self) -> float:
        """Differences below this, in IoU, count as equal."""
        return float(cast(float, self.options.get("margin", 0.01)))

    def runs(self, stage: str) -> pd.DataFrame:
        """The plan's rows of one stage."""
        return self.plan[self.plan["stage"] == stage]

    @cached_property
    def _tuned(self) -> pd.DataFrame:
        """Every combination of factors among the fine-tuning runs, planned or scored."""
        return pd.concat([self.runs("finetune"), self.scores])[[*FACTORS, "arm", "network"]].drop_duplicates()

    def levels(self, factor: str) -> list[str]:
        """Values of an arm, network or factor among fine-tuning runs, in the order in which study.yaml names them."""
        ranks = zip(*(self._rank(self._tuned[key]) for key in ("init", "method", "encoder", "decoder")), strict=True)
        ordered = sorted(zip(ranks, self._tuned[factor].astype(str), strict=True), key=itemgetter(0))
        return list(dict.fromkeys(value for _, value in ordered))

    @cached_property
    def cells(self) -> list[Cell]:
        """Networks x label fractions of the fine-tuning runs, planned or scored, fractions rising."""
        found = set(zip(self._tuned["network"], self._tuned["label_fraction"], strict=True))
        fractions = sorted({fraction for _, fraction in found})
        return [(network, f) for network in self.levels("network") for f in fractions if (network, f) in found]

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
        wide = scores.pivot(index=["network", "label_fraction", "seed"], columns="image_id", values="jaccard")
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

    def _rank(self, values: "pd.Series[str]") -> list[int]:
        """Place of each value in its factor's list in study.yaml; those not in it come last."""
        named = self.options.get(str(values.name))
        order = [str(value) for value in named] if isinstance(named, list) else []
        return [order.index(value) if value in order else len(order) for value in values]

    def _arm_of(self, init: str) -> str:
        """The arm that a name in `contrast` means: itself, or the first of several methods under one init."""
        arms = self.levels("arm")
        return init if init in arms else next((arm for arm in arms if arm.startswith(f"{init} (")), init)


def read_study(folder: Path) -> Study:
    """A study from its folder; scores and environment may be missing, study.yaml may not.

    Raises:
        UserError: If there is no study.yaml, or one image is scored twice in an arm under one seed.
    """
    path = folder / "study.yaml"
    if not path.is_file():
        raise UserError(f"{folder}: no study here (looked for study.yaml); run `python -m compare` first")
    options = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    plan, scores = _read_plan(folder / "plan.csv"), _read_scores(folder / "scores.parquet")
    tuned = pd.concat([plan[plan["stage"] == "finetune"], scores])
    environment = folder / "environment.json"
    return Study(
        folder=folder,
        options=options,
        plan=_labelled(plan, tuned),
        scores=_once(_labelled(scores, tuned), folder / "scores.parquet"),
        environment=json.loads(environment.read_text(encoding="utf-8")) if environment.is_file() else {},
    )


def run_result(run_folder: str) -> dict[str, object]:
    """A run's result.json; empty where the run has not got that far."""
    path = Path(run_folder) / "result.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if run_folder and path.is_file() else {}


def _read_plan(path: Path) -> pd.DataFrame:
    plan = pd.read_csv(path, dtype={"hash": str, "name": str}) if path.is_file() else pd.DataFrame(columns=PLAN)
    return _tidy(plan.reindex(columns=PLAN), ["stage", "name", "hash", "state", "folder", "error"])


def _read_scores(path: Path) -> pd.DataFrame:
    scores = pd.read_parquet(path) if path.is_file() else pd.DataFrame(columns=SCORES)
    return _tidy(scores, ["run", "image_id", "lesion_id"])


def _tidy(rows: pd.DataFrame, texts: list[str]) -> pd.DataFrame:
    """Words as str, '' where there is none, and numbers as float, whatever the file or pandas made of them."""
    words = [*texts, "init", "method", "encoder", "decoder"]
    numbers = ["label_fraction", "seed"]
    return rows.assign(
        **{name: rows[name].astype(object).where(rows[name].notna(), "").astype(str) for name in words},
        **{name: pd.to_numeric(rows[name], errors="coerce").astype(float) for name in numbers},
    )


def _labelled(rows: pd.DataFrame, tuned: pd.DataFrame) -> pd.DataFrame:
    methods = tuned[tuned["method"] != ""].groupby("init")["method"].nunique()
    several = set(methods[methods > 1].index)
    encoders = tuned["encoder"].nunique()
    arms = [
        f"{init} ({method})" if init in several and method else init for init, method in _two(rows, "init", "method")
    ]
    networks = [
        f"{decoder} on {encoder}" if encoders > 1 else decoder for decoder, encoder in _two(rows, "decoder", "encoder")
    ]
    return rows.assign(arm=arms, network=networks)


def _two(rows: pd.DataFrame, first: str, second: str) -> list[tuple[str, str]]:
    return list(zip(rows[first], rows[second], strict=True))


def _once(scores: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The scores, none of them twice: a second one would mean a factor that the report knows nothing of."""
    twice = scores[scores.duplicated(["arm", "network", "label_fraction", "seed", "image_id"])]
    if len(twice):
        row = twice.iloc[0]
        where = f"{row['arm']}, {row['network']}, fraction {row['label_fraction']}, seed {row['seed']:.0f}"
        raise UserError(f"{path}: image '{row['image_id']}' is scored twice for {where}; rebuild the study's scores")
    return scores
