"""A study whose scores are given number by number, so that every table can be checked by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import yaml

from compare.records.study import Study, read_study

Runs = Mapping[tuple[str, str, float, int], Sequence[float]]  # init, decoder, label fraction, seed -> IoU of images


def exact_study(folder: Path, runs: Runs, **more: object) -> Study:
    """Every run of `runs` with its images' scores, each image its own lesion; `more` are further columns."""
    tables = []
    for (init, decoder, fraction, seed), jaccard in runs.items():
        factors = {"init": init, "decoder": decoder, "label_fraction": fraction, "seed": seed, "encoder": "e"}
        names = [f"I_{i}" for i in range(len(jaccard))]
        table = pd.DataFrame({"image_id": names, "lesion_id": names, "jaccard": jaccard, "method": ""})
        table = table.assign(isic_jaccard=jaccard, dice=jaccard, run=f"{init}-{decoder}-{fraction}-{seed}", **factors)
        tables.append(table.assign(**more))
    options = {"contrast": ["ssl", "imagenet"], "init": list(dict.fromkeys(init for init, *_ in runs)), "margin": 0.01}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(options))
    pd.concat(tables).to_parquet(folder / "scores.parquet")
    return read_study(folder)
