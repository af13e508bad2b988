"""The story of `python -m dermssl check`: what is wrong with a data set, as a table, in files and on a page."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shlex import quote

import cv2
import pandas as pd

from dermssl.appearance.covariates import SHORT_SIDE, THRESHOLDS, covariates
from dermssl.check.cleaned_copy import UNLABELLED, refuse_place, write_cleaned_copy
from dermssl.check.config import CheckConfig
from dermssl.check.findings import KINDS, findings_of, read_sides
from dermssl.check.page import write_page
from dermssl.data.images import read_rgb
from dermssl.data.manifest import Manifest, read_manifest, refuse_masks_of_none
from dermssl.errors import UserError, in_one_line
from dermssl.files import write_json
from dermssl.flags import as_typed_flags
from dermssl.places import try_places
from dermssl.runs.control_group import usable_cores
from dermssl.runs.environment import environment
from dermssl.runs.folder import closing, write_table
from dermssl.splits.drawn import groups_in_words
from dermssl.splits.near_duplicates import near_pairs
from dermssl.wording import counted

EXAMPLES = 3  # on the terminal
UNFIXABLE = ("lesion across split",)  # a fault of the split and not of the set


def run(config: CheckConfig) -> None:
    """Looks the set over as `config` says, and cleans a copy of it where asked to.

    Raises:
        UserError: If the set cannot be read at all, or a folder to write to is no place for it.
        SystemExit: With code 1 where there are errors, once all is written.
    """
    began = time.perf_counter()
    try_places(
        {"--data": config.data, "--masks": config.masks, "--split": config.split},
        folders={"--out": config.out, "--fix": config.fix},
    )
    place = config.data.resolve()
    if config.out.resolve().is_relative_to(place):
        raise UserError(f"--out {config.out}: lies inside the data set, which is never written to; give another folder")
    if config.fix is not None:
        refuse_place(config.fix, config.data)

    # What there is, and what is wrong with it.
    manifest = read_manifest(config.data, config)
    refuse_masks_of_none(config.masks, manifest)
    split = None if config.split is None else read_sides(config.split, manifest)
    pairs, scores = near_pairs(manifest), covariate_scores(manifest)
    sentences = (counts_in_words(manifest), *manifest.sentences(),
                 f"splits keep {groups_in_words(manifest.table, pairs)}")  # fmt: skip
    findings = findings_of(manifest, pairs, scores, split)

    # The report.
    folder = config.out / (place.name if place.is_dir() else place.stem)
    facts = set_summary(manifest, findings) | {
        "read": list(sentences),
        "seconds": round(time.perf_counter() - began, 1),
        **environment(),
    }
    write_table(folder / "findings.csv", findings)
    write_table(folder / "covariates.csv", covariate_table(manifest, scores))
    write_json(folder / "check.json", facts)
    write_page(folder / "check.html", manifest, findings, facts, config.thumbnails)

    # What a person reads, and does next.
    lines = (*sentences, *terminal_table(findings, len(manifest)), *first_of_each_error(findings))
    print("\n".join(map(in_one_line, lines)))
    errors = int((findings["severity"] == "error").sum())
    print(f"python -m finetune would refuse this set: {errors} error{'s'[: errors != 1]}" if errors
          else "nothing here would stop a training")  # fmt: skip
    if config.fix is not None:
        actions = write_cleaned_copy(config.fix, manifest, pairs)
        print(
            f"cleaned: {config.fix} ({len(actions)} actions in {config.fix / 'fixes.csv'}; {config.data} is untouched)"
        )
        if (pool := config.fix / UNLABELLED).exists():
            print(f"pool:    {pool} (images without a usable mask, for python -m pretrain --data {pool})")
    print(closing(folder / "check.html", command_after_check(config, manifest, findings)))
    if errors:
        raise SystemExit(1)


def counts_in_words(manifest: Manifest) -> str:
    """How many images and masks there are, and how many in each official part."""
    parts = manifest.table["part"].replace("", "no part").value_counts()
    by_part = f" ({', '.join(f'{count:,} {part}' for part, count in parts.items())})" if len(parts) > 1 else ""
    masks = int((manifest.table["mask_path"] != "").sum())
    return f"{counted(len(manifest), 'image')}{by_part}, {counted(masks, 'mask') if masks else 'no masks'}"


def covariate_scores(manifest: Manifest) -> pd.DataFrame:
    """The covariates of each image, in the manifest's order; nan where it cannot be read."""

    def score(path: Path, fault: str) -> dict[str, float]:
        return {} if fault in ("unreadable", "truncated") else covariates(read_rgb(path, SHORT_SIDE))

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the pool has a thread a core already
    try:
        with ThreadPoolExecutor(usable_cores()) as pool:
            scores = list(pool.map(score, manifest.paths(), manifest.table["fault"]))
    finally:
        cv2.setNumThreads(threads)
    return pd.DataFrame(scores, columns=list(THRESHOLDS), dtype=float)


