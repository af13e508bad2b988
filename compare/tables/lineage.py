"""Where every encoder of a study comes from: what it was trained on, for how long, and what it continued from."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from compare.records.run_files import finished_runs, run_result
from compare.records.study import Study
from compare.tables.ranks import weights_of
from dermssl.errors import UserError
from dermssl.weights.encoder_file import EncoderCard, read_card

LINEAGE = [
    "arm", "method", "encoder", "sha256", "parents", "epochs", "images_seen", "image_size", "images", "manifest",
    "licence", "commit", "file",
]  # fmt: skip
SHORT = 10  # digits of a hash that are shown


def lineage_table(study: Study) -> pd.DataFrame:
    """A row per encoder that the study pretrained, then one per encoder that its networks began with besides.

    Returns:
        `parents` in words, nearest first, up to imagenet or random; `images` in its data set and `images_seen` views of
        them; `image_size` in pixels. Of weights that were never pretrained here only names and hash are known; random
        weights have a hash a seed, and none is shown.
    """
    runs = finished_runs(study.runs("pretrain"))
    files = [Path(folder) / "encoder.safetensors" for folder in runs["folder"]]
    words = zip(weights_of(study, runs), runs["method"], runs["encoder"], files, strict=True)
    rows = [
        {"arm": arm, "method": method, "encoder": encoder, **_card_row(file)} for arm, method, encoder, file in words
    ]
    hashes = {row["sha256"] for row in rows}
    tuned = finished_runs(study.runs("finetune"))
    tuned = tuned.assign(arm=weights_of(study, tuned)).drop_duplicates(["arm", "encoder"])
    for arm, encoder, folder in zip(tuned["arm"], tuned["encoder"], tuned["folder"], strict=True):
        sha256 = str(run_result(folder).get("encoder_sha256") or "")[:SHORT]
        if sha256 not in hashes:
            digits = "" if arm == "random" else sha256
            rows.append({"arm": arm, "method": arm, "encoder": encoder, "sha256": digits, "parents": ""})
    return pd.DataFrame(rows, columns=LINEAGE)


def ancestry(card: EncoderCard) -> Iterator[str]:
    """What an encoder continued from, nearest first, as far as the files are there: the last is imagenet or random."""
    while card.parent not in ("imagenet", "random"):
        parent = Path(str(card.config.get("init") or ""))
        if not parent.is_file() or read_card(parent).sha256 != card.parent:
            yield f"{card.parent[:SHORT]} (its file is gone)"
            return
        card = read_card(parent)
        yield f"{card.method} {card.sha256[:SHORT]}"
    yield card.parent


def _card_row(file: Path) -> dict[str, object]:
    """What an encoder file's card says; where it cannot be read, that."""
    try:
        card = read_card(file)
        parents = ", ".join(ancestry(card))
    except UserError:
        return {"sha256": "", "parents": "unknown: its file cannot be read", "file": str(file)}
    return {
        "method": card.method,
        "encoder": card.encoder,
        "sha256": card.sha256[:SHORT],
        "parents": parents,
        "epochs": card.epochs,
        "images_seen": card.images_seen,
        "image_size": card.image_size,
        "images": card.data.get("count"),
        "manifest": card.data.get("manifest"),
        "licence": card.data.get("licence"),
        "commit": card.commit[:SHORT],
        "file": str(file),
    }
