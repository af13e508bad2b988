"""What a study's images are, whose they are and who may use them; and what the leak firewall found among them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from compare.records.data_sets import DataSets, data_sets, encoder_files
from compare.records.run_files import finished_runs, run_options, run_result
from compare.records.study import Study
from dermssl.data.manifest import Manifest
from dermssl.splits.config import SPLIT_OPTIONS
from dermssl.splits.drawn import together
from dermssl.weights.encoder_file import read_card

CARD = ["fact", "labelled", "unlabelled"]
REASONS = ("same file", "same image id", "same lesion", "same patient", "near-duplicate")
LEAKS = [
    "stage", "side", "action", "runs", "held_out", "leaking_held_out", "leaking_training",
    *(reason.replace(" ", "_").replace("-", "_") for reason in REASONS),
]  # fmt: skip
PAIRS = ["stage", "side", "trained_on", "held_out", "why", "runs"]
FACTS = (
    "name", "folder", "images", "trained on", "held out", "split", "licence", "lesions", "patients", "classes",
    "size", "lesion area", "read", "problems", "manifest", "as the runs saw it",
)  # fmt: skip
MANY = 8  # classes that are named


def data_card(study: Study, sets: DataSets | None = None) -> pd.DataFrame:
    """A row per fact of the labelled and of the unlabelled images, in words; '' where it is not known.

    Read from the data sets' folders as they are now, where they are there, and the split from the runs. `manifest` is a
    hash of ids, images and masks; `as the runs saw it` compares it with what the model files say.
    """
    sets = sets or data_sets(study)
    sides = {"labelled": (sets.labelled, sets.labelled_seen), "unlabelled": (sets.unlabelled, sets.unlabelled_seen)}
    facts_by_side = {side: _facts(manifest, hashes) if manifest else {} for side, (manifest, hashes) in sides.items()}
    facts_by_side["labelled"] |= split_facts(study)
    if sets.unlabelled and max(sets.unlabelled_counts, default=0) < len(sets.unlabelled):
        facts_by_side["unlabelled"]["as the runs saw it"] = part_seen(sorted(sets.unlabelled_counts))
    facts_by_side["unlabelled"] = facts_by_side["unlabelled"] or pretrained_facts(study)
    rows = [{"fact": fact, **{side: facts.get(fact, "") for side, facts in facts_by_side.items()}} for fact in FACTS]
    return pd.DataFrame([row for row in rows if row["labelled"] or row["unlabelled"]], columns=CARD)


def part_seen(counts: Sequence[int]) -> str:
    """What pretraining left out (held-out images, leaking ones, --limit) has no hash to compare with the folder's."""
    return f"they saw a part, {' or '.join(f'{count:,}' for count in counts)} images" if counts else "not told"


def split_facts(study: Study) -> dict[str, str]:
    """How many images train and are held out, and how that was drawn; several splits are folds of one."""
    splits = {split["hash"]: split for split in _splits(study)}
    if not splits:
        return {}
    first = next(iter(splits.values()))
    count = len(first["train"]) + len(first["val"])
    groups = int(str(first.get("groups") or 0))  # 0 in splits of others, and of runs that did not count them yet
    kept = together(str(first["grouped_by"]), groups, count) if groups else f"together by {first['grouped_by']}"
    grouped = f"{kept}, split seed {first['seed']}"
    return {
        "trained on": ", ".join(dict.fromkeys(str(len(split["train"])) for split in splits.values())),
        "held out": ", ".join(dict.fromkeys(str(len(split["val"])) for split in splits.values())),
        "split": "; ".join(f"{split.get('origin') or 'drawn'} ({digits})" for digits, split in splits.items())
        + f"; {grouped}",
    }


def pretrained_facts(study: Study) -> dict[str, str]:
    """What the encoder files say of images whose folder is gone."""
    cards = [read_card(file).data for file in encoder_files(study)]
    keys = {"folder": "folder", "images": "count", "licence": "licence", "manifest": "manifest"}
    words_by_fact = {
        fact: dict.fromkeys(str(card[key]) for card in cards if card.get(key)) for fact, key in keys.items()
    }
    return {fact: ", ".join(words) for fact, words in words_by_fact.items()}


def leak_table(study: Study) -> pd.DataFrame:
    """A row per finding of the leak firewall: how many runs had it, how many images leak, and what was done.

    `side` is what was crossed with the held-out images: the training images, or those that the encoder has seen. A
    pretraining that another study, or another fold, had done was crossed with what was held out there; that nothing
    leaks into what is held out here, the encoder's side of fine-tuning tells.
    `action`: clean, dropped (left out of training), allowed, or unknown where an encoder does not say what it has seen.
    Pairs are counted once, for the first reason that holds.
    """
    findings: dict[str, dict[str, object]] = {}
    for stage, side, verdict in _verdicts(study):
        pairs = verdict.get("pairs")
        counts = pairs if isinstance(pairs, Mapping) else {}
        row = {"stage": stage, "side": side} | {name: verdict.get(name) for name in LEAKS[2:7] if name != "runs"}
        row |= {column: int(counts.get(reason, 0)) for column, reason in zip(LEAKS[7:], REASONS, strict=True)}
        finding = findings.setdefault(json.dumps(row), row | {"runs": 0})
        finding["runs"] = int(str(finding["runs"])) + 1
    return pd.DataFrame(list(findings.values()), columns=LEAKS)