def covariate_table(manifest: Manifest, scores: pd.DataFrame) -> pd.DataFrame:
    """What covariates.csv says: a row an image."""
    names = {name: name.replace(" ", "_") for name in THRESHOLDS}
    known = manifest.table[["image_id", "path", "label", "width", "height", "mask_area", "mask_border"]]
    return known.join(scores.round(3).rename(columns=names))


def set_summary(manifest: Manifest, findings: pd.DataFrame) -> dict[str, object]:
    """What check.json says of the set: totals, and counts and shares of each kind."""
    table, kinds = manifest.table, {}
    for name, found in findings.groupby("kind", sort=False):
        images = found["image_id"].nunique()
        kinds[str(name)] = {
            "severity": KINDS[str(name)].severity,
            "findings": len(found),
            "images": images,
            "share": round(images / len(table), 4),
        }
    severities = findings["severity"].value_counts()
    return {
        "data": str(manifest.root),
        "read": list(manifest.sentences()),
        "manifest": manifest.hash,
        "images": len(table),
        "masks": int((table["mask_path"] != "").sum()) + len(manifest.orphans),
        "lesions": int(table["lesion_id"].nunique()),
        **{f"{severity}s": int(severities.get(severity, 0)) for severity in ("error", "warning", "note")},
        "kinds": kinds,
    }


def terminal_table(findings: pd.DataFrame, images: int) -> list[str]:
    """A line a kind: severity, images, their share, and the first few."""
    lines = [("kind", "severity", "images", "share", "first")]
    for name, found in findings.groupby("kind", sort=False):
        ids = found["image_id"].drop_duplicates().tolist()
        more = ", ..." if len(ids) > EXAMPLES else ""
        first = ", ".join(ids[:EXAMPLES]) + more
        lines.append((str(name), KINDS[str(name)].severity, f"{len(ids)}", f"{len(ids) / images:.1%}", first))
    if len(lines) == 1:
        return [f"{images} images and no finding"]
    wide = [max(len(line[column]) for line in lines) for column in range(4)]
    return [
        f"{kind:<{wide[0]}}  {severity:<{wide[1]}}  {count:>{wide[2]}}  {share:>{wide[3]}}  {first}"
        for kind, severity, count, share, first in lines
    ]


def first_of_each_error(findings: pd.DataFrame) -> list[str]:
    """The first finding of each kind that would stop a training, with its remedy."""
    errors = findings[findings["severity"] == "error"].drop_duplicates("kind")
    return [f"{row['kind']}: {row['path']}: {row['detail']}" for row in errors.to_dict("records")]


def command_after_check(config: CheckConfig, manifest: Manifest, findings: pd.DataFrame) -> str:
    """What to type next: the cleaning where it would help, else a training."""
    errors = findings[findings["severity"] == "error"]
    if config.fix is None and not errors["kind"].isin(UNFIXABLE).all():
        place, clean = quote(str(config.data)), quote(str(config.data.with_name(f"{config.data.resolve().stem}-clean")))
        return f"python -m dermssl check {place} --fix {clean}{as_typed_flags(config, 'masks', 'lesion_value')}"
    if config.fix is not None and manifest.has_masks and not (config.fix / "masks").exists():
        return f"python -m pretrain --method simclr --data {quote(str(config.fix / UNLABELLED))}"
    training = "finetune" if manifest.has_masks else "pretrain --method simclr"
    as_read = as_typed_flags(config, "masks", "lesion_value") if config.fix is None else ""
    return f"python -m {training} --data {quote(str(config.fix or config.data))}{as_read}"