def leak_pair_table(study: Study) -> pd.DataFrame:
    """Every pair of images that leaks, with the reason and the number of runs that found it."""
    tables = []
    for _, run in finished_runs(study.plan).iterrows():
        path = Path(run["folder"]) / "leaks.csv"
        if path.is_file():
            table = pd.read_csv(path, dtype=str)
            side = table.get("side", "training")
            tables.append(table.assign(stage=run["stage"], side=side))
    if not tables:
        return pd.DataFrame(columns=PAIRS)
    by = [column for column in PAIRS if column != "runs"]
    return pd.concat(tables).groupby(by, sort=False).size().rename("runs").reset_index()[PAIRS]


def _facts(manifest: Manifest, hashes: frozenset[str]) -> dict[str, str]:
    table = manifest.table
    sides = table.loc[table["width"] > 0, ["width", "height"]]
    area = table["mask_area"].dropna()
    classes = table.loc[table["label"] != "", "label"].value_counts()
    named = [f"{name} {count:,}" for name, count in classes.head(MANY).items()]
    lesions, patients = (table[column][table[column] != ""].nunique() for column in ("lesion_id", "patient_id"))
    return {
        "name": manifest.root.resolve().name,
        "folder": str(manifest.root),
        "images": f"{len(table):,}",
        "licence": ", ".join(sorted(set(table["licence"]) - {""})) or "not told",
        "lesions": f"{lesions:,}",
        "patients": f"{patients:,}" if patients else "not told",
        "classes": ", ".join([*named, *([f"{len(classes) - MANY} more"] if len(classes) > MANY else [])]) or "not told",
        "size": _sizes(sides),
        "lesion area": "quartiles " + ", ".join(f"{100 * share:.0f} %" for share in area.quantile([0.25, 0.5, 0.75]))
        if len(area) else "no masks",
        "read": "; ".join(manifest.sentences()) or "every file",
        "problems": f"{int((table['problem'] != '').sum())} files",
        "manifest": manifest.hash,
        "as the runs saw it": ("yes" if hashes == {manifest.hash} else "no") if hashes else "not told",
    }  # fmt: skip


def _sizes(sides: pd.DataFrame) -> str:
    if sides.empty:
        return ""
    low, middle, high = (f"{sides['width'].quantile(q):.0f} x {sides['height'].quantile(q):.0f}" for q in (0, 0.5, 1))
    return f"{middle} px" if low == high else f"{low} to {high} px, median {middle}"


def _splits(study: Study) -> Iterator[dict[str, list[str]]]:
    """The split file of every finished fine-tuning."""
    for folder in finished_runs(study.runs("finetune"))["folder"]:
        path = Path(folder) / "split.json"
        if path.is_file():
            yield json.loads(path.read_text(encoding="utf-8"))


def _verdicts(study: Study) -> Iterator[tuple[str, str, Mapping[str, object]]]:
    """Stage, side and what the firewall said, of every run; fine-tuning has two sides."""
    for _, run in study.plan.iterrows():
        leaks = run_result(run["folder"]).get("leaks")
        if not isinstance(leaks, Mapping):
            continue
        sides = {_pretrained(study, run): leaks} if "action" in leaks and run["stage"] == "pretrain" else leaks
        sides = {"encoder": leaks} if "action" in leaks and run["stage"] == "probe" else sides
        for side, verdict in sides.items():
            if isinstance(verdict, Mapping):
                yield run["stage"], side, verdict


def _pretrained(study: Study, run: "pd.Series[Any]") -> str:
    """The side of a pretraining: kept clear of what is held out here, or found done for another split."""
    tuned = study.runs("finetune")
    same_fold = tuned[(tuned["fold"] == run["fold"]) | (tuned["fold"].isna() & pd.isna(run["fold"]))]
    here = {_split_options(folder) for folder in same_fold["folder"]} - {()}
    there = _split_options(run["folder"])
    return "training, for another split" if there and here and there not in here else "training"


def _split_options(folder: str) -> tuple[str, ...]:
    """The options that the split of a run was drawn by; none where its folder does not tell."""
    options = run_options(folder)
    return tuple(f"{name} {options[name]}" for name in sorted(SPLIT_OPTIONS - {"on_leak"}) if name in options)
